/** Failures of the operating system, as an Error that says which call failed and what to do. */
import { errnoName } from "../src/base/errno.ts";
import { libc } from "./libc.ts";

/** A system call that failed in a way that its caller cannot go on from. */
export class SystemCallError extends Error {
  override name = "SystemCallError";

  /**
   * `call` is the call with its telling argument, such as `open("/dev/net/tun")`; `errno` the
   * positive error number; `fix` a full sentence that tells the user what to do.
   */
  constructor(readonly call: string, readonly errno: number, readonly fix?: string) {
    super(`${call}: ${errnoName(errno)} (${describeErrno(errno)})${fix ? `. ${fix}` : ""}`);
  }
}

/** The C library's words for an error number, without the capital letter. */
export function describeErrno(errno: number): string {
  const text = libc().strerror(errno);
  if (text === null) return "unknown error";
  const words = Deno.UnsafePointerView.getCString(text);
  // "Input/output error" becomes lower case, an abbreviation such as "RPC ..." stays.
  return /^[A-Z][a-z]/.test(words) ? words[0].toLowerCase() + words.slice(1) : words;
}

/** Returns `result` when it is >= 0, else throws the SystemCallError of that negated errno. */
export function orThrow(result: number, call: string, fix?: string): number {
  if (result < 0) throw new SystemCallError(call, -result, fix);
  return result;
}
