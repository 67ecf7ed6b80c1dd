/** `longhaul set NAME ...`: changes a running interface, in the grammar of `wg set`. */
import { isNamed } from "../config/device_change.ts";
import { parseSetWords, type PeerWords, SetWordsError } from "../config/set_words.ts";
import { wipe } from "../wireguard/bytes.ts";
import type { DeviceChange, PeerChange } from "../wireguard/configuration.ts";
import type { CommandSpec } from "./command_spec.ts";
import { changeDevice, zoneIndex } from "./device_client.ts";
import { UsageError } from "./environment.ts";
import { readKeyFile } from "./key_file.ts";
import { resolveEndpoint } from "./resolve_endpoints.ts";

export const setCommand: CommandSpec = {
  name: "set",
  summary: "change a running interface, as wg set",
  words: "NAME [WORDS]",
  count: { min: 2, max: Infinity, rule: "set takes an interface and what to change; see --help" },
  flags: [],
  takesAllWords: true,
  examples: [
    ["set wg0 listen-port 51821", "another port"],
    ["set wg0 peer KEY endpoint host.example:51820 allowed-ips 10.0.0.2/32", "add a peer"],
    ["set wg0 peer KEY allowed-ips +10.1.0.0/16,-10.2.0.0/16", "give one prefix, take another"],
    ["set wg0 peer KEY preshared-key /dev/stdin", "a key from standard input; an empty one clears"],
    ["set wg0 peer KEY remove", "remove a peer"],
  ],
  about: `WORDS
  [listen-port PORT] [fwmark MARK|off] [private-key FILE]
  [peer KEY [remove] [preshared-key FILE] [endpoint HOST:PORT]
            [persistent-keepalive SECONDS|off] [allowed-ips [+|-]PREFIX[,...]] ]...

The change lasts until the interface ends, unless it is written to the config file as well.`,
  run: ({ words }) => runSet(words[0], words.slice(1)),
};

async function runSet(name: string, words: readonly string[]): Promise<number> {
  const wanted = parse(words);
  const secrets: Uint8Array[] = [];
  const read = (path: string) => {
    const key = readKeyFile(path);
    secrets.push(key);
    return key;
  };
  try {
    const { listenPort, fwmark, privateKeyFile } = wanted;
    const peers: PeerChange[] = [];
    for (const peer of wanted.peers) peers.push(await peerChange(peer, read));
    const change: DeviceChange = {
      ...(privateKeyFile !== undefined && { privateKey: read(privateKeyFile) }),
      ...(listenPort !== undefined && { listenPort }),
      ...(fwmark !== undefined && { fwmark }),
      peers,
    };
    changeDevice(name, change);
  } finally {
    wipe(...secrets);
  }
  return 0;
}

function parse(words: readonly string[]) {
  try {
    return parseSetWords(words, zoneIndex);
  } catch (error) {
    if (!(error instanceof SetWordsError)) throw error;
    throw new UsageError(`set: ${error.message}`);
  }
}

async function peerChange(
  words: PeerWords,
  read: (path: string) => Uint8Array,
): Promise<PeerChange> {
  const { presharedKeyFile, endpoint, ...change } = words;
  const presharedKey = presharedKeyFile === undefined ? undefined : read(presharedKeyFile);
  const address = endpoint === undefined
    ? undefined
    : isNamed(endpoint)
    ? await resolveEndpoint(endpoint)
    : endpoint;
  return {
    ...change,
    ...(presharedKey !== undefined && { presharedKey }),
    ...(address !== undefined && { endpoint: address }),
  };
}
