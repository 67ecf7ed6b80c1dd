/**
 * The receiving half of a connection: what is accepted, where it goes, when and what is acknowledged,
 * and how large a window is offered (RFC 9293 section 3.8, RFC 2018, RFC 2883).
 *
 * A GRO run is one segment here. Data in order is offered to the application where it was decrypted;
 * what it leaves, and what is out of order, is copied to the receive buffer. A segment that straddles
 * an edge of the window is cut there, and the right edge never moves back.
 */
import { invariant } from "../../base/invariant.ts";
import type { Pieces } from "../inbound.ts";
import { WINDOW_SCALE_MAX } from "./limits.ts";
import { dropBack } from "./pieces.ts";
import { Reassembly } from "./reassembly.ts";
import type { ReceiveBuffer } from "./receive_buffer.ts";
import { ReceiveTuner } from "./receive_tuner.ts";
import type { TcpSegment } from "./segment.ts";
import { seqAfter, seqBefore } from "./sequence.ts";

/** Acknowledgments at the beginning of a connection that are not delayed: the other end's slow start. */
const QUICK_ACKS = 16;
/** The delay of an acknowledgment on the shortest paths: time for an answer to take it along. */
const BRIEF_DELAY_MS = 4;

/** Offers in-order data to the application without a copy; returns how much it has taken. */
export interface PieceTaker {
  takePieces(pieces: Pieces): number;
}

/** The receiving half. */
export class Receiver {
  /** RCV.NXT. */
  rcvNxt = 0;
  /** The right edge of the window that was offered. */
  rightEdge = 0;
  /** Our window scale, 0 when none was agreed on. */
  scale = 0;
  /** An acknowledgment is owed at the next flush. */
  mustAck = false;
  /** When a delayed acknowledgment is due, or Infinity. */
  ackAtMs = Infinity;
  /** Last.ACK.sent (RFC 7323 section 4.3). */
  lastAckSent = 0;
  /** Whether FIN was received in order. */
  isFinished = false;
  /** Nothing is received any more. */
  isClosed = false;
  readonly reassembly = new Reassembly();
  readonly tuner: ReceiveTuner;
  #finSeq = 0;
  #hasFinSeq = false;
  #unackedBytes = 0;
  #quickAcks = QUICK_ACKS;
  /** The longest packet seen: what the other end's MSS seems to be. */
  #packetBytes = 536;
  #mss = 536;

  constructor(
    readonly buffer: ReceiveBuffer,
    readonly delayedAckMs: number,
    bytesFirst: number,
    bytesMax: number,
  ) {
    this.tuner = new ReceiveTuner(bytesFirst, bytesMax);
  }

  /** RCV.WND: what the other end may still send. */
  get windowBytes(): number {
    return (this.rightEdge - this.rcvNxt) | 0;
  }

  /** Bytes in order that were not read. */
  get readableBytes(): number {
    return this.buffer.usedBytes;
  }

  /** The other end's SYN has come with sequence number `irs`. */
  begin(irs: number, mss: number): void {
    this.rcvNxt = (irs + 1) | 0;
    this.rightEdge = this.rcvNxt;
    this.lastAckSent = this.rcvNxt;
    this.#mss = mss;
  }

  /** The scale that lets the largest window be told (RFC 7323 section 2.2). */
  static scaleFor(bytesMax: number): number {
    let scale = 0;
    while (scale < WINDOW_SCALE_MAX && bytesMax > 0xffff << scale) scale++;
    return scale;
  }

  /** The window field of the next SYN or SYN-ACK, which is never scaled. */
  synWindowField(): number {
    const field = Math.min(this.tuner.targetBytes, 0xffff);
    const edge = (this.rcvNxt + field) | 0;
    if (seqAfter(edge, this.rightEdge)) this.rightEdge = edge;
    return field;
  }

  /**
   * The window field of the next segment; the right edge moves by it. RFC 9293 section 3.8.6.2.2: it
   * moves by at least a full segment or half the buffer, or not at all. Rounding is upwards, so that
   * the edge does not move back when less than a unit of the scale was consumed.
   */
  windowField(): number {
    let window = this.windowBytes;
    const free = this.#freeBytes();
    if (free - window >= Math.min(this.#mss, this.tuner.targetBytes >> 1)) window = free;
    const field = Math.min(Math.ceil(window / (1 << this.scale)), 0xffff);
    const edge = (this.rcvNxt + field * (1 << this.scale)) | 0;
    if (seqAfter(edge, this.rightEdge)) this.rightEdge = edge;
    return field;
  }

  /** A segment with an acknowledgment was sent. */
  onAckSent(): void {
    this.mustAck = false;
    this.lastAckSent = this.rcvNxt;
    this.ackAtMs = Infinity;
    this.#unackedBytes = 0;
    if (this.#quickAcks > 0) this.#quickAcks--;
  }

  /** Something came that the other end must hear about at once. */
  ackNow(): void {
    this.mustAck = true;
  }

  /**
   * Takes the data of an acceptable segment, and its FIN; whether the stream has gone on. `rttMs`: what
   * is known of the path, for autotuning.
   */
  onData(segment: TcpSegment, taker: PieceTaker | null, nowMs: number, rttMs: number): boolean {
    this.#trim(segment);
    const { payloadBytes } = segment;
    const hasFin = (segment.flags & 1) !== 0;
    if (hasFin && !this.#hasFinSeq) {
      this.#hasFinSeq = true;
      this.#finSeq = (segment.seq + payloadBytes) | 0;
      this.mustAck = true;
    }
    if (payloadBytes > 0 && seqAfter(segment.seq, this.rcvNxt)) {
      this.#keep(segment);
      return false;
    }
    const before = this.rcvNxt;
    if (payloadBytes > 0) this.#receiveInOrder(segment, taker, nowMs, rttMs);
    if (this.#hasFinSeq && this.rcvNxt === this.#finSeq && !this.isFinished) {
      this.rcvNxt = (this.rcvNxt + 1) | 0;
      this.isFinished = true;
      this.mustAck = true;
    }
    return before !== this.rcvNxt;
  }

  /**
   * The application has consumed `bytes` bytes of the buffer. Returns whether the window has become
   * so much larger that the other end should hear of it.
   */
  consume(bytes: number, nowMs: number, rttMs: number): boolean {
    this.buffer.consume(bytes);
    this.#rewindIfEmpty();
    this.tuner.onConsumed(bytes, nowMs, rttMs);
    if (this.isFinished) return false;
    const growth = this.#freeBytes() - this.windowBytes;
    const target = this.tuner.targetBytes;
    const isWorthTelling = growth >= target >> 2 ||
      (growth >= Math.min(2 * this.#mss, target >> 1) && this.windowBytes <= target >> 1);
    if (isWorthTelling) this.mustAck = true;
    return isWorthTelling;
  }

  /** Gives memory back and forgets what is out of order. */
  close(): void {
    this.isClosed = true;
    this.buffer.close();
    this.reassembly.clear();
  }

  #freeBytes(): number {
    const free = this.tuner.targetBytes - this.buffer.usedBytes;
    // More than the field can tell is of no use to anybody.
    return Math.max(Math.min(free, 0xffff * (1 << this.scale)), 0);
  }

  /** A segment came of which nothing is new. */
  noteOld(segment: TcpSegment): void {
    const { seq, payloadBytes } = segment;
    if (payloadBytes > 0 && seqBefore(seq, this.rcvNxt)) {
      this.reassembly.noteDuplicate(seq, (seq + payloadBytes) | 0);
    }
  }

  /** Cuts what came before, and what lies beyond the window, off. */
  #trim(segment: TcpSegment): void {
    const old = (this.rcvNxt - segment.seq) | 0;
    if (old > 0 && segment.payloadBytes > 0) {
      const bytes = Math.min(old, segment.payloadBytes);
      this.reassembly.noteDuplicate(segment.seq, (segment.seq + bytes) | 0);
      segment.trimFront(bytes);
      this.mustAck = true;
    }
    const excess = (segment.seq + segment.payloadBytes - this.rightEdge) | 0;
    if (excess > 0 && segment.payloadBytes > 0) {
      const bytes = Math.min(excess, segment.payloadBytes);
      dropBack(segment.payload, bytes);
      segment.payloadBytes -= bytes;
      segment.flags &= ~1;
      this.mustAck = true;
    }
  }

  /** Keeps data that is out of order. */
  #keep(segment: TcpSegment): void {
    this.mustAck = true;
    const offset = this.buffer.usedBytes + ((segment.seq - this.rcvNxt) | 0);
    if (!this.buffer.reserve(offset + segment.payloadBytes)) return;
    const end = (segment.seq + segment.payloadBytes) | 0;
    if (this.reassembly.add(segment.seq, end) < 0) return;
    this.buffer.store(offset, segment.payload);
  }

  #receiveInOrder(
    segment: TcpSegment,
    taker: PieceTaker | null,
    nowMs: number,
    rttMs: number,
  ): void {
    const { buffer, reassembly } = this;
    const bytes = segment.payloadBytes;
    this.#measurePackets(segment);
    if (reassembly.count > 0) this.mustAck = true;
    let taken = 0;
    if (taker !== null && buffer.usedBytes === 0) {
      taken = taker.takePieces(segment.payload);
      invariant(taken >= 0 && taken <= bytes, "what is taken was offered");
      // The application may have ended the connection.
      if (this.isClosed) return;
      this.tuner.onConsumed(taken, nowMs, rttMs);
    }
    let kept = bytes;
    if (taken < bytes) {
      segment.trimFront(taken);
      const isReserved = buffer.reserve(buffer.usedBytes + bytes);
      if (isReserved) buffer.store(buffer.usedBytes + taken, segment.payload);
      else kept = taken;
    }
    buffer.skip(taken);
    buffer.usedBytes += kept - taken;
    this.rcvNxt = (this.rcvNxt + kept) | 0;
    if (reassembly.count > 0) {
      const next = reassembly.advance(this.rcvNxt);
      buffer.usedBytes += (next - this.rcvNxt) | 0;
      this.rcvNxt = next;
    }
    this.#rewindIfEmpty();
    if (kept < bytes) this.mustAck = true;
    this.#oweAck(bytes, segment.packetCount, nowMs, rttMs);
  }

  /** RFC 9293 MUST-58, MUST-59: every second full segment at once, others within the delay. */
  #oweAck(bytes: number, packetCount: number, nowMs: number, rttMs: number): void {
    this.#unackedBytes += bytes;
    if (
      packetCount > 1 || this.#quickAcks > 0 || this.#unackedBytes >= 2 * this.#packetBytes
    ) this.mustAck = true;
    else if (this.ackAtMs === Infinity) {
      // On a short path the whole delay would be an age to a sender that has sent its last segment.
      const briefMs = rttMs < 0 ? Infinity : Math.max(2 * rttMs, BRIEF_DELAY_MS);
      this.ackAtMs = nowMs + Math.min(this.delayedAckMs, briefMs);
    }
  }

  #measurePackets(segment: TcpSegment): void {
    const bytes = Math.floor(segment.payloadBytes / segment.packetCount);
    if (bytes > this.#packetBytes) this.#packetBytes = Math.min(bytes, this.#mss);
  }

  #rewindIfEmpty(): void {
    if (this.buffer.usedBytes === 0 && this.reassembly.count === 0) this.buffer.rewind();
  }
}

/** Whether a segment is acceptable (RFC 9293 section 3.10.7.4, the table of four cases). */
export function isAcceptable(receiver: Receiver, seq: number, length: number): boolean {
  const { rcvNxt, rightEdge } = receiver;
  // "If RCV.WND is zero, no segments will be acceptable except ACK segments", but their ACKs, RSTs
  // and FINs count; data is cut off later.
  if (rightEdge === rcvNxt) return seq === rcvNxt;
  if (!seqBefore(seq, rcvNxt)) return seqBefore(seq, rightEdge);
  const last = (seq + length - 1) | 0;
  return length > 0 && !seqBefore(last, rcvNxt);
}
