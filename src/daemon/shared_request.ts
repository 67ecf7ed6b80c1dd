/** A request to a lane that several clients may wait for at once. */

/** A lane that does not answer within this time hangs; its supervisor will end it. */
const TIMEOUT_MS = 3000;

/** One kind of request: whoever asks while one is under way gets its answer. */
export class SharedRequest<Answer> {
  #pending: Promise<Answer> | null = null;
  #settle: ((read: () => Answer) => void) | null = null;
  readonly #timeoutMs: number;

  constructor(timeoutMs = TIMEOUT_MS) {
    this.#timeoutMs = timeoutMs;
  }

  /** The next answer; `ask` is called unless one is expected already. Rejects in time. */
  make(ask: () => void): Promise<Answer> {
    if (this.#pending !== null) return this.#pending;
    const pending = new Promise<Answer>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#end();
        reject(new Error("the data plane does not answer"));
      }, this.#timeoutMs);
      this.#settle = (read) => {
        clearTimeout(timer);
        this.#end();
        resolve(read());
      };
    });
    this.#pending = pending;
    ask();
    return pending;
  }

  /** The lane has answered; `read` is called if somebody waits for it. */
  answer(read: () => Answer): void {
    this.#settle?.(read);
  }

  #end(): void {
    this.#pending = null;
    this.#settle = null;
  }
}
