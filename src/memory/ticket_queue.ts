/**
 * A queue of work for several workers whose results come back in the order of submission. The owner
 * submits; whichever worker is free claims the oldest entry that nobody has; the owner takes an entry
 * when it and all before it are done. So a worker that stalls holds up the one entry in its hands and
 * those behind it wait done, not undone.
 *
 * Three counters run one after another: taken <= claimed <= submitted <= taken + slots. The owner
 * writes the first and the last, the workers race for the middle one. An entry is known by its slot,
 * which is its own until the owner has taken it.
 *
 * Region: i32 submitted, claimed and taken, each on a cache line of its own, then the slots, a cache
 * line each: i32 value, i32 state.
 */
import { invariant } from "../base/invariant.ts";
import type { Slab } from "./slab.ts";

const SUBMITTED_WORD = 0;
const CLAIMED_WORD = 16;
const TAKEN_WORD = 32;
const SLOTS_WORD = 48;
const SLOT_WORDS = 16;
const VALUE = 0;
const STATE = 1;

const WAITING = 0;
const DONE = 1;

/** Bytes of slab that a queue needs. */
export function ticketQueueBytes(slotCount: number): number {
  return (SLOTS_WORD + slotCount * SLOT_WORDS) * 4;
}

/** One worker's handle on a queue; the owner and the workers use the same class. */
export class TicketQueue {
  readonly #i32: Int32Array;
  readonly #at: number;
  readonly #mask: number;

  constructor(slab: Slab, at: number, readonly slotCount: number) {
    invariant((slotCount & (slotCount - 1)) === 0, "a ticket queue has a power of two of slots");
    this.#i32 = slab.i32;
    this.#at = at >> 2;
    this.#mask = slotCount - 1;
  }

  /** Owner: puts `value` (0 or more) at the end. There must be room: at most `slotCount` are in it. */
  submit(value: number): void {
    const i32 = this.#i32;
    const submitted = i32[this.#at + SUBMITTED_WORD];
    const taken = i32[this.#at + TAKEN_WORD];
    invariant(
      ((submitted - taken) | 0) < this.slotCount,
      "a ticket queue has room for all its work",
    );
    const slot = this.#slotAt(submitted & this.#mask);
    i32[slot + VALUE] = value;
    Atomics.store(i32, slot + STATE, WAITING);
    Atomics.store(i32, this.#at + SUBMITTED_WORD, (submitted + 1) | 0);
  }

  /** Owner: the oldest value, if it is done, which leaves the queue; else -1. */
  take(): number {
    if (!this.isOldestDone()) return -1;
    const taken = this.#i32[this.#at + TAKEN_WORD];
    const value = this.#i32[this.#slotAt(taken & this.#mask) + VALUE];
    Atomics.store(this.#i32, this.#at + TAKEN_WORD, (taken + 1) | 0);
    return value;
  }

  /** Owner: whether `take` would return a value. */
  isOldestDone(): boolean {
    const taken = this.#i32[this.#at + TAKEN_WORD];
    if (taken === this.#i32[this.#at + SUBMITTED_WORD]) return false;
    return Atomics.load(this.#i32, this.#slotAt(taken & this.#mask) + STATE) === DONE;
  }

  /** How many entries nobody has claimed. */
  get unclaimed(): number {
    const claimed = Atomics.load(this.#i32, this.#at + CLAIMED_WORD);
    return (Atomics.load(this.#i32, this.#at + SUBMITTED_WORD) - claimed) | 0;
  }

  /** Worker: claims the oldest entry that nobody has; its slot, or -1 when there is none. */
  claim(): number {
    for (;;) {
      const claimed = Atomics.load(this.#i32, this.#at + CLAIMED_WORD);
      if (claimed === Atomics.load(this.#i32, this.#at + SUBMITTED_WORD)) return -1;
      const next = (claimed + 1) | 0;
      const before = Atomics.compareExchange(this.#i32, this.#at + CLAIMED_WORD, claimed, next);
      if (before === claimed) return claimed & this.#mask;
    }
  }

  /** Worker: the value in a slot that it has claimed. */
  value(slot: number): number {
    return this.#i32[this.#slotAt(slot) + VALUE];
  }

  /**
   * Worker: the entry in `slot` is done. Whether the owner waits for this very one: others it would
   * be woken for in vain.
   */
  complete(slot: number): boolean {
    Atomics.store(this.#i32, this.#slotAt(slot) + STATE, DONE);
    return (Atomics.load(this.#i32, this.#at + TAKEN_WORD) & this.#mask) === slot;
  }

  /** The index of a slot's first word. */
  #slotAt(slot: number): number {
    return this.#at + SLOTS_WORD + slot * SLOT_WORDS;
  }
}
