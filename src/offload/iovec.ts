/** `struct iovec` (include/uapi/linux/uio.h) on 64-bit Linux, written into the slab. */
import type { Slab } from "../memory/slab.ts";

/** `sizeof(struct iovec)`. */
export const IOVEC_BYTES = 16;

/** Writes iovecs that point into the slab. */
export class IovecWriter {
  readonly #i32: Int32Array;
  readonly #addressLow: number;
  readonly #addressHigh: number;

  /** `slabAddress` is where the slab's first byte stands in this process, below 2^53. */
  constructor(slab: Slab, slabAddress: number) {
    this.#i32 = slab.i32;
    this.#addressLow = (slabAddress % 4_294_967_296) | 0;
    this.#addressHigh = Math.floor(slabAddress / 4_294_967_296);
  }

  /** Writes the iovec of `bytes` bytes at `at` to `iovecAt`, a multiple of 4. */
  write(iovecAt: number, at: number, bytes: number): void {
    const i32 = this.#i32;
    const word = iovecAt >> 2;
    const low = (this.#addressLow + at) | 0;
    i32[word] = low;
    // The sum of two 32-bit numbers has wrapped when it is less than one of them.
    i32[word + 1] = this.#addressHigh + (low >>> 0 < at ? 1 : 0);
    i32[word + 2] = bytes;
    i32[word + 3] = 0;
  }
}
