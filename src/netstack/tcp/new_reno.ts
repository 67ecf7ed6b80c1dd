/**
 * The plain algorithm of RFC 5681: slow start, congestion avoidance by one segment per window, half
 * of the window after loss. The yardstick for the others.
 */
import { CongestionWindow } from "./congestion_window.ts";

/** RFC 5681 with byte counting (RFC 3465). */
export class NewReno extends CongestionWindow {
  override onAck(
    deliveredBytes: number,
    _rttMs: number,
    _inFlightBytes: number,
    _nowMs: number,
    isCwndLimited: boolean,
  ): void {
    if (!isCwndLimited) return;
    let left = deliveredBytes;
    if (this.isInSlowStart) left = this.slowStart(left);
    // One MSS per window, in proportion to what was delivered.
    if (left > 0) this.cwnd += this.mssBytes * left / this.cwnd;
  }

  protected override reduce(): number {
    return this.cwnd / 2;
  }

  protected override save(): void {}
  protected override restore(): void {}
}
