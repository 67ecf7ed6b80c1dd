/**
 * `longhaul peer add NAME`: keys, a preshared key and the next free address for a new peer; into the
 * file and the running interface; and the config for the peer's own end, as text and as a QR code.
 *
 * The peer's private key is printed, or written to a file, and kept nowhere here.
 */
import { hostName } from "../../ffi/environment.ts";
import { exists } from "../../ffi/files.ts";
import { systemRandom } from "../../ffi/random.ts";
import { isNamed } from "../config/device_change.ts";
import { Diagnostics, quote } from "../config/diagnostic.ts";
import { appendPeer } from "../config/edit.ts";
import { overlaps } from "../config/next_address.ts";
import { formatOtherEnd, KEEPALIVE_SECONDS, type OtherEnd } from "../config/other_end.ts";
import { networksOf, type PeerPlace, placePeer } from "../config/peer_address.ts";
import { servedPrefixes } from "../config/serve.ts";
import type { NamedEndpoint, NodeConfig } from "../config/types.ts";
import { ConfigValue, readEndpoint } from "../config/value.ts";
import { formatPrefix, parsePrefix } from "../control/address_text.ts";
import { formatKeyBase64 } from "../control/key_text.ts";
import { cleanName } from "../control/peer_names.ts";
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import { selectNoiseCrypto } from "../crypto/select.ts";
import { SetupError } from "../daemon/setup_error.ts";
import { wipe } from "../wireguard/bytes.ts";
import type { PeerChange, Prefix, SocketAddress } from "../wireguard/configuration.ts";
import { KEY_BYTES } from "../wireguard/constants.ts";
import { clampPrivateKey } from "../wireguard/noise.ts";
import type { CommandSpec, Flags } from "./command_spec.ts";
import { endpointOfHere } from "./endpoint_here.ts";
import { UsageError } from "./environment.ts";
import { deliver } from "./other_end_output.ts";
import {
  editPeerFile,
  findPeerFile,
  INTERFACE_FLAG,
  type PeerFile,
  readPeerFile,
} from "./peer_file.ts";
import { resolveEndpoint } from "./resolve_endpoints.ts";

export const peerAddCommand: CommandSpec = {
  name: "peer add",
  summary: "add a peer: keys, an address, and the config for its own end",
  words: "NAME",
  count: { min: 1, max: 1, rule: "peer add takes a name for the peer" },
  flags: [
    { name: "allowed-ips", value: "PREFIXES", help: "more that leads to it, such as its LAN" },
    { name: "endpoint", value: "HOST:PORT", help: "where this end calls it" },
    { name: "endpoint-here", value: "HOST[:PORT]", help: "where it calls this end" },
    { name: "qr", help: "print its config as a QR code alone" },
    { name: "file", value: "PATH", help: "write its config to a file instead of printing it" },
    INTERFACE_FLAG,
  ],
  examples: [
    ["peer add phone", "print its config, and on a terminal the QR code for the phone's app"],
    ["peer add office --allowed-ips 192.168.5.0/24", "with the network behind it"],
    ["peer add nas --file nas.conf --endpoint-here home.example", "its config in a file"],
  ],
  about:
    "It gets the next free address of the tunnel; an address of the tunnel in --allowed-ips is\n" +
    "taken instead. The change is in the config file and in the running interface at once.",
  run: ({ words, flags }) => runPeerAdd(words[0], flags),
};

/** What is asked for. */
interface Wanted {
  readonly name: string;
  readonly asked: readonly Prefix[];
  readonly endpoint: SocketAddress | NamedEndpoint | null;
  /** The endpoint's text, as it goes into the file. */
  readonly endpointText: string;
}

/** The secrets of a new peer. */
interface PeerKeys {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly presharedKey: Uint8Array;
}

async function runPeerAdd(name: string, flags: Flags): Promise<number> {
  const wanted = readWanted(name, flags);
  const output = flags.text("file");
  if (output !== undefined && flags.has("qr")) throw new UsageError("--qr or --file, not both");
  if (output !== undefined && exists(output)) {
    throw new SetupError(`${output} exists already; it is not overwritten`);
  }
  const { crypto } = selectNoiseCrypto();
  const file = findPeerFile(flags.text("interface"));
  const { config } = readPeerFile(file);
  if (config.device.privateKey === undefined) {
    throw new SetupError(`${file.path} has no PrivateKey: the other end could not know this one`);
  }
  const hereText = endpointOfHere(file, config, flags.text("endpoint-here"));
  const address = wanted.endpoint !== null && isNamed(wanted.endpoint) && !file.isOwn && file.isLive
    ? await resolveEndpoint(wanted.endpoint)
    : null;
  const keys = newKeys(crypto);
  try {
    const place = await addToFile(file, wanted, keys, address);
    const text = formatOtherEnd(otherEnd(wanted, keys, place, {
      name: `${hostName()} ${file.interfaceName}`,
      publicKey: crypto.x25519PublicKey(config.device.privateKey),
      allowedIps: [...networksOf(config), ...servedPrefixes(config)],
      endpoint: hereText,
    }));
    deliver(text, output, flags.has("qr"));
  } finally {
    wipe(keys.privateKey, keys.presharedKey, config.device.privateKey);
  }
  return 0;
}

function readWanted(text: string, flags: Flags): Wanted {
  const name = cleanName(text);
  if (name === "" || name !== text.trim() || name.includes("#")) {
    throw new UsageError(
      "A peer's name has 1 to 64 characters, none of them # or a control character",
    );
  }
  const asked = (flags.text("allowed-ips") ?? "").split(",").map((item) => item.trim())
    .filter((item) => item !== "").map((item) => {
      const prefix = parsePrefix(item);
      if (prefix !== null) return prefix;
      throw new UsageError(
        `--allowed-ips: expected prefixes such as 10.0.0.0/24, found ${quote(item)}`,
      );
    });
  const endpoint = flags.text("endpoint");
  if (endpoint === undefined) return { name, asked, endpoint: null, endpointText: "" };
  const diagnostics = new Diagnostics("");
  const value = new ConfigValue(endpoint, "--endpoint", 1, 1, diagnostics);
  const parsed = readEndpoint(value);
  if (parsed === undefined) {
    throw new UsageError(diagnostics.list().map(({ message }) => message).join("; "));
  }
  return { name, asked, endpoint: parsed, endpointText: endpoint };
}

function newKeys(crypto: NoiseCrypto): PeerKeys {
  const privateKey = clampPrivateKey(systemRandom.fill(new Uint8Array(KEY_BYTES)));
  return {
    privateKey,
    publicKey: crypto.x25519PublicKey(privateKey),
    presharedKey: systemRandom.fill(new Uint8Array(KEY_BYTES)),
  };
}

/** Puts the peer into the file and the running interface; returns where it is. */
async function addToFile(
  file: PeerFile,
  wanted: Wanted,
  keys: PeerKeys,
  address: SocketAddress | null,
): Promise<PeerPlace> {
  let place: PeerPlace | null = null;
  await editPeerFile(file, ({ text, config }) => {
    checkNew(config, wanted);
    place = placePeer(config, wanted.asked);
    if (place === null) throw noRoom(config, file.path);
    return {
      text: appendPeer(text, { friendlyName: wanted.name, keys: peerLines(wanted, keys, place) }),
      change: { peers: [peerChange(wanted, keys, place, address)] },
    };
  });
  return place!;
}

function checkNew(config: NodeConfig, { name, asked }: Wanted): void {
  for (const { friendlyName, allowedIps, publicKey } of config.device.peers) {
    const called = friendlyName ?? formatKeyBase64(publicKey);
    if (friendlyName === name) {
      throw new SetupError(
        `There is a peer ${name} already: choose another name, or remove it first`,
      );
    }
    for (const prefix of asked) {
      const owned = allowedIps.find((other) =>
        overlaps(prefix, other) && prefix.bits === other.bits
      );
      if (owned === undefined) continue;
      throw new SetupError(`${formatPrefix(prefix)} leads to ${called} already`);
    }
  }
}

function noRoom(config: NodeConfig, path: string): SetupError {
  const networks = networksOf(config).map(formatPrefix).join(", ") || "none";
  return new SetupError(
    `There is no free address in the networks of ${path} (${networks}): ` +
      "give the peer one with --allowed-ips, or make the network of Address larger",
  );
}

function peerLines(wanted: Wanted, keys: PeerKeys, place: PeerPlace): [string, string][] {
  const lines: [string, string][] = [
    ["PublicKey", formatKeyBase64(keys.publicKey)],
    ["PresharedKey", formatKeyBase64(keys.presharedKey)],
    ["AllowedIPs", place.allowedIps.map(formatPrefix).join(", ")],
  ];
  if (wanted.endpoint !== null) {
    lines.push(["Endpoint", wanted.endpointText], ["PersistentKeepalive", `${KEEPALIVE_SECONDS}`]);
  }
  return lines;
}

function peerChange(
  { endpoint }: Wanted,
  { publicKey, presharedKey }: PeerKeys,
  { allowedIps }: PeerPlace,
  resolved: SocketAddress | null,
): PeerChange {
  const address = endpoint !== null && !isNamed(endpoint) ? endpoint : resolved;
  return {
    publicKey,
    presharedKey,
    ...(address !== null && { endpoint: address, keepaliveSeconds: KEEPALIVE_SECONDS }),
    replaceAllowedIps: true,
    allowedIps: allowedIps.map((prefix) => ({ ...prefix, remove: false })),
  };
}

function otherEnd(
  { name, endpoint }: Wanted,
  { privateKey, presharedKey }: PeerKeys,
  { addresses }: PeerPlace,
  here: OtherEnd["here"],
): OtherEnd {
  const listenPort = endpoint?.port ?? null;
  return { name, privateKey, presharedKey, addresses, listenPort, here };
}
