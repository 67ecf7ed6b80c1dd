/**
 * A small table that main writes as a whole and lanes read without a lock: several blocks of the same
 * size, and one word that names the valid one. A lane may hold on to a block until the end of its
 * turn, so a block is written again only when every lane has announced a later epoch (`epoch.ts`).
 */
import { invariant } from "../base/invariant.ts";
import type { Slab } from "../memory/slab.ts";
import type { RetireEpochs } from "./allowed_ips_pool.ts";

const BLOCK_COUNT = 4;
/** The word has a cache line of its own. */
const HEADER_BYTES = 64;

/** Bytes of slab for a table of `blockBytes` bytes (a multiple of 64), at a multiple of 64. */
export function publishedBytes(blockBytes: number): number {
  return HEADER_BYTES + BLOCK_COUNT * blockBytes;
}

/** Lanes: where the valid block stands. A region of zeros has a block of zeros. */
export function publishedAt(slab: Slab, at: number, blockBytes: number): number {
  return at + HEADER_BYTES + Atomics.load(slab.i32, at >> 2) * blockBytes;
}

/** Main's handle. */
export class PublishedBlock {
  readonly #slab: Slab;
  readonly #at: number;
  readonly #blockBytes: number;
  readonly #epochs: RetireEpochs;
  /** The epoch in which a block was replaced; null for one that nobody reads. */
  readonly #retiredIn: (number | null)[] = new Array(BLOCK_COUNT).fill(null);
  #live = 0;
  #pending: ((blockAt: number) => void) | null = null;

  constructor(slab: Slab, at: number, blockBytes: number, epochs: RetireEpochs) {
    invariant((blockBytes & 63) === 0, "blocks begin at cache lines");
    this.#slab = slab;
    this.#at = at;
    this.#blockBytes = blockBytes;
    this.#epochs = epochs;
  }

  /** Whether something waits for `retry`. */
  get isPending(): boolean {
    return this.#pending !== null;
  }

  /**
   * Publishes what `write` puts into a block that is zero before. False when lanes may still be
   * reading all other blocks: the newest `write` is then kept for `retry`.
   */
  publish(write: (blockAt: number) => void): boolean {
    this.#pending = write;
    return this.retry();
  }

  /** Publishes what had to wait; true when nothing waits any more. */
  retry(): boolean {
    if (this.#pending === null) return true;
    const block = this.#freeBlock();
    if (block < 0) return false;
    const blockAt = this.#at + HEADER_BYTES + block * this.#blockBytes;
    this.#slab.u8.fill(0, blockAt, blockAt + this.#blockBytes);
    this.#pending(blockAt);
    this.#pending = null;
    Atomics.store(this.#slab.i32, this.#at >> 2, block);
    this.#retiredIn[this.#live] = this.#epochs.advance();
    this.#live = block;
    return true;
  }

  #freeBlock(): number {
    for (let block = 0; block < BLOCK_COUNT; block++) {
      if (block === this.#live) continue;
      const epoch = this.#retiredIn[block];
      if (epoch === null || this.#epochs.hasPassed(epoch)) return block;
    }
    return -1;
  }
}
