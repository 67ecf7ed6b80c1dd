import { chacha20 } from "@noble/ciphers/chacha.js";
import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { AEAD_AREA_BYTES, AEAD_SECRET_BYTES } from "../../src/crypto/aead_scratch.ts";
import { NoblePacketAead } from "../../src/crypto/noble_packet_aead.ts";
import type { PacketAead } from "../../src/crypto/packet_aead.ts";
import { createSlab, type Slab } from "../../src/memory/slab.ts";
import { packetAeads, SCRATCH_AT } from "./implementations.ts";

const SEED = 20_260_901;
const KEY_AT = 2048;
const AT = 4096 + 20;
const OUT_AT = 1 << 17;
const LENGTHS = [
  ...Array.from({ length: 2101 }, (_, length) => length),
  ...[4000, 8920, 8921, 16_384, 34_736, 65_475, 65_535],
];

function prepared(name: string): { slab: Slab; aead: PacketAead; oracle: NoblePacketAead } {
  const slab = createSlab(1 << 19);
  return { slab, aead: packetAeads[name](slab), oracle: new NoblePacketAead(slab) };
}

function same(slab: Slab, a: number, expected: Uint8Array): boolean {
  for (let i = 0; i < expected.length; i++) if (slab.u8[a + i] !== expected[i]) return false;
  return true;
}

/** Lays out `count` sealed messages `[16 header][length][16 tag]` and returns the first's place. */
function sealRun(
  slab: Slab,
  aead: PacketAead,
  random: SeededRandom,
  length: number,
  count: number,
): number {
  const stride = length + 32;
  random.fill(slab.u8.subarray(KEY_AT, KEY_AT + 32));
  random.fill(slab.u8.subarray(AT - 16, AT + count * stride));
  for (let i = 0; i < count; i++) aead.seal(KEY_AT, i, AT + i * stride, length);
  return stride;
}

for (const name of Object.keys(packetAeads)) {
  Deno.test(`${name} seals like noble and leaves the neighbours as they are, at every length`, () => {
    const { slab, aead, oracle } = prepared(name);
    const random = new SeededRandom(SEED);
    for (const length of LENGTHS) {
      const counter = random.nextUint32() * 2 ** 20 + random.below(2 ** 20);
      random.fill(slab.u8.subarray(KEY_AT, KEY_AT + 32));
      random.fill(slab.u8.subarray(AT - 128, AT + length + 256));
      const before = slab.u8.slice(AT - 128, AT + length + 256);
      oracle.seal(KEY_AT, counter, AT, length);
      const expected = slab.u8.slice(AT - 128, AT + length + 256);
      slab.u8.set(before, AT - 128);
      aead.seal(KEY_AT, counter, AT, length);
      assert(same(slab, AT - 128, expected), `length ${length}, seed ${SEED}`);
    }
  });

  Deno.test(`${name} opens what noble sealed and keeps to its bounds, at every length`, () => {
    const { slab, aead, oracle } = prepared(name);
    const random = new SeededRandom(SEED);
    for (const length of LENGTHS) {
      const counter = random.nextUint32() * 2 ** 20 + random.below(2 ** 20);
      random.fill(slab.u8.subarray(KEY_AT, KEY_AT + 32));
      random.fill(slab.u8.subarray(AT - 128, AT + length + 256));
      random.fill(slab.u8.subarray(OUT_AT - 128, OUT_AT + length + 256));
      const plaintext = slab.u8.slice(AT, AT + length);
      oracle.seal(KEY_AT, counter, AT, length);
      const input = slab.u8.slice(AT, AT + length + 256);
      const ahead = slab.u8.slice(AT - 128, AT - 64);
      const outAhead = slab.u8.slice(OUT_AT - 128, OUT_AT - 64);
      const outBehind = slab.u8.slice(OUT_AT + length + 127, OUT_AT + length + 256);
      const where = `length ${length}, seed ${SEED}`;
      assert(aead.open(KEY_AT, counter, AT, length, OUT_AT), where);
      assert(same(slab, OUT_AT, plaintext), where);
      assert(same(slab, AT, input), `ciphertext, tag and what follows stay: ${where}`);
      assert(same(slab, AT - 128, ahead), where);
      assert(same(slab, OUT_AT - 128, outAhead), where);
      assert(same(slab, OUT_AT + length + 127, outBehind), where);
    }
  });

  Deno.test(`${name} refuses every wrong bit of a tag and leaves no plaintext`, () => {
    const { slab, aead } = prepared(name);
    const random = new SeededRandom(SEED);
    for (const length of [0, 1, 16, 100, 1420]) {
      for (let bit = 0; bit < 128; bit++) {
        random.fill(slab.u8.subarray(AT, AT + length));
        slab.u8.fill(0, OUT_AT, OUT_AT + length + 127);
        aead.seal(KEY_AT, bit, AT, length);
        slab.u8[AT + length + (bit >> 3)] ^= 1 << (bit & 7);
        assertEquals(aead.open(KEY_AT, bit, AT, length, OUT_AT), false);
        assert(slab.u8.subarray(OUT_AT, OUT_AT + length + 127).every((byte) => byte === 0));
      }
    }
  });

  Deno.test(`${name} refuses a changed ciphertext, another counter, key or length`, () => {
    const { slab, aead } = prepared(name);
    const random = new SeededRandom(SEED);
    for (const length of [1, 15, 16, 64, 577, 1420]) {
      const seal = () => {
        random.fill(slab.u8.subarray(KEY_AT, KEY_AT + 32));
        random.fill(slab.u8.subarray(AT, AT + length));
        aead.seal(KEY_AT, 7, AT, length);
      };
      seal();
      slab.u8[AT + random.below(length)] ^= 0x10;
      assertEquals(aead.open(KEY_AT, 7, AT, length, OUT_AT), false);
      seal();
      assertEquals(aead.open(KEY_AT, 8, AT, length, OUT_AT), false);
      seal();
      assertEquals(aead.open(KEY_AT, 7 + 2 ** 32, AT, length, OUT_AT), false);
      seal();
      assertEquals(aead.open(KEY_AT, 7, AT, length - 1, OUT_AT), false);
      seal();
      slab.u8[KEY_AT + 31] ^= 0x80;
      assertEquals(aead.open(KEY_AT, 7, AT, length, OUT_AT), false);
    }
  });

  Deno.test(`${name} opens runs of equal stride in ascending order, 64 bytes between outputs`, () => {
    const { slab, aead } = prepared(name);
    const random = new SeededRandom(SEED);
    for (const length of [0, 1, 16, 33, 64, 100, 512, 576, 1419, 1420]) {
      const count = 45;
      const plain = new SeededRandom(length);
      const stride = sealRun(slab, aead, plain, length, count);
      const again = new SeededRandom(length);
      const bytes = new Uint8Array(32 + 16 + count * stride);
      again.fill(bytes.subarray(0, 32));
      again.fill(bytes.subarray(32));
      const wrong = random.below(count);
      slab.u8[AT + wrong * stride + length] ^= 1;
      for (let i = 0; i < count; i++) {
        const out = OUT_AT + i * (length + 64);
        assertEquals(aead.open(KEY_AT, i, AT + i * stride, length, out), i !== wrong);
      }
      for (let i = 0; i < count; i++) {
        if (i === wrong) continue;
        const expected = bytes.subarray(48 + i * stride, 48 + i * stride + length);
        assert(same(slab, OUT_AT + i * (length + 64), expected), `message ${i} of ${length} bytes`);
      }
    }
  });

  Deno.test(`${name} alternates between keys and directions`, () => {
    const { slab, aead, oracle } = prepared(name);
    const random = new SeededRandom(SEED);
    random.fill(slab.u8.subarray(KEY_AT, KEY_AT + 4 * 32));
    for (let i = 0; i < 200; i++) {
      const sealKey = KEY_AT + 32 * random.below(4), openKey = KEY_AT + 32 * random.below(4);
      random.fill(slab.u8.subarray(AT, AT + 90));
      oracle.seal(sealKey, i, AT, 90);
      const expected = slab.u8.slice(AT, AT + 106);
      oracle.open(sealKey, i, AT, 90, OUT_AT);
      slab.u8.copyWithin(AT, OUT_AT, OUT_AT + 90);
      aead.seal(sealKey, i, AT, 90);
      assert(same(slab, AT, expected));
      assertEquals(aead.open(openKey, i, AT, 90, OUT_AT), openKey === sealKey);
      if (i % 50 === 49) aead.forgetKeys();
    }
  });
}

Deno.test("openssl-composed has no key in its scratch after forgetKeys, and goes on working", () => {
  const { slab, aead } = prepared("openssl-composed");
  new SeededRandom(SEED).fill(slab.u8.subarray(KEY_AT, KEY_AT + 32));
  aead.seal(KEY_AT, 1, AT, 100);
  const secrets = [SCRATCH_AT, SCRATCH_AT + AEAD_AREA_BYTES]
    .map((area) => slab.u8.subarray(area, area + AEAD_SECRET_BYTES));
  assert(same(slab, SCRATCH_AT, slab.u8.slice(KEY_AT, KEY_AT + 32)));
  aead.forgetKeys();
  for (const area of secrets) assert(area.every((byte) => byte === 0));
  assert(aead.open(KEY_AT, 1, AT, 100, OUT_AT));
});

Deno.test("openssl-composed leaves no Poly1305 key behind", () => {
  const { slab, aead } = prepared("openssl-composed");
  const random = new SeededRandom(SEED);
  random.fill(slab.u8.subarray(KEY_AT, KEY_AT + 32));
  slab.u8.fill(0, AT, AT + 64);
  const polyKey = polyKeyOf(slab.u8.slice(KEY_AT, KEY_AT + 32), 5);
  aead.seal(KEY_AT, 5, AT, 64);
  assert(aead.open(KEY_AT, 5, AT, 64, OUT_AT));
  const text = Array.from(slab.u8.subarray(0, OUT_AT + 512)).join();
  assert(!text.includes(Array.from(polyKey.subarray(0, 16)).join()));
  assert(!text.includes(Array.from(polyKey.subarray(16, 32)).join()));
});

function polyKeyOf(key: Uint8Array, counter: number): Uint8Array {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(4, BigInt(counter), true);
  return chacha20(key, nonce, new Uint8Array(32));
}
