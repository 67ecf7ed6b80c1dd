/**
 * Round-trip time and retransmission timeout (RFC 6298). Samples come from timestamps, or from
 * segments that were sent once (Karn's rule is the caller's: no sample, no call).
 *
 * The lower bound is that of the variance term and not of the sum: RTO = SRTT + max(minRtoMs,
 * 4 RTTVAR). Otherwise a path with a steady RTT just below the bound would time out at the first
 * delayed acknowledgment.
 */
import { WindowedMin } from "./windowed_min.ts";

/** What can be chosen; times in ms. */
export interface RttOptions {
  /** Least distance of RTO from SRTT. */
  readonly minRtoMs?: number;
  /** RFC 6298 (2.5): at least a minute. Longer ones only lengthen the silence after an outage. */
  readonly maxRtoMs?: number;
  /** Until there is a sample. */
  readonly initialRtoMs?: number;
  /** How long the least RTT is remembered, for RACK. */
  readonly minRttWindowMs?: number;
}

/** RFC 6298 section 2.3: alpha, beta, K. */
const ALPHA = 1 / 8;
const BETA = 1 / 4;
const K = 4;
/** RFC 6298 (5.7): the RTO to begin with when the timer of the SYN has expired. */
const RTO_AFTER_SYN_TIMEOUT_MS = 3000;

/** The estimator of one connection. */
export class RttEstimator {
  /** Smoothed RTT, or -1 before the first sample. */
  srttMs = -1;
  /** Mean deviation. */
  rttvarMs = 0;
  /** The latest sample, or -1 before the first. */
  latestRttMs = -1;
  readonly #minRtoMs: number;
  readonly #maxRtoMs: number;
  readonly #minRtt: WindowedMin;
  #baseRtoMs: number;
  #backoff = 1;

  constructor(options: RttOptions = {}) {
    this.#minRtoMs = options.minRtoMs ?? 200;
    this.#maxRtoMs = options.maxRtoMs ?? 60_000;
    this.#baseRtoMs = options.initialRtoMs ?? 1000;
    this.#minRtt = new WindowedMin(options.minRttWindowMs ?? 300_000);
  }

  /** The retransmission timeout, backed off. */
  get rtoMs(): number {
    return Math.min(this.#baseRtoMs * this.#backoff, this.#maxRtoMs);
  }

  /** The same without backoff, for measuring whether a timeout was early. */
  get unbackedRtoMs(): number {
    return this.#baseRtoMs;
  }

  /** The least RTT of the last minutes, or -1 before the first sample. */
  get minRttMs(): number {
    return this.#minRtt.value;
  }

  /** Whether there was a sample. */
  get hasSample(): boolean {
    return this.srttMs >= 0;
  }

  /**
   * Takes a sample and ends any backoff. `samplesPerRtt`, the number of samples that one RTT gives
   * (about flight size / 2 MSS), keeps the memory as long as with one (RFC 7323 appendix G).
   */
  onSample(rttMs: number, nowMs: number, samplesPerRtt = 1): void {
    if (!(rttMs >= 0)) return;
    this.latestRttMs = rttMs;
    this.#minRtt.add(rttMs, nowMs);
    if (this.srttMs < 0) {
      this.srttMs = rttMs;
      this.rttvarMs = rttMs / 2;
    } else {
      const share = samplesPerRtt > 1 ? 1 / samplesPerRtt : 1;
      this.rttvarMs += BETA * share * (Math.abs(this.srttMs - rttMs) - this.rttvarMs);
      this.srttMs += ALPHA * share * (rttMs - this.srttMs);
    }
    const variance = Math.max(this.#minRtoMs, K * this.rttvarMs);
    this.#baseRtoMs = Math.min(this.srttMs + variance, this.#maxRtoMs);
    this.#backoff = 1;
  }

  /** Doubles the timeout. RFC 6298 (5.5): "The host MUST set RTO <- RTO * 2". */
  onTimeout(): void {
    if (this.#baseRtoMs * this.#backoff < this.#maxRtoMs) this.#backoff *= 2;
  }

  /** Ends the backoff without a sample: new data was acknowledged, or the timeout was spurious. */
  endBackoff(): void {
    this.#backoff = 1;
  }

  /** The handshake is complete and its SYN had timed out: without a sample, RTO begins with 3 s. */
  onSynTimedOut(): void {
    this.#backoff = 1;
    if (!this.hasSample) this.#baseRtoMs = Math.max(this.#baseRtoMs, RTO_AFTER_SYN_TIMEOUT_MS);
  }
}
