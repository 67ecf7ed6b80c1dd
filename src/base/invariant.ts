/**
 * The one way to say "this cannot happen": a failed invariant is a bug of this program, never the
 * fault of a packet or of the operating system.
 */

/** Thrown by `invariant`; nothing catches it short of the worker's top level. */
export class InvariantError extends Error {
  override name = "InvariantError";
}

/** Throws `InvariantError` unless `condition` holds. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}
