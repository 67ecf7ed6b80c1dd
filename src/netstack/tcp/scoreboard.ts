/**
 * What became of each segment that was sent (RFC 6675, RFC 8985): a list of records by sequence
 * number, each in one of three states.
 *
 * ```
 *  in flight ──▶ lost ──▶ (sent again) in flight        both ──▶ sacked ──▶ acknowledged, gone
 * ```
 * Records in flight are also a list by the time they were sent, lost ones a list of their own, again
 * by sequence number. A record is a segment as it was sent, up to 64 KB. When only a part of it is
 * acknowledged selectively, it is cut, at multiples of the MSS alone: so a connection never has more
 * records than packets on the wire, whatever blocks the other end makes up. Neighbours that are
 * sacked become one.
 */
import { NO_RECORD, SentFlag, type SentRecords } from "./sent_records.ts";
import type { Rack } from "./rack.ts";
import { seqAfter, seqBefore } from "./sequence.ts";

/** Records that one acknowledgment's blocks may walk over; what lies beyond is told again. */
const WALK_MAX = 4096;

/** The scoreboard of one connection. */
export class Scoreboard {
  /** First and last record by sequence number. */
  head = NO_RECORD;
  tail = NO_RECORD;
  /** Records in flight, earliest sent first. */
  flightHead = NO_RECORD;
  #flightTail = NO_RECORD;
  /** Lost records by sequence number. */
  lostHead = NO_RECORD;
  #lostTail = NO_RECORD;
  /** The record that was entered last, while it is lost. */
  #lostHint = NO_RECORD;
  count = 0;
  sackedBytes = 0;
  lostBytes = 0;
  /** Without SACK: bytes that have arrived, it is not known which. */
  anonymousBytes = 0;
  /** Bytes that were newly acknowledged in any way since `beginAck`. */
  deliveredBytes = 0;
  #hint = NO_RECORD;
  #walked = 0;

  constructor(readonly records: SentRecords, readonly rack: Rack) {}

  /** An acknowledgment comes: counting begins anew. */
  beginAck(): void {
    this.deliveredBytes = 0;
    this.#walked = 0;
  }

  /** Adds what is sent for the first time. */
  add(seq: number, end: number, nowMs: number): void {
    const { records } = this;
    const record = records.allocate();
    records.seq[record] = seq;
    records.end[record] = end;
    records.sentAtMs[record] = nowMs;
    records.flags[record] = 0;
    this.#insertAfter(this.tail, record);
    this.#appendFlight(record);
  }

  /** Everything before `una` is acknowledged. */
  acknowledge(una: number): void {
    const { records } = this;
    while (this.head !== NO_RECORD) {
      const record = this.head;
      const seq = records.seq[record];
      if (!seqAfter(una, seq)) return;
      const end = records.end[record];
      if (seqBefore(una, end)) {
        this.#trim(record, seq, una);
        return;
      }
      this.#deliver(record, (end - seq) | 0, end);
      this.#leaveState(record, (end - seq) | 0);
      this.#unlink(record);
      records.free(record);
    }
  }

  /** The bytes `start .. end - 1`, all of them sent and not acknowledged, have arrived. */
  sack(start: number, end: number, mss: number): void {
    const { records } = this;
    let record = this.#find(start);
    while (record !== NO_RECORD && seqBefore(records.seq[record], end)) {
      if (++this.#walked > WALK_MAX) return;
      if ((records.flags[record] & SentFlag.Sacked) === 0) {
        record = this.#sackPart(record, start, end, mss);
      }
      record = records.next[record];
    }
  }

  /** Marks a record lost. */
  markLost(record: number): void {
    const { records } = this;
    if ((records.flags[record] & (SentFlag.Lost | SentFlag.Sacked)) !== 0) return;
    this.#leaveFlight(record);
    records.flags[record] |= SentFlag.Lost;
    this.lostBytes += (records.end[record] - records.seq[record]) | 0;
    this.#enterLost(record);
  }

  /** Lost records were not lost: they are in flight, as if nothing had happened. */
  unmarkLost(): void {
    const { records } = this;
    if (this.lostHead === NO_RECORD) return;
    for (let record = this.lostHead; record !== NO_RECORD; record = records.after[record]) {
      records.flags[record] &= ~SentFlag.Lost;
    }
    records.after[this.#lostTail] = this.flightHead;
    if (this.flightHead === NO_RECORD) this.#flightTail = this.#lostTail;
    else records.before[this.flightHead] = this.#lostTail;
    this.flightHead = this.lostHead;
    this.lostHead = this.#lostTail = this.#lostHint = NO_RECORD;
    this.lostBytes = 0;
  }

  /** Marks the first segment lost, at most `mss` bytes of it: all that is known without SACK. */
  markHeadLost(mss: number): void {
    if (this.head === NO_RECORD) return;
    this.limit(this.head, mss);
    this.markLost(this.head);
  }

  /** A lost record, or one in flight, was sent again. */
  onRetransmitted(record: number, nowMs: number): void {
    const { records } = this;
    if ((records.flags[record] & SentFlag.Lost) !== 0) {
      this.#leaveLost(record);
      this.lostBytes -= (records.end[record] - records.seq[record]) | 0;
    } else this.#leaveFlight(record);
    records.flags[record] = SentFlag.Retransmitted;
    records.sentAtMs[record] = nowMs;
    this.#appendFlight(record);
  }

  /** The other end has dropped what it had acknowledged selectively (RFC 2018): it counts as lost. */
  forgetSacks(): void {
    const { records } = this;
    for (let record = this.head; record !== NO_RECORD; record = records.next[record]) {
      if ((records.flags[record] & SentFlag.Sacked) === 0) continue;
      records.flags[record] &= ~SentFlag.Sacked;
      this.sackedBytes -= (records.end[record] - records.seq[record]) | 0;
      this.#appendFlight(record);
      this.markLost(record);
    }
  }

  /** Cuts a record that is longer than `bytes`; the rest becomes a record of the same state. */
  limit(record: number, bytes: number): void {
    const { records } = this;
    const seq = records.seq[record];
    if (((records.end[record] - seq) | 0) > bytes) this.#cut(record, (seq + bytes) | 0);
  }

  /**
   * The last segment, of at most `mss` bytes, cut off where it was sent as part of a longer one; when
   * that is sacked, the first by sequence number: nothing below it is missing, so that its arrival moves
   * the edge, and with it the echo that judges retransmissions. Nothing is marked lost.
   */
  probeRecord(mss: number): number {
    const { records } = this;
    if ((records.flags[this.tail] & SentFlag.Sacked) !== 0) {
      this.limit(this.head, mss);
      return this.head;
    }
    const record = this.tail;
    const seq = records.seq[record];
    const bytes = (records.end[record] - seq) | 0;
    if (bytes <= mss) return record;
    return this.#cut(record, (seq + Math.floor((bytes - 1) / mss) * mss) | 0);
  }

  /** Forgets everything. */
  clear(): void {
    for (let record = this.head; record !== NO_RECORD;) {
      const next = this.records.next[record];
      this.records.free(record);
      record = next;
    }
    this.head =
      this.tail =
      this.flightHead =
      this.#flightTail =
        NO_RECORD;
    this.lostHead =
      this.#lostTail =
      this.#lostHint =
      this.#hint =
        NO_RECORD;
    this.count =
      this.sackedBytes =
      this.lostBytes =
      this.anonymousBytes =
        0;
  }

  #trim(record: number, seq: number, una: number): void {
    const bytes = (una - seq) | 0;
    const flags = this.records.flags[record];
    this.#deliver(record, bytes, una);
    if ((flags & SentFlag.Sacked) !== 0) this.sackedBytes -= bytes;
    else if ((flags & SentFlag.Lost) !== 0) this.lostBytes -= bytes;
    this.records.seq[record] = una;
  }

  #deliver(record: number, bytes: number, end: number): void {
    const { records } = this;
    if ((records.flags[record] & SentFlag.Sacked) !== 0) return;
    this.deliveredBytes += bytes;
    this.rack.onDelivered(
      records.sentAtMs[record],
      end,
      (records.flags[record] & SentFlag.Retransmitted) !== 0,
    );
  }

  #leaveState(record: number, bytes: number): void {
    const flags = this.records.flags[record];
    if ((flags & SentFlag.Sacked) !== 0) this.sackedBytes -= bytes;
    else if ((flags & SentFlag.Lost) !== 0) {
      this.lostBytes -= bytes;
      this.#leaveLost(record);
    } else this.#leaveFlight(record);
  }

  /** Sacks what of `record` lies in `start .. end - 1`, to multiples of the MSS; returns the part. */
  #sackPart(whole: number, start: number, end: number, mss: number): number {
    const { records } = this;
    const seq = records.seq[whole];
    const bytes = (records.end[whole] - seq) | 0;
    const from = Math.max(0, Math.ceil(((start - seq) | 0) / mss) * mss);
    const covered = (end - seq) | 0;
    const to = covered >= bytes ? bytes : Math.floor(covered / mss) * mss;
    if (from >= to) return whole;
    const record = from > 0 ? this.#cut(whole, (seq + from) | 0) : whole;
    if (to < bytes) this.#cut(record, (seq + to) | 0);
    this.#deliver(record, to - from, records.end[record]);
    this.#leaveState(record, to - from);
    records.flags[record] |= SentFlag.Sacked;
    this.sackedBytes += to - from;
    return this.#mergeSacked(record);
  }

  #mergeSacked(record: number): number {
    const { records } = this;
    records.flags[record] &= ~SentFlag.Lost;
    const next = records.next[record];
    if (next !== NO_RECORD && (records.flags[next] & SentFlag.Sacked) !== 0) {
      records.end[record] = records.end[next];
      this.#unlink(next);
      records.free(next);
    }
    const previous = records.previous[record];
    this.#hint = record;
    if (previous === NO_RECORD || (records.flags[previous] & SentFlag.Sacked) === 0) return record;
    records.end[previous] = records.end[record];
    this.#unlink(record);
    records.free(record);
    this.#hint = previous;
    return previous;
  }

  /** The first record that ends behind `seq`; the search begins where the last one ended. */
  #find(seq: number): number {
    const { records } = this;
    let record = this.#hint === NO_RECORD ? this.head : this.#hint;
    while (record !== NO_RECORD && !seqAfter(records.end[record], seq)) {
      if (++this.#walked > WALK_MAX) return NO_RECORD;
      record = records.next[record];
    }
    if (record === NO_RECORD) return record;
    for (;;) {
      const previous = records.previous[record];
      if (previous === NO_RECORD || !seqAfter(records.end[previous], seq)) return record;
      if (++this.#walked > WALK_MAX) return NO_RECORD;
      record = previous;
    }
  }

  /** Cuts `record` at `seq`, inside of it; returns the new record behind it, of the same state. */
  #cut(record: number, seq: number): number {
    const rest = this.records.allocate();
    // Columns may have been replaced by `allocate`.
    const { records } = this;
    records.seq[rest] = seq;
    records.end[rest] = records.end[record];
    records.end[record] = seq;
    records.sentAtMs[rest] = records.sentAtMs[record];
    records.flags[rest] = records.flags[record];
    this.#insertAfter(record, rest);
    if ((records.flags[record] & SentFlag.Sacked) !== 0) return rest;
    const after = records.after[record];
    records.after[rest] = after;
    records.before[rest] = record;
    records.after[record] = rest;
    if (after !== NO_RECORD) records.before[after] = rest;
    else if ((records.flags[record] & SentFlag.Lost) !== 0) this.#lostTail = rest;
    else this.#flightTail = rest;
    return rest;
  }

  #insertAfter(previous: number, record: number): void {
    const { records } = this;
    this.count++;
    const next = previous === NO_RECORD ? this.head : records.next[previous];
    records.previous[record] = previous;
    records.next[record] = next;
    if (previous === NO_RECORD) this.head = record;
    else records.next[previous] = record;
    if (next === NO_RECORD) this.tail = record;
    else records.previous[next] = record;
  }

  #unlink(record: number): void {
    const { records } = this;
    this.count--;
    const next = records.next[record];
    const previous = records.previous[record];
    if (previous === NO_RECORD) this.head = next;
    else records.next[previous] = next;
    if (next === NO_RECORD) this.tail = previous;
    else records.previous[next] = previous;
    if (this.#hint === record) this.#hint = next;
  }

  #appendFlight(record: number): void {
    const { records } = this;
    records.before[record] = this.#flightTail;
    records.after[record] = NO_RECORD;
    if (this.#flightTail === NO_RECORD) this.flightHead = record;
    else records.after[this.#flightTail] = record;
    this.#flightTail = record;
  }

  #leaveFlight(record: number): void {
    const { after, before } = this.records;
    if (before[record] === NO_RECORD) this.flightHead = after[record];
    else after[before[record]] = after[record];
    if (after[record] === NO_RECORD) this.#flightTail = before[record];
    else before[after[record]] = before[record];
  }

  /**
   * Records are found lost in runs of rising sequence numbers, so the place is at the end or behind the
   * one before, and rarely has to be searched.
   */
  #enterLost(record: number): void {
    const { records } = this;
    const seq = records.seq[record];
    let before = this.#lostTail;
    if (before !== NO_RECORD && seqBefore(seq, records.seq[before])) {
      before = this.#lostHint;
      if (before !== NO_RECORD && seqAfter(records.seq[before], seq)) before = NO_RECORD;
      let next = before === NO_RECORD ? this.lostHead : records.after[before];
      while (next !== NO_RECORD && seqBefore(records.seq[next], seq)) {
        before = next;
        next = records.after[next];
      }
    }
    this.#lostHint = record;
    const after = before === NO_RECORD ? this.lostHead : records.after[before];
    records.before[record] = before;
    records.after[record] = after;
    if (before === NO_RECORD) this.lostHead = record;
    else records.after[before] = record;
    if (after === NO_RECORD) this.#lostTail = record;
    else records.before[after] = record;
  }

  #leaveLost(record: number): void {
    const { after, before } = this.records;
    if (this.#lostHint === record) this.#lostHint = before[record];
    if (before[record] === NO_RECORD) this.lostHead = after[record];
    else after[before[record]] = after[record];
    if (after[record] === NO_RECORD) this.#lostTail = before[record];
    else before[after[record]] = before[record];
  }
}
