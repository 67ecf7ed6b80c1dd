/**
 * The least of the samples of the last so many milliseconds, in constant space: the best three, each
 * later than the one before (Kathleen Nichols' filter). It may be a little too small: a minimum is
 * forgotten when its time is over, not earlier.
 */

/** The filter; samples are not negative and times do not go back. */
export class WindowedMin {
  readonly #values = new Float64Array(3).fill(-1);
  readonly #timesMs = new Float64Array(3);

  constructor(readonly windowMs: number) {}

  /** The least sample of the window, or -1 before the first. */
  get value(): number {
    return this.#values[0];
  }

  /** Takes a sample. */
  add(sample: number, nowMs: number): void {
    const values = this.#values, times = this.#timesMs;
    if (values[0] < 0 || sample <= values[0] || nowMs - times[2] > this.windowMs) {
      this.#fillFrom(0, sample, nowMs);
      return;
    }
    if (sample <= values[1]) this.#fillFrom(1, sample, nowMs);
    else if (sample <= values[2]) this.#fillFrom(2, sample, nowMs);
    this.#age(sample, nowMs);
  }

  /** Lets the second best move up when the best is too old, and keeps the three apart in time. */
  #age(sample: number, nowMs: number): void {
    const values = this.#values, times = this.#timesMs;
    const ageMs = nowMs - times[0];
    if (ageMs > this.windowMs) {
      this.#moveUp(sample, nowMs);
      if (nowMs - times[0] > this.windowMs) this.#moveUp(sample, nowMs);
    } else if (times[1] === times[0] && ageMs > this.windowMs / 4) {
      this.#fillFrom(1, sample, nowMs);
    } else if (times[2] === times[1] && ageMs > this.windowMs / 2) {
      values[2] = sample;
      times[2] = nowMs;
    }
  }

  #moveUp(sample: number, nowMs: number): void {
    const values = this.#values, times = this.#timesMs;
    values.copyWithin(0, 1);
    times.copyWithin(0, 1);
    values[2] = sample;
    times[2] = nowMs;
  }

  #fillFrom(index: number, sample: number, nowMs: number): void {
    this.#values.fill(sample, index);
    this.#timesMs.fill(nowMs, index);
  }
}
