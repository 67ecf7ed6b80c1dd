/** A host and a stack for tests of forwarding: arrays instead of sockets and of a network. */
import { assert } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import { type HostError, HostEvent, type HostSockets } from "../../src/forward/host_sockets.ts";
import { createSlab, type Slab } from "../../src/memory/slab.ts";
import { Pieces } from "../../src/netstack/inbound.ts";
import type {
  PendingTcp,
  TcpConnection,
  TcpEnd,
  TcpFlow,
  TcpHandler,
} from "../../src/netstack/tcp/tcp_socket.ts";
import {
  UdpDatagram,
  type UdpFlow,
  type UdpForwarder,
  type UdpHandler,
  type UdpSocket,
  type UdpVerdict,
} from "../../src/netstack/udp_socket.ts";

/** One socket of the host, with what its other end does and has got. */
export class FakeSocket {
  /** What `connectResult` answers. */
  connectResult = 0;
  /** Bytes that the host has for the reader. */
  readonly toRead: number[] = [];
  /** Bytes that were written to the host. */
  readonly written: number[] = [];
  /** Bytes that the host takes before it says EAGAIN. */
  room = Infinity;
  /** The host has ended its direction, behind `toRead`. */
  isEnded = false;
  /** A negated errno that reads and writes answer. */
  error = 0;
  state: "open" | "closed" | "aborted" = "open";
  isDatagram = false;
  readonly datagramsToRead: number[][] = [];
  readonly datagramsWritten: number[][] = [];
  isWriteShut = false;
  localPort = 0;
  hopLimit = 64;
  /** Datagrams with more than this, IPv4 and UDP headers included, are refused with EMSGSIZE. */
  pathMtu = Infinity;
  readonly errors: Partial<HostError>[] = [];
  /** Whether datagrams that wait are read in one go. */
  mergesDatagrams = false;
  /** A negated errno that runs of datagrams get; single ones are taken. */
  runError = 0;
  /** A negated errno that the next call answers, as a socket's error does. */
  pendingError = 0;
  writes = 0;
  reads = 0;

  constructor(
    readonly number: number,
    readonly token: number,
    readonly address: Uint8Array,
    readonly port: number,
  ) {}
}

/** The host. Events are delivered by the next `poll`. */
export class FakeHost implements HostSockets {
  readonly sockets: FakeSocket[] = [];
  /** What the next opening calls answer instead of a socket: negated errnos. */
  readonly openErrors: number[] = [];
  /** UDP ports that refuse, each as "length of the address:port". */
  readonly deadPorts = new Set<string>();
  /** Addresses of the host's own, as texts of their bytes. */
  readonly ownAddresses = new Set<string>();
  #events: { token: number; events: number }[] = [];
  #polled: { token: number; events: number }[] = [];

  constructor(readonly slab: Slab = createSlab(8 * 1024 * 1024)) {}

  /** Sockets that are open. */
  get open(): FakeSocket[] {
    return this.sockets.filter(({ state }) => state === "open");
  }

  /** The socket that was opened last. */
  get last(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error("no socket was opened");
    return socket;
  }

  /** Raises an event of a socket. */
  raise(socket: FakeSocket, events: number): void {
    this.#events.push({ token: socket.token, events });
  }

  /** The dial of a socket has come to its end. */
  dialled(socket: FakeSocket, result = 0): void {
    socket.connectResult = result;
    this.raise(
      socket,
      result === 0 ? HostEvent.Writable : HostEvent.Writable | HostEvent.Error | HostEvent.HungUp,
    );
  }

  /** The host sends bytes, and ends its direction if told so. */
  give(socket: FakeSocket, bytes: readonly number[], isEnd = false): void {
    for (const byte of bytes) socket.toRead.push(byte);
    if (isEnd) socket.isEnded = true;
    this.raise(socket, HostEvent.Readable | (isEnd ? HostEvent.Ended : 0));
  }

  /** The host has room again. */
  makeRoom(socket: FakeSocket, room = Infinity): void {
    socket.room = room;
    this.raise(socket, HostEvent.Writable);
  }

  /** The host has failed. */
  fail(socket: FakeSocket, errno: number): void {
    socket.error = -errno;
    this.raise(socket, HostEvent.Readable | HostEvent.Error | HostEvent.HungUp);
  }

  poll(): number {
    this.#polled = this.#events.splice(0);
    return this.#polled.length;
  }

  tokenAt(i: number): number {
    return this.#polled[i].token;
  }

  eventsAt(i: number): number {
    return this.#polled[i].events;
  }

  connectTcp(address: Uint8Array, port: number, token: number): number {
    return this.#openSocket(address, port, token);
  }

  isOwnAddress(address: Uint8Array): boolean {
    return this.ownAddresses.has(String(address));
  }

  connectUdp(address: Uint8Array, port: number, token: number): number {
    const number = this.#openSocket(address, port, token);
    if (number >= 0) {
      this.last.isDatagram = true;
      if (this.deadPorts.has(`${address.length}:${port}`)) {
        this.last.connectResult = -Errno.ECONNREFUSED;
      }
    }
    return number;
  }

  /** The host sends a datagram. */
  giveDatagram(socket: FakeSocket, bytes: readonly number[]): void {
    socket.datagramsToRead.push([...bytes]);
    this.raise(socket, HostEvent.Readable);
  }

  connectRouted(address: Uint8Array, port: number, token: number, fromPort: number): number {
    const number = this.#openSocket(address, port, token);
    if (number < 0) return number;
    this.last.isDatagram = true;
    this.last.localPort = fromPort === 0 ? 50_000 + number : fromPort;
    return number;
  }

  connectEcho(address: Uint8Array, token: number): number {
    const number = this.#openSocket(address, 0, token);
    if (number >= 0) this.last.isDatagram = true;
    return number;
  }

  localPort(socket: number): number {
    return this.#get(socket).localPort;
  }

  setHopLimit(socket: number, _ipVersion: number, hopLimit: number): void {
    this.#get(socket).hopLimit = hopLimit;
  }

  writeFragmenting(socket: number, _ipVersion: number, at: number, bytes: number): number {
    const fake = this.#get(socket);
    const { pathMtu } = fake;
    fake.pathMtu = Infinity;
    const result = this.write(socket, at, bytes);
    fake.pathMtu = pathMtu;
    return result;
  }

  pathMtu(socket: number): number {
    return this.#get(socket).pathMtu;
  }

  readError(socket: number, error: HostError): boolean {
    const next = this.#get(socket).errors.shift();
    if (next === undefined) return false;
    Object.assign(error, next);
    return true;
  }

  /** The host has got ICMP errors about what a routed socket has sent. */
  giveErrors(socket: FakeSocket, errno: number, ...errors: Partial<HostError>[]): void {
    socket.errors.push(...errors);
    socket.pendingError = -errno;
    this.raise(socket, HostEvent.Error);
  }

  connectResult(socket: number): number {
    return this.#get(socket).connectResult;
  }

  read(number: number, at: number, capacity: number): number {
    const socket = this.#get(number);
    socket.reads++;
    if (socket.error !== 0) return socket.error;
    if (socket.pendingError !== 0) return takePending(socket);
    if (socket.isDatagram) {
      const datagram = socket.datagramsToRead.shift();
      if (datagram === undefined) return -Errno.EAGAIN;
      this.slab.u8.set(datagram, at);
      return datagram.length;
    }
    const bytes = socket.toRead.splice(0, capacity);
    this.slab.u8.set(bytes, at);
    if (bytes.length > 0) return bytes.length;
    return socket.isEnded ? 0 : -Errno.EAGAIN;
  }

  segmentBytes = 0;

  /** Merges datagrams as the kernel does: of one length, the last one shorter or as long. */
  readRun(number: number, at: number, capacity: number): number {
    const socket = this.#get(number);
    assert(socket.isDatagram && capacity === 65_535);
    const bytes = this.read(number, at, capacity);
    this.segmentBytes = Math.max(0, bytes);
    let total = bytes;
    while (bytes > 0 && total % bytes === 0 && socket.mergesDatagrams) {
      const next = socket.datagramsToRead[0];
      if (next === undefined || next.length === 0 || next.length > bytes) break;
      socket.datagramsToRead.shift();
      this.slab.u8.set(next, at + total);
      total += next.length;
    }
    return total;
  }

  write(number: number, at: number, bytes: number): number {
    const pieces = new Pieces();
    pieces.add(at, bytes);
    return this.writePieces(number, pieces);
  }

  writePieces(number: number, pieces: Pieces): number {
    const socket = this.#get(number);
    socket.writes++;
    if (socket.error !== 0) return socket.error;
    if (socket.pendingError !== 0) return takePending(socket);
    if (socket.isDatagram && pieces.totalBytes + 28 > socket.pathMtu) return -Errno.EMSGSIZE;
    if (socket.room === 0) return -Errno.EAGAIN;
    if (socket.isDatagram) {
      const datagram = this.slab.u8.slice(pieces.at[0], pieces.at[0] + pieces.bytes[0]);
      socket.datagramsWritten.push([...datagram]);
      return datagram.length;
    }
    let taken = 0;
    for (let i = 0; i < pieces.count; i++) {
      for (let j = 0; j < pieces.bytes[i] && socket.room > 0; j++, socket.room--, taken++) {
        socket.written.push(this.slab.u8[pieces.at[i] + j]);
      }
    }
    return taken;
  }

  writeRun(
    number: number,
    pieces: Pieces,
    first: number,
    count: number,
    segmentBytes: number,
  ): number {
    const socket = this.#get(number);
    assert(socket.isDatagram && count <= 64);
    if (socket.runError !== 0) return socket.runError;
    if (socket.error !== 0) return socket.error;
    if (socket.pendingError !== 0) return takePending(socket);
    if (segmentBytes + 28 > socket.pathMtu) return -Errno.EMSGSIZE;
    if (socket.room === 0) return -Errno.EAGAIN;
    socket.writes++;
    let bytes = 0;
    for (let i = first; i < first + count; i++) {
      assert(
        i === first + count - 1
          ? pieces.bytes[i] <= segmentBytes
          : pieces.bytes[i] === segmentBytes,
      );
      const data = this.slab.u8.slice(pieces.at[i], pieces.at[i] + pieces.bytes[i]);
      socket.datagramsWritten.push([...data]);
      bytes += data.length;
    }
    assert(bytes <= 65_507);
    return bytes;
  }

  shutdownWrite(number: number): number {
    this.#get(number).isWriteShut = true;
    return 0;
  }

  close(number: number): void {
    this.#get(number).state = "closed";
  }

  abort(number: number): void {
    this.#get(number).state = "aborted";
  }

  #openSocket(address: Uint8Array, port: number, token: number): number {
    const error = this.openErrors.shift();
    if (error !== undefined && error !== 0) return error;
    const socket = new FakeSocket(this.sockets.length, token, address, port);
    this.sockets.push(socket);
    return socket.number;
  }

  /** Only a socket that is open may be used: descriptors are given out again. */
  #get(number: number): FakeSocket {
    const socket = this.sockets[number];
    assert(socket?.state === "open", `socket ${number} is ${socket?.state}`);
    return socket;
  }
}

function takePending(socket: FakeSocket): number {
  const error = socket.pendingError;
  socket.pendingError = 0;
  return error;
}

const SEND_AT = 1024 * 1024;
const RECEIVE_AT = 4 * 1024 * 1024;
const DELIVER_AT = 6 * 1024 * 1024;

/** A SYN; what became of it, and the connection if it was accepted. */
export class FakePending implements PendingTcp {
  answer: "none" | "accepted" | "refused" | "unreachable" | "dropped" = "none";
  /** The peer has withdrawn the SYN without that anybody was told. */
  isGone = false;
  connection: FakeConnection | null = null;
  readonly flow: TcpFlow;

  constructor(
    readonly host: FakeHost,
    flow: Partial<TcpFlow> = {},
    readonly sendBytesMax = 65_536,
  ) {
    const ipVersion = flow.ipVersion ?? 4;
    const addressBytes = ipVersion === 4 ? 4 : 16;
    this.flow = {
      ipVersion,
      localAddress: new Uint8Array(addressBytes).fill(10),
      localPort: 80,
      remoteAddress: new Uint8Array(addressBytes).fill(20),
      remotePort: 40_000,
      ...flow,
    };
  }

  accept(handler: TcpHandler): TcpConnection | null {
    if (this.isGone) return null;
    this.#decide("accepted");
    return this.connection = new FakeConnection(this, handler);
  }

  refuse(): void {
    this.#decide("refused");
  }

  unreachable(): void {
    this.#decide("unreachable");
  }

  drop(): void {
    this.#decide("dropped");
  }

  #decide(answer: FakePending["answer"]): void {
    assert(this.answer === "none", `${answer} after ${this.answer}`);
    this.answer = answer;
  }
}

/** The UDP layer of the stack: sockets of flows that the forwarder has taken. */
export class FakeUdp {
  readonly sockets = new Map<string, FakeUdpSocket>();
  readonly #datagram = new UdpDatagram();

  constructor(readonly host: FakeHost, readonly forwarder: () => UdpForwarder) {}

  /** A datagram of a peer; what became of it when it belonged to no flow. */
  receive(flow: Partial<UdpFlow>, ...payloads: number[][]): UdpVerdict | null {
    const whole = { ...UDP_FLOW, ...flow };
    const key = JSON.stringify([[...whole.remoteAddress], whole.remotePort, whole.localPort]);
    const datagram = this.#datagram;
    const runs = new Pieces();
    let at = DELIVER_AT;
    for (const payload of payloads) {
      this.host.slab.u8.set(payload, at);
      runs.add(at, payload.length);
      at += payload.length + 40;
    }
    datagram.at = runs.at[0];
    datagram.bytes = runs.bytes[0];
    let socket = this.sockets.get(key);
    if (socket === undefined) {
      const verdict = this.forwarder().onFlow(whole, datagram);
      if (typeof verdict !== "object") return verdict;
      socket = new FakeUdpSocket(this.host, verdict, whole, () => this.sockets.delete(key));
      this.sockets.set(key, socket);
    }
    if (payloads.length > 1) socket.handler.onRun!(socket, datagram, runs);
    else socket.handler.onDatagram(socket, datagram);
    return null;
  }
}

const UDP_FLOW: UdpFlow = {
  ipVersion: 4,
  localAddress: Uint8Array.of(10, 0, 0, 1),
  localPort: 53,
  remoteAddress: Uint8Array.of(10, 0, 0, 2),
  remotePort: 40_000,
};

/** The stack's side of one UDP flow. */
export class FakeUdpSocket implements UdpSocket {
  context: unknown = null;
  isClosed = false;
  tos = 0;
  hopLimit = 64;
  /** Datagrams that went to the peer. */
  readonly sent: number[][] = [];
  readonly localAddress: Uint8Array;
  readonly localPort: number;

  constructor(
    readonly host: FakeHost,
    readonly handler: UdpHandler,
    readonly flow: UdpFlow,
    readonly onClose: () => void,
  ) {
    this.localAddress = flow.localAddress;
    this.localPort = flow.localPort;
  }

  send(at: number, bytes: number): boolean {
    assert(!this.isClosed, "sent over a closed socket");
    this.sent.push([...this.host.slab.u8.slice(at, at + bytes)]);
    return true;
  }

  sendTo(): boolean {
    throw new Error("a socket of a flow");
  }

  reply(): boolean {
    throw new Error("a socket of a flow");
  }

  sendBytesTo(): boolean {
    throw new Error("a socket of a flow");
  }

  close(): void {
    assert(!this.isClosed, "closed twice");
    this.isClosed = true;
    this.onClose();
  }
}

/** A connection of the stack: the peer's side is played by calls. */
export class FakeConnection implements TcpConnection {
  context: unknown = null;
  spanAt = 0;
  unacknowledgedBytes = 0;
  isCorked = false;
  hasFin = false;
  keepaliveMs = 0;
  end: TcpEnd | "aborted" | null = null;
  /** Everything that was written to the peer. */
  readonly sent: number[] = [];
  /** How many calls of `takePieces` there were. */
  takes = 0;
  readonly #received: number[] = [];
  #hasPeerFin = false;
  #wantsRoom = false;
  readonly flow: TcpFlow;

  constructor(readonly pending: FakePending, readonly handler: TcpHandler) {
    this.flow = pending.flow;
  }

  get #u8(): Uint8Array {
    return this.pending.host.slab.u8;
  }

  /** The handshake is complete. */
  establish(): void {
    this.handler.onConnected?.(this);
  }

  /** The peer sends bytes in pieces, as GRO leaves them. */
  deliver(...runs: number[][]): void {
    const pieces = new Pieces();
    let at = DELIVER_AT;
    for (const run of runs) {
      this.#u8.set(run, at);
      pieces.add(at, run.length);
      at += run.length + 40;
    }
    const all = runs.flat();
    let taken = 0;
    if (this.#received.length === 0 && this.handler.takePieces !== undefined) {
      this.takes++;
      taken = this.handler.takePieces(this, pieces);
    }
    if (this.end !== null || taken === all.length) return;
    for (const byte of all.slice(taken)) this.#received.push(byte);
    this.handler.onReadable(this);
  }

  /** The peer ends its direction. */
  deliverFin(): void {
    this.#hasPeerFin = true;
    this.handler.onReadable(this);
  }

  /** The peer acknowledges. */
  acknowledge(bytes: number): void {
    this.unacknowledgedBytes -= bytes;
    if (!this.#wantsRoom) return;
    this.#wantsRoom = false;
    this.handler.onWritable(this);
  }

  /** The connection ends. */
  finish(end: TcpEnd): void {
    this.end = end;
    this.handler.onEnd(this, end);
  }

  writeSpan(maxBytes: number): number {
    const room = Math.min(maxBytes, this.pending.sendBytesMax - this.unacknowledgedBytes);
    if (room === 0) this.#wantsRoom = true;
    this.spanAt = SEND_AT;
    return room;
  }

  commitWrite(bytes: number): void {
    assert(!this.hasFin, "written after shutdown");
    for (const byte of this.#u8.subarray(SEND_AT, SEND_AT + bytes)) this.sent.push(byte);
    this.unacknowledgedBytes += bytes;
  }

  cork(isCorked: boolean): void {
    this.isCorked = isCorked;
  }

  shutdown(): void {
    this.hasFin = true;
  }

  readSpan(): number {
    this.#u8.set(this.#received, RECEIVE_AT);
    this.spanAt = RECEIVE_AT;
    return this.#received.length;
  }

  consume(bytes: number): void {
    this.#received.splice(0, bytes);
  }

  get isReadFinished(): boolean {
    return this.#hasPeerFin && this.#received.length === 0;
  }

  /** Bytes that wait to be read. */
  get waitingBytes(): number {
    return this.#received.length;
  }

  close(): void {
    this.hasFin = true;
  }

  abort(): void {
    assert(this.end === null, "aborted twice");
    this.end = "aborted";
  }

  setNagle(): void {}

  setKeepalive(idleMs: number): void {
    this.keepaliveMs = idleMs;
  }
}
