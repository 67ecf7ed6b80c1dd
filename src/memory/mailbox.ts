/**
 * A mailbox carries small requests from one worker to another: for each of `capacity` subjects
 * (peers, mostly) a word of bits, and a queue of the subjects whose word is not empty.
 *
 * A subject stands in the queue at most once, so a queue of `capacity` entries never overflows and
 * a request is never lost, however long the reader sleeps. One worker posts, one drains.
 *
 * Region: i32 head, i32 tail (each on a cache line of its own), i32 bits[capacity], i32 queue[size].
 */
import type { Slab } from "./slab.ts";

const HEAD_WORD = 0;
const TAIL_WORD = 16;
const BITS_WORD = 32;

/** Smallest power of two that is at least `n`. */
function powerOfTwo(n: number): number {
  return n <= 1 ? 1 : 2 ** (32 - Math.clz32(n - 1));
}

/** Bytes of slab that a mailbox of `capacity` subjects needs. */
export function mailboxBytes(capacity: number): number {
  return 4 * (BITS_WORD + capacity + powerOfTwo(capacity));
}

/** One worker's handle on a mailbox; both ends use the same class. */
export class Mailbox {
  readonly #i32: Int32Array;
  readonly #base: number;
  readonly #queue: number;
  readonly #mask: number;

  constructor(slab: Slab, at: number, readonly capacity: number) {
    this.#i32 = slab.i32;
    this.#base = at >> 2;
    this.#queue = this.#base + BITS_WORD + capacity;
    this.#mask = powerOfTwo(capacity) - 1;
  }

  /** Adds `bits` to the word of `subject`; ring the reader's doorbell afterwards. */
  post(subject: number, bits: number): void {
    const i32 = this.#i32;
    const before = Atomics.or(i32, this.#base + BITS_WORD + subject, bits);
    if (before !== 0) return;
    const head = i32[this.#base + HEAD_WORD];
    i32[this.#queue + (head & this.#mask)] = subject;
    Atomics.store(i32, this.#base + HEAD_WORD, (head + 1) | 0);
  }

  /** Whether nothing waits to be drained. */
  isEmpty(): boolean {
    const i32 = this.#i32;
    return Atomics.load(i32, this.#base + HEAD_WORD) === i32[this.#base + TAIL_WORD];
  }

  /**
   * Takes the next subject, or -1 when there is none. `takenBits` then holds what was posted.
   */
  take(): number {
    const i32 = this.#i32;
    const tail = i32[this.#base + TAIL_WORD];
    if (Atomics.load(i32, this.#base + HEAD_WORD) === tail) return -1;
    const subject = i32[this.#queue + (tail & this.#mask)];
    Atomics.store(i32, this.#base + TAIL_WORD, (tail + 1) | 0);
    this.takenBits = Atomics.exchange(i32, this.#base + BITS_WORD + subject, 0);
    return subject;
  }

  /** The bits of the subject that `take` returned last. */
  takenBits = 0;
}
