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
 * The queue is a UDP socket's, and what is judged is a run of datagrams: one decision per receive. The
 * bottleneck is this machine, so target and interval follow the rate at which it takes: the time of
 * so many bytes, within bounds. At 4 Gbit/s they are 0.26 and 5.2 ms; at 0.2 Gbit/s and below, also for a
 * lane that has just begun or gets little of its core, they are the RFC's own 5 and 100 ms.
 *
 * What comes while the lane sends waits for that, though nothing stands. Where both directions are
 * busy that is half of every turn, so the target is longer by what some turns send: there it is the
 * RFC's, too.
 */

import { DOUBLE_ZERO } from "../base/double_zero.ts";

/** What may stand in the queue: two sends of the largest size, less than which nobody can do with. */
export const QUEUE_BYTES = 130_000;
/** For how many turns anything may wait while the lane sends. */
export const QUEUE_TURNS = 8;
/** How long anything may wait at most, and at least before it is too long. */
export const QUEUE_TARGET_MS_MAX = 5;
export const QUEUE_TARGET_MS_MIN = 0.25;
/** For how many targets a queue has to stand (RFC 8289, section 4.2). */
export const QUEUE_INTERVAL_TARGETS = 20;
/** The rate is looked at so often. */
export const QUEUE_RATE_MS = 10;
/** A queue that stands again within so many intervals goes on with the rate that it had reached. */
const INTERVALS_REMEMBERED = 16;
/** The number by which the interval stops to shrink: a quarter of it is left. */
export const QUEUE_COUNT_MAX = 16;

/** The state of one queue; see the module's text. Times are milliseconds of one clock. */
export class QueueDelay {
  /** How long anything may wait at the rate of now. */
  targetMs = DOUBLE_ZERO;
  /** Since when the delay is above the target; 0 while it is below. */
  #aboveMs = DOUBLE_ZERO;
  #isTelling = false;
  #nextMs = DOUBLE_ZERO;
  #count = 0;
  #lastCount = 0;
  /** Since when bytes and turns are counted, how many there were, and what had been sent by then. */
  #countedMs = DOUBLE_ZERO;
  #bytes = 0;
  #turns = 0;
  #sentBytes = DOUBLE_ZERO;
  /** The clock of the turn that took last. */
  #turnMs = DOUBLE_ZERO;

  constructor() {
    this.targetMs = QUEUE_TARGET_MS_MAX;
  }

  /** For how long a queue has to stand. */
  get intervalMs(): number {
    return QUEUE_INTERVAL_TARGETS * this.targetMs;
  }

  /**
   * Whether `bytes` that have waited `delayMs` are to tell their sender; `nowMs` is when the turn began
   * that takes them, `sentBytes` what the lane has ever sent.
   */
  onTake(delayMs: number, bytes: number, nowMs: number, sentBytes: number): boolean {
    this.#follow(bytes, nowMs, sentBytes);
    if (delayMs < this.targetMs) {
      this.#aboveMs = 0;
      this.#isTelling = false;
      return false;
    }
    if (this.#aboveMs === 0) this.#aboveMs = nowMs;
    if (nowMs < this.#aboveMs + this.intervalMs) {
      this.#isTelling = false;
      return false;
    }
    if (this.#isTelling) {
      if (nowMs < this.#nextMs) return false;
      this.#count = Math.min(this.#count + 1, QUEUE_COUNT_MAX);
      this.#nextMs = Math.max(this.#nextMs + this.#gapMs(), nowMs);
      return true;
    }
    this.#begin(nowMs);
    return true;
  }

  /** Nothing is left: what was late before was so because nobody came for it. */
  onEmpty(): void {
    this.#aboveMs = 0;
    this.#isTelling = false;
  }

  /** Sets the target by the bytes and the turns of the last while. */
  #follow(bytes: number, nowMs: number, sentBytes: number): void {
    this.#bytes += Math.max(bytes, 1);
    if (nowMs !== this.#turnMs) this.#turns++;
    this.#turnMs = nowMs;
    const elapsedMs = nowMs - this.#countedMs;
    if (elapsedMs < QUEUE_RATE_MS) return;
    const sent = sentBytes - this.#sentBytes;
    const sendingMs = elapsedMs * sent / (sent + this.#bytes);
    const targetMs = elapsedMs * QUEUE_BYTES / this.#bytes + QUEUE_TURNS * sendingMs / this.#turns;
    this.targetMs = Math.min(Math.max(targetMs, QUEUE_TARGET_MS_MIN), QUEUE_TARGET_MS_MAX);
    this.#countedMs = nowMs;
    this.#bytes = 0;
    this.#turns = 0;
    this.#sentBytes = sentBytes;
  }

  #begin(nowMs: number): void {
    const grown = this.#count - this.#lastCount;
    const isRecent = nowMs - this.#nextMs < INTERVALS_REMEMBERED * this.intervalMs;
    this.#count = isRecent && grown > 1 ? grown : 1;
    this.#lastCount = this.#count;
    this.#isTelling = true;
    this.#nextMs = nowMs + this.#gapMs();
  }

  /** The control law (RFC 8289, section 5.4), with a bound. */
  #gapMs(): number {
    return this.intervalMs / Math.sqrt(this.#count);
  }
}
