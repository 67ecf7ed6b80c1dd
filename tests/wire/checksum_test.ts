import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { SeededRandom } from "../../src/base/random.ts";
import { createSlab } from "../../src/memory/slab.ts";
import {
  checksumOf,
  fold16,
  pseudoHeaderSum,
  ScalarChecksumKernel,
  sumWords,
  swap16,
  updateChecksum,
} from "../../src/wire/checksum.ts";
import { internetChecksum, networkSum, pseudoHeader } from "../reference/checksum_reference.ts";

const SEED = 1624;
const RUNS = { seed: SEED, numRuns: 500 };
const slab = createSlab(1 << 20);
const kernel = new ScalarChecksumKernel(slab);
const AT = 4096;
const TO = 1 << 19;

Deno.test("sum() agrees with RFC 1071 for every length from 0 to 2,100 at every alignment", () => {
  const random = new SeededRandom(SEED);
  random.fill(slab.u8.subarray(AT, AT + 2200));
  for (let length = 0; length <= 2100; length++) {
    const at = AT + (length % 5);
    const bytes = slab.u8.subarray(at, at + length);
    const where = `length ${length}, seed ${SEED}`;
    assertEquals(swap16(checksumOf(kernel.sum(at, length, 0))), internetChecksum(bytes), where);
  }
});

Deno.test("sum() of 64 KB of ones does not overflow, whatever it begins with", () => {
  slab.u8.fill(0xff, AT, AT + 65_535);
  for (const initial of [0, 1, 0xffff, 0x10000, 0xffffffff]) {
    const expected = fold16(fold16(initial) + 0xffff + 0xff);
    assertEquals(fold16(kernel.sum(AT, 65_535, initial)), expected);
  }
  assertEquals(kernel.sum(AT, 0, 0), 0);
});

Deno.test("copySum() copies exactly and sums what it copied", () => {
  const random = new SeededRandom(SEED);
  for (const length of [0, 1, 2, 3, 15, 16, 17, 100, 1399, 1400, 65_535]) {
    random.fill(slab.u8.subarray(AT, AT + length));
    slab.u8.fill(0x5a, TO - 8, TO + length + 8);
    const sum = kernel.copySum(TO, AT, length, 77);
    assertEquals(fold16(sum), fold16(kernel.sum(AT, length, 77)));
    assertEquals(slab.u8.slice(TO, TO + length), slab.u8.slice(AT, AT + length));
    assert(slab.u8.subarray(TO - 8, TO).every((byte) => byte === 0x5a));
    assert(slab.u8.subarray(TO + length, TO + length + 8).every((byte) => byte === 0x5a));
  }
});

Deno.test("sumWords() agrees with the kernel", () => {
  const random = new SeededRandom(SEED);
  random.fill(slab.u8.subarray(AT, AT + 200));
  for (let bytes = 0; bytes <= 120; bytes += 2) {
    assertEquals(fold16(sumWords(slab.view, AT, bytes)), fold16(kernel.sum(AT, bytes, 0)));
  }
});

Deno.test("fold16() takes signed and unsigned sums for the same", () => {
  fc.assert(
    fc.property(fc.nat(0xffffffff), (sum) => {
      assertEquals(fold16(sum | 0), fold16(sum));
      assertEquals(fold16(sum) % 0xffff, sum % 0xffff);
      assert(fold16(sum) <= 0xffff);
      assertEquals(fold16(sum) === 0, sum === 0);
    }),
    RUNS,
  );
});

Deno.test("pseudoHeaderSum() agrees with the pseudo-headers of RFC 9293 and RFC 8200", () => {
  const random = new SeededRandom(SEED);
  for (const version of [4, 6]) {
    for (const [protocol, length] of [[6, 20], [17, 8], [58, 1000], [17, 65_535]]) {
      random.fill(slab.u8.subarray(AT, AT + 40));
      slab.u8[AT] = version << 4;
      const packet = slab.u8.slice(AT, AT + 40);
      const expected = networkSum(pseudoHeader(packet, protocol, length));
      const sum = pseudoHeaderSum(slab.view, AT, version, protocol, length);
      assertEquals(swap16(fold16(sum)), expected);
    }
  }
});

/** Some words, one of which is exchanged for another. */
const exchange = fc.record({
  words: fc.uint16Array({ minLength: 1, maxLength: 30 }),
  place: fc.nat(29),
  newWord: fc.oneof(fc.nat(0xffff), fc.constantFrom(0, 0xffff)),
});

function bytesOf(words: Uint16Array): Uint8Array {
  return new Uint8Array(Array.from(words).flatMap((word) => [word >> 8, word & 255]));
}

Deno.test("updateChecksum() gives what computing anew gives (RFC 1624 equation 3)", () => {
  fc.assert(
    fc.property(exchange, ({ words, place, newWord }) => {
      const at = place % words.length;
      const before = internetChecksum(bytesOf(words));
      const oldWord = words[at];
      words[at] = newWord;
      const after = internetChecksum(bytesOf(words));
      const updated = updateChecksum(before, oldWord, newWord);
      // A header of zeros alone has the sum 0, which no update can arrive at.
      if (networkSum(bytesOf(words)) !== 0) assertEquals(updated, after);
      const swapped = updateChecksum(swap16(before), swap16(oldWord), swap16(newWord));
      assertEquals(swap16(swapped), updated);
    }),
    RUNS,
  );
});

Deno.test("updateChecksum() gives 0x0000 in the example of RFC 1624 section 4", () => {
  assertEquals(updateChecksum(0xdd2f, 0x5555, 0x3285), 0x0000);
});
