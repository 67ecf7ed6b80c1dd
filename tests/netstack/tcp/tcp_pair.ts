/**
 * Two TCP layers joined by an imaginary wire, with virtual time: no IP layer, no link endpoint. What
 * one sends is copied to the wire, perhaps lost, cut into packets or kept whole, and given to the
 * other after a delay.
 */
import { SeededRandom } from "../../../src/base/random.ts";
import { createSlab, RegionAllocator, type Slab } from "../../../src/memory/slab.ts";
import { BufferPool } from "../../../src/netstack/buffer_pool.ts";
import { InboundDatagram } from "../../../src/netstack/inbound.ts";
import type { IpOutput, IpPath } from "../../../src/netstack/output.ts";
import type { Connection } from "../../../src/netstack/tcp/connection.ts";
import type { TcpLimits } from "../../../src/netstack/tcp/limits.ts";
import { TcpLayer } from "../../../src/netstack/tcp/tcp_layer.ts";
import type {
  PendingTcp,
  TcpAcceptor,
  TcpConnection,
  TcpEnd,
  TcpHandler,
} from "../../../src/netstack/tcp/tcp_socket.ts";
import { ScalarChecksumKernel } from "../../../src/wire/checksum.ts";
import { TcpFlag, tcpFlags, tcpSequence } from "../../../src/wire/tcp.ts";

/** A packet on the wire. */
export interface Flight {
  readonly from: Host;
  /** TCP header and payload. */
  bytes: Uint8Array;
  readonly headerBytes: number;
  readonly mss: number;
  atMs: number;
  tos: number;
}

/** Decides what happens to a packet: whether it is delivered, and how much later than usual. */
export type Fate = (flight: Flight) => number;
/** Lost. */
export const LOST = -1;

/** One end: a layer and the fake IP layer below it. */
export class Host implements IpOutput {
  readonly gso: boolean;
  readonly tcp: TcpLayer;
  readonly pool: BufferPool;
  isFull = false;
  segmentCount = 0;
  /** Unreachables that were sent. */
  unreachables = 0;
  readonly #headerAt: number;
  readonly #arrivalAt: number;

  constructor(
    readonly net: Net,
    readonly slab: Slab,
    regions: RegionAllocator,
    readonly address: Uint8Array,
    random: SeededRandom,
    options: { gso: boolean; mtu: number; poolBytes: number; limits?: Partial<TcpLimits> },
    readonly mtu = options.mtu,
  ) {
    this.gso = options.gso;
    this.#headerAt = regions.reserve(256);
    this.#arrivalAt = regions.reserve(70_000);
    this.pool = new BufferPool(regions.reserve(options.poolBytes, 4096), options.poolBytes);
    this.tcp = new TcpLayer({
      slab,
      kernel: new ScalarChecksumKernel(slab),
      pool: this.pool,
      output: this,
      random,
      counters: { drop: (reason) => this.net.drops.set(reason, this.dropped(reason) + 1) },
      limits: options.limits,
    });
  }

  dropped(reason: number): number {
    return this.net.drops.get(reason) ?? 0;
  }

  makePath(remote: Uint8Array): IpPath {
    return {
      ipVersion: 4,
      local: this.address,
      remote,
      hopLimit: 64,
      tos: 0,
      mtu: this.mtu,
    };
  }

  answerPath(datagram: InboundDatagram): IpPath {
    const { sourceAt } = datagram;
    return this.makePath(this.slab.u8.slice(sourceAt, sourceAt + 4));
  }

  sendUnreachable(): void {
    this.unreachables++;
  }

  begin(): number {
    return this.isFull ? -1 : this.#headerAt;
  }

  commitTcp(
    path: IpPath,
    headerBytes: number,
    payloadAt: number,
    payloadBytes: number,
    mss: number,
    _block: number,
  ): void {
    const bytes = new Uint8Array(headerBytes + payloadBytes);
    bytes.set(this.slab.u8.subarray(this.#headerAt, this.#headerAt + headerBytes));
    bytes.set(this.slab.u8.subarray(payloadAt, payloadAt + payloadBytes), headerBytes);
    this.segmentCount++;
    this.net.send({
      from: this,
      bytes,
      headerBytes,
      mss,
      atMs: this.net.nowMs,
      tos: path.tos,
    });
  }

  /** Takes a segment from the wire. */
  receive(flight: Flight, mss: number): void {
    const { slab } = this;
    const at = this.#arrivalAt;
    slab.u8.set(flight.from.address, at);
    slab.u8.set(this.address, at + 4);
    slab.u8.set(flight.bytes, at + 8);
    const datagram = new InboundDatagram();
    datagram.sourceAt = at;
    datagram.destinationAt = at + 4;
    datagram.protocol = 6;
    datagram.tos = flight.tos;
    datagram.bytes = flight.bytes.length;
    datagram.isVerified = true;
    const payloadBytes = flight.bytes.length - flight.headerBytes;
    datagram.packetCount = Math.max(1, Math.ceil(payloadBytes / mss));
    datagram.gsoSize = payloadBytes > mss ? mss : 0;
    const first = Math.min(payloadBytes, mss);
    datagram.pieces.add(at + 8, flight.headerBytes + first);
    for (let done = first; done < payloadBytes; done += mss) {
      const bytes = Math.min(mss, payloadBytes - done);
      datagram.pieces.add(at + 8 + flight.headerBytes + done, bytes);
    }
    this.tcp.onDatagram(datagram, this.net.nowMs);
  }
}

/** Options of a pair. */
export interface NetOptions {
  readonly seed?: number;
  readonly delayMs?: number;
  readonly gso?: boolean;
  readonly mtu?: number;
  readonly poolBytes?: number;
  readonly limits?: Partial<TcpLimits>;
  /** Whether segments are cut into packets on the wire, each with a fate of its own. */
  readonly cuts?: boolean;
}

/** Both ends, the wire and the clock. */
export class Net {
  nowMs = 1000;
  readonly a: Host;
  readonly b: Host;
  fate: Fate = () => 0;
  readonly drops = new Map<number, number>();
  readonly random: SeededRandom;
  readonly delayMs: number;
  /** All that was ever sent, for tests that look at packets. */
  log: Flight[] | null = null;
  readonly #wire: Flight[] = [];
  readonly #cuts: boolean;

  constructor(options: NetOptions = {}) {
    this.random = new SeededRandom(options.seed ?? 1);
    this.delayMs = options.delayMs ?? 5;
    this.#cuts = options.cuts ?? true;
    const poolBytes = options.poolBytes ?? 64 << 20;
    const slab = createSlab(2 * poolBytes + (1 << 20));
    const regions = new RegionAllocator();
    const host = {
      gso: options.gso ?? true,
      mtu: options.mtu ?? 1280,
      poolBytes,
      limits: options.limits,
    };
    this.a = new Host(this, slab, regions, Uint8Array.of(10, 0, 0, 1), this.random, host);
    this.b = new Host(this, slab, regions, Uint8Array.of(10, 0, 0, 2), this.random, host);
  }

  /** Puts a segment on the wire, as packets or whole. */
  send(flight: Flight): void {
    const payloadBytes = flight.bytes.length - flight.headerBytes;
    if (!this.#cuts || payloadBytes <= flight.mss) {
      this.#fly(flight);
      return;
    }
    const view = new DataView(flight.bytes.buffer);
    const seq = tcpSequence(view, 0);
    const flags = tcpFlags(view, 0);
    for (let done = 0; done < payloadBytes; done += flight.mss) {
      const bytes = Math.min(flight.mss, payloadBytes - done);
      const packet = new Uint8Array(flight.headerBytes + bytes);
      packet.set(flight.bytes.subarray(0, flight.headerBytes));
      const from = flight.headerBytes + done;
      packet.set(flight.bytes.subarray(from, from + bytes), flight.headerBytes);
      const header = new DataView(packet.buffer);
      header.setInt32(4, seq + done);
      const isLast = done + bytes === payloadBytes;
      if (!isLast) header.setUint8(13, flags & ~(TcpFlag.Fin | TcpFlag.Psh));
      this.#fly({ ...flight, bytes: packet });
    }
  }

  #fly(flight: Flight): void {
    this.log?.push(flight);
    const late = this.fate(flight);
    if (late === LOST) return;
    flight.atMs = this.nowMs + this.delayMs + late;
    this.#wire.push(flight);
  }

  /** Lets both send. */
  flush(): void {
    this.a.tcp.flush(this.nowMs);
    this.b.tcp.flush(this.nowMs);
  }

  /** Goes to the next event; false when there is none before `untilMs`. */
  step(untilMs = Infinity): boolean {
    this.flush();
    let next = Math.min(this.a.tcp.nextTimeoutMs(), this.b.tcp.nextTimeoutMs());
    for (const { atMs } of this.#wire) if (atMs < next) next = atMs;
    if (next === Infinity || next > untilMs) return false;
    this.nowMs = Math.max(this.nowMs, next);
    const due = this.#wire.filter(({ atMs }) => atMs <= this.nowMs);
    if (due.length > 0) {
      const left = this.#wire.filter(({ atMs }) => atMs > this.nowMs);
      this.#wire.splice(0, this.#wire.length, ...left);
      due.sort((x, y) => x.atMs - y.atMs);
    }
    for (const host of [this.a, this.b]) {
      for (const run of merge(due.filter(({ from }) => from !== host))) host.receive(run, run.mss);
      if (host.tcp.nextTimeoutMs() <= this.nowMs) host.tcp.onTimeout(this.nowMs);
    }
    return true;
  }

  /** Goes on until `isDone`, at most to `untilMs` of virtual time; whether it was done. */
  run(isDone: () => boolean, forMs = 600_000): boolean {
    const untilMs = this.nowMs + forMs;
    while (!isDone()) if (!this.step(untilMs)) break;
    return isDone();
  }
}

/** A simple GRO: packets of one flow that follow each other, with equal headers, become one. */
function merge(flights: Flight[]): Flight[] {
  const runs: Flight[] = [];
  let lastBytes = 0;
  for (const flight of flights) {
    const run = runs.at(-1);
    const payload = flight.bytes.subarray(flight.headerBytes);
    if (run !== undefined && canMerge(run, flight, lastBytes)) {
      const bytes = new Uint8Array(run.bytes.length + payload.length);
      bytes.set(run.bytes);
      bytes.set(payload, run.bytes.length);
      bytes[13] |= flight.bytes[13];
      run.bytes = bytes;
    } else runs.push({ ...flight, bytes: flight.bytes.slice() });
    lastBytes = payload.length;
  }
  return runs;
}

function canMerge(run: Flight, flight: Flight, lastBytes: number): boolean {
  const payloadBytes = flight.bytes.length - flight.headerBytes;
  const runBytes = run.bytes.length - run.headerBytes;
  if (payloadBytes === 0 || lastBytes !== run.mss || run.mss !== flight.mss) return false;
  if (run.tos !== flight.tos) return false;
  if (run.bytes.length + payloadBytes > 65_000 || run.headerBytes !== flight.headerBytes) {
    return false;
  }
  const plain = TcpFlag.Ack;
  if (run.bytes[13] !== plain || (flight.bytes[13] & ~TcpFlag.Psh) !== plain) return false;
  const a = new DataView(run.bytes.buffer);
  const b = new DataView(flight.bytes.buffer, flight.bytes.byteOffset);
  if (((tcpSequence(b, 0) - tcpSequence(a, 0)) | 0) !== runBytes) return false;
  for (let i = 0; i < flight.headerBytes; i++) {
    const isSequence = i >= 4 && i < 8;
    const isFlags = i === 13 || i === 16 || i === 17;
    if (!isSequence && !isFlags && run.bytes[i] !== flight.bytes[i]) return false;
  }
  return true;
}

/** An application that writes a stream made from a seed and checks what it reads. */
export class StreamApp implements TcpHandler {
  connection: Connection | null = null;
  isConnected = false;
  writtenBytes = 0;
  readBytes = 0;
  /** Set when a byte was not what it should be. */
  faultAt = -1;
  end: TcpEnd | -1 = -1;
  isPeerFinished = false;
  readonly takePieces?: TcpHandler["takePieces"];
  /** While it is true nothing is read. */
  isPaused = false;

  constructor(
    readonly slab: Slab,
    readonly totalBytes = 0,
    options: { takes?: boolean; closes?: boolean } = {},
    readonly closes = options.closes ?? true,
  ) {
    if (options.takes === true) {
      this.takePieces = (_connection, pieces) => {
        if (this.isPaused) return 0;
        for (let i = 0; i < pieces.count; i++) this.#check(pieces.at[i], pieces.bytes[i]);
        return pieces.totalBytes;
      };
    }
  }

  onConnected(connection: TcpConnection): void {
    this.isConnected = true;
    this.connection = connection as Connection;
    this.onWritable(connection);
  }

  onWritable(connection: TcpConnection): void {
    while (this.writtenBytes < this.totalBytes) {
      const bytes = connection.writeSpan(this.totalBytes - this.writtenBytes);
      if (bytes === 0) return;
      for (let i = 0; i < bytes; i++) {
        this.slab.u8[connection.spanAt + i] = patternAt(this.writtenBytes + i);
      }
      connection.commitWrite(bytes);
      this.writtenBytes += bytes;
    }
    if (this.closes && this.totalBytes > 0) connection.shutdown();
  }

  onReadable(connection: TcpConnection): void {
    if (this.isPaused) return;
    for (let bytes = connection.readSpan(); bytes > 0; bytes = connection.readSpan()) {
      this.#check(connection.spanAt, bytes);
      connection.consume(bytes);
    }
    if (connection.isReadFinished) {
      this.isPeerFinished = true;
      if (this.closes && this.writtenBytes >= this.totalBytes) connection.shutdown();
    }
  }

  onEnd(_connection: TcpConnection, end: TcpEnd): void {
    this.end = end;
  }

  #check(at: number, bytes: number): void {
    for (let i = 0; i < bytes; i++) {
      if (this.slab.u8[at + i] !== patternAt(this.readBytes + i) && this.faultAt < 0) {
        this.faultAt = this.readBytes + i;
      }
    }
    this.readBytes += bytes;
  }
}

/** Byte `index` of every test stream; it does not repeat within any window. */
export function patternAt(index: number): number {
  return (index ^ (index >>> 8) * 31 ^ (index >>> 16) * 17 ^ (index >>> 24)) & 0xff;
}

/** An acceptor that takes everything with the given handler. */
export function acceptWith(make: () => TcpHandler): TcpAcceptor {
  return {
    onSyn: (pending: PendingTcp) => {
      pending.accept(make());
    },
    onPendingGone: () => {},
  };
}

/** A pair with a connection from `a` to `b` where `a` sends `totalBytes`. */
export function transfer(
  options: NetOptions,
  totalBytes: number,
  takes = true,
): { net: Net; client: StreamApp; server: StreamApp } {
  const net = new Net(options);
  const client = new StreamApp(net.a.slab, totalBytes);
  const server = new StreamApp(net.b.slab, 0, { takes });
  net.b.tcp.listen(null, 80, acceptWith(() => server));
  client.connection = net.a.tcp.connect(net.b.address, 80, client, net.nowMs);
  return { net, client, server };
}
