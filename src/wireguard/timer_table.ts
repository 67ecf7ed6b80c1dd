/**
 * Deadlines by number: a binary heap that knows where each timer stands in it, so that setting,
 * moving and clearing one costs a few steps even among tens of thousands.
 *
 * Knows no clock: whoever owns the table asks for `nextTimeoutMs` and takes what is due.
 */

/** Timers numbered from 0, each pending with a deadline in milliseconds or not pending. */
export class TimerTable {
  readonly #deadlinesMs: Float64Array;
  /** Timer numbers, the earliest deadline first. */
  readonly #heap: Int32Array;
  /** For each timer its place in the heap, plus one; 0 when it is not pending. */
  readonly #places: Int32Array;
  #pending = 0;

  constructor(readonly capacity: number) {
    this.#deadlinesMs = new Float64Array(capacity);
    this.#heap = new Int32Array(capacity);
    this.#places = new Int32Array(capacity);
  }

  /** How many timers are pending. */
  get pending(): number {
    return this.#pending;
  }

  /** Whether a timer is pending. */
  isPending(timer: number): boolean {
    return this.#places[timer] > 0;
  }

  /** The deadline of a timer, Infinity when it is not pending. */
  deadlineMs(timer: number): number {
    return this.#places[timer] > 0 ? this.#deadlinesMs[timer] : Infinity;
  }

  /** The earliest deadline, Infinity when nothing is pending. */
  nextTimeoutMs(): number {
    return this.#pending === 0 ? Infinity : this.#deadlinesMs[this.#heap[0]];
  }

  /** Makes a timer pending, or moves it. */
  set(timer: number, deadlineMs: number): void {
    let place = this.#places[timer] - 1;
    if (place < 0) {
      place = this.#pending++;
      this.#put(place, timer);
    }
    this.#deadlinesMs[timer] = deadlineMs;
    this.#rise(place);
    this.#sink(this.#places[timer] - 1);
  }

  /** Makes a timer not pending. */
  clear(timer: number): void {
    const place = this.#places[timer] - 1;
    if (place < 0) return;
    this.#places[timer] = 0;
    const last = this.#heap[--this.#pending];
    if (last === timer) return;
    this.#put(place, last);
    this.#rise(place);
    this.#sink(this.#places[last] - 1);
  }

  /** Takes the timer with the earliest deadline if that is not after `nowMs`; -1 for none. */
  takeDue(nowMs: number): number {
    if (this.nextTimeoutMs() > nowMs) return -1;
    const timer = this.#heap[0];
    this.clear(timer);
    return timer;
  }

  #put(place: number, timer: number): void {
    this.#heap[place] = timer;
    this.#places[timer] = place + 1;
  }

  #isBefore(a: number, b: number): boolean {
    const difference = this.#deadlinesMs[a] - this.#deadlinesMs[b];
    return difference < 0 || (difference === 0 && a < b);
  }

  #rise(from: number): void {
    const timer = this.#heap[from];
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!this.#isBefore(timer, this.#heap[parent])) break;
      this.#put(place, this.#heap[parent]);
      place = parent;
    }
    this.#put(place, timer);
  }

  #sink(from: number): void {
    const timer = this.#heap[from];
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.#pending) break;
      if (
        child + 1 < this.#pending && this.#isBefore(this.#heap[child + 1], this.#heap[child])
      ) child++;
      if (!this.#isBefore(this.#heap[child], timer)) break;
      this.#put(place, this.#heap[child]);
      place = child;
    }
    this.#put(place, timer);
  }
}
