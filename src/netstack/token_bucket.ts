/** Limits how often something happens: a bucket that fills with time. */
import type { RandomSource } from "../base/random.ts";

/** See the module's text. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  readonly #spread: number;
  #state: number;
  #tokens: number;
  #lastMs = -Infinity;

  /**
   * `perSecond` in the long run, and `burst` at once, plus a changing number below `spread` (at
   * least 1), which hides from an observer how many others have taken.
   */
  constructor(perSecond: number, burst: number, spread: number, random: RandomSource) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#spread = spread;
    this.#tokens = burst;
    this.#state = new DataView(random.fill(new Uint8Array(4)).buffer).getInt32(0) | 1;
  }

  /** Takes one if there is one. */
  take(nowMs: number): boolean {
    if (nowMs > this.#lastMs) {
      if (this.#lastMs !== -Infinity) this.#fill((nowMs - this.#lastMs) * this.#perMs);
      this.#lastMs = nowMs;
    }
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  #fill(tokens: number): void {
    const most = this.#burst + this.#next();
    this.#tokens = Math.min(this.#tokens + tokens, most);
  }

  /** A number below `spread`, by xorshift. */
  #next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % this.#spread;
  }
}
