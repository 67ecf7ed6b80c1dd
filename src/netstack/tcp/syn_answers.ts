/**
 * Answers that need no connection: RST to segments of nobody, SYN cookies (RFC 4987) when the SYN
 * queue is full, refusals of pending SYNs.
 */
import type { RandomSource } from "../../base/random.ts";
import type { Slab } from "../../memory/slab.ts";
import { IpProtocol } from "../../wire/ip.ts";
import { IPV4_HEADER_BYTES, setIpv4Checksum, writeIpv4Header } from "../../wire/ipv4.ts";
import { IPV6_HEADER_BYTES, writeIpv6Header } from "../../wire/ipv6.ts";
import { TCP_HEADER_BYTES, TcpFlag, writeTcpHeader } from "../../wire/tcp.ts";
import type { BufferPool } from "../buffer_pool.ts";
import { InboundDatagram } from "../inbound.ts";
import type { IpOutput, IpPath, Unreachable } from "../output.ts";
import { MSS_DEFAULT_V4, MSS_DEFAULT_V6, MSS_MIN, type TcpLimits } from "./limits.ts";
import type { PendingSyn } from "./pending_syn.ts";
import { Receiver } from "./receiver.ts";
import type { TcpSegment } from "./segment.ts";
import { SegmentWriter } from "./segment_writer.ts";
import { cookieHasSack, cookieScale, cookieTimestamp, SynCookies } from "./syn_cookie.ts";

/** What it works with. */
export interface SynAnswersOptions {
  readonly slab: Slab;
  readonly pool: BufferPool;
  readonly output: IpOutput;
  readonly random: RandomSource;
}

/** How long a cookie is good at most. */
const COOKIE_LIFE_MS = 120_000;

/** See the module's text. */
export class SynAnswers {
  readonly #options: SynAnswersOptions;
  readonly #limits: TcpLimits;
  readonly #cookies: SynCookies;
  #cookieSentMs = -Infinity;
  readonly #stampOffset: number;

  constructor(options: SynAnswersOptions, limits: TcpLimits) {
    this.#options = options;
    this.#limits = limits;
    this.#cookies = new SynCookies(options.random);
    const bytes = options.random.fill(new Uint8Array(4));
    this.#stampOffset = new DataView(bytes.buffer).getInt32(0);
  }

  /** RFC 9293 section 3.10.7.1: what belongs to no connection is answered with RST. */
  reset(datagram: InboundDatagram, segment: TcpSegment): void {
    const path = this.#options.output.answerPath(datagram);
    const { destinationPort, sourcePort } = segment;
    if (segment.has(TcpFlag.Ack)) {
      this.#reset(path, destinationPort, sourcePort, segment.ack, 0, TcpFlag.Rst);
      return;
    }
    const ack = (segment.seq + segment.length) | 0;
    this.#reset(path, destinationPort, sourcePort, 0, ack, TcpFlag.Rst | TcpFlag.Ack);
  }

  /** Answers a pending SYN with RST. */
  refuse(pending: PendingSyn): void {
    const { path, flow: { localPort, remotePort } } = pending;
    if (pending.hasCookie) {
      this.#reset(path, localPort, remotePort, (pending.cookie + 1) | 0, 0, TcpFlag.Rst);
      return;
    }
    const flags = TcpFlag.Rst | TcpFlag.Ack;
    this.#reset(path, localPort, remotePort, 0, (pending.seq + 1) | 0, flags);
  }

  /**
   * Answers a pending SYN with an ICMP error. When `offered`, its datagram, is gone already, one like
   * it is made to be quoted. After a SYN cookie the other end has a connection, which RST ends.
   */
  unreachable(
    pending: PendingSyn,
    reason: Unreachable,
    offered: InboundDatagram | null,
  ): void {
    const { output, pool } = this.#options;
    if (pending.hasCookie) this.refuse(pending);
    else if (offered !== null) output.sendUnreachable(offered, reason);
    else {
      const at = pool.allocate(IPV6_HEADER_BYTES + TCP_HEADER_BYTES);
      if (at === 0) return;
      output.sendUnreachable(this.#quote(pending, at), reason);
      pool.free(at);
    }
  }

  /** Answers a SYN without keeping anything of it. */
  sendCookie(path: IpPath, segment: TcpSegment, nowMs: number): void {
    const { sourcePort, destinationPort } = segment;
    const mssDefault = path.ipVersion === 4 ? MSS_DEFAULT_V4 : MSS_DEFAULT_V6;
    const mss = segment.mss === 0 ? mssDefault : Math.max(segment.mss, MSS_MIN);
    const { local, remote } = path;
    const iss = this.#cookies.make(
      local,
      destinationPort,
      remote,
      sourcePort,
      segment.seq,
      mss,
      nowMs,
    );
    const writer = this.#writer(path, destinationPort, sourcePort);
    writer.hasTimestamps = segment.hasTimestamps;
    writer.hasSack = segment.hasTimestamps && segment.hasSackPermitted;
    writer.tsRecent = segment.tsVal;
    const hasScale = segment.hasTimestamps && segment.windowScale >= 0;
    const scale = hasScale ? segment.windowScale : -1;
    if (segment.hasTimestamps) {
      const plain = (Math.floor(nowMs) + this.#stampOffset) | 0;
      const stamp = cookieTimestamp(plain, scale, segment.hasSackPermitted);
      writer.stampOffset = (stamp - Math.floor(nowMs)) | 0;
    }
    const window = Math.min(this.#limits.receiveBytesFirst, 0xffff);
    const ownScale = hasScale ? Receiver.scaleFor(this.#limits.receiveBytesMax) : -1;
    const flags = TcpFlag.Syn | TcpFlag.Ack;
    writer.sendSyn(iss, (segment.seq + 1) | 0, flags, window, ownScale, nowMs);
    this.#cookieSentMs = nowMs;
  }

  /** Whether an ACK may answer a cookie at all. */
  areCookiesOut(nowMs: number): boolean {
    return nowMs - this.#cookieSentMs < COOKIE_LIFE_MS;
  }

  /**
   * Whether an ACK answers a cookie of ours. If so, `segment` is changed into what the SYN was; its
   * acknowledgment number stays.
   */
  readCookie(path: IpPath, segment: TcpSegment, nowMs: number): boolean {
    const irs = (segment.seq - 1) | 0;
    const cookie = (segment.ack - 1) | 0;
    const { destinationPort, sourcePort } = segment;
    const { local, remote } = path;
    const mss = this.#cookies.check(
      local,
      destinationPort,
      remote,
      sourcePort,
      irs,
      cookie,
      nowMs,
    );
    if (mss === 0) return false;
    segment.seq = irs;
    segment.mss = mss;
    segment.windowScale = segment.hasTimestamps ? cookieScale(segment.tsEcr) : -1;
    segment.hasSackPermitted = segment.hasTimestamps && cookieHasSack(segment.tsEcr);
    // The window of an ACK is scaled, that of a SYN is not.
    if (segment.windowScale > 0) {
      segment.window *= 1 << Math.min(segment.windowScale, 14);
    }
    return true;
  }

  /** For connections from cookies: what their timestamps have beyond milliseconds. */
  get stampOffset(): number {
    return this.#stampOffset;
  }

  #writer(path: IpPath, localPort: number, remotePort: number): SegmentWriter {
    const { slab, output } = this.#options;
    return new SegmentWriter(slab, output, path, localPort, remotePort);
  }

  #reset(
    path: IpPath,
    localPort: number,
    remotePort: number,
    seq: number,
    ack: number,
    flags: number,
  ): void {
    const { slab, output } = this.#options;
    const at = output.begin(path);
    if (at < 0) return;
    writeTcpHeader(
      slab.view,
      at,
      localPort,
      remotePort,
      seq,
      ack,
      TCP_HEADER_BYTES,
      flags,
      0,
    );
    output.commitTcp(path, TCP_HEADER_BYTES, 0, 0, MSS_DEFAULT_V4, 0);
  }

  /** A datagram like the one that the SYN came in. */
  #quote(pending: PendingSyn, at: number): InboundDatagram {
    const { slab: { view, u8 } } = this.#options;
    const { flow, path } = pending;
    const isV4 = flow.ipVersion === 4;
    const quote = new InboundDatagram();
    quote.ipVersion = flow.ipVersion;
    quote.ipAt = at;
    quote.ipHeaderBytes = isV4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
    quote.sourceAt = at + (isV4 ? 12 : 8);
    quote.destinationAt = quote.sourceAt + path.local.length;
    quote.protocol = IpProtocol.Tcp;
    quote.bytes = TCP_HEADER_BYTES;
    quote.isVerified = true;
    const tcpAt = at + quote.ipHeaderBytes;
    if (isV4) {
      writeIpv4Header(view, at, IPV4_HEADER_BYTES + TCP_HEADER_BYTES, 0, 0, 0, 1, IpProtocol.Tcp);
    } else writeIpv6Header(view, at, TCP_HEADER_BYTES, 0, 1, IpProtocol.Tcp);
    u8.set(path.remote, quote.sourceAt);
    u8.set(path.local, quote.destinationAt);
    if (isV4) setIpv4Checksum(view, at, IPV4_HEADER_BYTES);
    const { remotePort, localPort } = flow;
    writeTcpHeader(
      view,
      tcpAt,
      remotePort,
      localPort,
      pending.seq,
      0,
      TCP_HEADER_BYTES,
      TcpFlag.Syn,
      pending.window,
    );
    quote.pieces.add(tcpAt, TCP_HEADER_BYTES);
    return quote;
  }
}
