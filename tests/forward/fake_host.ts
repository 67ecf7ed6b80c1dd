/** A host for tests of forwarding: arrays in the place of sockets. */
import { assert } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import { type HostError, HostEvent, type HostSockets } from "../../src/forward/host_sockets.ts";
import { createSlab, type Slab } from "../../src/memory/slab.ts";
import { Pieces } from "../../src/netstack/inbound.ts";

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

/** Where the stack keeps what peers send. */
const DELIVER_AT = 6 * 1024 * 1024;
const APART_BYTES = 40;

/** Puts bytes that a peer sends where GRO leaves them: runs that stand apart. */
export function placeRuns(slab: Slab, runs: readonly (readonly number[])[]): Pieces {
  const pieces = new Pieces();
  let at = DELIVER_AT;
  for (const run of runs) {
    slab.u8.set(run, at);
    pieces.add(at, run.length);
    at += run.length + APART_BYTES;
  }
  return pieces;
}
