/**
 * What all loss-based algorithms share: the window and its threshold, idle restart, the reaction to
 * loss, and the way back when the loss was a mistake. An algorithm adds how the window grows and by
 * how much it shrinks.
 */
import { type CongestionControl, initialWindowBytes, SSTHRESH_UNLIMITED } from "./congestion.ts";

/** RFC 9293 section 3.7.1: what an IPv4 segment may have when nothing is known. */
const MSS_DEFAULT = 536;

/** The common part; see `CongestionControl` for what the methods mean. */
export abstract class CongestionWindow implements CongestionControl {
  protected mssBytes = MSS_DEFAULT;
  /** With a fraction: growth below a byte is not lost. */
  protected cwnd = initialWindowBytes(MSS_DEFAULT);
  protected ssthresh: number = SSTHRESH_UNLIMITED;
  #initialBytes = this.cwnd;
  #cwndBefore = 0;
  #ssthreshBefore = 0;
  #isRecovering = false;
  #canUndo = false;

  get cwndBytes(): number {
    return Math.floor(this.cwnd);
  }

  get ssthreshBytes(): number {
    return Math.floor(this.ssthresh);
  }

  get isInSlowStart(): boolean {
    return this.cwnd < this.ssthresh;
  }

  setMss(mssBytes: number): void {
    // RFC 9438 and RFC 5681 count in segments: a smaller MSS must not leave a window of more of them.
    if (mssBytes < this.mssBytes && this.ssthresh !== SSTHRESH_UNLIMITED) {
      this.cwnd = Math.max(this.cwnd * mssBytes / this.mssBytes, mssBytes);
    }
    this.mssBytes = mssBytes;
  }

  setInitialWindow(bytes: number): void {
    this.#initialBytes = bytes;
    this.cwnd = bytes;
  }

  abstract onAck(
    deliveredBytes: number,
    rttMs: number,
    inFlightBytes: number,
    nowMs: number,
    isCwndLimited: boolean,
  ): void;

  onLoss(_inFlightBytes: number, _nowMs: number): void {
    if (!this.#isRecovering) this.#remember();
    this.ssthresh = this.#reduced();
    this.cwnd = this.ssthresh;
  }

  onTimeout(_inFlightBytes: number, _nowMs: number, isRepeated: boolean): void {
    if (!this.#isRecovering) this.#remember();
    if (!isRepeated) this.ssthresh = this.#reduced();
    // RFC 5681 section 3.1: "cwnd MUST be set to no more than the loss window, LW, which equals 1
    // full-sized segment".
    this.cwnd = this.mssBytes;
  }

  onRecovered(_nowMs: number): void {
    this.#isRecovering = false;
  }

  undo(nowMs: number): void {
    if (!this.#canUndo) return;
    this.#isRecovering = this.#canUndo = false;
    this.cwnd = Math.max(this.cwnd, this.#cwndBefore);
    this.ssthresh = this.#ssthreshBefore;
    this.restore(nowMs);
  }

  /** Halves the window for each RTO of silence, down to the initial one (RFC 2861 section 3). */
  onIdle(idleMs: number, rtoMs: number, _nowMs: number): void {
    if (idleMs < rtoMs) return;
    if (this.ssthresh !== SSTHRESH_UNLIMITED) {
      this.ssthresh = Math.max(this.ssthresh, 0.75 * this.cwnd);
    }
    const floor = Math.min(this.#initialBytes, this.cwnd);
    for (let left = idleMs; left >= rtoMs && this.cwnd > floor; left -= rtoMs) this.cwnd /= 2;
    this.cwnd = Math.max(this.cwnd, floor);
  }

  /** What the window shrinks to, in bytes; called after `save`. */
  protected abstract reduce(): number;
  /** Keeps the algorithm's own state for `restore`. */
  protected abstract save(): void;
  /** Takes it back. */
  protected abstract restore(nowMs: number): void;

  /** Grows by slow start up to `ssthresh` and returns how many of the delivered bytes remain. */
  protected slowStart(deliveredBytes: number): number {
    const roomBytes = this.ssthresh - this.cwnd;
    const usedBytes = Math.min(deliveredBytes, roomBytes);
    this.cwnd += usedBytes;
    return deliveredBytes - usedBytes;
  }

  #remember(): void {
    this.#cwndBefore = this.cwnd;
    this.#ssthreshBefore = this.ssthresh;
    this.#isRecovering = this.#canUndo = true;
    this.save();
  }

  /** RFC 5681 equation 4 and RFC 9438 section 4.6: not below two segments. */
  #reduced(): number {
    return Math.max(this.reduce(), 2 * this.mssBytes);
  }
}
