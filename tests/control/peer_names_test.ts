import { assertEquals } from "@std/assert";
import { formatKeyBase64, peerName } from "../../src/control/key_text.ts";
import { cleanName, PeerNames } from "../../src/control/peer_names.ts";

const KEY = new Uint8Array(32).fill(7), OTHER = new Uint8Array(32).fill(8);

Deno.test("a peer is called by its friendly name, else by the ends of its key", () => {
  const names = new PeerNames();
  assertEquals(names.of(KEY), peerName(KEY));
  names.replace([{ publicKey: KEY, friendlyName: "phone" }, { publicKey: OTHER }]);
  assertEquals([names.of(KEY), names.of(OTHER)], ["phone", peerName(OTHER)]);
  names.replace([{ publicKey: OTHER, friendlyName: "laptop" }]);
  assertEquals([names.of(KEY), names.of(OTHER)], [peerName(KEY), "laptop"]);
});

Deno.test("a name cannot move the cursor, fill the screen, or be a key", () => {
  assertEquals(cleanName(" a\x1b[31m\u0007\u009bb\n "), "a[31mb");
  assertEquals(cleanName("x".repeat(39) + " " + "y".repeat(39)).length, 64);
  assertEquals(cleanName(formatKeyBase64(KEY)), "");
  assertEquals(cleanName(`key ${formatKeyBase64(KEY).slice(2)}`), "");
});
