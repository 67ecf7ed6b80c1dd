/**
 * Epochs tell main when memory that it has unpublished can be reused: every lane (and with encryptor
 * workers: every batch in flight) may still be reading what was current when it began its turn.
 *
 * Main advances the global epoch after it has unpublished something; a lane stores, at the start of
 * each turn, the epoch of the oldest work that it still has in hand, or `EPOCH_IDLE` before it
 * sleeps with nothing in hand. What was retired in epoch E is free once every lane has passed E.
 *
 * Region: i32 global, then one i32 per lane, each on a cache line of its own. Epochs are signed
 * 32-bit numbers compared by difference.
 */
import type { Slab } from "../memory/slab.ts";

/** What a sleeping lane stores: it holds nothing. */
export const EPOCH_IDLE = 0;

const LINE_WORDS = 16;

/** Bytes of slab that the epoch words of `laneCount` lanes need. */
export function epochBytes(laneCount: number): number {
  return (1 + laneCount) * LINE_WORDS * 4;
}

/** The epoch words; main and lanes use the same class. */
export class EpochTable {
  readonly #i32: Int32Array;
  readonly #word: number;

  constructor(slab: Slab, at: number, readonly laneCount: number) {
    this.#i32 = slab.i32;
    this.#word = at >> 2;
    Atomics.compareExchange(this.#i32, this.#word, 0, 1);
  }

  /** The current epoch. */
  current(): number {
    return Atomics.load(this.#i32, this.#word);
  }

  /** Main: begins a new epoch and returns the one that ended; retire what was unpublished in it. */
  advance(): number {
    const ended = this.current();
    const next = (ended + 1) | 0;
    Atomics.store(this.#i32, this.#word, next === EPOCH_IDLE ? 1 : next);
    return ended;
  }

  /** Lane: announces the epoch of the oldest work in hand, or `EPOCH_IDLE`. */
  announce(lane: number, epoch: number): void {
    Atomics.store(this.#i32, this.#word + (1 + lane) * LINE_WORDS, epoch);
  }

  /** Main: whether no lane can still hold what was retired when `epoch` ended. */
  hasPassed(epoch: number): boolean {
    for (let lane = 0; lane < this.laneCount; lane++) {
      const held = Atomics.load(this.#i32, this.#word + (1 + lane) * LINE_WORDS);
      if (held !== EPOCH_IDLE && ((held - epoch) | 0) <= 0) return false;
    }
    return true;
  }
}
