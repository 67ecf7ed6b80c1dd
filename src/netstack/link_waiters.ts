/** Readers of a link endpoint that wait for its next segment. */

/** A set of promises that are all resolved together. */
export class LinkWaiters {
  #waiting: (() => void)[] = [];

  /** Whether somebody waits. */
  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Resolves at the next `wake`, or when `signal` fires; whoever waits looks again what there is. */
  wait(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const release = () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      };
      const abort = () => {
        this.#waiting = this.#waiting.filter((other) => other !== release);
        resolve();
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiting.push(release);
    });
  }

  /** Releases everybody. */
  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const release of waiting) release();
  }
}
