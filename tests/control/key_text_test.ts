import { assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import {
  formatKeyBase64,
  parseKeyBase64,
  parseKeyHex,
  peerName,
  writeKeyHex,
} from "../../src/control/key_text.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("base64 of random keys is what btoa() makes, and reads back", () => {
  const random = new SeededRandom(1);
  for (let i = 0; i < 200; i++) {
    const key = random.fill(new Uint8Array(32));
    const text = btoa(String.fromCharCode(...key));
    assertEquals(formatKeyBase64(key), text);
    assertEquals(parseKeyBase64(text), key);
  }
});

Deno.test("base64 of another length, alphabet or padding is refused", () => {
  const good = formatKeyBase64(new Uint8Array(32).fill(0xfb));
  const bad = [
    "",
    good.slice(1),
    good + "=",
    good.slice(0, 43),
    good.slice(0, 42) + "==",
    good.replaceAll("+", "-"),
    " " + good.slice(0, 43),
    good.slice(0, 20) + "\n" + good.slice(21),
    "=" + good.slice(1),
  ];
  for (const text of bad) assertEquals(parseKeyBase64(text), null, text);
});

Deno.test("base64 whose spare bits are not zero is refused", () => {
  const zero = formatKeyBase64(new Uint8Array(32));
  assertEquals(zero, "A".repeat(43) + "=");
  assertEquals(parseKeyBase64("A".repeat(42) + "B="), null);
  assertEquals(parseKeyBase64("A".repeat(42) + "E=")?.at(31), 1);
});

Deno.test("hex digits of either case are read, and written in lower case", () => {
  const key = new SeededRandom(2).fill(new Uint8Array(32));
  const ascii = new Uint8Array(66);
  writeKeyHex(key, ascii, 1);
  const text = new TextDecoder().decode(ascii.subarray(1, 65));
  assertEquals(text, Array.from(key, (byte) => byte.toString(16).padStart(2, "0")).join(""));
  assertEquals(parseKeyHex(ascii, 1, 65), key);
  assertEquals(parseKeyHex(bytes(text.toUpperCase())), key);
});

Deno.test("hex of another length or alphabet is refused", () => {
  for (const text of ["", "0".repeat(63), "0".repeat(65), "0".repeat(63) + "g", " ".repeat(64)]) {
    assertEquals(parseKeyHex(bytes(text)), null);
  }
});

Deno.test("a peer's name shows four characters of each end of its public key", () => {
  const key = parseKeyBase64("AbCdEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnyz0=")!;
  assertEquals(peerName(key), "peer(AbCd...nyz0)");
});
