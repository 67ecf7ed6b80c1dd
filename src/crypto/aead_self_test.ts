/**
 * The start-up test of a packet AEAD: a published vector, and agreement with a second implementation
 * on messages of every kind of length. It takes some milliseconds and runs before the first packet.
 */
import { SeededRandom } from "../base/random.ts";
import type { Slab } from "../memory/slab.ts";
import type { PacketAead } from "./packet_aead.ts";

const KEY_AT = 64;
const TAG_BYTES = 16;
const ROOM_BYTES = 66_048;
const PLAIN_AT = 1024;
const SEALED_AT = PLAIN_AT + ROOM_BYTES;
const EXPECTED_AT = SEALED_AT + ROOM_BYTES;
const OPENED_AT = EXPECTED_AT + ROOM_BYTES;

/** Where the scratch of the AEAD under test may lie in the slab of the test, and the slab's size. */
export const SELF_TEST_SCRATCH_AT = OPENED_AT + ROOM_BYTES;
export const SELF_TEST_SLAB_BYTES = SELF_TEST_SCRATCH_AT + 65_536;

/**
 * RFC 8439, section 2.4.2. Its nonce begins with 4 zero bytes and its block counter is 1, so that
 * the ciphertext is what the AEAD makes of the message under that nonce.
 */
const RFC_KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const RFC_COUNTER = 0x4a000000;
const RFC_PLAINTEXT =
  "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " +
  "sunscreen would be it.";
const RFC_CIPHERTEXT = "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b" +
  "f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8" +
  "07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736" +
  "5af90bbf74a35be6b40b8eedf2785e42874d";

function lengthsToTest(): number[] {
  const lengths = Array.from({ length: 201 }, (_, length) => length);
  for (const middle of [256, 320, 512, 576, 1420]) {
    for (let length = middle - 2; length <= middle + 2; length++) lengths.push(length);
  }
  lengths.push(8920, 65_000);
  return lengths;
}

/**
 * Tests `aead` against `reference`, both over `slab` (SELF_TEST_SLAB_BYTES of zeros). Returns null
 * when all is well, else what went wrong.
 */
export function testPacketAead(
  aead: PacketAead,
  reference: PacketAead,
  slab: Slab,
): string | null {
  const failure = testPublishedVector(aead, slab.u8);
  if (failure !== null) return failure;
  const random = new SeededRandom(8439);
  random.fill(slab.u8.subarray(PLAIN_AT, PLAIN_AT + ROOM_BYTES));
  for (const length of lengthsToTest()) {
    random.fill(slab.u8.subarray(KEY_AT, KEY_AT + 32));
    const counter = random.nextUint32() * 1024 + length;
    const failure = testLength(aead, reference, slab.u8, counter, length);
    if (failure !== null) return `${failure} at ${length} bytes`;
  }
  return null;
}

function testPublishedVector(aead: PacketAead, u8: Uint8Array): string | null {
  const bytes = new TextEncoder().encode(RFC_PLAINTEXT);
  u8.set(fromHex(RFC_KEY), KEY_AT);
  u8.set(bytes, SEALED_AT);
  aead.seal(KEY_AT, RFC_COUNTER, SEALED_AT, bytes.length);
  const expected = fromHex(RFC_CIPHERTEXT);
  return startsWith(u8, SEALED_AT, expected) ? null : "the ciphertext of RFC 8439 is wrong";
}

function testLength(
  aead: PacketAead,
  reference: PacketAead,
  u8: Uint8Array,
  counter: number,
  length: number,
): string | null {
  const sealedBytes = length + TAG_BYTES;
  u8.copyWithin(SEALED_AT, PLAIN_AT, PLAIN_AT + sealedBytes + 64);
  u8.copyWithin(EXPECTED_AT, PLAIN_AT, PLAIN_AT + sealedBytes + 64);
  u8.fill(0xa5, SEALED_AT - 64, SEALED_AT);
  u8.fill(0xa5, EXPECTED_AT - 64, EXPECTED_AT);
  aead.seal(KEY_AT, counter, SEALED_AT, length);
  reference.seal(KEY_AT, counter, EXPECTED_AT, length);
  if (!equal(u8, SEALED_AT - 64, EXPECTED_AT - 64, sealedBytes + 128)) return "sealing is wrong";

  u8.fill(0xa5, OPENED_AT, OPENED_AT + length);
  if (!aead.open(KEY_AT, counter, SEALED_AT, length, OPENED_AT)) return "a right tag is refused";
  if (!equal(u8, OPENED_AT, PLAIN_AT, length)) return "opening is wrong";

  u8.fill(0, OPENED_AT, OPENED_AT + length);
  u8[SEALED_AT + length + (length % TAG_BYTES)] ^= 1 << (length % 8);
  if (aead.open(KEY_AT, counter, SEALED_AT, length, OPENED_AT)) return "a wrong tag is accepted";
  for (let i = 0; i < length; i++) {
    if (u8[OPENED_AT + i] !== 0) return "a refused message leaves plaintext";
  }
  return null;
}

function equal(u8: Uint8Array, a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (u8[a + i] !== u8[b + i]) return false;
  return true;
}

function startsWith(u8: Uint8Array, at: number, expected: Uint8Array): boolean {
  return expected.every((byte, i) => u8[at + i] === byte);
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g)!, (pair) => parseInt(pair, 16));
}
