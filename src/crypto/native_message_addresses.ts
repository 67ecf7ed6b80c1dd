/**
 * Addresses of messages in the slab as the BigInts that FFI wants. Making one costs about 20 ns per
 * use; messages stand at the same places again and again, so a direct-mapped cache keeps them.
 */
const ENTRIES_BITS = 12;
const ENTRIES = 1 << ENTRIES_BITS;

/** For a place in the slab: its address, and that of the 64-byte block before it. */
export class MessageAddresses {
  /** Address of the message, by entry. */
  readonly message: bigint[];
  /** Address of the block before the message, by entry. */
  readonly head: bigint[];
  readonly #base: bigint;
  readonly #place: Int32Array;

  /** `base` is the address of the slab's first byte. */
  constructor(base: bigint) {
    this.#base = base;
    this.message = new Array(ENTRIES).fill(base);
    this.head = new Array(ENTRIES).fill(base);
    this.#place = new Int32Array(ENTRIES).fill(-1);
  }

  /** The entry that holds the addresses for `at` (at least 64) until the next call. */
  entry(at: number): number {
    const entry = Math.imul(at, 0x9e3779b1) >>> (32 - ENTRIES_BITS);
    if (this.#place[entry] !== at) {
      this.#place[entry] = at;
      this.message[entry] = this.#base + BigInt(at);
      this.head[entry] = this.#base + BigInt(at - 64);
    }
    return entry;
  }
}
