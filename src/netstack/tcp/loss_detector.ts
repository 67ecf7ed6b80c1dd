/**
 * Reads acknowledgments for what they say about loss, and keeps the timer that asks when none come:
 * RACK-TLP (RFC 8985), the retransmission timeout (RFC 6298), NewReno for a peer without SACK
 * (RFC 6582), and probes of a closed window (RFC 9293 section 3.8.6.1).
 *
 * A connection has one timer, which is armed for one thing at a time:
 *
 * ```
 *  nothing in flight, window closed   Persist
 *  in flight, loss suspected          Reorder: RACK's reordering window
 *  in flight, nothing suspected       Tlp, twice; then Rto
 * ```
 */
import { DUP_THRESH } from "./rack.ts";
import { Phase } from "./recovery.ts";
import type { TcpSegment } from "./segment.ts";
import type { Sender } from "./sender.ts";
import { NO_RECORD, SentFlag } from "./sent_records.ts";
import { seqAfter, seqBefore } from "./sequence.ts";

/** What the timer is armed for. */
export const LossTimer = { None: 0, Reorder: 1, Tlp: 2, Rto: 3, Persist: 4 } as const;
/** One of the values of `LossTimer`. */
export type LossTimer = (typeof LossTimer)[keyof typeof LossTimer];

/** RFC 8985 section 7.2: how long the other end may delay the acknowledgment of a single segment. */
const MAX_ACK_DELAY_MS = 200;
/** On short paths what a turn of the other end takes counts: so much more, while below that sum. */
const PTO_SLACK_MS = 2;
const PTO_SLACK_BELOW_MS = 10;
/**
 * Probes in a row, each after twice the time. RFC 8985 has one, and none during recovery; but when a
 * whole window is answered by one ACK, losing that ACK would cost a timeout.
 */
const PROBES_MAX = 2;
const PERSIST_MS_MIN = 200;
const PERSIST_MS_MAX = 60_000;
/** Timeouts of full segments after which the path MTU is doubted (RFC 4821 section 7.7). */
const BLACK_HOLE_TIMEOUTS = 2;
/** What is tried then: fits through every path that IPv6 may use. */
const BLACK_HOLE_MSS = 1024;

/** The detector of one connection. Times in ms. */
export class LossDetector {
  timer: LossTimer = LossTimer.None;
  deadlineMs = Infinity;
  readonly #sender: Sender;
  /** Timeouts since something was acknowledged. */
  #timeouts = 0;
  /** When something was last acknowledged, or the first of what is in flight was sent. */
  #progressMs = 0;
  #rtoStartMs = 0;
  #ptoStartMs = 0;
  #reorderAtMs = Infinity;
  #duplicates = 0;
  #probes = 0;
  #hasTlp = false;
  #tlpEnd = 0;
  #tlpIsRetransmission = false;
  #persistCount = 0;
  #persistStartMs = -1;
  /** When the first probe of a closed window that was not answered has left. */
  #askedMs = -Infinity;

  /** `timeoutMs`: how long the other end may fail to answer before the connection is over. */
  constructor(sender: Sender, public timeoutMs: number) {
    this.#sender = sender;
  }

  /** When something was last acknowledged, or the first of what is in flight was sent. */
  get progressMs(): number {
    return this.#progressMs;
  }

  /** Something was sent. */
  onSent(nowMs: number): void {
    this.#ptoStartMs = nowMs;
    if (this.#sender.scoreboard.count > 1 || this.#timeouts > 0) return;
    this.#rtoStartMs = nowMs;
    this.#progressMs = nowMs;
  }

  /**
   * The first segment was sent again: the timeout, which is meant for it, begins anew. Otherwise it
   * would come before the retransmission can have been answered.
   */
  onHeadResent(nowMs: number): void {
    this.#rtoStartMs = nowMs;
  }

  /** An acknowledgment; see `Sender.onAck`. */
  onAck(segment: TcpSegment, ackedBytes: number, isDuplicate: boolean, nowMs: number): void {
    const { scoreboard, rack, writer, rtt, recovery } = this.#sender;
    const hasEcho = writer.hasTimestamps && segment.hasTimestamps;
    const flightBytes = this.#sender.outstandingBytes - scoreboard.sackedBytes;
    const lostBytes = scoreboard.lostBytes;
    scoreboard.beginAck();
    rack.beginAck(nowMs, rtt.minRttMs, hasEcho, segment.tsEcr, writer.stampOffset);
    if (ackedBytes > 0) {
      scoreboard.acknowledge(segment.ack);
      this.#sender.advanceUna(segment.ack);
    }
    const isDsack = writer.hasSack && segment.sackCount > 0 && this.#readSack(segment, nowMs);
    const sampleMs = this.#sample(segment, hasEcho && ackedBytes > 0, nowMs);
    if (sampleMs >= 0) {
      rtt.onSample(sampleMs, nowMs, this.#samplesPerRtt(flightBytes, ackedBytes));
    }
    if (scoreboard.deliveredBytes > 0) this.#probes = 0;
    if (ackedBytes > 0) this.#onProgress(segment, hasEcho, nowMs);
    if (recovery.phase !== Phase.Open && !seqBefore(this.#sender.sndUna, recovery.point)) {
      recovery.end(nowMs);
      rack.onRecovered();
    }
    if (writer.hasSack) this.#detect(nowMs);
    else this.#countDuplicates(ackedBytes, isDuplicate);
    if (this.#hasTlp) this.#judgeProbe(segment, ackedBytes, isDsack, nowMs);
    if (recovery.phase === Phase.Open && scoreboard.lostBytes > 0) {
      this.#enterFast(flightBytes, nowMs);
    }
    this.#grow(ackedBytes > 0 && scoreboard.lostBytes <= lostBytes, flightBytes, nowMs);
  }

  /**
   * The deadline has come. Afterwards `output` is to be called. False: the other end has not answered
   * for `timeoutMs`, and the connection is over. `heardMs`: when it last sent anything.
   */
  onTimer(nowMs: number, heardMs: number): boolean {
    const { timer } = this;
    // Time in which the machine slept does not count: nobody could be asked.
    const lateMs = Math.max(nowMs - this.deadlineMs, 0);
    this.#progressMs += lateMs;
    this.#askedMs += lateMs;
    this.timer = LossTimer.None;
    this.deadlineMs = Infinity;
    if (timer === LossTimer.Reorder) {
      const flightBytes = this.#sender.outstandingBytes - this.#sender.scoreboard.sackedBytes;
      // Nothing was delivered by a timer.
      this.#sender.scoreboard.beginAck();
      this.#detect(nowMs);
      if (this.#sender.scoreboard.lostBytes === 0) return true;
      if (this.#sender.recovery.phase === Phase.Open) this.#enterFast(flightBytes, nowMs);
      this.#grow(false, flightBytes, nowMs);
    } else if (timer === LossTimer.Tlp) this.#probeTail(nowMs);
    else if (timer === LossTimer.Rto) return this.#onTimeout(nowMs, heardMs);
    else if (timer === LossTimer.Persist) return this.#probeWindow(nowMs, heardMs);
    return true;
  }

  /** Arms the timer for what is to be waited for; after `output`. */
  arm(nowMs: number): void {
    const sender = this.#sender;
    if (sender.outstandingBytes === 0) {
      this.#armPersist(nowMs);
      return;
    }
    this.#persistStartMs = -1;
    let rtoAtMs = this.#rtoStartMs + sender.rtt.rtoMs;
    if (this.#timeouts > 0 && sender.sndWnd > 0) {
      rtoAtMs = Math.min(rtoAtMs, this.#progressMs + this.timeoutMs);
    }
    const tlpAtMs = this.#tlpAtMs();
    if (this.#reorderAtMs < rtoAtMs) this.#set(LossTimer.Reorder, this.#reorderAtMs);
    else if (tlpAtMs < rtoAtMs) this.#set(LossTimer.Tlp, tlpAtMs);
    else this.#set(LossTimer.Rto, rtoAtMs);
  }

  /** The path takes only smaller segments: what is in flight and longer is lost, no congestion. */
  onPathMtu(): void {
    const { scoreboard, recovery } = this.#sender;
    for (let record = scoreboard.flightHead; record !== NO_RECORD;) {
      const next = scoreboard.records.after[record];
      scoreboard.markLost(record);
      record = next;
    }
    recovery.repeat(this.#sender.sndNxt);
    this.#sender.forceRetransmission();
  }

  /** Nothing is waited for any more. */
  stop(): void {
    this.timer = LossTimer.None;
    this.deadlineMs = Infinity;
  }

  #set(timer: LossTimer, deadlineMs: number): void {
    this.timer = timer;
    this.deadlineMs = deadlineMs;
  }

  /**
   * RTT by this acknowledgment, or -1. Karn's rule goes for whatever is acknowledged together with a
   * retransmission: it may have waited at the other end for long. Then only timestamps tell, and an
   * echo that is older than the retransmission only when this came too soon to be its answer: else
   * it repeats an acknowledgment that was lost.
   */
  #sample(segment: TcpSegment, hasEcho: boolean, nowMs: number): number {
    const { rack, writer, rtt } = this.#sender;
    const { resentAtMs } = rack;
    if (resentAtMs < 0) return rack.sampleMs;
    if (!hasEcho) return -1;
    const isAnswer = !seqBefore(segment.tsEcr, writer.stamp(resentAtMs));
    if (!isAnswer && nowMs - resentAtMs >= rtt.minRttMs) return -1;
    return (writer.stamp(nowMs) - segment.tsEcr) | 0;
  }

  /** RFC 7323 appendix G: samples that a round trip brings, as this acknowledgment is one of them. */
  #samplesPerRtt(flightBytes: number, ackedBytes: number): number {
    const per = Math.max(ackedBytes, 2 * this.#sender.writer.mss);
    return Math.min(Math.ceil(flightBytes / per), 64);
  }

  #onProgress(segment: TcpSegment, hasEcho: boolean, nowMs: number): void {
    const { recovery, rtt } = this.#sender;
    rtt.endBackoff();
    this.#timeouts = 0;
    this.#progressMs = this.#rtoStartMs = this.#ptoStartMs = nowMs;
    this.#reorderAtMs = Infinity;
    if (hasEcho && recovery.isSpuriousByEcho(segment.ack, segment.tsEcr)) this.#undo(nowMs);
  }

  #undo(nowMs: number): void {
    this.#sender.recovery.undo(nowMs);
    this.#sender.scoreboard.unmarkLost();
    this.#sender.rack.onSpurious();
  }

  /**
   * An acknowledgment that later ones have overtaken. Of use is only what it says of a mistake, which
   * those need not repeat: a DSACK is told once, and a late original echoed once.
   */
  onOvertakenAck(segment: TcpSegment, nowMs: number): void {
    const { writer, recovery, rack, sndUna, sndNxt, sndWndMax } = this.#sender;
    const { ack, sack, sackCount } = segment;
    if (seqAfter(ack, sndUna) || seqBefore(ack, (sndUna - sndWndMax) | 0)) return;
    const hasEcho = writer.hasTimestamps && segment.hasTimestamps;
    if (hasEcho && recovery.isSpuriousByLateEcho(ack, segment.tsEcr)) this.#undo(nowMs);
    if (!writer.hasSack || sackCount === 0 || !isDuplicateSack(segment)) return;
    rack.onDsack(sndUna, sndNxt);
    if (recovery.onDsack(sack[0], sack[1])) this.#undo(nowMs);
  }

  /** Reads the SACK blocks; true when the first was a DSACK. */
  #readSack(segment: TcpSegment, nowMs: number): boolean {
    const { scoreboard, writer: { mss }, recovery, rack, sndUna, sndNxt } = this.#sender;
    const { sack, sackCount } = segment;
    const isDsack = isDuplicateSack(segment);
    for (let i = isDsack ? 1 : 0; i < sackCount; i++) {
      const start = sack[2 * i];
      const end = sack[2 * i + 1];
      // Outside of what is in flight, or inverted: ignored.
      if (!seqBefore(start, end) || !seqAfter(start, sndUna) || seqAfter(end, sndNxt)) continue;
      scoreboard.sack(start, end, mss);
    }
    if (!isDsack) return false;
    rack.onDsack(sndUna, sndNxt);
    if (recovery.onDsack(sack[0], sack[1])) this.#undo(nowMs);
    return true;
  }

  #detect(nowMs: number): void {
    const { rack, scoreboard, rtt, recovery, writer } = this.#sender;
    const isSure = recovery.phase !== Phase.Open ||
      scoreboard.sackedBytes >= DUP_THRESH * writer.mss;
    const waitMs = rack.detectLoss(scoreboard, nowMs, rtt.minRttMs, rtt.srttMs, isSure);
    this.#reorderAtMs = waitMs > 0 ? nowMs + waitMs : Infinity;
  }

  /** Without SACK a duplicate acknowledgment says that some segment has left the network. */
  #countDuplicates(ackedBytes: number, isDuplicate: boolean): void {
    const { scoreboard, recovery, writer: { mss } } = this.#sender;
    if (ackedBytes > 0) {
      this.#duplicates = 0;
      const kept = recovery.phase === Phase.Fast ? scoreboard.anonymousBytes - ackedBytes : 0;
      scoreboard.anonymousBytes = Math.max(kept, 0);
      // RFC 6582: a partial acknowledgment says that the next segment is lost as well.
      if (recovery.phase === Phase.Fast) scoreboard.markHeadLost(mss);
    } else if (isDuplicate) {
      this.#duplicates++;
      const room = this.#sender.pipeBytes;
      scoreboard.anonymousBytes += Math.min(mss, room);
      scoreboard.deliveredBytes += Math.min(mss, room);
      if (this.#duplicates === DUP_THRESH && recovery.phase === Phase.Open) {
        scoreboard.markHeadLost(mss);
      }
    }
  }

  #enterFast(flightBytes: number, nowMs: number): void {
    const sender = this.#sender;
    this.#hasTlp = false;
    sender.recovery.beginFast(sender.sndNxt, flightBytes, sender.pipeBytes, nowMs);
    // The first retransmission is never held back, by whatever window.
    sender.forceRetransmission();
  }

  #grow(isSafe: boolean, flightBytes: number, nowMs: number): void {
    const { scoreboard, recovery, congestion, rack, pipeBytes, writer } = this.#sender;
    const { deliveredBytes } = scoreboard;
    if (recovery.phase === Phase.Fast) {
      recovery.onFastAck(deliveredBytes, pipeBytes, writer.mss, isSafe);
    } else if (deliveredBytes > 0) {
      const isLimited = this.#sender.isCwndLimited ||
        (congestion.isInSlowStart && 2 * flightBytes >= congestion.cwndBytes);
      congestion.onAck(deliveredBytes, rack.sampleMs, pipeBytes, nowMs, isLimited);
    }
  }

  /** RFC 8985 section 7.2; Infinity when no probe is to be sent. */
  #tlpAtMs(): number {
    const { recovery, scoreboard, writer, rtt, outstandingBytes } = this.#sender;
    const isSomethingAwaited = scoreboard.flightHead !== NO_RECORD || scoreboard.lostBytes > 0;
    const isAllowed = recovery.phase !== Phase.Loss && writer.hasSack && rtt.hasSample &&
      this.#probes < PROBES_MAX && this.#timeouts === 0 && isSomethingAwaited;
    if (!isAllowed) return Infinity;
    const delayMs = outstandingBytes <= writer.mss ? MAX_ACK_DELAY_MS : 0;
    const ptoMs = 2 * rtt.srttMs + delayMs;
    const slackMs = Math.max(Math.min(PTO_SLACK_MS, PTO_SLACK_BELOW_MS - ptoMs), 0);
    return this.#ptoStartMs + (ptoMs + slackMs) * (1 << this.#probes);
  }

  /**
   * RFC 8985 section 7.3: new data if there is any, else the last segment once more; when that is
   * sacked, the first that is not. In recovery, what is to be sent again anyway.
   */
  #probeTail(nowMs: number): void {
    const sender = this.#sender;
    const { writer: { mss }, scoreboard } = sender;
    const room = (sender.sndUna + sender.sndWnd - sender.sndNxt) | 0;
    const bytes = Math.min(sender.unsentBytes, mss, Math.max(room, 0));
    const isNew = bytes > 0 && !sender.isCorked;
    this.#probes++;
    if (scoreboard.lostBytes > 0) {
      this.#rtoStartMs = nowMs;
      sender.forceRetransmission();
      return;
    }
    const isSent = isNew
      ? sender.sendNew(bytes, nowMs)
      : sender.resend(scoreboard.probeRecord(mss), nowMs);
    this.#rtoStartMs = nowMs;
    if (!isSent || sender.recovery.phase !== Phase.Open) return;
    this.#hasTlp = true;
    this.#tlpEnd = sender.sndNxt;
    this.#tlpIsRetransmission = !isNew;
  }

  /** RFC 8985 section 7.4: whether the probe has repaired a loss, which then counts as one. */
  #judgeProbe(
    segment: TcpSegment,
    ackedBytes: number,
    isDsack: boolean,
    nowMs: number,
  ): void {
    if (seqBefore(segment.ack, this.#tlpEnd)) return;
    const sender = this.#sender;
    if (!this.#tlpIsRetransmission || isDsack) this.#hasTlp = false;
    else if (seqAfter(segment.ack, this.#tlpEnd)) {
      this.#hasTlp = false;
      if (sender.recovery.phase !== Phase.Open) return;
      sender.congestion.onLoss(sender.outstandingBytes + ackedBytes, nowMs);
      sender.congestion.onRecovered(nowMs);
    } else if (ackedBytes === 0 && segment.sackCount === 0) this.#hasTlp = false;
  }

  #onTimeout(nowMs: number, heardMs: number): boolean {
    const sender = this.#sender;
    const { scoreboard, writer, rack, rtt, recovery } = sender;
    // RFC 9293 MUST-36: a window that stays closed is no reason as long as the other end answers.
    const sinceMs = sender.sndWnd === 0 ? Math.max(heardMs, this.#progressMs) : this.#progressMs;
    if (this.#timeouts > 0 && nowMs - sinceMs >= this.timeoutMs) return false;
    this.#timeouts++;
    const flightBytes = sender.outstandingBytes - scoreboard.sackedBytes;
    const { head, records } = scoreboard;
    if (head !== NO_RECORD && (records.flags[head] & SentFlag.Sacked) !== 0) {
      scoreboard.forgetSacks();
    }
    scoreboard.anonymousBytes = 0;
    if (writer.hasSack) rack.markLostOnTimeout(scoreboard, nowMs, rtt.minRttMs);
    else {
      for (let record = head; record !== NO_RECORD; record = records.next[record]) {
        scoreboard.markLost(record);
      }
    }
    recovery.beginLoss(sender.sndNxt, flightBytes, nowMs, this.#timeouts > 1);
    rtt.onTimeout();
    this.#hasTlp = false;
    this.#probes = 0;
    this.#duplicates = 0;
    this.#rtoStartMs = nowMs;
    this.#reorderAtMs = Infinity;
    if (this.#timeouts === BLACK_HOLE_TIMEOUTS) this.#doubtPathMtu();
    sender.forceRetransmission();
    return true;
  }

  #doubtPathMtu(): void {
    const { writer, congestion, scoreboard } = this.#sender;
    const { head, records } = scoreboard;
    const bytes = head === NO_RECORD ? 0 : (records.end[head] - records.seq[head]) | 0;
    if (writer.mss <= BLACK_HOLE_MSS || bytes <= BLACK_HOLE_MSS) return;
    writer.mssLimit = BLACK_HOLE_MSS;
    if (writer.updateMss()) congestion.setMss(writer.mss);
  }

  #armPersist(nowMs: number): void {
    if (!this.#sender.isWindowBlocked) {
      this.#persistCount = 0;
      this.#persistStartMs = -1;
      this.stop();
      return;
    }
    if (this.#persistStartMs < 0) this.#persistStartMs = nowMs;
    const base = Math.max(this.#sender.rtt.unbackedRtoMs, PERSIST_MS_MIN);
    const waitMs = Math.min(base * 2 ** Math.min(this.#persistCount, 16), PERSIST_MS_MAX);
    this.#set(LossTimer.Persist, this.#persistStartMs + waitMs);
  }

  /** A window too small to be used is used after all; a closed one is asked about. */
  #probeWindow(nowMs: number, heardMs: number): boolean {
    const sender = this.#sender;
    if (heardMs >= this.#askedMs) this.#askedMs = nowMs;
    if (nowMs - this.#askedMs >= this.timeoutMs) return false;
    this.#persistCount++;
    this.#persistStartMs = nowMs;
    const room = (sender.sndUna + sender.sndWnd - sender.sndNxt) | 0;
    const bytes = Math.min(sender.unsentBytes, room, sender.writer.mss);
    if (bytes > 0) sender.sendNew(bytes, nowMs);
    else sender.sendWindowProbe(nowMs);
    return true;
  }
}

/**
 * RFC 2883 section 4: a first block below the cumulative acknowledgment, or inside the second block,
 * tells of something that came twice.
 */
function isDuplicateSack(segment: TcpSegment): boolean {
  const { sack, sackCount, ack } = segment;
  if (!seqBefore(sack[0], sack[1])) return false;
  if (!seqAfter(sack[1], ack)) return true;
  return sackCount > 1 && !seqBefore(sack[0], sack[2]) && !seqAfter(sack[1], sack[3]);
}
