/**
 * The internet checksum's two inner loops (RFC 1071), over the slab. WebAssembly SIMD provides them
 * fast (`src/kernels/`), plain JavaScript everywhere (`checksum.ts`).
 *
 * A sum is the one's-complement sum of 16-bit words in *native* (little-endian) order, not folded
 * beyond 32 bits and not complemented; an odd last byte counts as the low byte of a word. Sums of
 * pieces that begin at even offsets can be added with end-around carry.
 */
export interface ChecksumKernel {
  /** The sum of `length` bytes at `at`, added to `initial`; both are unsigned 32-bit. */
  sum(at: number, length: number, initial: number): number;
  /** Copies `length` bytes from `from` to `to` (never overlapping forward) and returns their sum. */
  copySum(to: number, from: number, length: number, initial: number): number;
}
