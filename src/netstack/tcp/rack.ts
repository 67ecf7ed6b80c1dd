/**
 * RACK (RFC 8985): a segment is lost when one that was sent later has arrived and a little time has
 * passed, so that reordering is not taken for loss. Times in ms.
 */
import { NO_RECORD } from "./sent_records.ts";
import type { Scoreboard } from "./scoreboard.ts";
import { seqAfter, seqBefore } from "./sequence.ts";

/** RFC 8985 section 3.2: DupThresh. */
export const DUP_THRESH = 3;
/** RFC 8985 section 6.2: recoveries for which a widened reordering window is kept. */
const REO_WND_PERSIST = 16;

/** State of one connection. */
export class Rack {
  /** The latest RTT sample by section 6.2 step 1, -1 before the first. */
  rttMs = -1;
  /** Sent latest among what has arrived: time, and end in sequence space. */
  #xmitMs = -1;
  #endSeq = 0;
  /** The highest sequence number that has arrived (RACK.fack). */
  #fack = 0;
  /** What it was before this acknowledgment, whose blocks come in any order. */
  #fackBefore = 0;
  #hasReordering = false;
  #reoWndMult = 1;
  #reoWndPersist = 0;
  #dsackRound = 0;
  #hasDsackRound = false;

  // What holds for the acknowledgment that is being read.
  #nowMs = 0;
  #minRttMs = -1;
  #hasEcho = false;
  #echo = 0;
  #stampOffset = 0;
  /** RTT of the latest segment that was delivered by this acknowledgment and sent once, or -1. */
  sampleMs = -1;
  /** When the latest retransmission among what this acknowledgment has delivered was sent, or -1. */
  resentAtMs = -1;

  /** The connection begins: nothing below `iss` was sent. */
  begin(iss: number): void {
    this.#fack = iss;
  }

  /**
   * An acknowledgment comes. `echo` is its TSecr and `stampOffset` what our TSval has beyond
   * milliseconds; they tell a retransmission from the original.
   */
  beginAck(
    nowMs: number,
    minRttMs: number,
    hasEcho: boolean,
    echo: number,
    stampOffset: number,
  ): void {
    this.#nowMs = nowMs;
    this.#minRttMs = minRttMs;
    this.#hasEcho = hasEcho;
    this.#echo = echo;
    this.#stampOffset = stampOffset;
    this.sampleMs = -1;
    this.resentAtMs = -1;
    this.#fackBefore = this.#fack;
  }

  /** A segment, or its beginning up to `end`, has arrived: section 6.2 steps 2 and 3. */
  onDelivered(sentAtMs: number, end: number, wasRetransmitted: boolean): void {
    const rttMs = this.#nowMs - sentAtMs;
    if (wasRetransmitted) {
      if (sentAtMs > this.resentAtMs) this.resentAtMs = sentAtMs;
      const stamp = (Math.floor(sentAtMs) + this.#stampOffset) | 0;
      if (this.#hasEcho && seqBefore(this.#echo, stamp)) return;
      if (rttMs < this.#minRttMs) return;
    } else {
      if (this.sampleMs < 0 || rttMs < this.sampleMs) this.sampleMs = rttMs;
      if (seqBefore(end, this.#fackBefore)) this.#hasReordering = true;
    }
    if (seqAfter(end, this.#fack)) this.#fack = end;
    const isLater = sentAtMs > this.#xmitMs ||
      (sentAtMs === this.#xmitMs && seqAfter(end, this.#endSeq));
    if (!isLater) return;
    this.#xmitMs = sentAtMs;
    this.#endSeq = end;
    this.rttMs = rttMs;
  }

  /** A DSACK came: something was sent again for nothing, so the window becomes wider. */
  onDsack(sndUna: number, sndNxt: number): void {
    if (this.#hasDsackRound && seqBefore(sndUna, this.#dsackRound)) return;
    this.#hasDsackRound = true;
    this.#dsackRound = sndNxt;
    this.#reoWndMult = Math.min(this.#reoWndMult + 1, 64);
    this.#reoWndPersist = REO_WND_PERSIST;
  }

  /** A recovery was a mistake: what seemed lost was late. */
  onSpurious(): void {
    this.#hasReordering = true;
  }

  /** A recovery is over. */
  onRecovered(): void {
    if (this.#reoWndPersist > 0 && --this.#reoWndPersist === 0) this.#reoWndMult = 1;
  }

  /**
   * Marks lost what must be (section 6.2 step 5). Returns after how many ms the next segment would
   * be lost, 0 for none. `isSure`: enough speaks for loss that, without reordering seen, none is
   * waited for.
   */
  detectLoss(
    scoreboard: Scoreboard,
    nowMs: number,
    minRttMs: number,
    srttMs: number,
    isSure: boolean,
  ): number {
    if (this.#xmitMs < 0) return 0;
    const { records } = scoreboard;
    const reoWndMs = !this.#hasReordering && isSure
      ? 0
      : Math.min(this.#reoWndMult * Math.max(minRttMs, 0) / 4, Math.max(srttMs, 0));
    for (let record = scoreboard.flightHead; record !== NO_RECORD;) {
      const sentAtMs = records.sentAtMs[record];
      const isEarlier = sentAtMs < this.#xmitMs ||
        (sentAtMs === this.#xmitMs && seqBefore(records.end[record], this.#endSeq));
      if (!isEarlier) {
        // Among those of one moment a later one may end earlier, after a cut; they all go together.
        if (sentAtMs > this.#xmitMs) return 0;
        record = records.after[record];
        continue;
      }
      const remainingMs = sentAtMs + this.rttMs + reoWndMs - nowMs;
      if (remainingMs > 0) return remainingMs;
      const next = records.after[record];
      scoreboard.markLost(record);
      record = next;
    }
    return 0;
  }

  /** The timer has expired: what was sent so long ago that it should have arrived is lost too. */
  markLostOnTimeout(scoreboard: Scoreboard, nowMs: number, minRttMs: number): void {
    const { records } = scoreboard;
    if (scoreboard.head !== NO_RECORD) scoreboard.markLost(scoreboard.head);
    const patienceMs = Math.max(this.rttMs, 0) + Math.max(minRttMs, 0) / 4 * this.#reoWndMult;
    for (let record = scoreboard.flightHead; record !== NO_RECORD;) {
      if (records.sentAtMs[record] + patienceMs > nowMs) return;
      const next = records.after[record];
      scoreboard.markLost(record);
      record = next;
    }
  }
}
