/**
 * Protection against wrapped sequence numbers (RFC 7323 section 5): a segment with an old timestamp is
 * an old segment.
 *
 * While data comes in order that is held strictly. A retransmission that fills a gap carries a newer
 * timestamp than segments that were sent before it and are merely late, so for a moment around gaps
 * the yardstick is TS.Recent as it was up to a second ago: sequence numbers take longer than that to
 * wrap, even at 10 Gbit/s.
 */
import { seqBefore } from "./sequence.ts";

/** RFC 7323 section 5.5: how long a timestamp says something. */
const LIFE_MS = 24 * 24 * 3600 * 1000;
/** For how long after a gap segments may be late. */
const GAP_MEMORY_MS = 1000;
/** While there are gaps the yardstick is between one and two of these old. */
const SAMPLE_MS = 500;

/** The state of one connection. Timestamps are those of the other end, times are ours. */
export class Paws {
  /** TS.Recent: what is echoed. */
  recent = 0;
  #recentMs = -Infinity;
  /** What a timestamp must not be before, and what that will be next. */
  #floor = 0;
  #nextFloor = 0;
  #sampledMs = -Infinity;
  #gapMs = -Infinity;

  /** The handshake has brought the first timestamp. */
  begin(tsVal: number, nowMs: number): void {
    this.recent = tsVal;
    this.#recentMs = nowMs;
    this.#strict(tsVal, nowMs);
  }

  /** Whether a segment is too old to be acceptable (R1). */
  isOld(tsVal: number, nowMs: number): boolean {
    return seqBefore(tsVal, this.#floor) && nowMs - this.#recentMs <= LIFE_MS;
  }

  /**
   * Takes the timestamp of an acceptable segment that begins at or before the last acknowledgment
   * (R3). `hasGap`: something is held that came out of order.
   */
  keep(tsVal: number, hasGap: boolean, nowMs: number): void {
    if (hasGap) this.#gapMs = nowMs;
    if (seqBefore(tsVal, this.recent) && nowMs - this.#recentMs <= LIFE_MS) return;
    this.recent = tsVal;
    this.#recentMs = nowMs;
    if (nowMs - this.#gapMs > GAP_MEMORY_MS) this.#strict(tsVal, nowMs);
    else if (nowMs - this.#sampledMs >= SAMPLE_MS) {
      this.#floor = this.#nextFloor;
      this.#nextFloor = tsVal;
      this.#sampledMs = nowMs;
    }
  }

  #strict(tsVal: number, nowMs: number): void {
    this.#floor = this.#nextFloor = tsVal;
    this.#sampledMs = nowMs;
  }
}
