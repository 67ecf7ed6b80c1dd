/**
 * The bytes of a bulk transfer: the same random block again and again. Its length is a prime, so no
 * packet size and no buffer size divides it, and a piece of the stream that is lost, doubled or in
 * the wrong place is not what stands at that position.
 */
import { SeededRandom } from "../base/random.ts";
import type { Slab } from "../memory/slab.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";

/** Length of the block: the largest prime below 1 MiB. */
export const PATTERN_BYTES = 1_048_573;
const SEED = 0x10e6;

/** One block in the slab, and the stream that it stands for. */
export class BulkPattern {
  readonly #kernel: ChecksumKernel;
  readonly #at: number;

  /** Fills PATTERN_BYTES bytes at `at`, which only this uses. */
  constructor(slab: Slab, kernel: ChecksumKernel, at: number) {
    this.#kernel = kernel;
    this.#at = at;
    const random = new SeededRandom(SEED);
    for (let i = 0; i < PATTERN_BYTES; i++) slab.u8[at + i] = random.nextUint32() >>> 24;
  }

  /** Writes the bytes of the stream from `position` on to `to`. */
  copy(position: number, to: number, bytes: number): void {
    for (let done = 0; done < bytes;) {
      const offset = (position + done) % PATTERN_BYTES;
      const run = Math.min(bytes - done, PATTERN_BYTES - offset);
      // `copyWithin` of a shared memory goes word by word; the kernel is three times as fast.
      this.#kernel.copySum(to + done, this.#at + offset, run, 0);
      done += run;
    }
  }

  /**
   * Whether the bytes at `at` are those of the stream from `position` on, as far as their checksums
   * tell: they would not tell of 16-bit words that changed places within these bytes.
   */
  matches(position: number, at: number, bytes: number): boolean {
    const kernel = this.#kernel;
    for (let done = 0; done < bytes;) {
      const offset = (position + done) % PATTERN_BYTES;
      const run = Math.min(bytes - done, PATTERN_BYTES - offset);
      const found = kernel.sum(at + done, run, 0);
      if (fold(found) !== fold(kernel.sum(this.#at + offset, run, 0))) return false;
      done += run;
    }
    return true;
  }
}

/** A one's-complement sum folded to 16 bits: equal for equal words, whatever carries it has kept. */
function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}
