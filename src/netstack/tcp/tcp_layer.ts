/**
 * TCP of one stack: finds the connection of each segment, makes connections, and lets them send when
 * the stack flushes. It is the `Transport` that the IP layer hands TCP to.
 *
 * ```
 *  onDatagram ─▶ connection by flow ─▶ Connection.onSegment ─┐
 *             └▶ SYN: listener or forwarder ─▶ PendingSyn     ├─▶ awake list ─▶ flush ─▶ output
 *  onTimeout ──▶ connections that are due ───────────────────┘
 * ```
 * Records of sent segments are shared by all connections, buffers come from the stack's pool; a
 * connection that has nothing to keep has neither.
 */
import { DropReason } from "../../base/drop_reason.ts";
import { invariant } from "../../base/invariant.ts";
import type { RandomSource } from "../../base/random.ts";
import type { Slab } from "../../memory/slab.ts";
import type { ChecksumKernel } from "../../wire/checksum_kernel.ts";
import { TcpFlag } from "../../wire/tcp.ts";
import type { BufferPool } from "../buffer_pool.ts";
import type { DropCounters } from "../counters.ts";
import { flowOf } from "../flow.ts";
import { FlowTable } from "../flow_table.ts";
import type { InboundDatagram, InboundError } from "../inbound.ts";
import type { IpOutput, IpPath, Unreachable } from "../output.ts";
import { TimerHeap } from "../timer_heap.ts";
import { Connection, type ConnectionHost } from "./connection.ts";
import type { CongestionControl } from "./congestion.ts";
import { Cubic } from "./cubic.ts";
import { HalfOpenCount } from "./half_open.ts";
import { IsnGenerator, PortChooser } from "./isn.ts";
import { DEFAULT_TCP_LIMITS, type TcpLimits } from "./limits.ts";
import { ListenerTable, type TcpListener } from "./listener.ts";
import { type PendingHost, PendingSyn } from "./pending_syn.ts";
import { ReceiveBuffer } from "./receive_buffer.ts";
import { Receiver } from "./receiver.ts";
import { readSegment, TcpSegment } from "./segment.ts";
import { SegmentWriter } from "./segment_writer.ts";
import { SendBuffer } from "./send_buffer.ts";
import { Sender } from "./sender.ts";
import { SentRecords } from "./sent_records.ts";
import { TcpState } from "./state.ts";
import { SynAnswers } from "./syn_answers.ts";
import { isTransportChecksumRight } from "./verify.ts";
import type { TcpAcceptor, TcpFlow, TcpHandler } from "./tcp_socket.ts";

/** What the layer is made of. */
export interface TcpLayerOptions {
  readonly slab: Slab;
  readonly kernel: ChecksumKernel;
  readonly pool: BufferPool;
  readonly output: IpOutput;
  readonly random: RandomSource;
  readonly counters: DropCounters;
  readonly limits?: Partial<TcpLimits>;
  /** Makes the congestion control of a connection; CUBIC if left out. */
  readonly makeCongestion?: () => CongestionControl;
}

/** Nothing is accepted while so much of the pool is in use: new flows are refused first. */
const POOL_SHARE_MAX = 0.9;

/** See the module's text. */
export class TcpLayer implements ConnectionHost, PendingHost {
  /** Takes SYNs that no listener wants; null: they are answered with RST. */
  forwarder: TcpAcceptor | null = null;
  readonly limits: TcpLimits;
  /** The time that everything goes by; every call that takes `nowMs` sets it. */
  nowMs = 0;

  readonly #options: TcpLayerOptions;
  readonly #flows: FlowTable;
  readonly #timers = new TimerHeap();
  readonly #records = new SentRecords();
  readonly #listeners = new ListenerTable();
  readonly #isns: IsnGenerator;
  readonly #ports: PortChooser;
  readonly #halfOpen: HalfOpenCount;
  readonly #answers: SynAnswers;
  readonly #segment = new TcpSegment();
  /** What each id stands for. */
  readonly #endpoints: (Connection | PendingSyn | null)[] = [];
  readonly #freeIds: number[] = [];
  /** Connections in TIME-WAIT, oldest first. */
  readonly #timeWait = new Set<Connection>();
  #connectionCount = 0;
  #awakeFirst: Connection | null = null;
  #awakeLast: Connection | null = null;
  /** The datagram whose SYN is being offered to an acceptor. */
  #offered: InboundDatagram | null = null;

  constructor(options: TcpLayerOptions) {
    this.#options = options;
    this.limits = { ...DEFAULT_TCP_LIMITS, ...options.limits };
    const { random } = options;
    this.#flows = new FlowTable(random);
    this.#isns = new IsnGenerator(random);
    this.#ports = new PortChooser(random);
    const { halfOpenMax, halfOpenPerRemoteMax } = this.limits;
    this.#halfOpen = new HalfOpenCount(random, halfOpenMax, halfOpenPerRemoteMax);
    this.#answers = new SynAnswers(options, this.limits);
  }

  /** Whether some connection waits to send. */
  get hasOutput(): boolean {
    return this.#awakeFirst !== null;
  }

  /** Connections in any state but TIME-WAIT. */
  get connectionCount(): number {
    return this.#connectionCount;
  }

  /** Half-open connections. */
  get halfOpenCount(): number {
    return this.#halfOpen.total;
  }

  /** All connections, for status. */
  *connections(): Iterable<Connection> {
    for (const endpoint of this.#endpoints) if (endpoint instanceof Connection) yield endpoint;
  }

  /**
   * Opens a connection to `remote` (4 or 16 bytes). Throws when no address of ours can reach it, no
   * port is left, or there are too many connections.
   */
  connect(
    remote: Uint8Array,
    port: number,
    handler: TcpHandler,
    nowMs: number,
    local: { readonly address?: Uint8Array; readonly port?: number } = {},
  ): Connection {
    this.nowMs = nowMs;
    const path = this.#options.output.makePath(remote, local.address);
    if (path === null) throw new Error("Cannot connect: the stack has no address of that family");
    if (this.#isFull) throw new Error("Cannot connect: too many connections, or memory is used up");
    const localPort = local.port ?? this.#ports.choose(
      path.local,
      remote,
      port,
      (free) => this.#isFree(path, free, port),
    );
    if (localPort === 0 || !this.#isFree(path, localPort, port)) {
      throw new Error("Cannot connect: no local port is free for that destination");
    }
    const flow = flowOf(path, localPort, port);
    const connection = this.#make(this.#takeId(), flow, path, handler);
    this.#enter(flow, connection.id, connection);
    this.#connectionCount++;
    const isn = this.#isns.isn(path.local, localPort, remote, port, nowMs);
    connection.writer.stampOffset = this.#isns.stampOffset;
    connection.open(isn, nowMs);
    return connection;
  }

  /** Takes SYNs for `port`, of `address` or of any (null). Throws when somebody does already. */
  listen(address: Uint8Array | null, port: number, acceptor: TcpAcceptor): TcpListener {
    return this.#listeners.add(address, port, acceptor);
  }

  /** A TCP segment, or a run of segments, has come in. */
  onDatagram(datagram: InboundDatagram, nowMs: number): void {
    this.nowMs = nowMs;
    const { slab, kernel, counters } = this.#options;
    const segment = this.#segment;
    if (!readSegment(slab.view, datagram, segment)) {
      counters.drop(DropReason.TransportTruncated);
      return;
    }
    if (!datagram.isVerified && !isTransportChecksumRight(slab.view, kernel, datagram)) {
      counters.drop(DropReason.TransportChecksumInvalid);
      return;
    }
    this.#flows.loadPacket(
      slab.view,
      datagram.ipVersion,
      datagram.destinationAt,
      datagram.sourceAt,
      segment.destinationPort,
      segment.sourcePort,
    );
    const id = this.#flows.find();
    if (id < 0) {
      this.#onUnknown(datagram, segment);
      return;
    }
    const endpoint = this.#endpoints[id]!;
    if (endpoint instanceof PendingSyn) this.#onPendingSegment(endpoint, segment);
    else if (endpoint.mayBeReplacedBy(segment)) {
      endpoint.forget();
      this.#onUnknown(datagram, segment);
    } else endpoint.onSegment(segment, nowMs);
  }

  /** An ICMP error about a segment of ours; whether it belongs to a connection. */
  onIcmpError(error: InboundError, nowMs: number): boolean {
    this.nowMs = nowMs;
    this.#flows.loadPacket(
      this.#options.slab.view,
      error.ipVersion,
      error.localAt,
      error.remoteAt,
      error.localPort,
      error.remotePort,
    );
    const id = this.#flows.find();
    const endpoint = id < 0 ? null : this.#endpoints[id];
    if (!(endpoint instanceof Connection)) return false;
    return endpoint.onIcmpError(error.kind, error.sequence, error.mtu, nowMs);
  }

  /** When `onTimeout` may have something to do; Infinity for never. */
  nextTimeoutMs(): number {
    return this.#timers.nextMs;
  }

  /** Does what is due. */
  onTimeout(nowMs: number): void {
    this.nowMs = nowMs;
    for (let id = this.#timers.popDue(nowMs); id >= 0; id = this.#timers.popDue(nowMs)) {
      const endpoint = this.#endpoints[id];
      if (endpoint instanceof PendingSyn) this.#expirePending(endpoint);
      else if (endpoint !== null) {
        // The heap may be early: a deadline that moves back is not told to it.
        if (endpoint.deadlineMs <= nowMs) endpoint.onTimeout(nowMs);
        else this.schedule(endpoint);
      }
    }
  }

  /** Lets connections send, each some segments at a time, until all have or the link is full. */
  flush(nowMs: number): void {
    this.nowMs = nowMs;
    const { output } = this.#options;
    while (this.#awakeFirst !== null && !output.isFull) {
      const connection = this.#awakeFirst;
      this.#awakeFirst = connection.nextAwake;
      if (this.#awakeFirst === null) this.#awakeLast = null;
      connection.nextAwake = null;
      connection.isAwake = false;
      if (connection.state !== TcpState.Closed && connection.output(nowMs)) this.wake(connection);
    }
    // A claim that fails tells the link that somebody waits for room.
    if (this.#awakeFirst !== null) output.begin(this.#awakeFirst.writer.path);
  }

  // What connections ask for.

  wake(connection: Connection): void {
    if (connection.isAwake) return;
    connection.isAwake = true;
    if (this.#awakeLast === null) this.#awakeFirst = connection;
    else this.#awakeLast.nextAwake = connection;
    this.#awakeLast = connection;
  }

  schedule(connection: Connection): void {
    const { deadlineMs } = connection;
    if (deadlineMs < this.#timers.deadlineMs(connection.id)) {
      this.#timers.set(connection.id, deadlineMs);
    }
  }

  onHandshakeOver(connection: Connection): void {
    if (connection.isPassive) this.#halfOpen.leave(connection.flow.remoteAddress);
  }

  onTimeWait(connection: Connection): void {
    this.#connectionCount--;
    this.#timeWait.add(connection);
    if (this.#timeWait.size <= this.limits.timeWaitMax) return;
    for (const oldest of this.#timeWait) {
      oldest.forget();
      return;
    }
  }

  onClosed(connection: Connection): void {
    if (!this.#timeWait.delete(connection)) this.#connectionCount--;
    this.#leave(connection.flow, connection.id);
  }

  // What acceptors decide.

  acceptPending(pending: PendingSyn, handler: TcpHandler): Connection {
    const { flow, path } = pending;
    pending.isDecided = true;
    const connection = this.#make(pending.id, flow, path, handler);
    this.#endpoints[pending.id] = connection;
    this.#timers.clear(pending.id);
    this.#connectionCount++;
    connection.adoptSyn(pending);
    connection.sender.ecn.isOn = pending.hasEcn;
    if (pending.hasCookie) {
      this.#halfOpen.leave(flow.remoteAddress);
      connection.writer.stampOffset = this.#answers.stampOffset;
      connection.resume(pending.cookie, this.nowMs);
      return connection;
    }
    const { localAddress, localPort, remoteAddress, remotePort } = flow;
    const isn = this.#isns.isn(localAddress, localPort, remoteAddress, remotePort, this.nowMs);
    connection.writer.stampOffset = this.#isns.stampOffset;
    connection.answer(isn, this.nowMs);
    return connection;
  }

  refusePending(pending: PendingSyn): void {
    this.#answers.refuse(pending);
    this.dropPending(pending);
  }

  rejectPending(pending: PendingSyn, reason: Unreachable): void {
    this.#answers.unreachable(pending, reason, this.#offered);
    this.dropPending(pending);
  }

  dropPending(pending: PendingSyn): void {
    pending.isDecided = true;
    this.#timers.clear(pending.id);
    this.#halfOpen.leave(pending.flow.remoteAddress);
    this.#leave(pending.flow, pending.id);
  }

  get #isFull(): boolean {
    const { pool } = this.#options;
    return this.#connectionCount >= this.limits.connectionsMax ||
      pool.usedBytes > POOL_SHARE_MAX * pool.totalBytes;
  }

  /** A segment of no connection (RFC 9293 sections 3.10.7.1 and 3.10.7.2). */
  #onUnknown(datagram: InboundDatagram, segment: TcpSegment): void {
    if (segment.has(TcpFlag.Rst)) return;
    const acceptor = this.#acceptorFor(datagram, segment);
    // A listener has nothing to say to a segment without SYN and ACK, nor to SYN with FIN.
    const isSenseless = segment.has(TcpFlag.Syn | TcpFlag.Fin) ||
      (acceptor !== null && !segment.has(TcpFlag.Syn) && !segment.has(TcpFlag.Ack));
    if (isSenseless) {
      this.#options.counters.drop(DropReason.TcpUnmatched, segment.packetCount);
      return;
    }
    // RFC 9293 section 3.10.7.2: a listener answers neither what opens nothing and acknowledges
    // nothing, nor a SYN that wants to end what it opens.
    const isOdd = !segment.has(TcpFlag.Syn) || segment.has(TcpFlag.Fin);
    if (acceptor !== null && !segment.has(TcpFlag.Ack) && isOdd) {
      this.#options.counters.drop(DropReason.TcpUnmatched, segment.packetCount);
      return;
    }
    if (segment.has(TcpFlag.Ack) || !segment.has(TcpFlag.Syn)) {
      const isCookie = acceptor !== null && segment.has(TcpFlag.Ack) &&
        !segment.has(TcpFlag.Syn) && this.#onCookie(datagram, segment, acceptor);
      if (isCookie) return;
      this.#options.counters.drop(DropReason.TcpUnmatched, segment.packetCount);
      this.#answers.reset(datagram, segment);
    } else if (acceptor === null) {
      this.#options.counters.drop(DropReason.TcpUnmatched);
      this.#answers.reset(datagram, segment);
    } else this.#onSyn(datagram, segment, acceptor);
  }

  #acceptorFor(datagram: InboundDatagram, segment: TcpSegment): TcpAcceptor | null {
    const { u8 } = this.#options.slab;
    const length = datagram.ipVersion === 4 ? 4 : 16;
    const port = segment.destinationPort;
    const { destinationAt, isLocal } = datagram;
    return this.#listeners.find(u8, destinationAt, length, port, isLocal) ?? this.forwarder;
  }

  #onSyn(datagram: InboundDatagram, segment: TcpSegment, acceptor: TcpAcceptor): void {
    const { counters, output } = this.#options;
    // RFC 9293 MUST-57: "must silently discard" a SYN to a broadcast or multicast address.
    if (!this.#isBetweenHosts(datagram)) return counters.drop(DropReason.IpSourceInvalid);
    if (this.#isFull) return counters.drop(DropReason.TcpConnectionsFull);
    const path = output.answerPath(datagram);
    if (this.#halfOpen.isFullFor(path.remote)) return counters.drop(DropReason.TcpHalfOpenFull);
    if (this.#halfOpen.isFull) {
      counters.drop(DropReason.TcpHalfOpenFull);
      this.#answers.sendCookie(path, segment, this.nowMs);
      return;
    }
    this.#offer(datagram, segment, acceptor, path, false, 0);
  }

  /** An ACK for no connection may be the answer to a SYN cookie. */
  #onCookie(datagram: InboundDatagram, segment: TcpSegment, acceptor: TcpAcceptor): boolean {
    if (!this.#answers.areCookiesOut(this.nowMs)) return false;
    const path = this.#options.output.answerPath(datagram);
    const { window } = segment;
    if (!this.#answers.readCookie(path, segment, this.nowMs)) return false;
    if (this.#isFull) return true;
    // The segment was rewritten into the SYN that it proves.
    const id = this.#offer(datagram, segment, acceptor, path, true, (segment.ack - 1) | 0);
    const endpoint = this.#endpoints[id];
    if (!(endpoint instanceof Connection)) return true;
    // It was accepted at once, so what the ACK brought along counts.
    segment.seq = (segment.seq + 1) | 0;
    segment.window = window;
    endpoint.onSegment(segment, this.nowMs);
    return true;
  }

  #isBetweenHosts(datagram: InboundDatagram): boolean {
    const { u8 } = this.#options.slab;
    const first = datagram.ipVersion === 4 ? 224 : 255;
    return u8[datagram.sourceAt] < first && u8[datagram.destinationAt] < first;
  }

  #offer(
    datagram: InboundDatagram,
    segment: TcpSegment,
    acceptor: TcpAcceptor,
    path: IpPath,
    hasCookie: boolean,
    cookie: number,
  ): number {
    const id = this.#takeId();
    const flow = flowOf(path, segment.destinationPort, segment.sourcePort);
    const pending = new PendingSyn(id, this, acceptor, flow, path, segment, hasCookie, cookie);
    this.#enter(flow, id, pending);
    this.#halfOpen.enter(path.remote);
    this.#timers.set(id, this.nowMs + this.limits.pendingMs);
    this.#offered = datagram;
    acceptor.onSyn(pending);
    this.#offered = null;
    return id;
  }

  /** While a SYN waits for its decision only a RST means anything. */
  #onPendingSegment(pending: PendingSyn, segment: TcpSegment): void {
    if (!segment.has(TcpFlag.Rst)) return;
    if (segment.seq === ((pending.seq + 1) | 0)) this.#expirePending(pending);
  }

  #expirePending(pending: PendingSyn): void {
    this.dropPending(pending);
    pending.acceptor.onPendingGone(pending);
  }

  #make(id: number, flow: TcpFlow, path: IpPath, handler: TcpHandler): Connection {
    const { slab, pool, output } = this.#options;
    const { limits } = this;
    const writer = new SegmentWriter(slab, output, path, flow.localPort, flow.remotePort);
    const receiver = new Receiver(
      new ReceiveBuffer(slab, pool),
      limits.delayedAckMs,
      limits.receiveBytesFirst,
      limits.receiveBytesMax,
    );
    const sender = new Sender(
      new SendBuffer(slab, pool),
      this.#records,
      writer,
      receiver,
      this.#options.makeCongestion?.() ?? new Cubic(),
      limits.sentSegmentsMax,
      limits.dataTimeoutMs,
    );
    return new Connection(id, this, flow, handler, writer, sender, receiver);
  }

  #isFree(path: IpPath, localPort: number, remotePort: number): boolean {
    this.#flows.load(path.local, localPort, path.remote, remotePort);
    return this.#flows.find() < 0;
  }

  #takeId(): number {
    return this.#freeIds.pop() ?? this.#endpoints.push(null) - 1;
  }

  #enter(flow: TcpFlow, id: number, endpoint: Connection | PendingSyn): void {
    this.#flows.load(flow.localAddress, flow.localPort, flow.remoteAddress, flow.remotePort);
    this.#flows.insert(id);
    this.#endpoints[id] = endpoint;
  }

  #leave(flow: TcpFlow, id: number): void {
    this.#flows.load(flow.localAddress, flow.localPort, flow.remoteAddress, flow.remotePort);
    invariant(this.#flows.remove(), "a connection is in the table until it is closed");
    this.#timers.clear(id);
    this.#endpoints[id] = null;
    this.#freeIds.push(id);
  }
}
