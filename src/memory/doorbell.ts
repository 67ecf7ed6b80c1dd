/**
 * A doorbell wakes a worker that sleeps in the kernel. It is rung only when its owner has said that
 * it sleeps, so a busy pair of workers exchanges work without any system call.
 *
 * Owner: `willSleep()`, look at every queue once more, sleep, `isAwake()`. Other side: put work into
 * a queue, then `ring()`. The word is sequentially consistent, so one of the two sees the other.
 */
import type { Slab } from "./slab.ts";

const AWAKE = 0;
const ASLEEP = 1;

/** Bytes of slab for the word of one doorbell: a cache line. */
export const DOORBELL_BYTES = 64;

/** What ends a sleep in the kernel: an eventfd. An object, so that all bells share one call target. */
export interface Signal {
  signal(): void;
}

/** One worker's handle; `signal` makes the owner's sleep end, null where the owner never sleeps. */
export class Doorbell {
  readonly #i32: Int32Array;
  readonly #word: number;
  readonly #signal: Signal | null;

  constructor(slab: Slab, at: number, signal: Signal | null) {
    this.#i32 = slab.i32;
    this.#word = at >> 2;
    this.#signal = signal;
  }

  /** Owner: from now on a ring is needed; look at the queues once more before you sleep. */
  willSleep(): void {
    Atomics.store(this.#i32, this.#word, ASLEEP);
  }

  /** Owner: no ring is needed until the next `willSleep`. */
  isAwake(): void {
    Atomics.store(this.#i32, this.#word, AWAKE);
  }

  /** Other side: whether a ring would wake the owner. */
  get isAsleep(): boolean {
    return Atomics.load(this.#i32, this.#word) === ASLEEP;
  }

  /** Other side: wakes the owner if it sleeps. */
  ring(): void {
    if (Atomics.compareExchange(this.#i32, this.#word, ASLEEP, AWAKE) !== ASLEEP) return;
    this.#signal?.signal();
  }
}
