/**
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed 64-bit hash that outsiders cannot predict.
 * Numbers of 64 bits are kept as two halves of 32, so nothing is allocated.
 */
import { invariant } from "./invariant.ts";
import type { RandomSource } from "./random.ts";

/** Length of a key. */
export const SIPHASH_KEY_BYTES = 16;

/**
 * One key and the state of one computation. Either `hash` bytes, or `begin`, then `addWord` for each
 * 32-bit word, then `finish`; both give the same for words in little-endian order.
 */
export class SipHash {
  /** The upper half of the latest result; a signed 32-bit integer as the lower one. */
  high = 0;
  readonly #key = new Int32Array(4);
  /** v0 to v3, the lower half of each before the upper one. */
  readonly #state = new Int32Array(8);
  #words = 0;
  #pending = 0;

  constructor(key: Uint8Array) {
    invariant(key.length === SIPHASH_KEY_BYTES, "a SipHash key has 16 bytes");
    for (let i = 0; i < 4; i++) this.#key[i] = littleEndian(key, i * 4, 4);
  }

  /** One with a random key. */
  static withRandomKey(random: RandomSource): SipHash {
    return new SipHash(random.fill(new Uint8Array(SIPHASH_KEY_BYTES)));
  }

  /** The lower half of the hash of the bytes in `from .. to - 1`; `high` is the upper one. */
  hash(bytes: Uint8Array, from = 0, to = bytes.length): number {
    this.begin();
    let at = from;
    for (; at + 4 <= to; at += 4) this.addWord(littleEndian(bytes, at, 4));
    return this.#end(littleEndian(bytes, at, to - at), to - from);
  }

  /** Begins a hash of words. */
  begin(): void {
    const key = this.#key;
    const state = this.#state;
    state[0] = key[0] ^ 0x70736575;
    state[1] = key[1] ^ 0x736f6d65;
    state[2] = key[2] ^ 0x6e646f6d;
    state[3] = key[3] ^ 0x646f7261;
    state[4] = key[0] ^ 0x6e657261;
    state[5] = key[1] ^ 0x6c796765;
    state[6] = key[2] ^ 0x79746573;
    state[7] = key[3] ^ 0x74656462;
    this.#words = 0;
  }

  /** Adds 32 bits. */
  addWord(word: number): void {
    if ((this.#words++ & 1) === 0) this.#pending = word | 0;
    else this.#compress(this.#pending, word | 0);
  }

  /** Adds an address of 4 or 16 bytes. */
  addAddress(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += 4) this.addWord(littleEndian(bytes, at, 4));
  }

  /** The lower half of the hash of all words since `begin`; `high` is the upper one. */
  finish(): number {
    return this.#end(0, this.#words * 4);
  }

  /** `tail`: the bytes behind the last whole word. */
  #end(tail: number, totalBytes: number): number {
    const last = totalBytes << 24;
    if ((this.#words & 1) === 0) this.#compress(tail, last);
    else this.#compress(this.#pending, tail | last);
    const state = this.#state;
    state[4] ^= 0xff;
    sipRounds(state, 4);
    this.high = state[1] ^ state[3] ^ state[5] ^ state[7];
    return state[0] ^ state[2] ^ state[4] ^ state[6];
  }

  #compress(low: number, high: number): void {
    const state = this.#state;
    state[6] ^= low;
    state[7] ^= high;
    sipRounds(state, 2);
    state[0] ^= low;
    state[1] ^= high;
  }
}

function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  let word = 0;
  for (let i = 0; i < count; i++) word |= bytes[at + i] << (8 * i);
  return word;
}

/** The carry of the addition that gave `sum` with `part` as one of its terms. */
function carry(sum: number, part: number): number {
  return sum >>> 0 < part >>> 0 ? 1 : 0;
}

function sipRounds(state: Int32Array, rounds: number): void {
  let l0 = state[0], h0 = state[1], l1 = state[2], h1 = state[3];
  let l2 = state[4], h2 = state[5], l3 = state[6], h3 = state[7];
  let t = 0;
  for (let i = 0; i < rounds; i++) {
    l0 = (l0 + l1) | 0;
    h0 = (h0 + h1 + carry(l0, l1)) | 0;
    t = (l1 << 13) | (h1 >>> 19);
    h1 = ((h1 << 13) | (l1 >>> 19)) ^ h0;
    l1 = t ^ l0;
    t = l0;
    l0 = h0;
    h0 = t;
    l2 = (l2 + l3) | 0;
    h2 = (h2 + h3 + carry(l2, l3)) | 0;
    t = (l3 << 16) | (h3 >>> 16);
    h3 = ((h3 << 16) | (l3 >>> 16)) ^ h2;
    l3 = t ^ l2;
    l0 = (l0 + l3) | 0;
    h0 = (h0 + h3 + carry(l0, l3)) | 0;
    t = (l3 << 21) | (h3 >>> 11);
    h3 = ((h3 << 21) | (l3 >>> 11)) ^ h0;
    l3 = t ^ l0;
    l2 = (l2 + l1) | 0;
    h2 = (h2 + h1 + carry(l2, l1)) | 0;
    t = (l1 << 17) | (h1 >>> 15);
    h1 = ((h1 << 17) | (l1 >>> 15)) ^ h2;
    l1 = t ^ l2;
    t = l2;
    l2 = h2;
    h2 = t;
  }
  state[0] = l0;
  state[1] = h0;
  state[2] = l1;
  state[3] = h1;
  state[4] = l2;
  state[5] = h2;
  state[6] = l3;
  state[7] = h3;
}
