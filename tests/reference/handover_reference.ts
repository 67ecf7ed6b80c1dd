/** What the rings between lanes carry, as plain queues of copies: the oracle for `lane/handover.ts`. */

/** Something that one lane has given to another. */
export interface Given {
  readonly from: number;
  readonly bytes: Uint8Array;
}

/** All lanes at once. */
export class NaiveHandover {
  readonly #queues: Uint8Array[][][];
  readonly #away: number[];
  readonly #next: number[];
  /** Which lane each lane holds a buffer of, -1 for none. */
  readonly #held: number[];

  constructor(readonly lanes: number, readonly buffers: number) {
    this.#queues = Array.from(
      { length: lanes },
      () => Array.from({ length: lanes }, () => []),
    );
    this.#away = Array(lanes).fill(0);
    this.#next = Array(lanes).fill(0);
    this.#held = Array(lanes).fill(-1);
  }

  /** Whether `lane` has a buffer that is not away. */
  hasRoom(lane: number): boolean {
    return this.#away[lane] < this.buffers;
  }

  give(from: number, to: number, bytes: Uint8Array): void {
    this.#queues[from][to].push(bytes.slice());
    this.#away[from]++;
  }

  /** The next of what others have given to `lane`, one from each by turns. */
  take(lane: number): Given | null {
    for (let i = 0; i < this.lanes; i++) {
      const from = this.#next[lane];
      this.#next[lane] = (from + 1) % this.lanes;
      const bytes = this.#queues[from][lane].shift();
      if (bytes === undefined) continue;
      this.#held[lane] = from;
      return { from, bytes };
    }
    return null;
  }

  giveBack(lane: number): void {
    if (this.#held[lane] >= 0) this.#away[this.#held[lane]]--;
    this.#held[lane] = -1;
  }

  isEmpty(lane: number): boolean {
    return this.#queues.every((queues) => queues[lane].length === 0);
  }
}
