/**
 * The least of the samples of the last so many milliseconds, in constant space: the best three, each
 * later than the one before (Kathleen Nichols' filter). It may be a little too small: a minimum is
 * forgotten when its time is over, not earlier.
 */

/** The filter; samples are not negative and times do not go back. */
export class WindowedMin {
  #best = -1;
  #bestMs = 0;
  #second = -1;
  #secondMs = 0;
  #third = -1;
  #thirdMs = 0;

  constructor(readonly windowMs: number) {}

  /** The least sample of the window, or -1 before the first. */
  get value(): number {
    return this.#best;
  }

  /** Takes a sample. */
  add(sample: number, nowMs: number): void {
    if (this.#best < 0 || sample <= this.#best || nowMs - this.#thirdMs > this.windowMs) {
      this.#best = sample;
      this.#bestMs = nowMs;
      this.#setSecond(sample, nowMs);
      return;
    }
    if (sample <= this.#second) this.#setSecond(sample, nowMs);
    else if (sample <= this.#third) this.#setThird(sample, nowMs);
    this.#age(sample, nowMs);
  }

  /** Lets the second best move up when the best is too old, and keeps the three apart in time. */
  #age(sample: number, nowMs: number): void {
    const ageMs = nowMs - this.#bestMs;
    if (ageMs > this.windowMs) {
      this.#moveUp(sample, nowMs);
      if (nowMs - this.#bestMs > this.windowMs) this.#moveUp(sample, nowMs);
    } else if (this.#secondMs === this.#bestMs && ageMs > this.windowMs / 4) {
      this.#setSecond(sample, nowMs);
    } else if (this.#thirdMs === this.#secondMs && ageMs > this.windowMs / 2) {
      this.#setThird(sample, nowMs);
    }
  }

  #moveUp(sample: number, nowMs: number): void {
    this.#best = this.#second;
    this.#bestMs = this.#secondMs;
    this.#second = this.#third;
    this.#secondMs = this.#thirdMs;
    this.#setThird(sample, nowMs);
  }

  /** The second best is the latest too, so it is also the third. */
  #setSecond(sample: number, nowMs: number): void {
    this.#second = sample;
    this.#secondMs = nowMs;
    this.#setThird(sample, nowMs);
  }

  #setThird(sample: number, nowMs: number): void {
    this.#third = sample;
    this.#thirdMs = nowMs;
  }
}
