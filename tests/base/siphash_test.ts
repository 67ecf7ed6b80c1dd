import { assertEquals, assertNotEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { SipHash } from "../../src/base/siphash.ts";
import { siphashReference } from "../reference/siphash_reference.ts";

const counting = (length: number) => Uint8Array.from({ length }, (_, i) => i);

function hash64(hash: SipHash, low: number): bigint {
  return (BigInt(hash.high >>> 0) << 32n) | BigInt(low >>> 0);
}

Deno.test("SipHash gives the values of its paper", () => {
  const hash = new SipHash(counting(16));
  assertEquals(hash64(hash, hash.hash(counting(15))), 0xa129ca6149be45e5n);
  assertEquals(hash64(hash, hash.hash(new Uint8Array(0))), 0x726fdb47dd0e0e31n);
  assertEquals(hash64(hash, hash.hash(counting(8))), 0x93f5f5799a932462n);
});

Deno.test("SipHash agrees with its naive twin for every length and for part of an array", () => {
  const random = new SeededRandom(1);
  for (let length = 0; length < 70; length++) {
    const key = random.fill(new Uint8Array(16));
    const message = random.fill(new Uint8Array(length + 5));
    const hash = new SipHash(key);
    const low = hash.hash(message, 3, 3 + length);
    assertEquals(hash64(hash, low), siphashReference(key, message.slice(3, 3 + length)));
  }
});

Deno.test("a hash of words is the hash of their bytes", () => {
  const random = new SeededRandom(2);
  for (let words = 0; words < 12; words++) {
    const bytes = random.fill(new Uint8Array(words * 4));
    const hash = SipHash.withRandomKey(random);
    const expected = hash.hash(bytes);
    const { high } = hash;
    hash.begin();
    for (let i = 0; i < words; i++) {
      hash.addWord(new DataView(bytes.buffer).getInt32(i * 4, true));
    }
    assertEquals([hash.finish(), hash.high], [expected, high]);
    hash.begin();
    hash.addAddress(bytes);
    assertEquals(hash.finish(), expected);
  }
});

Deno.test("another key gives another hash", () => {
  const random = new SeededRandom(3);
  const message = counting(12);
  assertNotEquals(
    SipHash.withRandomKey(random).hash(message),
    SipHash.withRandomKey(random).hash(message),
  );
});
