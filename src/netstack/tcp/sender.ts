/**
 * The sending half of a connection: what may be sent, as which segments, and what an acknowledgment
 * means (RFC 9293 section 3.8, RFC 5681, RFC 6675).
 *
 * The unit is the super-segment: one header and up to 64 KB of the send buffer, cut into packets
 * further down. No timer fills it. While enough is in flight that an acknowledgment will come, a
 * small room is left alone until it has become a large one.
 */
import { TcpFlag } from "../../wire/tcp.ts";
import type { CongestionControl } from "./congestion.ts";
import { initialWindowBytes } from "./congestion.ts";
import { EcnState, ECT_0 } from "./ecn.ts";
import { LossDetector } from "./loss_detector.ts";
import { Rack } from "./rack.ts";
import type { Receiver } from "./receiver.ts";
import { Phase, Recovery } from "./recovery.ts";
import { RttEstimator } from "./rtt_estimator.ts";
import { Scoreboard } from "./scoreboard.ts";
import type { SegmentWriter } from "./segment_writer.ts";
import type { SendBuffer } from "./send_buffer.ts";
import { NO_RECORD, type SentRecords } from "./sent_records.ts";
import type { TcpSegment } from "./segment.ts";
import { seqAfter, seqBefore } from "./sequence.ts";

/** Segments that one visit of `output` sends, so that connections take turns at a link. */
const QUANTUM_SEGMENTS = 16;

/** Why `output` has stopped. */
export const Stopped = {
  /** Nothing more can be sent until something happens to the connection. */
  Done: 0,
  /** The link is full. */
  LinkFull: 1,
  /** It was others' turn. */
  Quantum: 2,
} as const;
/** One of the values of `Stopped`. */
export type Stopped = (typeof Stopped)[keyof typeof Stopped];

/** The sending half. */
export class Sender {
  // The send sequence variables of RFC 9293 section 3.3.1.
  iss = 0;
  sndUna = 0;
  sndNxt = 0;
  sndWnd = 0;
  sndWl1 = 0;
  sndWl2 = 0;
  /** The largest window that the other end has offered. */
  sndWndMax = 0;
  /** The other end's window scale. */
  scale = 0;

  readonly rtt = new RttEstimator();
  readonly rack = new Rack();
  readonly ecn = new EcnState();
  readonly scoreboard: Scoreboard;
  readonly recovery: Recovery;
  readonly loss: LossDetector;

  /** Whether FIN follows what was written. */
  isFinQueued = false;
  isFinSent = false;
  isCorked = false;
  hasNagle = false;
  /** The other end's window, and nothing else, has stopped the output while nothing was in flight. */
  isWindowBlocked = false;
  /** The congestion window has stopped the output. */
  isCwndLimited = false;
  lastSentMs = 0;
  #mustSendLost = false;

  constructor(
    readonly buffer: SendBuffer,
    records: SentRecords,
    readonly writer: SegmentWriter,
    readonly receiver: Receiver,
    readonly congestion: CongestionControl,
    readonly recordsMax: number,
    timeoutMs: number,
  ) {
    this.scoreboard = new Scoreboard(records, this.rack);
    this.recovery = new Recovery(congestion);
    this.loss = new LossDetector(this, timeoutMs);
  }

  /** The connection begins with our SYN. */
  begin(iss: number): void {
    this.iss = iss;
    this.sndUna = iss;
    this.sndNxt = (iss + 1) | 0;
    this.rack.begin(this.sndNxt);
  }

  /** The handshake is complete: our SYN is acknowledged. */
  onEstablished(wasSynLost: boolean): void {
    this.sndUna = this.sndNxt;
    this.writer.updateMss();
    const { mss } = this.writer;
    this.congestion.setMss(mss);
    this.congestion.setInitialWindow(initialWindowBytes(mss, wasSynLost));
    if (wasSynLost) this.rtt.onSynTimedOut();
  }

  /** Bytes sent and not acknowledged cumulatively; a FIN counts. */
  get outstandingBytes(): number {
    return (this.sndNxt - this.sndUna) | 0;
  }

  /** Bytes believed to be in the network. */
  get pipeBytes(): number {
    const { sackedBytes, lostBytes, anonymousBytes } = this.scoreboard;
    return Math.max(this.outstandingBytes - sackedBytes - lostBytes - anonymousBytes, 0);
  }

  /** Where what was written ends in sequence space: the FIN's own number. */
  get writtenEnd(): number {
    return (this.sndUna + this.buffer.usedBytes) | 0;
  }

  /** Bytes written and never sent. */
  get unsentBytes(): number {
    return this.isFinSent ? 0 : (this.writtenEnd - this.sndNxt) | 0;
  }

  /** Whether our FIN was sent and acknowledged. */
  get isFinAcknowledged(): boolean {
    return this.isFinSent && this.sndUna === this.sndNxt;
  }

  /** Whether something waits to be sent for the first time. */
  get hasUnsent(): boolean {
    return this.unsentBytes > 0 || (this.isFinQueued && !this.isFinSent);
  }

  /** Whether `output` may find something to do. */
  get hasOutput(): boolean {
    return this.scoreboard.lostHead !== NO_RECORD || this.hasUnsent;
  }

  /** RFC 9293 section 3.10.7.4: takes the window of a segment unless an older one is newer. */
  updateWindow(segment: TcpSegment): void {
    const { seq, ack } = segment;
    // RFC 9293 leaves the first case out: a retransmission of old data with a new acknowledgment would
    // move the right edge without offering more.
    const isNewer = seqAfter(ack, this.sndUna) || seqBefore(this.sndWl1, seq) ||
      (this.sndWl1 === seq && !seqAfter(this.sndWl2, ack));
    if (!isNewer) return;
    this.sndWnd = segment.window * (1 << this.scale);
    if (this.sndWnd > this.sndWndMax) this.sndWndMax = this.sndWnd;
    this.sndWl1 = seq;
    this.sndWl2 = ack;
  }

  /**
   * Takes an acknowledgment of something that was sent: `segment.ack` lies between SND.UNA and
   * SND.NXT. Afterwards `output` is to be called.
   */
  onAck(segment: TcpSegment, nowMs: number): void {
    const windowBefore = this.sndWnd;
    const ackedBytes = (segment.ack - this.sndUna) | 0;
    this.updateWindow(segment);
    // A DSACK may come when nothing is in flight any more.
    if (this.outstandingBytes === 0 && segment.sackCount === 0) return;
    if (this.ecn.shouldSlowDown(segment.flags, segment.ack, this.sndNxt)) this.#slowDown(nowMs);
    const isDuplicate = ackedBytes === 0 && segment.length === 0 && this.sndWnd === windowBefore;
    this.loss.onAck(segment, ackedBytes, isDuplicate, nowMs);
  }

  /** Forgets what is acknowledged up to `una`; called by the loss detector in the midst of its work. */
  advanceUna(una: number): void {
    const bytes = (una - this.sndUna) | 0;
    this.sndUna = una;
    this.buffer.release(Math.min(bytes, this.buffer.usedBytes));
  }

  /** The next retransmission goes out whatever the window says: a timer has expired. */
  forceRetransmission(): void {
    this.#mustSendLost = true;
  }

  /** Sends what may be sent. */
  output(nowMs: number): Stopped {
    let left = QUANTUM_SEGMENTS;
    this.isWindowBlocked = false;
    while (this.scoreboard.lostHead !== NO_RECORD) {
      if (left-- === 0) return Stopped.Quantum;
      if (this.writer.output.isFull) return Stopped.LinkFull;
      if (!this.#retransmit(nowMs)) break;
    }
    if (!this.hasUnsent) {
      this.isCwndLimited = this.scoreboard.lostHead !== NO_RECORD;
      return Stopped.Done;
    }
    if (this.outstandingBytes === 0) this.#beginAgain(nowMs);
    while (this.hasUnsent) {
      if (left-- === 0) return Stopped.Quantum;
      if (this.writer.output.isFull) return Stopped.LinkFull;
      const bytes = this.#nextBytes();
      if (bytes < 0) break;
      if (!this.sendNew(bytes, nowMs)) return Stopped.LinkFull;
    }
    return Stopped.Done;
  }

  /** Sends the next `bytes` bytes that were written, and FIN when it comes next and has room. */
  sendNew(bytes: number, nowMs: number): boolean {
    const isAll = bytes === this.unsentBytes;
    const fin = isAll && this.isFinQueued ? 1 : 0;
    let flags = TcpFlag.Ack | (isAll && bytes > 0 ? TcpFlag.Psh : 0) | fin;
    const seq = this.sndNxt;
    // RFC 3168 section 6.1.5: new data alone may be marked, not what is sent again.
    const isMarkable = this.ecn.isOn && bytes > 0;
    if (isMarkable) flags |= this.ecn.takeTellFlag();
    const { path } = this.writer;
    const { tos } = path;
    if (isMarkable) path.tos = tos | ECT_0;
    const isSent = this.#send(seq, bytes, flags, nowMs);
    path.tos = tos;
    if (!isSent) return false;
    this.sndNxt = (seq + bytes + fin) | 0;
    if (fin === 1) this.isFinSent = true;
    this.scoreboard.add(seq, this.sndNxt, nowMs);
    this.recovery.onSent(seq, bytes, false, 0);
    this.loss.onSent(nowMs);
    return true;
  }

  /** Sends a record again, all of it. */
  resend(record: number, nowMs: number): boolean {
    const { records } = this.scoreboard;
    const seq = records.seq[record];
    let bytes = (records.end[record] - seq) | 0;
    let flags: number = TcpFlag.Ack;
    if (this.isFinSent && records.end[record] === this.sndNxt) {
      bytes--;
      flags |= TcpFlag.Fin;
    }
    if (((seq + bytes) | 0) === this.writtenEnd) flags |= bytes > 0 ? TcpFlag.Psh : 0;
    if (!this.#send(seq, bytes, flags, nowMs)) return false;
    this.scoreboard.onRetransmitted(record, nowMs);
    this.recovery.onSent(seq, bytes, true, this.writer.stamp(nowMs));
    this.loss.onSent(nowMs);
    if (record === this.scoreboard.head) this.loss.onHeadResent(nowMs);
    return true;
  }

  /**
   * Asks a closed window: a segment that lies before it, so that it must be answered (RFC 9293
   * section 3.10.7.4), and nothing is in flight that the other end would not take.
   */
  sendWindowProbe(nowMs: number): boolean {
    return this.#send((this.sndUna - 1) | 0, 0, TcpFlag.Ack, nowMs);
  }

  /** Gives all memory back. */
  close(): void {
    this.scoreboard.clear();
    this.buffer.close();
    this.loss.stop();
  }

  /** Congestion was marked and nothing lost (RFC 3168 section 6.1.2); in a recovery that is known. */
  #slowDown(nowMs: number): void {
    if (this.recovery.phase !== Phase.Open) return;
    this.congestion.onLoss(this.pipeBytes, nowMs);
    this.congestion.onRecovered(nowMs);
  }

  /** Sends lost bytes as far as the window goes; false when it has no room. */
  #retransmit(nowMs: number): boolean {
    const { scoreboard, writer: { mss } } = this;
    const { records } = scoreboard;
    const record = scoreboard.lostHead;
    const bytes = (records.end[record] - records.seq[record]) | 0;
    const room = this.recovery.cwndBytes - this.pipeBytes;
    let allowed = Math.min(bytes, this.writer.payloadBytesMax);
    if (room < allowed) allowed = Math.floor(room / mss) * mss;
    if (allowed <= 0) {
      if (!this.#mustSendLost) return false;
      allowed = Math.min(bytes, mss);
    }
    // The other end has closed its window: only the timer asks on.
    if (this.sndWnd === 0 && !this.#mustSendLost) return false;
    scoreboard.limit(record, allowed);
    if (!this.resend(record, nowMs)) return false;
    this.#mustSendLost = false;
    return true;
  }

  /** RFC 5681 section 4.1: after silence the old window says nothing about the path. */
  #beginAgain(nowMs: number): void {
    const idleMs = nowMs - this.lastSentMs;
    const { rtoMs } = this.rtt;
    if (this.lastSentMs > 0 && idleMs > rtoMs) this.congestion.onIdle(idleMs, rtoMs, nowMs);
  }

  /** How many bytes the next segment has; 0 for a bare FIN, -1 to send nothing. */
  #nextBytes(): number {
    const { unsentBytes, writer, pipeBytes } = this;
    const { mss } = writer;
    if (this.scoreboard.count >= this.recordsMax) return -1;
    // A bare FIN needs no window: the other end has nothing to store.
    if (unsentBytes === 0) return 0;
    const windowRoom = (this.sndUna + this.sndWnd - this.sndNxt) | 0;
    const cwndRoom = this.recovery.cwndBytes - pipeBytes;
    const room = Math.min(windowRoom, cwndRoom);
    const wanted = Math.min(unsentBytes, writer.payloadBytesMax);
    this.isCwndLimited = cwndRoom < wanted && cwndRoom <= windowRoom;
    if (room >= wanted) return wanted < unsentBytes ? wanted : this.#lastBytes(wanted, mss);
    if (this.#isWorthWaiting(room, wanted, pipeBytes)) return -1;
    if (room >= mss) return room - room % mss;
    return this.#smallBytes(room, windowRoom, pipeBytes);
  }

  /**
   * Whether to wait for more room: an acknowledgment will bring it while at least two segments are
   * in flight, as the other end delays none then.
   */
  #isWorthWaiting(room: number, wanted: number, pipeBytes: number): boolean {
    if (this.recovery.phase === Phase.Fast) return false;
    const window = Math.min(this.recovery.cwndBytes, this.sndWndMax);
    return pipeBytes >= 2 * this.writer.mss && room < Math.min(wanted, window / 3);
  }

  /** The end of what was written: a short last segment may have to wait (Nagle, cork). */
  #lastBytes(bytes: number, mss: number): number {
    const short = bytes % mss;
    if (short === 0 || this.isFinQueued) return bytes;
    const mustWait = this.isCorked || (this.hasNagle && this.outstandingBytes > 0);
    if (!mustWait) return bytes;
    return bytes > short ? bytes - short : -1;
  }

  /** Room for less than a segment: RFC 9293 section 3.8.6.2.1, sender's silly-window avoidance. */
  #smallBytes(room: number, windowRoom: number, pipeBytes: number): number {
    if (room <= 0 || room < windowRoom) {
      this.isWindowBlocked = windowRoom <= 0 && this.outstandingBytes === 0;
      return -1;
    }
    if (windowRoom >= this.sndWndMax >> 1) return windowRoom;
    this.isWindowBlocked = pipeBytes === 0 && this.outstandingBytes === 0;
    return -1;
  }

  #send(seq: number, bytes: number, flags: number, nowMs: number): boolean {
    const { buffer, receiver } = this;
    const at = bytes === 0 ? 0 : buffer.placeOf((seq - this.sndUna) | 0, bytes);
    const isSent = this.writer.send(
      seq,
      receiver.rcvNxt,
      flags | this.ecn.echoFlag,
      receiver.windowField(),
      at,
      bytes,
      bytes === 0 ? 0 : buffer.block,
      receiver.reassembly.blocks,
      0,
      nowMs,
    );
    if (!isSent) return false;
    this.lastSentMs = nowMs;
    receiver.onAckSent();
    return true;
  }
}
