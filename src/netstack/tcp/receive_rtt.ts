/**
 * Round trips as a receiver sees them, by the echo of its timestamps in the data that comes: what a
 * window has to be made for.
 *
 * A window that follows the round trip under load chases its own tail: it lets the sender fill queues,
 * which makes the round trip longer. So the estimate stays within some times the least one.
 */
import type { TcpSegment } from "./segment.ts";
import type { SegmentWriter } from "./segment_writer.ts";
import { WindowedMin } from "./windowed_min.ts";

/** Round trips of fewer steps of the timestamp clock are too coarse. */
const FINE_RTT_MS = 2;
/** Times the least round trip that count: on short paths the rest is our own queues. */
const FACTOR_FINE = 2;
const FACTOR = 4;
/** How long the least round trip is remembered. */
const MEMORY_MS = 60_000;

/** The estimate of one connection. Times in ms. */
export class ReceiveRtt {
  #rttMs = -1;
  readonly #least = new WindowedMin(MEMORY_MS);

  /** Data has come. What the other end has waited before it sent is in the sample, too. */
  onData(segment: TcpSegment, writer: SegmentWriter, nowMs: number): void {
    if (!segment.hasTimestamps || !writer.hasTimestamps || segment.tsEcr === 0) return;
    const rttMs = (writer.stamp(nowMs) - segment.tsEcr) | 0;
    if (rttMs < 0) return;
    this.#least.add(rttMs, nowMs);
    const known = this.#rttMs;
    this.#rttMs = known < 0 || rttMs < known ? rttMs : known + (rttMs - known) / 8;
  }

  /** The estimate, -1 for none; `minRttMs` is the least that was measured by sending, or -1. */
  valueMs(minRttMs: number): number {
    if (this.#rttMs < 0) return minRttMs;
    const coarse = this.#least.value;
    if (coarse >= FINE_RTT_MS) return Math.min(this.#rttMs, FACTOR * coarse);
    const least = minRttMs >= 0 ? Math.min(minRttMs, FINE_RTT_MS) : coarse;
    return Math.min(Math.max(this.#rttMs, least), FACTOR_FINE * least);
  }
}
