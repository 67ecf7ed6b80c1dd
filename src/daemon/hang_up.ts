/**
 * SIGHUP: by custom a daemon loads its config again, and a program in a terminal ends when that
 * terminal goes. Which of them is meant is told by the terminal: after it has gone, its descriptor
 * says so.
 */
import { isTerminal, pollFd, POLLHUP, POLLIN } from "../../ffi/descriptor.ts";
import { STDERR_FD } from "./terminal.ts";

/** What the signal does. */
export interface HangUpActions {
  /** The terminal that the program was started in has gone. */
  readonly onTerminalGone: () => void;
}

/** Heeds the signal from its making on. */
export class HangUp {
  readonly #isOnTerminal = isTerminal(STDERR_FD);
  readonly #actions: HangUpActions;
  #reload: (() => Promise<void>) | null = null;
  #isWanted = false;

  constructor(actions: HangUpActions) {
    this.#actions = actions;
    Deno.addSignalListener("SIGHUP", () => this.#onSignal());
  }

  /** There is something to load again; a signal that has come before is heeded as well. */
  attach(reload: () => Promise<void>): void {
    this.#reload = reload;
    if (this.#isWanted) reload();
  }

  #onSignal(): void {
    if (this.#isOnTerminal && (pollFd(STDERR_FD, POLLIN, 0) & POLLHUP) !== 0) {
      this.#actions.onTerminalGone();
    } else if (this.#reload === null) this.#isWanted = true;
    else this.#reload();
  }
}
