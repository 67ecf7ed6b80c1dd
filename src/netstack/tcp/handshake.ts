/**
 * SYN and SYN-ACK: what they say, when they are sent again, and what their answer tells of the round
 * trip (RFC 9293 section 3.5, RFC 6298 section 5).
 */
import { TcpFlag } from "../../wire/tcp.ts";
import { ECN_SETUP } from "./ecn.ts";
import type { TcpLimits } from "./limits.ts";
import { Receiver } from "./receiver.ts";
import type { TcpSegment } from "./segment.ts";
import type { SegmentWriter } from "./segment_writer.ts";
import type { Sender } from "./sender.ts";

/** RFC 6298 section 2.1: the timeout until there is a sample. */
const TIMEOUT_MS = 1000;
/** It is doubled so often at most. */
const DOUBLINGS_MAX = 7;
/** SYNs that ask for ECN: one that is lost again and again may be lost because of that. */
const ECN_ATTEMPTS = 2;

/** What a SYN says; a segment and a pending SYN both do. */
export interface SynFacts {
  readonly seq: number;
  /** As it stands in the header: the window of a SYN is never scaled. */
  readonly window: number;
  /** 0 for none. */
  readonly mss: number;
  /** -1 for none. */
  readonly windowScale: number;
  readonly hasSackPermitted: boolean;
  readonly hasTimestamps: boolean;
  readonly tsVal: number;
}

/** The handshake of one connection. Times in ms. */
export class Handshake {
  /** SYN or SYN-ACK goes out at the next flush. */
  mustSend = false;
  /** When it is sent again, or Infinity. */
  atMs = Infinity;
  /** Both ends scale their windows; before the other's SYN has come: we offer it. */
  hasScaling = true;
  #attempts = 0;
  #startMs = 0;
  #sentMs = 0;

  constructor(readonly limits: TcpLimits) {}

  /** Whether it had to be sent again. */
  get wasLost(): boolean {
    return this.#attempts > 0;
  }

  /** Whether our SYN asks for ECN. */
  get requestsEcn(): boolean {
    return this.limits.requestsEcn && this.#attempts < ECN_ATTEMPTS;
  }

  /** It begins. */
  begin(nowMs: number): void {
    this.mustSend = true;
    this.#startMs = nowMs;
  }

  /** It is over, well or not. */
  end(): void {
    this.mustSend = false;
    this.atMs = Infinity;
  }

  /** Sends SYN, or SYN-ACK for an answer; false when the link is full. */
  send(isAnswer: boolean, sender: Sender, writer: SegmentWriter, nowMs: number): boolean {
    const { receiver, ecn } = sender;
    const scale = this.hasScaling ? Receiver.scaleFor(this.limits.receiveBytesMax) : -1;
    const flags = isAnswer
      ? TcpFlag.Syn | TcpFlag.Ack | (ecn.isOn ? TcpFlag.Ece : 0)
      : TcpFlag.Syn | (this.requestsEcn ? ECN_SETUP : 0);
    const window = isAnswer
      ? receiver.synWindowField()
      : Math.min(receiver.tuner.targetBytes, 0xffff);
    const ack = isAnswer ? receiver.rcvNxt : 0;
    if (!writer.sendSyn(sender.iss, ack, flags, window, scale, nowMs)) return false;
    this.mustSend = false;
    this.#sentMs = nowMs;
    // The timer starts when the segment leaves; being sent for another reason does not move it.
    if (this.atMs === Infinity || this.atMs <= nowMs) {
      this.atMs = nowMs + TIMEOUT_MS * 2 ** Math.min(this.#attempts, DOUBLINGS_MAX);
    }
    return true;
  }

  /** The timer has expired; false when enough was tried. */
  onTimeout(isPassive: boolean, nowMs: number): boolean {
    const { synAckRetries, synTimeoutMs } = this.limits;
    const isOver = isPassive
      ? this.#attempts >= synAckRetries
      : nowMs - this.#startMs >= synTimeoutMs;
    if (isOver) return false;
    this.#attempts++;
    this.atMs = Infinity;
    this.mustSend = true;
    return true;
  }

  /** RTT by the answer, or -1 when it is not known which of several was answered. */
  sampleMs(answer: TcpSegment, writer: SegmentWriter, nowMs: number): number {
    const isEcho = writer.hasTimestamps && answer.hasTimestamps &&
      answer.tsEcr === writer.stamp(this.#sentMs);
    return this.#attempts === 0 || isEcho ? nowMs - this.#sentMs : -1;
  }
}
