/**
 * A TCP connection (RFC 9293): its state, the order in which a segment is looked at, and what the
 * application may call. Sending and receiving are the subjects of `Sender` and `Receiver`.
 *
 * Everything that comes in, a segment, a timeout, a call, only changes state; segments leave in
 * `output`, which the layer calls at its next flush. So a batch of segments is answered once.
 */
import { invariant } from "../../base/invariant.ts";
import { TcpFlag } from "../../wire/tcp.ts";
import type { Pieces } from "../inbound.ts";
import { IcmpErrorKind } from "../inbound.ts";
import { refuseAck, sendAck, sendReset } from "./control_segments.ts";
import { ECN_SETUP } from "./ecn.ts";
import { Handshake, type SynFacts } from "./handshake.ts";
import { Keepalive, KeepaliveAction } from "./keepalive.ts";
import type { TcpLimits } from "./limits.ts";
import { MSS_DEFAULT_V4, MSS_DEFAULT_V6, MSS_MIN, WINDOW_SCALE_MAX } from "./limits.ts";
import { PathMtu } from "./path_mtu.ts";
import { Paws } from "./paws.ts";
import { ReceiveRtt } from "./receive_rtt.ts";
import { isAcceptable, type PieceTaker, Receiver } from "./receiver.ts";
import type { TcpSegment } from "./segment.ts";
import type { SegmentWriter } from "./segment_writer.ts";
import { Stopped } from "./sender.ts";
import type { Sender } from "./sender.ts";
import { seqAfter, seqBefore } from "./sequence.ts";
import { canGo, isSynchronized, TcpState, tcpStateName } from "./state.ts";
import { type TcpConnection, TcpEnd, type TcpFlow, type TcpHandler } from "./tcp_socket.ts";

/** The layer as a connection sees it. */
export interface ConnectionHost {
  readonly limits: TcpLimits;
  /** Time of the present turn. */
  readonly nowMs: number;
  /** The connection has something to send: its `output` is called at the next flush. */
  wake(connection: Connection): void;
  /** A deadline may have come nearer. */
  schedule(connection: Connection): void;
  /** It has left SYN-RECEIVED. */
  onHandshakeOver(connection: Connection): void;
  onTimeWait(connection: Connection): void;
  onClosed(connection: Connection): void;
}

/** Spans and wake-ups of the send buffer are not smaller than this, or a quarter of the buffer. */
const WRITE_BYTES_WORTH = 256 << 10;
/** The send buffer grows to this by what is written, and beyond by what the path carries. */
const SEND_BYTES_FIRST = 64 << 10;

/** One connection. Made by the layer; `state` changes only in `#go`. */
export class Connection implements TcpConnection, PieceTaker {
  context: unknown = null;
  state: TcpState = TcpState.Closed;
  /** For the layer: whether it waits for a flush, and for which connection after it. */
  isAwake = false;
  nextAwake: Connection | null = null;
  /** Whether the other end has sent SYN first. */
  isPassive = false;
  /** IRS: the other end's initial sequence number. */
  irs = 0;
  spanAt = 0;
  /** When something acceptable came last. */
  heardMs = 0;

  readonly #handshake: Handshake;
  /** The application has closed it. */
  #isDetached = false;
  /** When the application has closed it. */
  #detachedMs = 0;
  #hasEnded = false;
  /** The end that is told when everything was read. */
  #pendingEnd = -1;
  #wantsWritable = false;
  #challengedMs = -Infinity;
  readonly #paws = new Paws();
  #lifeAtMs = Infinity;
  readonly #keepalive: Keepalive;
  #idleAtMs = Infinity;
  readonly #pathMtu: PathMtu;
  #softError = -1;
  readonly #receiveRtt = new ReceiveRtt();

  constructor(
    readonly id: number,
    readonly host: ConnectionHost,
    readonly flow: TcpFlow,
    readonly handler: TcpHandler,
    readonly writer: SegmentWriter,
    readonly sender: Sender,
    readonly receiver: Receiver,
  ) {
    this.#handshake = new Handshake(host.limits);
    this.#keepalive = new Keepalive(host.limits);
    this.#pathMtu = new PathMtu(sender);
  }

  // How it begins.

  /** Active open: SYN goes out at the next flush. */
  open(iss: number, nowMs: number): void {
    this.sender.begin(iss);
    this.#go(TcpState.SynSent);
    this.#beginHandshake(nowMs);
  }

  /** Passive open: SYN-ACK goes out at the next flush. */
  answer(iss: number, nowMs: number): void {
    this.isPassive = true;
    this.sender.begin(iss);
    this.#go(TcpState.SynReceived);
    this.#beginHandshake(nowMs);
  }

  /** The handshake was completed by a SYN cookie `iss`. */
  resume(iss: number, nowMs: number): void {
    this.isPassive = true;
    this.sender.begin(iss);
    this.receiver.synWindowField();
    this.#establish(nowMs);
  }

  /** Takes over what a SYN says: its numbers and options (RFC 9293 section 3.7.1, RFC 7323). */
  adoptSyn(syn: SynFacts): void {
    const { writer, sender, receiver } = this;
    const { seq, mss, windowScale, hasTimestamps, tsVal } = syn;
    this.irs = seq;
    const mssDefault = this.flow.ipVersion === 4 ? MSS_DEFAULT_V4 : MSS_DEFAULT_V6;
    writer.peerMss = mss === 0 ? mssDefault : Math.max(mss, MSS_MIN);
    writer.hasSack = syn.hasSackPermitted;
    writer.hasTimestamps = hasTimestamps;
    writer.tsRecent = hasTimestamps ? tsVal : 0;
    this.#paws.begin(tsVal, this.host.nowMs);
    const isScaling = windowScale >= 0;
    this.#handshake.hasScaling = isScaling;
    sender.scale = isScaling ? Math.min(windowScale, WINDOW_SCALE_MAX) : 0;
    receiver.scale = isScaling ? Receiver.scaleFor(this.host.limits.receiveBytesMax) : 0;
    receiver.begin(seq, writer.ownMss);
    sender.sndWnd = sender.sndWndMax = syn.window;
    sender.sndWl1 = seq;
    sender.sndWl2 = sender.iss;
  }

  // What the application calls.

  get unacknowledgedBytes(): number {
    return this.sender.buffer.usedBytes;
  }

  get isReadFinished(): boolean {
    return this.receiver.isFinished && this.receiver.readableBytes === 0;
  }

  writeSpan(maxBytes: number): number {
    const { buffer } = this.sender;
    if (!this.#canWrite) return 0;
    if (buffer.freeBytes < maxBytes) this.#growSendBuffer();
    const worth = Math.min(maxBytes, buffer.capacityBytes >> 2, WRITE_BYTES_WORTH);
    const bytes = buffer.freeBytes < worth ? 0 : buffer.span(maxBytes);
    this.spanAt = buffer.spanAt;
    if (bytes === 0) {
      this.#wantsWritable = true;
      // Without memory no acknowledgment will bring room: asked again after a while.
      this.#armIdle();
    }
    return bytes;
  }

  commitWrite(bytes: number): void {
    if (bytes <= 0 || !this.#canWrite) return;
    this.sender.buffer.commit(bytes);
    this.host.wake(this);
  }

  cork(isCorked: boolean): void {
    if (this.sender.isCorked === isCorked) return;
    this.sender.isCorked = isCorked;
    if (!isCorked && this.sender.hasUnsent) this.host.wake(this);
  }

  setNagle(isOn: boolean): void {
    this.sender.hasNagle = isOn;
    if (!isOn && this.sender.hasUnsent) this.host.wake(this);
  }

  shutdown(): void {
    if (this.sender.isFinQueued || this.state === TcpState.Closed) return;
    this.sender.isFinQueued = true;
    this.#wantsWritable = false;
    this.#leaveByFin();
    this.host.wake(this);
  }

  readSpan(): number {
    const bytes = this.receiver.buffer.span();
    this.spanAt = this.receiver.buffer.spanAt;
    return bytes;
  }

  consume(bytes: number): void {
    if (bytes <= 0) return;
    invariant(bytes <= this.receiver.readableBytes, "what is consumed was received");
    const { nowMs } = this.host;
    if (this.receiver.consume(bytes, nowMs, this.#rttMs()) && this.#isReceiving) {
      this.host.wake(this);
    }
    this.#settleEnd();
  }

  close(): void {
    if (this.#isDetached || this.#hasEnded) return;
    this.#isDetached = true;
    this.#detachedMs = this.host.nowMs;
    const { loss } = this.sender;
    loss.timeoutMs = Math.min(loss.timeoutMs, this.host.limits.detachedTimeoutMs);
    if (this.#pendingEnd >= 0) return this.#settleEnd();
    // RFC 9293 section 3.6.1: RST shows that data which was received and not read is lost.
    if (this.state === TcpState.SynSent || this.receiver.readableBytes > 0) {
      this.abort();
      return;
    }
    this.shutdown();
    if (this.state === TcpState.FinWait2) this.#limitFinWait2();
  }

  abort(): void {
    this.#isDetached = true;
    if (this.#hasEnded || this.state === TcpState.Closed) return this.#settleEnd();
    this.#sendReset();
    this.#finish(TcpEnd.Aborted);
  }

  setKeepalive(idleMs: number): void {
    this.#keepalive.set(idleMs, this.host.nowMs);
    this.host.schedule(this);
  }

  // What the layer calls.

  /** The next deadline, or Infinity. */
  get deadlineMs(): number {
    return Math.min(
      this.sender.loss.deadlineMs,
      this.receiver.ackAtMs,
      this.#handshake.atMs,
      this.#lifeAtMs,
      this.#keepalive.atMs,
      this.#idleAtMs,
      this.#pathMtu.atMs,
    );
  }

  /** A segment of this flow has come. */
  onSegment(segment: TcpSegment, nowMs: number): void {
    if (this.state === TcpState.SynSent) this.#onSynSent(segment, nowMs);
    else if (this.state !== TcpState.Closed) this.#onSynchronized(segment, nowMs);
    this.#settleEnd();
    if (this.state !== TcpState.Closed) this.#afterEvent();
  }

  /** Some deadline has come. */
  onTimeout(nowMs: number): void {
    if (nowMs >= this.#handshake.atMs && !this.#onSynTimeout(nowMs)) return;
    if (nowMs >= this.#lifeAtMs) {
      this.#lifeAtMs = Infinity;
      return this.#finish(TcpEnd.Closed);
    }
    if (nowMs >= this.receiver.ackAtMs) {
      this.receiver.ackAtMs = Infinity;
      this.receiver.ackNow();
    }
    if (nowMs >= this.sender.loss.deadlineMs && !this.#onLossTimer(nowMs)) return;
    if (nowMs >= this.#keepalive.atMs && !this.#onKeepalive(nowMs)) return;
    if (nowMs >= this.#idleAtMs) this.#onIdle(nowMs);
    if (nowMs >= this.#pathMtu.atMs) this.#pathMtu.onTimer();
    if (this.state !== TcpState.Closed) {
      this.host.wake(this);
      this.host.schedule(this);
    }
  }

  /** Sends what is to be sent; true when there is more, but the link is full or others wait. */
  output(nowMs: number): boolean {
    if (this.#handshake.mustSend && !this.#sendSyn(nowMs)) return true;
    if (!isSynchronized(this.state)) {
      this.host.schedule(this);
      return false;
    }
    const { receiver, sender } = this;
    const { reassembly } = receiver;
    // Data segments have no room for SACK blocks: those go ahead.
    const hasBlocks = reassembly.count > 0 || reassembly.hasDuplicate;
    if (receiver.mustAck && hasBlocks && !sendAck(sender, nowMs)) return true;
    const stopped = sender.output(nowMs);
    if (receiver.mustAck && stopped !== Stopped.LinkFull && !sendAck(sender, nowMs)) return true;
    sender.loss.arm(nowMs);
    this.host.schedule(this);
    return stopped !== Stopped.Done;
  }

  /** ICMP says something about a segment of ours; false unless that is in flight. */
  onIcmpError(kind: IcmpErrorKind, sequence: number, mtu: number, nowMs: number): boolean {
    const { sender } = this;
    // RFC 5927 section 4: what is not in flight was not sent by us lately.
    if (seqBefore(sequence, sender.sndUna) || !seqBefore(sequence, sender.sndNxt)) return false;
    if (kind === IcmpErrorKind.TooBig) {
      const isSmaller = this.#pathMtu.onTooBig(mtu, nowMs);
      if (isSmaller && isSynchronized(this.state)) sender.loss.onPathMtu();
    } else if (this.state === TcpState.SynSent) {
      // RFC 5461: while a connection is being made even soft errors may end it, a hard one does.
      const isHard = kind === IcmpErrorKind.PortUnreachable || kind === IcmpErrorKind.Prohibited;
      if (isHard) this.#finish(TcpEnd.Unreachable);
      else this.#softError = kind;
    } else {
      // RFC 5927 section 5.2: in a synchronized state hard errors are treated as soft ones.
      this.#softError = kind;
    }
    if (this.state !== TcpState.Closed) {
      sender.loss.arm(nowMs);
      this.#afterEvent();
    }
    return true;
  }

  /** For the layer: ends without a word to the other end, to make room. */
  forget(): void {
    this.#finish(TcpEnd.Closed);
  }

  /** In TIME-WAIT a SYN begins a new connection when it is surely newer (RFC 9293 MAY-2, RFC 6191). */
  mayBeReplacedBy(segment: TcpSegment): boolean {
    if (this.state !== TcpState.TimeWait) return false;
    if ((segment.flags & (TcpFlag.Syn | TcpFlag.Ack | TcpFlag.Rst)) !== TcpFlag.Syn) return false;
    if (segment.hasTimestamps && this.writer.hasTimestamps) {
      if (seqAfter(segment.tsVal, this.writer.tsRecent)) return true;
    }
    return seqAfter(segment.seq, this.receiver.rcvNxt);
  }

  /** For the receiver: offers in-order data to the application. */
  takePieces(pieces: Pieces): number {
    return this.handler.takePieces?.(this, pieces) ?? 0;
  }

  get #canWrite(): boolean {
    return !this.sender.isFinQueued && this.state !== TcpState.Closed;
  }

  /** Whether data may still come in. */
  get #isReceiving(): boolean {
    return this.state === TcpState.Established || this.state === TcpState.FinWait1 ||
      this.state === TcpState.FinWait2;
  }

  /** The only place where the state changes. */
  #go(to: TcpState): void {
    const from = this.state;
    invariant(canGo(from, to), `no way from ${tcpStateName(from)} to ${tcpStateName(to)}`);
    this.state = to;
    if (from === TcpState.SynReceived) this.host.onHandshakeOver(this);
  }

  #afterEvent(): void {
    if (this.receiver.mustAck || this.#handshake.mustSend || this.sender.hasOutput) {
      this.host.wake(this);
    } else this.sender.loss.arm(this.host.nowMs);
    if (this.sender.buffer.block !== 0 || this.receiver.buffer.capacityBytes > 0) this.#armIdle();
    this.host.schedule(this);
  }

  // The handshake.

  #beginHandshake(nowMs: number): void {
    this.#handshake.begin(nowMs);
    this.heardMs = nowMs;
    this.host.wake(this);
  }

  #sendSyn(nowMs: number): boolean {
    const isAnswer = this.state === TcpState.SynReceived;
    return this.#handshake.send(isAnswer, this.sender, this.writer, nowMs);
  }

  #onSynTimeout(nowMs: number): boolean {
    if (this.#handshake.onTimeout(this.isPassive, nowMs)) return true;
    this.#finish(this.#softError >= 0 ? TcpEnd.Unreachable : TcpEnd.TimedOut);
    return false;
  }

  /** RFC 9293 section 3.10.7.3. */
  #onSynSent(segment: TcpSegment, nowMs: number): void {
    const { sender } = this;
    const hasAck = segment.has(TcpFlag.Ack);
    if (hasAck && segment.ack !== sender.sndNxt) {
      if (!segment.has(TcpFlag.Rst)) refuseAck(sender, segment.ack, nowMs);
      return;
    }
    if (segment.has(TcpFlag.Rst)) {
      if (hasAck) this.#finish(TcpEnd.Refused);
      return;
    }
    if (!segment.has(TcpFlag.Syn)) return;
    this.adoptSyn(segment);
    this.heardMs = nowMs;
    if (!hasAck) {
      // Simultaneous open.
      this.#go(TcpState.SynReceived);
      this.#handshake.mustSend = true;
      return;
    }
    sender.sndWl2 = segment.ack;
    sender.ecn.isOn = this.#handshake.requestsEcn &&
      (segment.flags & ECN_SETUP) === TcpFlag.Ece;
    this.receiver.synWindowField();
    this.receiver.ackNow();
    this.#sampleHandshake(segment, nowMs);
    this.#establish(nowMs);
    // RFC 9293 section 3.10.7.3: other controls or text of the SYN-ACK are taken too.
    segment.flags &= ~TcpFlag.Syn;
    segment.seq = (segment.seq + 1) | 0;
    if (segment.length > 0 && this.#isOpen) this.#onText(segment, nowMs);
  }

  /** The RTT of the handshake is the first sample. */
  #sampleHandshake(segment: TcpSegment, nowMs: number): void {
    const sampleMs = this.#handshake.sampleMs(segment, this.writer, nowMs);
    if (sampleMs >= 0) this.sender.rtt.onSample(sampleMs, nowMs);
  }

  #establish(nowMs: number): void {
    this.#handshake.end();
    this.sender.onEstablished(this.#handshake.wasLost);
    this.heardMs = nowMs;
    this.#go(TcpState.Established);
    this.#keepalive.restart(nowMs);
    if (this.sender.isFinQueued) this.#leaveByFin();
    this.handler.onConnected?.(this);
  }

  // Segments of a connection that exists.

  /** RFC 9293 section 3.10.7.4, with RFC 5961 and RFC 7323. */
  #onSynchronized(segment: TcpSegment, nowMs: number): void {
    this.#stripHandshake(segment);
    if (!this.#checkTimestamp(segment, nowMs)) return;
    if (!isAcceptable(this.receiver, segment.seq, segment.length)) {
      this.#refuse(segment, nowMs);
      return;
    }
    this.#keepTimestamp(segment, nowMs);
    if (segment.has(TcpFlag.Rst)) return this.#onReset(segment, nowMs);
    // RFC 5961 section 4: SYN in a synchronized state is answered by a challenge ACK.
    if (segment.has(TcpFlag.Syn)) return this.#challenge(nowMs);
    if (!segment.has(TcpFlag.Ack)) return;
    this.heardMs = nowMs;
    this.#keepalive.onHeard(nowMs);
    if (!this.#onAck(segment, nowMs)) return;
    if (segment.length > 0) this.#onText(segment, nowMs);
    if (this.#wantsWritable) this.#tellWritable();
  }

  /** In SYN-RECEIVED the other end's SYN may come again, or with an ACK (simultaneous open). */
  #stripHandshake(segment: TcpSegment): void {
    if (this.state !== TcpState.SynReceived || !segment.has(TcpFlag.Syn)) return;
    if (segment.seq !== this.irs || segment.has(TcpFlag.Rst)) return;
    if (segment.has(TcpFlag.Ack)) {
      segment.flags &= ~TcpFlag.Syn;
      segment.seq = (segment.seq + 1) | 0;
    } else this.#handshake.mustSend = true;
  }

  /** PAWS (RFC 7323 section 5): an old timestamp is an old segment. */
  #checkTimestamp(segment: TcpSegment, nowMs: number): boolean {
    const { writer } = this;
    if (!writer.hasTimestamps || segment.has(TcpFlag.Rst)) return true;
    // RFC 7323 section 3.2: a segment without its timestamp "SHOULD" be dropped.
    if (!segment.hasTimestamps) return false;
    if (!this.#paws.isOld(segment.tsVal, nowMs)) return true;
    if (segment.length === 0 && segment.has(TcpFlag.Ack) && !segment.has(TcpFlag.Syn)) {
      this.sender.loss.onOvertakenAck(segment, nowMs);
    }
    this.#refuse(segment, nowMs);
    return false;
  }

  /**
   * RFC 7323 section 5.3 (R3), of acceptable segments only: a retransmission that nobody needed would
   * make PAWS refuse what was sent before it and is merely late.
   */
  #keepTimestamp(segment: TcpSegment, nowMs: number): void {
    const { writer, receiver } = this;
    if (!segment.hasTimestamps || !writer.hasTimestamps) return;
    if (segment.has(TcpFlag.Rst) || seqAfter(segment.seq, receiver.lastAckSent)) return;
    this.#paws.keep(segment.tsVal, receiver.reassembly.count > 0, nowMs);
    writer.tsRecent = this.#paws.recent;
  }

  /** A segment that does not fit is answered with what is expected, and forgotten. */
  #refuse(segment: TcpSegment, nowMs: number): void {
    if (segment.has(TcpFlag.Rst) || this.#handshake.mustSend) return;
    if (segment.length === 0 || this.state === TcpState.SynReceived) return this.#challenge(nowMs);
    // An old FIN: the other end has not heard our ACK (RFC 9293: "restart the 2 MSL time-wait").
    if (this.state === TcpState.TimeWait) this.#lifeAtMs = nowMs + this.host.limits.timeWaitMs;
    this.receiver.noteOld(segment);
    this.receiver.ackNow();
  }

  /** RFC 5961 section 7: throttled, and for each connection by itself (CVE-2016-5696). */
  #challenge(nowMs: number): void {
    if (nowMs - this.#challengedMs < this.host.limits.challengeAckMs) return;
    this.#challengedMs = nowMs;
    // Before the handshake is complete the SYN-ACK is what tells the other end where we are: one that
    // has begun anew answers it by RST.
    if (this.state === TcpState.SynReceived) this.#handshake.mustSend = true;
    else this.receiver.ackNow();
  }

  /** RFC 5961 section 3: only a RST at exactly RCV.NXT ends the connection. */
  #onReset(segment: TcpSegment, nowMs: number): void {
    if (segment.seq !== this.receiver.rcvNxt) return this.#challenge(nowMs);
    // RFC 1337: TIME-WAIT must not be cut short.
    if (this.state === TcpState.TimeWait) return;
    const isRefusal = this.state === TcpState.SynReceived && !this.isPassive;
    this.#finish(isRefusal ? TcpEnd.Refused : TcpEnd.Reset);
  }

  /** Takes the acknowledgment; false when the segment is not to be looked at further. */
  #onAck(segment: TcpSegment, nowMs: number): boolean {
    const { sender } = this;
    const { ack } = segment;
    if (this.state === TcpState.SynReceived) {
      if (ack !== sender.sndNxt) {
        refuseAck(sender, segment.ack, nowMs);
        return false;
      }
      sender.updateWindow(segment);
      this.#sampleHandshake(segment, nowMs);
      this.#establish(nowMs);
      return this.#isOpen;
    }
    // RFC 5961 section 5.2: "((SND.UNA - MAX.SND.WND) =< SEG.ACK =< SND.NXT)".
    if (seqAfter(ack, sender.sndNxt) || seqBefore(ack, (sender.sndUna - sender.sndWndMax) | 0)) {
      this.#challenge(nowMs);
      return false;
    }
    if (seqBefore(ack, sender.sndUna)) sender.loss.onOvertakenAck(segment, nowMs);
    else sender.onAck(segment, nowMs);
    if (sender.isFinAcknowledged) this.#onFinAcknowledged();
    return this.#isOpen;
  }

  get #isOpen(): boolean {
    return this.state !== TcpState.Closed;
  }

  #onFinAcknowledged(): void {
    if (this.state === TcpState.FinWait1) {
      this.#go(TcpState.FinWait2);
      if (this.#isDetached) this.#limitFinWait2();
    } else if (this.state === TcpState.Closing) this.#enterTimeWait();
    else if (this.state === TcpState.LastAck) this.#finish(TcpEnd.Closed);
  }

  /** Data and FIN. */
  #onText(segment: TcpSegment, nowMs: number): void {
    if (!this.#isReceiving) {
      // Nothing can come after a FIN; a FIN that comes again wants its ACK again.
      this.receiver.ackNow();
      return;
    }
    if (this.#isDetached && seqAfter(segment.seq + segment.payloadBytes, this.receiver.rcvNxt)) {
      // RFC 9293 section 3.6.1: data for nobody.
      this.#sendReset();
      return this.#finish(TcpEnd.Aborted);
    }
    this.#receiveRtt.onData(segment, this.writer, nowMs);
    this.sender.ecn.onData(segment.isCongestionMarked, segment.flags);
    if (segment.isCongestionMarked) this.receiver.ackNow();
    const taker = this.handler.takePieces === undefined ? null : this;
    const isNew = this.receiver.onData(segment, taker, nowMs, this.#rttMs());
    if (!this.#isOpen) return;
    const { isFinished } = this.receiver;
    if (isFinished) this.#onFin();
    if (!isNew || !this.#isOpenForReading) return;
    if (isFinished || this.receiver.readableBytes > 0) this.handler.onReadable(this);
  }

  get #isOpenForReading(): boolean {
    return !this.#hasEnded && !this.#isDetached;
  }

  #onFin(): void {
    if (this.state === TcpState.Established) this.#go(TcpState.CloseWait);
    else if (this.state === TcpState.FinWait1) this.#go(TcpState.Closing);
    else if (this.state === TcpState.FinWait2) this.#enterTimeWait();
    if (this.state === TcpState.CloseWait && this.sender.isFinQueued) this.#leaveByFin();
  }

  /** FIN is queued: the states say so at once (RFC 9293 section 3.10.4). */
  #leaveByFin(): void {
    if (this.state === TcpState.Established) this.#go(TcpState.FinWait1);
    else if (this.state === TcpState.CloseWait) this.#go(TcpState.LastAck);
  }

  #tellWritable(): void {
    const { buffer } = this.sender;
    const worth = Math.min(buffer.capacityBytes >> 2, WRITE_BYTES_WORTH);
    if (!this.#canWrite || !isSynchronized(this.state) || buffer.freeBytes < worth) return;
    this.#wantsWritable = false;
    this.handler.onWritable(this);
  }

  /** Grows the send buffer when it, and not the path, limits what is in flight. */
  #growSendBuffer(): void {
    const { buffer, congestion, sndWndMax } = this.sender;
    const wanted = Math.max(2 * Math.min(congestion.cwndBytes, sndWndMax), SEND_BYTES_FIRST);
    const bytes = buffer.capacityBytes;
    if (bytes >= wanted || 2 * bytes > this.host.limits.sendBytesMax) return;
    buffer.grow();
  }

  #rttMs(): number {
    return this.#receiveRtt.valueMs(this.sender.rtt.minRttMs);
  }

  // Timers, errors, the end.

  #onLossTimer(nowMs: number): boolean {
    // For a connection that nobody holds any more, a window that stays closed is no excuse.
    const heardMs = this.#isDetached
      ? Math.max(this.#detachedMs, this.sender.loss.progressMs)
      : this.heardMs;
    if (this.sender.loss.onTimer(nowMs, heardMs)) return true;
    this.#sendReset();
    this.#finish(this.#softError >= 0 ? TcpEnd.Unreachable : TcpEnd.TimedOut);
    return false;
  }

  #onKeepalive(nowMs: number): boolean {
    const isAskedAnyway = !isSynchronized(this.state) || this.sender.outstandingBytes > 0;
    const action = this.#keepalive.onTimer(nowMs, this.heardMs, isAskedAnyway);
    if (action === KeepaliveAction.Probe) this.sender.sendWindowProbe(nowMs);
    if (action !== KeepaliveAction.End) return true;
    this.#sendReset();
    this.#finish(TcpEnd.TimedOut);
    return false;
  }

  #armIdle(): void {
    if (this.#idleAtMs !== Infinity) return;
    this.#idleAtMs = this.host.nowMs + this.host.limits.idleBufferMs;
    this.host.schedule(this);
  }

  /** Gives empty buffers back when nothing has happened for a while. */
  #onIdle(nowMs: number): void {
    this.#idleAtMs = Infinity;
    const { sender, receiver } = this;
    const activeMs = Math.max(this.heardMs, sender.lastSentMs);
    if (this.#wantsWritable) this.#tellWritable();
    if (this.#wantsWritable || nowMs - activeMs < this.host.limits.idleBufferMs) {
      this.#armIdle();
      return;
    }
    if (sender.buffer.usedBytes === 0) sender.buffer.close();
    if (receiver.readableBytes === 0 && receiver.reassembly.count === 0) receiver.buffer.close();
  }

  #limitFinWait2(): void {
    this.#lifeAtMs = this.host.nowMs + this.host.limits.finWait2Ms;
    this.host.schedule(this);
  }

  #enterTimeWait(): void {
    this.#go(TcpState.TimeWait);
    this.#lifeAtMs = this.host.nowMs + this.host.limits.timeWaitMs;
    this.#keepalive.stop();
    this.sender.close();
    this.host.onTimeWait(this);
    if (!this.#hasEnded) this.#pendingEnd = TcpEnd.Closed;
  }

  /** The end is told when everything was read. */
  #settleEnd(): void {
    if (this.#pendingEnd < 0) return;
    if (this.receiver.readableBytes > 0 && !this.#isDetached) return;
    this.#tellEnd(this.#pendingEnd as TcpEnd);
  }

  /** Nothing was promised yet in SYN-SENT. */
  #sendReset(): void {
    if (this.state !== TcpState.SynSent) sendReset(this.sender, this.host.nowMs);
  }

  #finish(end: TcpEnd): void {
    const wasOver = this.state === TcpState.TimeWait;
    this.#go(TcpState.Closed);
    this.#lifeAtMs = this.#idleAtMs = this.#pathMtu.atMs = Infinity;
    this.#handshake.end();
    this.#keepalive.stop();
    this.sender.close();
    this.host.onClosed(this);
    if (wasOver) return;
    this.#pendingEnd = end;
    // What was received in full may still be read; after any other end it is worth nothing.
    if (end === TcpEnd.Closed) this.#settleEnd();
    else this.#tellEnd(end);
  }

  #tellEnd(end: TcpEnd): void {
    this.#pendingEnd = -1;
    this.receiver.close();
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.handler.onEnd(this, end);
  }
}
