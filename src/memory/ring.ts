/**
 * A single-producer, single-consumer ring of fixed-size slots in the slab. A slot is written in
 * place between `claim` and `publish`, and read in place between `peek` and `release`.
 *
 * Region: i32 head and i32 tail, each on a cache line of its own, then the slots.
 */
import { invariant } from "../base/invariant.ts";
import type { Slab } from "./slab.ts";

const HEAD_WORD = 0;
const TAIL_WORD = 16;
const SLOTS_BYTES = 128;

/** Bytes of slab that a ring needs. */
export function ringBytes(slotCount: number, slotBytes: number): number {
  return SLOTS_BYTES + slotCount * slotBytes;
}

/** One worker's handle on a ring; producer and consumer use the same class. */
export class Ring {
  readonly #i32: Int32Array;
  readonly #headWord: number;
  readonly #tailWord: number;
  readonly #slotsAt: number;

  constructor(slab: Slab, at: number, readonly slotCount: number, readonly slotBytes: number) {
    invariant((slotCount & (slotCount - 1)) === 0, "a ring has a power of two of slots");
    this.#i32 = slab.i32;
    this.#headWord = (at >> 2) + HEAD_WORD;
    this.#tailWord = (at >> 2) + TAIL_WORD;
    this.#slotsAt = at + SLOTS_BYTES;
  }

  /** Producer: where the next slot may be written, or -1 when the ring is full. */
  claim(): number {
    const head = this.#i32[this.#headWord];
    const tail = Atomics.load(this.#i32, this.#tailWord);
    if (((head - tail) | 0) >= this.slotCount) return -1;
    return this.#slotsAt + (head & (this.slotCount - 1)) * this.slotBytes;
  }

  /** Producer: hands the claimed slot to the consumer. */
  publish(): void {
    Atomics.store(this.#i32, this.#headWord, (this.#i32[this.#headWord] + 1) | 0);
  }

  /** Consumer: where the oldest slot stands, or -1 when the ring is empty. */
  peek(): number {
    const tail = this.#i32[this.#tailWord];
    if (Atomics.load(this.#i32, this.#headWord) === tail) return -1;
    return this.#slotsAt + (tail & (this.slotCount - 1)) * this.slotBytes;
  }

  /** Consumer: gives the oldest slot back. */
  release(): void {
    Atomics.store(this.#i32, this.#tailWord, (this.#i32[this.#tailWord] + 1) | 0);
  }

  /** How many slots wait for the consumer. */
  get length(): number {
    return (Atomics.load(this.#i32, this.#headWord) - Atomics.load(this.#i32, this.#tailWord)) | 0;
  }
}
