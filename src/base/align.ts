/** Places and lengths at multiples of a power of two. */

/** What most regions begin at a multiple of, in bytes. */
export const CACHE_LINE_BYTES = 64;

/** `n` rounded up to a multiple of `alignment`, a power of two; up to 2^31. */
export function alignUp(n: number, alignment: number): number {
  return (n + alignment - 1) & ~(alignment - 1);
}
