/**
 * Sequence numbers (RFC 9293 section 3.4): 32 bits kept as signed integers, compared by their
 * difference, which is right as long as both lie within 2^31 of each other.
 */

/** Whether `a` comes before `b`. */
export function seqBefore(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** Whether `a` comes after `b`. */
export function seqAfter(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}
