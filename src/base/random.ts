/** Randomness as the protocol cores see it: injected, so that a test can repeat a run by its seed. */

/** Fills byte arrays with random bytes. */
export interface RandomSource {
  /** Fills `target` completely and returns it. */
  fill(target: Uint8Array): Uint8Array;
}

/** A repeatable source (xorshift128); for tests and simulations, never for keys. */
export class SeededRandom implements RandomSource {
  #a: number;
  #b: number;
  #c = 0x9e3779b9;
  #d = 0x243f6a88;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = (seed ^ 0x5bd1e995) | 0;
    for (let i = 0; i < 16; i++) this.nextUint32();
  }

  /** The next 32 bits as an unsigned integer. */
  nextUint32(): number {
    let t = this.#a ^ (this.#a << 11);
    t ^= t >>> 8;
    this.#a = this.#b;
    this.#b = this.#c;
    this.#c = this.#d;
    this.#d = (this.#d ^ (this.#d >>> 19) ^ t) | 0;
    return this.#d >>> 0;
  }

  /** An integer in `0 .. bound - 1`. */
  below(bound: number): number {
    return Math.floor((this.nextUint32() / 4294967296) * bound);
  }

  fill(target: Uint8Array): Uint8Array {
    for (let i = 0; i < target.length; i++) target[i] = this.nextUint32();
    return target;
  }
}
