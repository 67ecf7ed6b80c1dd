/**
 * UDP (RFC 768, RFC 1122 section 4.1): sockets bound to ports, sockets bound to one flow, and a
 * forwarder that is asked about flows nobody waits for.
 *
 * A datagram goes to the socket of its flow, else to the one bound to its port and address, else to
 * one bound to its port on all of our addresses, else to the forwarder. Nothing is queued: handlers
 * take datagrams where they stand, and what is sent goes to the link endpoint at once or is dropped
 * and counted. So memory is bounded by the number of sockets.
 */
import { DropReason } from "../base/drop_reason.ts";
import { invariant } from "../base/invariant.ts";
import type { RandomSource } from "../base/random.ts";
import type { Slab } from "../memory/slab.ts";
import { checksumOf, pseudoHeaderSum, swap16 } from "../wire/checksum.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";
import { addressBytes, IpProtocol } from "../wire/ip.ts";
import {
  UDP_CHECKSUM,
  UDP_HEADER_BYTES,
  udpChecksum,
  udpDestinationPort,
  udpLength,
  udpSourcePort,
  writeUdpHeader,
} from "../wire/udp.ts";
import { type DropCounters, StackCounter, type StackCounters } from "./counters.ts";
import { flowOf } from "./flow.ts";
import { FlowTable } from "./flow_table.ts";
import { type InboundDatagram, type InboundError, Pieces } from "./inbound.ts";
import { DEFAULT_HOP_LIMIT, type IpSender, type OutputPath } from "./ip_output.ts";
import { Unreachable } from "./output.ts";
import { sameBytes } from "./same_bytes.ts";
import type { Transport } from "./transport.ts";
import {
  UdpDatagram,
  type UdpFlow,
  type UdpForwarder,
  type UdpHandler,
  type UdpSocket,
  UdpVerdict,
} from "./udp_socket.ts";

/** Sockets of one flow that exist at a time, unless said otherwise. */
const FLOWS_MAX = 4096;
/** Ports that are given to sockets that do not care (RFC 6056). */
const EPHEMERAL_FIRST = 32_768;
const EPHEMERAL_COUNT = 28_232;
/** A path's MTU is looked up again after this time. */
const MTU_CHECK_MS = 1000;

/** How a verdict is told; `Drop` is not. */
const REASON_OF_VERDICT = {
  [UdpVerdict.Refuse]: Unreachable.Port,
  [UdpVerdict.Prohibit]: Unreachable.Prohibited,
  [UdpVerdict.Unreachable]: Unreachable.Host,
} as const;

/** What UDP works with. */
export interface UdpOptions {
  readonly slab: Slab;
  readonly kernel: ChecksumKernel;
  readonly output: IpSender;
  readonly random: RandomSource;
  readonly counters: DropCounters;
  readonly stackCounters: StackCounters;
  /** Flows that may exist at a time. */
  readonly flowsMax?: number;
}

/** See the module's text. */
export class UdpLayer implements Transport {
  /** Asked about flows that no socket waits for. */
  forwarder: UdpForwarder | null = null;

  readonly #options: UdpOptions;
  readonly #view: DataView;
  readonly #flowsMax: number;
  readonly #flowTable: FlowTable;
  /** Sockets of flows by the id that the table has, and ids that are free. */
  readonly #flows: (Socket | null)[] = [];
  readonly #freeIds: number[] = [];
  /** Other sockets by port. */
  readonly #bound = new Map<number, Socket[]>();
  readonly #datagram = new UdpDatagram();
  readonly #payloads = new Pieces();
  readonly #random = new Uint8Array(2);

  constructor(options: UdpOptions) {
    this.#options = options;
    this.#view = options.slab.view;
    this.#flowsMax = options.flowsMax ?? FLOWS_MAX;
    this.#flowTable = new FlowTable(options.random);
  }

  /** Number of sockets that are bound to a flow. */
  get flowCount(): number {
    return this.#flowTable.count;
  }

  /** All sockets, for status. */
  *sockets(): Generator<UdpSocket, void, void> {
    for (const sockets of this.#bound.values()) yield* sockets;
    for (const socket of this.#flows) if (socket !== null) yield socket;
  }

  // Sockets.

  /**
   * Takes datagrams to `port` (0: any free one) of `address`, or of all our addresses for null. Null
   * when that is taken. The address need not be ours: it may belong to a forwarded prefix.
   */
  bind(address: Uint8Array | null, port: number, handler: UdpHandler): UdpSocket | null {
    const chosen = port === 0 ? this.#freePort(address) : port;
    if (chosen === 0 || this.#findBound(address, chosen) !== undefined) return null;
    const socket = new Socket(this, this.#options, handler, address?.slice() ?? null, chosen);
    const others = this.#bound.get(chosen);
    if (others === undefined) this.#bound.set(chosen, [socket]);
    else others.push(socket);
    return socket;
  }

  #findBound(address: Uint8Array | null, port: number): Socket | undefined {
    return this.#bound.get(port)?.find(({ localAddress }) =>
      address === null || localAddress === null
        ? address === localAddress
        : sameBytes(address, localAddress)
    );
  }

  #freePort(address: Uint8Array | null): number {
    const [a, b] = this.#options.random.fill(this.#random);
    const start = (a << 8) | b;
    for (let i = 0; i < EPHEMERAL_COUNT; i++) {
      const port = EPHEMERAL_FIRST + ((start + i) % EPHEMERAL_COUNT);
      if (this.#findBound(address, port) === undefined) return port;
    }
    return 0;
  }

  /** A socket for one flow, from `localPort` (0: any). Null: no address, flow taken, too many. */
  connect(
    remote: Uint8Array,
    remotePort: number,
    handler: UdpHandler,
    local?: Uint8Array,
    localPort = 0,
  ): UdpSocket | null {
    const path = this.#options.output.makePath(remote, local);
    if (path === null || this.flowCount >= this.#flowsMax) return null;
    const port = localPort === 0 ? this.#freePort(path.local) : localPort;
    this.#flowTable.load(path.local, port, path.remote, remotePort);
    if (port === 0 || this.#flowTable.find() >= 0) return null;
    return this.#insertFlow(path, port, remotePort, handler);
  }

  /** Enters a flow whose key is loaded. */
  #insertFlow(
    path: OutputPath,
    localPort: number,
    remotePort: number,
    handler: UdpHandler,
  ): Socket {
    const id = this.#freeIds.pop() ?? this.#flows.length;
    const socket = new Socket(this, this.#options, handler, path.local, localPort);
    socket.bindFlow(path, remotePort, id);
    this.#flows[id] = socket;
    this.#flowTable.insert(id);
    return socket;
  }

  /** Takes a closed socket out. */
  remove(socket: Socket): void {
    const { flow } = socket;
    if (flow !== null) {
      const { localAddress, localPort, remoteAddress, remotePort } = flow;
      this.#flowTable.load(localAddress, localPort, remoteAddress, remotePort);
      this.#flowTable.remove();
      this.#flows[socket.id] = null;
      this.#freeIds.push(socket.id);
      return;
    }
    const others = this.#bound.get(socket.localPort);
    const left = others?.filter((other) => other !== socket) ?? [];
    if (left.length > 0) this.#bound.set(socket.localPort, left);
    else this.#bound.delete(socket.localPort);
  }

  // Input.

  onDatagram(inbound: InboundDatagram, nowMs: number): void {
    const { counters } = this.#options;
    const reason = this.#check(inbound);
    if (reason !== DropReason.None) return counters.drop(reason, inbound.packetCount);
    const datagram = this.#describe(inbound);
    const socket = this.#socketFor(inbound, datagram);
    if (socket === null) return this.#onNewFlow(inbound, datagram);
    socket.checkMtu(nowMs);
    this.#deliver(socket, inbound, datagram);
  }

  #check(inbound: InboundDatagram): DropReason {
    const view = this.#view;
    const { ipVersion, ipAt, bytes, pieces } = inbound;
    const at = pieces.at[0];
    if (bytes < UDP_HEADER_BYTES) return DropReason.TransportTruncated;
    if (inbound.gsoSize > 0) {
      return inbound.isVerified ? DropReason.None : DropReason.TransportChecksumInvalid;
    }
    const length = udpLength(view, at);
    if (length < UDP_HEADER_BYTES || length > bytes) return DropReason.TransportTruncated;
    if (udpChecksum(view, at) === 0) {
      // RFC 8200 section 8.1: "IPv6 receivers must discard UDP packets containing a zero checksum".
      return ipVersion === 4 ? DropReason.None : DropReason.TransportChecksumInvalid;
    }
    if (inbound.isVerified) return DropReason.None;
    const pseudo = pseudoHeaderSum(view, ipAt, ipVersion, IpProtocol.Udp, length);
    const isRight = checksumOf(this.#options.kernel.sum(at, length, pseudo)) === 0;
    return isRight ? DropReason.None : DropReason.TransportChecksumInvalid;
  }

  #describe(inbound: InboundDatagram): UdpDatagram {
    const view = this.#view;
    const at = inbound.pieces.at[0];
    const datagram = this.#datagram;
    datagram.ipVersion = inbound.ipVersion === 4 ? 4 : 6;
    datagram.sourceAt = inbound.sourceAt;
    datagram.destinationAt = inbound.destinationAt;
    datagram.sourcePort = udpSourcePort(view, at);
    datagram.destinationPort = udpDestinationPort(view, at);
    datagram.tos = inbound.tos;
    datagram.hopLimit = inbound.hopLimit;
    datagram.mayBeFragmented = this.#options.output.mayBeFragmented(inbound);
    datagram.at = at + UDP_HEADER_BYTES;
    datagram.bytes = (inbound.gsoSize > 0 ? inbound.pieces.bytes[0] : udpLength(view, at)) -
      UDP_HEADER_BYTES;
    return datagram;
  }

  #socketFor(inbound: InboundDatagram, datagram: UdpDatagram): Socket | null {
    const { ipVersion, sourceAt, destinationAt, sourcePort, destinationPort } = datagram;
    if (this.#flowTable.count > 0) {
      const table = this.#flowTable;
      const view = this.#view;
      table.loadPacket(view, ipVersion, destinationAt, sourceAt, destinationPort, sourcePort);
      const id = table.find();
      if (id >= 0) return this.#flows[id];
    }
    return this.#boundTo(ipVersion, destinationAt, destinationPort, inbound.isLocal);
  }

  #boundTo(version: number, at: number, port: number, isLocal: boolean): Socket | null {
    const sockets = this.#bound.get(port);
    if (sockets === undefined) return null;
    let anywhere: Socket | null = null;
    for (const socket of sockets) {
      if (socket.localAddress === null) anywhere = socket;
      else if (this.#isAt(socket.localAddress, version, at)) return socket;
    }
    return isLocal ? anywhere : null;
  }

  #isAt(address: Uint8Array, version: number, at: number): boolean {
    if (address.length !== addressBytes(version)) return false;
    const { u8 } = this.#options.slab;
    for (let i = 0; i < address.length; i++) {
      if (address[i] !== u8[at + i]) return false;
    }
    return true;
  }

  #onNewFlow(inbound: InboundDatagram, datagram: UdpDatagram): void {
    const { output, counters } = this.#options;
    const count = inbound.packetCount;
    if (this.forwarder !== null && this.flowCount >= this.#flowsMax) {
      return counters.drop(DropReason.UdpFlowsFull, count);
    }
    let verdict: UdpHandler | UdpVerdict = UdpVerdict.Refuse;
    if (this.forwarder !== null) {
      const path = output.answerPath(inbound);
      const { destinationPort, sourcePort } = datagram;
      verdict = this.forwarder.onFlow(flowOf(path, destinationPort, sourcePort), datagram);
      if (typeof verdict === "object") {
        this.#flowTable.load(path.local, destinationPort, path.remote, sourcePort);
        if (this.#flowTable.find() < 0) {
          const socket = this.#insertFlow(path, destinationPort, sourcePort, verdict);
          return this.#deliver(socket, inbound, datagram);
        }
        verdict = UdpVerdict.Drop;
      }
    }
    counters.drop(DropReason.PortUnreachable, count);
    if (verdict === UdpVerdict.Drop) return;
    output.sendUnreachable(inbound, REASON_OF_VERDICT[verdict]);
  }

  #deliver(socket: Socket, inbound: InboundDatagram, datagram: UdpDatagram): void {
    this.#options.stackCounters.add(StackCounter.UdpIn, inbound.packetCount);
    const { handler } = socket;
    if (inbound.gsoSize === 0) return handler.onDatagram(socket, datagram);
    const { pieces } = inbound;
    // A header that stood apart from the first payload is a piece without payload.
    const first = pieces.bytes[0] > UDP_HEADER_BYTES ? 0 : 1;
    const payloads = this.#payloads;
    payloads.clear();
    if (first === 0) payloads.add(datagram.at, datagram.bytes);
    for (let i = 1; i < pieces.count; i++) payloads.add(pieces.at[i], pieces.bytes[i]);
    if (handler.onRun !== undefined) {
      datagram.at = payloads.at[0];
      datagram.bytes = payloads.bytes[0];
      return handler.onRun(socket, datagram, payloads);
    }
    for (let i = 0; i < payloads.count && !socket.isClosed; i++) {
      datagram.at = payloads.at[i];
      datagram.bytes = payloads.bytes[i];
      handler.onDatagram(socket, datagram);
    }
  }

  onIcmpError(error: InboundError, nowMs: number): boolean {
    const { ipVersion, localAt, remoteAt, localPort, remotePort } = error;
    const view = this.#view;
    this.#flowTable.loadPacket(view, ipVersion, localAt, remoteAt, localPort, remotePort);
    const id = this.#flowTable.find();
    let socket = id >= 0 ? this.#flows[id] : null;
    if (socket === null) {
      socket = this.#boundTo(ipVersion, localAt, localPort, true);
      if (socket === null || !socket.hasSentTo(view, remoteAt, remotePort)) return false;
    }
    socket.onIcmpError(error, nowMs);
    return true;
  }
}

/** Paths that a socket without a flow remembers: who may send it ICMP errors. */
const RECENT_PATHS = 16;

interface RecentPath {
  readonly path: OutputPath;
  port: number;
}

class Socket implements UdpSocket {
  context: unknown = undefined;
  tos = 0;
  hopLimit = DEFAULT_HOP_LIMIT;
  isClosed = false;
  flow: UdpFlow | null = null;
  /** Index in the layer's list of flows. */
  id = -1;
  readonly #layer: UdpLayer;
  readonly #options: UdpOptions;
  #path: OutputPath | null = null;
  #mtuCheckMs = 0;
  /** Newest last. */
  readonly #recent: RecentPath[] = [];

  constructor(
    layer: UdpLayer,
    options: UdpOptions,
    readonly handler: UdpHandler,
    readonly localAddress: Uint8Array | null,
    readonly localPort: number,
  ) {
    this.#layer = layer;
    this.#options = options;
  }

  bindFlow(path: OutputPath, remotePort: number, id: number): void {
    this.#path = path;
    this.flow = flowOf(path, this.localPort, remotePort);
    this.id = id;
  }

  /** Looks now and then whether the path's MTU has been told, or was forgotten. */
  checkMtu(nowMs: number): void {
    if (this.#path === null || nowMs - this.#mtuCheckMs < MTU_CHECK_MS) return;
    this.#mtuCheckMs = nowMs;
    this.#path.mtu = this.#options.output.mtuTo(this.#path.remote);
  }

  hasSentTo(view: DataView, remoteAt: number, remotePort: number): boolean {
    return this.#recent.some(({ path, port }) =>
      port === remotePort && path.remote.every((byte, i) => byte === view.getUint8(remoteAt + i))
    );
  }

  onIcmpError(error: InboundError, nowMs: number): void {
    // What was told is looked up before the next datagram.
    this.#mtuCheckMs = nowMs - MTU_CHECK_MS;
    this.handler.onError?.(this, error.kind, error.mtu);
  }

  send(at: number, bytes: number): boolean {
    const { flow } = this;
    invariant(flow !== null && this.#path !== null, "only a socket of a flow can send to it");
    this.checkMtu(this.#options.output.nowMs);
    return this.#send(this.#path, flow.remotePort, at, bytes, null);
  }

  sendTo(
    remote: Uint8Array,
    remotePort: number,
    at: number,
    bytes: number,
    local?: Uint8Array,
  ): boolean {
    if (this.flow !== null) return this.send(at, bytes);
    const path = this.#pathTo(remote, remotePort, local);
    return path !== null && this.#send(path, remotePort, at, bytes, null);
  }

  sendBytesTo(
    remote: Uint8Array,
    remotePort: number,
    payload: Uint8Array,
    local?: Uint8Array,
  ): boolean {
    const path = this.#path ?? this.#pathTo(remote, remotePort, local);
    const port = this.flow?.remotePort ?? remotePort;
    return path !== null && this.#send(path, port, 0, payload.length, payload);
  }

  reply(datagram: UdpDatagram, at: number, bytes: number): boolean {
    if (this.flow !== null) return this.send(at, bytes);
    const { u8 } = this.#options.slab;
    const length = addressBytes(datagram.ipVersion);
    const remote = u8.slice(datagram.sourceAt, datagram.sourceAt + length);
    const local = u8.slice(datagram.destinationAt, datagram.destinationAt + length);
    return this.sendTo(remote, datagram.sourcePort, at, bytes, local);
  }

  /** The path to somebody: the one used before, or a new one. */
  #pathTo(remote: Uint8Array, port: number, local?: Uint8Array): OutputPath | null {
    const from = local ?? this.localAddress ?? undefined;
    const recent = this.#recent;
    for (let i = recent.length - 1; i >= 0; i--) {
      const { path } = recent[i];
      const isSame = recent[i].port === port && sameBytes(path.remote, remote) &&
        (from === undefined || sameBytes(path.local, from));
      if (!isSame) continue;
      path.mtu = this.#options.output.mtuTo(remote);
      return path;
    }
    const path = this.#options.output.makePath(remote, from);
    if (path === null) return null;
    if (recent.length === RECENT_PATHS) recent.shift();
    recent.push({ path, port });
    return path;
  }

  #send(
    path: OutputPath,
    remotePort: number,
    from: number,
    bytes: number,
    payload: Uint8Array | null,
  ): boolean {
    if (this.isClosed) return false;
    const { output, kernel, slab, stackCounters } = this.#options;
    const length = UDP_HEADER_BYTES + bytes;
    const at = output.beginMessage(path, length);
    if (at === 0) return false;
    const payloadAt = at + UDP_HEADER_BYTES;
    writeUdpHeader(slab.view, at, this.localPort, remotePort, length);
    let sum = output.pseudoSum(path, IpProtocol.Udp, length);
    // Both ports and the length; the checksum counts as 0.
    sum += swap16(this.localPort) + swap16(remotePort) + swap16(length);
    if (payload === null) {
      sum = kernel.copySum(payloadAt, from, bytes, sum);
    } else {
      slab.u8.set(payload, payloadAt);
      sum = kernel.sum(payloadAt, bytes, sum);
    }
    const checksum = checksumOf(sum);
    // RFC 768: "If the computed checksum is zero, it is transmitted as all ones".
    slab.view.setUint16(at + UDP_CHECKSUM, checksum === 0 ? 0xffff : checksum, true);
    path.tos = this.tos;
    path.hopLimit = this.hopLimit;
    if (!output.commitMessage(path, IpProtocol.Udp, length)) return false;
    stackCounters.add(StackCounter.UdpOut, 1);
    return true;
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#layer.remove(this);
  }
}
