/** A ticket queue as its definition reads: a list of entries, searched from the front. */

interface Entry {
  readonly value: number;
  isClaimed: boolean;
  isDone: boolean;
}

export class TicketQueueReference {
  readonly #entries: Entry[] = [];

  get length(): number {
    return this.#entries.length;
  }

  get unclaimed(): number {
    return this.#entries.filter(({ isClaimed }) => !isClaimed).length;
  }

  submit(value: number): void {
    this.#entries.push({ value, isClaimed: false, isDone: false });
  }

  /** The value that a worker gets, undefined when nothing waits. */
  claim(): number | undefined {
    const entry = this.#entries.find(({ isClaimed }) => !isClaimed);
    if (entry !== undefined) entry.isClaimed = true;
    return entry?.value;
  }

  /** Whether it was the oldest. */
  complete(value: number): boolean {
    const index = this.#entries.findIndex((entry) => entry.value === value);
    this.#entries[index].isDone = true;
    return index === 0;
  }

  take(): number {
    return this.#entries[0]?.isDone ? this.#entries.shift()!.value : -1;
  }
}
