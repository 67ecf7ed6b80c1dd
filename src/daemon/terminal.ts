/** What this process may do with its terminal: colours, cursor, size. */
import { Errno } from "../base/errno.ts";
import { isTerminal, pollFd, POLLOUT, writeFd } from "../../ffi/descriptor.ts";
import { getEnvironment } from "../../ffi/environment.ts";
import { orThrow } from "../../ffi/error.ts";

export const STDOUT_FD = 1;
export const STDERR_FD = 2;

/** How long a slow reader of our output may keep us waiting. */
const WRITE_WAIT_MS = 5000;

/** The colours and weights that the program uses, as SGR parameters. */
export const Style = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

/** A name of `Style`. */
export type StyleName = keyof typeof Style;

/** Puts a style around a text, or gives it back as it is. */
export type Painter = (style: StyleName, text: string) => string;

/** Whether a descriptor is a terminal that understands cursor movement. */
export function isScreen(fd: number): boolean {
  return isTerminal(fd) && getEnvironment("TERM") !== "dumb";
}

/** Whether colours may go to a descriptor: a terminal, and NO_COLOR is not set (no-color.org). */
export function hasColour(fd: number): boolean {
  return isScreen(fd) && (getEnvironment("NO_COLOR") ?? "") === "";
}

/** A painter for what goes to a descriptor. */
export function painterFor(fd: number): Painter {
  return hasColour(fd) ? paint : (_style, text) => text;
}

function paint(style: StyleName, text: string): string {
  return `\x1b[${Style[style]}m${text}\x1b[0m`;
}

/** Columns and rows of the terminal; 80 x 24 when it does not tell. */
export function terminalSize(): { columns: number; rows: number } {
  try {
    const { columns, rows } = Deno.consoleSize();
    if (columns > 0 && rows > 0) return { columns, rows };
  } catch {
    // None of the standard descriptors is a terminal.
  }
  return { columns: 80, rows: 24 };
}

/**
 * Writes all of a text to a descriptor; false when nobody reads it any more or it cannot be written
 * (a closed pipe, a full disk). Never throws.
 */
export function writeText(fd: number, text: string): boolean {
  return writeWhole(fd, text) === 0;
}

/**
 * Prints what a command was asked for on standard output. A reader that wants no more of it is left
 * in peace; throws `SystemCallError` when it cannot be written, since a key or a config may be lost.
 */
export function printText(text: string): void {
  const result = writeWhole(STDOUT_FD, text);
  if (result !== -Errno.EPIPE) orThrow(result, "write(standard output)");
}

/** 0, or a negated errno. */
function writeWhole(fd: number, text: string): number {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) {
    const written = writeFd(fd, bytes.subarray(at));
    if (written === -Errno.EAGAIN && pollFd(fd, POLLOUT, WRITE_WAIT_MS) > 0) continue;
    if (written < 0) return written;
    at += written;
  }
  return 0;
}
