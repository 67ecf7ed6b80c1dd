/**
 * CUBIC (RFC 9438) with HyStart++ for the first slow start. Windows in bytes, times in ms; the RFC's
 * segments and seconds stand in the constants.
 *
 * After a loss at the window Wmax the window grows along C (t - K)^3 + Wmax: fast, slower toward
 * Wmax, and fast again beyond it, by time and not by round trips. Where Reno would be faster (short
 * round trips), Reno's window is followed.
 */
import { CongestionWindow } from "./congestion_window.ts";
import { HyStart } from "./hystart.ts";

/** RFC 9438 section 4.6. */
const BETA = 0.7;
/** RFC 9438 section 5: segments per cubed second. */
const C = 0.4;
/** RFC 9438 section 4.3: the growth of a Reno with this beta that is fair to one with 1/2. */
const ALPHA = 3 * (1 - BETA) / (1 + BETA);

/** State of the window's curve; one to work with, one to come back to. */
interface Curve {
  /** The window before the latest reduction, lowered when a flow gives way. */
  wMax: number;
  /** When the window comes back to wMax, in seconds of the epoch. */
  k: number;
  /** Beginning of the present congestion avoidance, -1 before its first acknowledgment. */
  epochStartMs: number;
  /** The window that Reno would have. */
  wEst: number;
  /** The window just before the latest reduction. */
  cwndPrior: number;
  /** Whether the curve begins at its turning point: after a timeout, or a slow start without loss. */
  beginsFlat: boolean;
}

/** RFC 9438. */
export class Cubic extends CongestionWindow {
  readonly #hystart = new HyStart();
  readonly #curve: Curve = freshCurve();
  readonly #curveBefore: Curve = freshCurve();
  /** Whether slow start was over before the latest reduction. */
  #wasSlowStartOver = false;
  #lastAckMs = 0;
  #rttMs = 0;

  override onAck(
    deliveredBytes: number,
    rttMs: number,
    inFlightBytes: number,
    nowMs: number,
    isCwndLimited: boolean,
  ): void {
    const curve = this.#curve;
    if (rttMs >= 0) this.#rttMs = this.#rttMs === 0 ? rttMs : this.#rttMs * 7 / 8 + rttMs / 8;
    // RFC 9438 section 5.8: time in which the application sent less does not count.
    if (!isCwndLimited && curve.epochStartMs >= 0) curve.epochStartMs += nowMs - this.#lastAckMs;
    this.#lastAckMs = nowMs;
    if (!isCwndLimited) return;
    let left = deliveredBytes;
    if (this.isInSlowStart) {
      left = this.#slowStart(left, rttMs, inFlightBytes);
      if (left <= 0) return;
    }
    if (curve.epochStartMs < 0) this.#beginEpoch(nowMs);
    this.#grow(left, nowMs);
  }

  override onLoss(inFlightBytes: number, nowMs: number): void {
    super.onLoss(inFlightBytes, nowMs);
    this.#hystart.onLoss();
  }

  override onTimeout(inFlightBytes: number, nowMs: number, isRepeated: boolean): void {
    super.onTimeout(inFlightBytes, nowMs, isRepeated);
    this.#hystart.onLoss();
    this.#curve.epochStartMs = -1;
    this.#curve.beginsFlat = true;
  }

  override onIdle(idleMs: number, rtoMs: number, nowMs: number): void {
    super.onIdle(idleMs, rtoMs, nowMs);
    if (this.#curve.epochStartMs >= 0) this.#curve.epochStartMs += nowMs - this.#lastAckMs;
    this.#lastAckMs = nowMs;
  }

  /** RFC 9438 sections 4.6 and 4.7: multiplicative decrease and fast convergence. */
  protected override reduce(): number {
    const curve = this.#curve;
    curve.cwndPrior = this.cwnd;
    curve.wMax = this.cwnd < curve.wMax ? this.cwnd * (1 + BETA) / 2 : this.cwnd;
    curve.epochStartMs = -1;
    curve.beginsFlat = false;
    return this.cwnd * BETA;
  }

  protected override save(): void {
    Object.assign(this.#curveBefore, this.#curve);
    this.#wasSlowStartOver = this.#hystart.isOver;
  }

  protected override restore(nowMs: number): void {
    Object.assign(this.#curve, this.#curveBefore);
    this.#hystart.isOver = this.#wasSlowStartOver;
    // The time of the false recovery does not count.
    if (this.#curve.epochStartMs >= 0) this.#curve.epochStartMs += nowMs - this.#lastAckMs;
    this.#lastAckMs = nowMs;
  }

  /** Returns how many delivered bytes are left for congestion avoidance. */
  #slowStart(deliveredBytes: number, rttMs: number, inFlightBytes: number): number {
    if (this.#hystart.isOver) return this.slowStart(deliveredBytes);
    this.slowStart(this.#hystart.onAck(deliveredBytes, rttMs, inFlightBytes));
    if (!this.#hystart.isOver) return 0;
    this.ssthresh = this.cwnd;
    this.#curve.beginsFlat = true;
    return 0;
  }

  #beginEpoch(nowMs: number): void {
    const curve = this.#curve;
    curve.epochStartMs = nowMs;
    curve.wEst = this.cwnd;
    // RFC 9438 sections 4.8 and 4.10.
    if (curve.beginsFlat || curve.wMax <= this.cwnd) {
      curve.wMax = this.cwnd;
      curve.k = 0;
    } else {
      curve.k = Math.cbrt((curve.wMax - this.cwnd) / (C * this.mssBytes));
    }
  }

  #grow(deliveredBytes: number, nowMs: number): void {
    const curve = this.#curve;
    const tSeconds = (nowMs - curve.epochStartMs) / 1000;
    // RFC 9438 section 4.3: Reno's own growth once it is back where the loss was.
    const alpha = curve.wEst < curve.cwndPrior ? ALPHA : 1;
    curve.wEst += alpha * this.mssBytes * deliveredBytes / this.cwnd;
    if (this.#cubicAt(tSeconds) < curve.wEst) {
      this.cwnd = Math.max(this.cwnd, curve.wEst);
      return;
    }
    const aimed = this.#cubicAt(tSeconds + this.#rttMs / 1000);
    const target = Math.min(Math.max(aimed, this.cwnd), 1.5 * this.cwnd);
    this.cwnd += (target - this.cwnd) * Math.min(1, deliveredBytes / this.cwnd);
  }

  /** RFC 9438 equation 1. */
  #cubicAt(tSeconds: number): number {
    const distance = tSeconds - this.#curve.k;
    return C * this.mssBytes * distance * distance * distance + this.#curve.wMax;
  }
}

function freshCurve(): Curve {
  return { wMax: 0, k: 0, epochStartMs: -1, wEst: 0, cwndPrior: 0, beginsFlat: true };
}
