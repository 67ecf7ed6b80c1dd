/** `struct iovec { void *iov_base; size_t iov_len; }` in the slab, written without a BigInt. */
import type { Slab } from "../memory/slab.ts";

/** Writes an iovec at `at` (a multiple of 4); `address` is below 2^53. */
export function writeIovec(slab: Slab, at: number, address: number, length: number): void {
  const u32 = slab.u32;
  const word = at >> 2;
  u32[word] = address % 4294967296;
  u32[word + 1] = Math.floor(address / 4294967296);
  u32[word + 2] = length;
  u32[word + 3] = 0;
}
