/**
 * HyStart++ (RFC 9406): leaves slow start before there is loss, when the round trips of a round have
 * become longer. It first goes on slowly for some rounds (CSS), and returns to slow start if the
 * delay was but noise.
 *
 * A round lasts until what was in flight at its beginning has been delivered; it is counted in
 * delivered bytes, so sequence numbers are not needed.
 */

// RFC 9406 section 4.3.
const MIN_RTT_THRESH_MS = 4;
const MAX_RTT_THRESH_MS = 16;
const MIN_RTT_DIVISOR = 8;
const N_RTT_SAMPLE = 8;
const CSS_GROWTH_DIVISOR = 4;
const CSS_ROUNDS = 5;

/** Watches the first slow start of a connection. */
export class HyStart {
  /** Whether slow start is to end here: ssthresh becomes cwnd. */
  isOver = false;
  #deliveredBytes = 0;
  #roundEndBytes = 0;
  #lastRoundMinMs = Infinity;
  #roundMinMs = Infinity;
  #sampleCount = 0;
  /** Infinity in slow start, in CSS what RTTs must fall below to get back. */
  #cssBaselineMs = Infinity;
  #cssRounds = 0;

  /** Whether growth is slowed down. */
  get isConservative(): boolean {
    return this.#cssBaselineMs !== Infinity;
  }

  /**
   * Takes an acknowledgment in slow start and returns by how many bytes the window may grow.
   * Parameters as for `CongestionControl.onAck`.
   */
  onAck(deliveredBytes: number, rttMs: number, inFlightBytes: number): number {
    this.#deliveredBytes += deliveredBytes;
    if (rttMs >= 0) {
      this.#roundMinMs = Math.min(this.#roundMinMs, rttMs);
      this.#sampleCount++;
    }
    const growthBytes = this.isConservative ? deliveredBytes / CSS_GROWTH_DIVISOR : deliveredBytes;
    if (this.#sampleCount >= N_RTT_SAMPLE) this.#judge();
    if (this.#deliveredBytes >= this.#roundEndBytes) this.#nextRound(inFlightBytes);
    return growthBytes;
  }

  /** There was loss: slow start is over anyway. */
  onLoss(): void {
    this.isOver = true;
  }

  #judge(): void {
    if (this.isConservative) {
      if (this.#roundMinMs < this.#cssBaselineMs) this.#cssBaselineMs = Infinity;
      return;
    }
    if (this.#lastRoundMinMs === Infinity) return;
    const threshMs = Math.max(
      MIN_RTT_THRESH_MS,
      Math.min(this.#lastRoundMinMs / MIN_RTT_DIVISOR, MAX_RTT_THRESH_MS),
    );
    if (this.#roundMinMs >= this.#lastRoundMinMs + threshMs) {
      this.#cssBaselineMs = this.#roundMinMs;
      this.#cssRounds = 0;
    }
  }

  #nextRound(inFlightBytes: number): void {
    // The round in which CSS began counts (RFC 9406 section 4.2).
    if (this.isConservative && ++this.#cssRounds >= CSS_ROUNDS) this.isOver = true;
    this.#roundEndBytes = this.#deliveredBytes + inFlightBytes;
    this.#lastRoundMinMs = this.#roundMinMs;
    this.#roundMinMs = Infinity;
    this.#sampleCount = 0;
  }
}
