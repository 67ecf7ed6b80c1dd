/**
 * When the queue in front of a lane has to tell its senders of congestion: CoDel (RFC 8289).
 *
 * A queue that is long for a moment is what a buffer is for; one that stands, so that in a whole
 * interval nothing has waited less than the target, only delays everybody. Then one packet is marked
 * or dropped, and further ones at intervals that shrink with the square root of their number, until
 * the queue has let something through in time.
 *
 * Not everybody slows down: the queue also stands when datagrams flood it that nobody has asked for. So
 * the intervals shrink to a bound, and whoever does slow down loses a small share of his packets to
 * the others' flood, not all of them in the end.
 *
 * The queue is a UDP socket's, and what is judged is a run of datagrams: one decision per receive.
 * Target and interval are far below those of the RFC, because the bottleneck is this machine and no
 * slow link: at 4 Gbit/s half a millisecond is 250 kB.
 */

/** How long anything may wait: about the time in which a lane deals with a few runs. */
export const QUEUE_TARGET_MS = 0.5;
/** For how long a queue has to stand. */
export const QUEUE_INTERVAL_MS = 10;
/** A queue that stands again within so many intervals goes on with the rate that it had reached. */
const INTERVALS_REMEMBERED = 16;
/** The number by which the interval stops to shrink: a quarter of it is left. */
export const QUEUE_COUNT_MAX = 16;

/** The state of one queue; see the module's text. Times are milliseconds of one clock. */
export class QueueDelay {
  /** When the delay will have been above the target for an interval; 0 while it is below. */
  #dueMs = 0;
  #isTelling = false;
  #nextMs = 0;
  #count = 0;
  #lastCount = 0;

  /** Whether what has waited `delayMs` when it is taken at `nowMs` is to tell its sender. */
  onTake(delayMs: number, nowMs: number): boolean {
    if (delayMs < QUEUE_TARGET_MS) {
      this.#dueMs = 0;
      this.#isTelling = false;
      return false;
    }
    if (this.#dueMs === 0) this.#dueMs = nowMs + QUEUE_INTERVAL_MS;
    if (this.#isTelling) {
      if (nowMs < this.#nextMs) return false;
      this.#count = Math.min(this.#count + 1, QUEUE_COUNT_MAX);
      this.#nextMs = Math.max(this.#nextMs + this.#gapMs(), nowMs);
      return true;
    }
    if (nowMs < this.#dueMs) return false;
    this.#begin(nowMs);
    return true;
  }

  /** Nothing is left: what was late before was so because nobody came for it. */
  onEmpty(): void {
    this.#dueMs = 0;
    this.#isTelling = false;
  }

  #begin(nowMs: number): void {
    const grown = this.#count - this.#lastCount;
    const isRecent = nowMs - this.#nextMs < INTERVALS_REMEMBERED * QUEUE_INTERVAL_MS;
    this.#count = isRecent && grown > 1 ? grown : 1;
    this.#lastCount = this.#count;
    this.#isTelling = true;
    this.#nextMs = nowMs + this.#gapMs();
  }

  /** The control law (RFC 8289, section 5.4), with a bound. */
  #gapMs(): number {
    return QUEUE_INTERVAL_MS / Math.sqrt(this.#count);
  }
}
