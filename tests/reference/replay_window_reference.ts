/** The replay window as its definition reads: a set of counters and their maximum. */

/** Accepts a counter once, unless it lags behind the greatest by more than `size`. */
export class ReplayWindowReference {
  readonly #seen = new Set<number>();
  #greatest = 0;

  constructor(readonly size: number) {}

  accept(counter: number): boolean {
    if (counter >= 2 ** 53) return false;
    if (this.#greatest - counter > this.size || this.#seen.has(counter)) return false;
    this.#seen.add(counter);
    this.#greatest = Math.max(this.#greatest, counter);
    return true;
  }
}
