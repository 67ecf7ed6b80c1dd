/** Round trips as a receiver sees them: by the echo of its timestamps in the data that comes. */
import type { TcpSegment } from "./segment.ts";
import type { SegmentWriter } from "./segment_writer.ts";

/** Round trips of fewer steps of the timestamp clock are too coarse. */
const FINE_RTT_MS = 2;

/** The estimate of one connection. Times in ms. */
export class ReceiveRtt {
  #rttMs = -1;

  /** Data has come. What the other end has waited before it sent counts too, so the least is taken. */
  onData(segment: TcpSegment, writer: SegmentWriter, nowMs: number): void {
    if (!segment.hasTimestamps || !writer.hasTimestamps || segment.tsEcr === 0) return;
    const rttMs = (writer.stamp(nowMs) - segment.tsEcr) | 0;
    if (rttMs < 0) return;
    const known = this.#rttMs;
    this.#rttMs = known < 0 || rttMs < known ? rttMs : known + (rttMs - known) / 8;
  }

  /** The best estimate, -1 for none; `srttMs` is what was measured by sending. */
  valueMs(srttMs: number): number {
    const rttMs = this.#rttMs;
    if (rttMs < 0) return srttMs;
    return rttMs < FINE_RTT_MS && srttMs >= 0 ? Math.min(srttMs, FINE_RTT_MS) : rttMs;
  }
}
