import { assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { mergeState, type RunningState } from "../../src/config/save.ts";
import { parsePrefix, parseSocketAddress } from "../../src/control/address_text.ts";
import { formatKeyBase64 } from "../../src/control/key_text.ts";
import type { PeerStatus } from "../../src/wireguard/configuration.ts";

const bytes = (byte: number) => new Uint8Array(32).fill(byte);
const key = (byte: number) => formatKeyBase64(bytes(byte));

interface PeerLook {
  readonly ips?: string[];
  readonly endpoint?: string;
  readonly psk?: number;
  readonly keepalive?: number;
}

function peer(number: number, look: PeerLook = {}): PeerStatus {
  return {
    publicKey: bytes(number),
    presharedKey: bytes(look.psk ?? 0),
    endpoint: look.endpoint === undefined ? null : parseSocketAddress(look.endpoint),
    keepaliveSeconds: look.keepalive ?? 0,
    lastHandshakeWallNs: 0n,
    rxBytes: 0,
    txBytes: 0,
    allowedIps: (look.ips ?? []).map((text) => parsePrefix(text)!),
  };
}

function state(
  peers: PeerStatus[],
  more: Partial<RunningState["device"]> & Partial<Omit<RunningState, "device">> = {},
): RunningState {
  const { addresses = ["10.0.0.1/24"].map((text) => parsePrefix(text)!), mtu = 1420 } = more;
  const { privateKey = bytes(0x41), listenPort = 51820, fwmark = 0 } = more;
  const device = { privateKey, listenPort, fwmark, peers };
  return { device, addresses, mtu, chosenFwmark: more.chosenFwmark ?? null };
}

const FILE = `# our node
[Interface]
PrivateKey = ${key(0x41)}  # ours
listenport=51820
Address = 10.0.0.1/24
PostUp = echo "# %i"
SaveConfig = true
#: [Longhaul]
#: Offload = no-tun-uso

# the laptop
[Peer]
PublicKey = ${key(1)}
PresharedKey = ${key(9)}
AllowedIPs = 10.0.0.2/32, 10.2.0.1/16 # its network
Endpoint = vpn.example:51820
PersistentKeepalive = off

# the phone
[Peer]
PublicKey = ${key(2)}
AllowedIPs = 10.0.0.3
Endpoint = 192.0.2.3:1000
`;

const LAPTOP = peer(1, {
  psk: 9,
  ips: ["10.2.0.0/16", "10.0.0.2/32"],
  endpoint: "192.0.2.9:51820",
});
const PHONE = peer(2, { ips: ["10.0.0.3/32"], endpoint: "192.0.2.3:1000" });

Deno.test("a file that says what is so stays as it is, byte for byte", () => {
  assertEquals(mergeState(FILE, state([PHONE, LAPTOP])), FILE);
  const crlf = FILE.replaceAll("\n", "\r\n");
  assertEquals(mergeState(crlf, state([PHONE, LAPTOP])), crlf);
  const noEnd = FILE.trimEnd();
  assertEquals(mergeState(noEnd, state([PHONE, LAPTOP])), noEnd);
});

Deno.test("what has changed is changed in its line, and its comment kept", () => {
  const roamed = peer(2, { ips: ["10.0.0.3/32", "fd00::3/128"], endpoint: "[2001:db8::7]:9" });
  const laptop = peer(1, { ips: ["10.0.0.2/32"], endpoint: "192.0.2.9:51820", keepalive: 25 });
  const text = mergeState(
    FILE,
    state([laptop, roamed], { listenPort: 7, fwmark: 0x10, privateKey: bytes(0x42) }),
  );
  const expected = FILE
    .replace(key(0x41), key(0x42))
    .replace("listenport=51820", "listenport=7")
    .replace("SaveConfig = true\n", "SaveConfig = true\nFwMark = 0x10\n")
    .replace(`PresharedKey = ${key(9)}\n`, "")
    .replace("10.0.0.2/32, 10.2.0.1/16 #", "10.0.0.2/32 #")
    .replace("PersistentKeepalive = off", "PersistentKeepalive = 25")
    .replace("10.0.0.3\n", "10.0.0.3/32, fd00::3/128\n")
    .replace("192.0.2.3:1000", "[2001:db8::7]:9");
  assertEquals(text, expected);
});

Deno.test("a peer that has gone takes its comment along; a new one comes at the end", () => {
  const added = peer(3, { ips: ["10.0.0.4/32"], psk: 7, keepalive: 5 });
  const text = mergeState(FILE, state([PHONE, added]));
  const from = FILE.indexOf("# the laptop"), to = FILE.indexOf("# the phone");
  assertEquals(
    text,
    FILE.slice(0, from) + FILE.slice(to) +
      `\n[Peer]\nPublicKey = ${key(3)}\nPresharedKey = ${key(7)}\nAllowedIPs = 10.0.0.4/32\n` +
      "PersistentKeepalive = 5\n",
  );
  const none = mergeState(FILE, state([]));
  assertEquals(none, `${FILE.slice(0, from).trimEnd()}\n`);
});

Deno.test("a mark that the default route has chosen is not saved, nor an MTU that was found", () => {
  const mine = state([LAPTOP, PHONE], { fwmark: 51820, chosenFwmark: 51820, mtu: 1333 });
  assertEquals(mergeState(FILE, mine), FILE);
  const withMtu = FILE.replace("SaveConfig", "MTU = 1400\nSaveConfig");
  assertEquals(mergeState(withMtu, mine), withMtu.replace("1400", "1333"));
});

Deno.test("addresses are saved together, and left alone when they are not known", () => {
  const addresses = ["10.0.0.1/24", "fd00::1/64"].map((text) => parsePrefix(text)!);
  const text = FILE.replace("10.0.0.1/24", "10.0.0.9/24\nAddress = fd00::9/64");
  const peers = [LAPTOP, PHONE];
  assertEquals(
    mergeState(text, state(peers, { addresses })),
    FILE.replace("10.0.0.1/24", "10.0.0.1/24, fd00::1/64"),
  );
  assertEquals(mergeState(text, { ...state(peers), addresses: null }), text);
});

Deno.test("what is saved is read as what was running, and saved again without a change", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SeededRandom(seed);
    const peers = Array.from({ length: random.below(5) }, (_, i) => {
      return peer(1 + i * (1 + random.below(3)), {
        ips: Array.from({ length: random.below(3) }, (_, j) => `10.${i}.${j}.0/24`),
        endpoint: random.below(2) === 0 ? undefined : `192.0.2.${random.below(256)}:1`,
        psk: random.below(3),
        keepalive: random.below(3),
      });
    });
    const unique = [...new Map(peers.map((each) => [key(each.publicKey[0]), each])).values()];
    const running = state(unique, { listenPort: random.below(65536), fwmark: random.below(4) });
    const text = mergeState(FILE, running);
    assertEquals(mergeState(text, running), text, `seed ${seed}`);
    const { config } = parseConfig(text, { file: "f" });
    const keys = (list: readonly { publicKey: Uint8Array }[]) =>
      list.map(({ publicKey }) => publicKey[0]).sort();
    assertEquals(keys(config!.device.peers), keys(unique), `seed ${seed}`);
    assertEquals(config!.device.listenPort, running.device.listenPort);
    assertEquals(config!.interface.hooks.postUp, ['echo "# %i"']);
    assertEquals(config!.longhaul.offload.tunUso, false);
  }
});
