import { assertEquals } from "@std/assert";
import { toDeviceChange } from "../../src/config/device_change.ts";
import { parseConfig } from "../../src/config/parse.ts";
import type { NamedEndpoint } from "../../src/config/types.ts";
import { formatKeyBase64 } from "../../src/control/key_text.ts";

const key = (byte: number) => new Uint8Array(32).fill(byte);
const { config } = parseConfig(
  `[Interface]
PrivateKey = ${formatKeyBase64(key(1))}
ListenPort = 7
[Peer]
PublicKey = ${formatKeyBase64(key(2))}
Endpoint = known.example:9
AllowedIPs = 10.0.0.0/8
[Peer]
PublicKey = ${formatKeyBase64(key(3))}
Endpoint = unknown.example:9
PersistentKeepalive = 25
`,
  { file: "f" },
);
const resolved = { address: Uint8Array.of(192, 0, 2, 7), port: 9 };
const resolve = ({ host }: NamedEndpoint) => host === "known.example" ? resolved : null;

Deno.test("a config replaces all peers and all their allowed IPs", () => {
  assertEquals(toDeviceChange(config!.device, resolve), {
    privateKey: key(1),
    listenPort: 7,
    replacePeers: true,
    peers: [{
      publicKey: key(2),
      endpoint: resolved,
      replaceAllowedIps: true,
      allowedIps: [{ address: Uint8Array.of(10, 0, 0, 0), bits: 8, remove: false }],
    }, {
      publicKey: key(3),
      keepaliveSeconds: 25,
      replaceAllowedIps: true,
      allowedIps: [],
    }],
  });
});

Deno.test("a peer whose name has no address yet is there without an endpoint", () => {
  const change = toDeviceChange(config!.device, () => null);
  assertEquals(change.peers.map((peer) => "endpoint" in peer), [false, false]);
});
