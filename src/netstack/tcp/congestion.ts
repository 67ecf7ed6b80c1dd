/**
 * Congestion control as the sending side sees it. Everything is counted in bytes: one acknowledgment
 * may cover 64 KB, and many may cover one segment, and neither may make a difference (RFC 3465).
 *
 * The sender tells what was *delivered*: bytes newly acknowledged, cumulatively or selectively, each
 * byte once. Acknowledgments of what was never sent, or was delivered before, bring no growth, and an
 * acknowledgment cut into a thousand pieces brings as much as one.
 *
 * During recovery the sender does not call `onAck`; how much it may send then is the subject of
 * `ProportionalRateReduction`.
 */

/** One algorithm with the state of one connection. Times and RTTs in ms, everything else in bytes. */
export interface CongestionControl {
  /** How much may be in flight. */
  readonly cwndBytes: number;
  /** Where slow start ends; `SSTHRESH_UNLIMITED` at first. */
  readonly ssthreshBytes: number;
  readonly isInSlowStart: boolean;

  /** The effective send MSS was found, or has changed (path MTU). */
  setMss(mssBytes: number): void;
  /** The first window, once the handshake is complete; see `initialWindowBytes`. */
  setInitialWindow(bytes: number): void;

  /**
   * New data was delivered, and no recovery is going on (after a timeout one is not).
   * `rttMs`: the sample of this acknowledgment, -1 for none.
   * `inFlightBytes`: what is still in flight after it.
   * `isCwndLimited`: the window, not the application or the peer's window, was what had stopped the
   * sender; otherwise there is no growth.
   */
  onAck(
    deliveredBytes: number,
    rttMs: number,
    inFlightBytes: number,
    nowMs: number,
    isCwndLimited: boolean,
  ): void;

  /** Loss was found (or ECN-Echo came) and recovery begins; once per recovery. Then cwnd = ssthresh. */
  onLoss(inFlightBytes: number, nowMs: number): void;

  /**
   * The retransmission timer has expired. `isRepeated`: for a segment that it had expired for before;
   * then ssthresh stays (RFC 5681 equation 4).
   */
  onTimeout(inFlightBytes: number, nowMs: number, isRepeated: boolean): void;

  /** Recovery, by loss or timeout, is complete. */
  onRecovered(nowMs: number): void;

  /** The latest `onLoss` or `onTimeout` was a mistake (DSACK, Eifel): everything is as before it. */
  undo(nowMs: number): void;

  /**
   * Sending begins again after `idleMs` without anything in flight: RFC 5681 section 4.1, restart
   * with the initial window when that is longer than an RTO.
   */
  onIdle(idleMs: number, rtoMs: number, nowMs: number): void;
}

/** The value of `ssthreshBytes` before the first loss: more than any window. */
export const SSTHRESH_UNLIMITED = 2 ** 31;

/**
 * The first window. RFC 6928 section 2: min(10 MSS, max(2 MSS, 14600)); one segment when the SYN or
 * the SYN-ACK had to be sent again (RFC 5681 section 3.1).
 */
export function initialWindowBytes(mssBytes: number, wasSynLost = false): number {
  if (wasSynLost) return mssBytes;
  return Math.min(10 * mssBytes, Math.max(2 * mssBytes, 14_600));
}
