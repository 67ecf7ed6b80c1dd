/**
 * How large a receive window is worth offering: what the path brings in a round trip, with room for
 * the sender to double its rate (dynamic right-sizing, Fisk and Feng 2001). It only grows.
 *
 * The rate is measured over some milliseconds even where the round trip is shorter, because data
 * comes in batches; a batch is no bandwidth-delay product. Too large a window buys nothing and costs
 * latency: the sender fills queues with it.
 */

/** Window for each byte that a round trip brings. */
const HEADROOM = 3;
/** The rate is measured over a round trip, but not less. */
const ROUND_MS_MIN = 2;
/** Round trips below are taken for this: a window has to last while one side works on a batch. */
const RTT_MS_MIN = 0.5;

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
    if (this.#roundStartMs < 0) this.#roundStartMs = nowMs;
    const elapsedMs = nowMs - this.#roundStartMs;
    if (rttMs >= 0 && elapsedMs >= Math.max(rttMs, ROUND_MS_MIN)) {
      const perRoundTrip = this.#roundBytes * Math.max(rttMs, RTT_MS_MIN) / elapsedMs;
      const wanted = Math.ceil(HEADROOM * perRoundTrip);
      if (wanted > this.targetBytes) this.targetBytes = Math.min(wanted, this.bytesMax);
      this.#roundStartMs = nowMs;
      this.#roundBytes = 0;
    }
    this.#roundBytes += bytes;
  }
}
