/**
 * How large a receive window is worth offering: what the application consumes in a round trip, with
 * room for the sender to double its rate (dynamic right-sizing, Fisk and Feng 2001). It only grows.
 */

/** Window for each byte that a round trip has brought. */
const HEADROOM = 3;
/** Round trips shorter than the timestamp clock's step cannot be told apart. */
const ROUND_MS_MIN = 1;

/** The window of one connection. Bytes; times in ms. */
export class ReceiveTuner {
  targetBytes: number;
  #roundStartMs = -1;
  #roundBytes = 0;

  constructor(bytesFirst: number, readonly bytesMax: number) {
    this.targetBytes = Math.min(bytesFirst, bytesMax);
  }

  /** The application has consumed so much; `rttMs` is -1 while it is unknown. */
  onConsumed(bytes: number, nowMs: number, rttMs: number): void {
    this.#roundBytes += bytes;
    if (this.#roundStartMs < 0) this.#roundStartMs = nowMs;
    if (rttMs < 0 || nowMs - this.#roundStartMs < Math.max(rttMs, ROUND_MS_MIN)) return;
    const wanted = HEADROOM * this.#roundBytes;
    if (wanted > this.targetBytes) this.targetBytes = Math.min(wanted, this.bytesMax);
    this.#roundStartMs = nowMs;
    this.#roundBytes = 0;
  }
}
