/** The end of the process: why it has begun, told once. */

/** Why it ends, and the exit code that fits. */
export interface EndReason {
  readonly reason: string;
  readonly code: number;
}

/** The end of a daemon: the first reason counts. */
export class Ending {
  readonly #begun = Promise.withResolvers<EndReason>();
  #isBegun = false;
  #signals = 0;
  /** Called before the process ends at once; it must not wait for anything. */
  onHurry: () => void = () => {};

  get isBegun(): boolean {
    return this.#isBegun;
  }

  /** Resolves when the end begins. */
  get begun(): Promise<EndReason> {
    return this.#begun.promise;
  }

  begin(reason: string, code: number): void {
    this.#isBegun = true;
    this.#begun.resolve({ reason, code });
  }

  /**
   * From now on the first SIGINT, SIGTERM or SIGQUIT begins the end, and the second one ends the
   * process at once.
   */
  heedSignals(): void {
    const onSignal = () => {
      if (++this.#signals > 1) {
        this.onHurry();
        Deno.exit(1);
      }
      this.begin("asked to stop by a signal", 0);
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT"] as const) {
      Deno.addSignalListener(signal, onSignal);
    }
  }
}
