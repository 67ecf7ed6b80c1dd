import { assertEquals } from "@std/assert";
import { formatKeyBase64 } from "../../src/control/key_text.ts";
import { friendlyNames } from "../../src/config/friendly_name.ts";
import { parseConfig } from "../../src/config/parse.ts";

const A = new Uint8Array(32).fill(1), B = new Uint8Array(32).fill(2);
const HEX_A = "01".repeat(32), HEX_B = "02".repeat(32);

Deno.test("a friendly name stands before or behind the key, in its own peer's section only", () => {
  const text = `[Interface]
# friendly_name = not a peer
[Peer]
# friendly_name = my phone
PublicKey = ${formatKeyBase64(A)}
[Peer]
PublicKey = ${formatKeyBase64(B)} # comment
#friendly_name=laptop
`;
  assertEquals([...friendlyNames(text)], [[HEX_A, "my phone"], [HEX_B, "laptop"]]);
});

Deno.test("a peer without a name has none, and what names nothing is left out", () => {
  const text = `[Peer]
# friendly_name = lost
[Peer]
PublicKey = ${formatKeyBase64(A)}
# friendly_name =
`;
  assertEquals(friendlyNames(text).size, 0);
});

Deno.test("a config's peers bear their friendly names", () => {
  const text = `[Interface]\n[Peer]\n# friendly_name = phone\nPublicKey = ${formatKeyBase64(A)}\n` +
    `[Peer]\nPublicKey = ${formatKeyBase64(B)}\n`;
  const { config } = parseConfig(text, { file: "wg0.conf" });
  assertEquals(config?.device.peers.map((peer) => peer.friendlyName), ["phone", undefined]);
});
