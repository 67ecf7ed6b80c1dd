/**
 * One line at the bottom of the terminal that is drawn again and again, while other lines of standard
 * error go by above it. Only where standard error is a screen; everywhere else it does nothing.
 */
import { isScreen, STDERR_FD, terminalSize, writeText } from "./terminal.ts";

const CLEAR_LINE = "\r\x1b[2K";

/** The line of this process. */
class LiveLine {
  /** What stands there; empty for nothing. */
  #text = "";
  #isScreen: boolean | undefined;

  /** Whether there is a screen to draw on. */
  get isPossible(): boolean {
    return this.#isScreen ??= isScreen(STDERR_FD);
  }

  /** Draws the line anew, cut off at the terminal's edge; an empty text takes it away. */
  show(text: string): void {
    if (!this.isPossible) return;
    const shown = [...text].slice(0, Math.max(terminalSize().columns - 1, 1)).join("");
    if (shown === this.#text) return;
    this.#text = shown;
    writeText(STDERR_FD, CLEAR_LINE + shown);
  }

  /** Calls a function that writes whole lines to standard error, above this one. */
  above(write: () => void): void {
    if (this.#text === "") return write();
    writeText(STDERR_FD, CLEAR_LINE);
    write();
    writeText(STDERR_FD, this.#text);
  }
}

/** Standard error has one bottom line, whoever writes to it. */
export const liveLine = new LiveLine();
