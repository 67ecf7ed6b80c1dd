/**
 * A `TcpLayer` between a recording IP layer and the test: virtual time, packets made by hand, and an
 * application that writes and checks a stream whose every byte is known.
 */
import { assert, assertEquals } from "@std/assert";
import { DropReason, dropReasonName } from "../../src/base/drop_reason.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { createSlab, RegionAllocator, type Slab } from "../../src/memory/slab.ts";
import { BufferPool } from "../../src/netstack/buffer_pool.ts";
import { InboundDatagram, InboundError, type Pieces } from "../../src/netstack/inbound.ts";
import type { TcpLimits } from "../../src/netstack/tcp/limits.ts";
import { TcpLayer } from "../../src/netstack/tcp/tcp_layer.ts";
import {
  type PendingTcp,
  type TcpAcceptor,
  type TcpConnection,
  TcpEnd,
  type TcpHandler,
} from "../../src/netstack/tcp/tcp_socket.ts";
import { pseudoHeaderSum, ScalarChecksumKernel } from "../../src/wire/checksum.ts";
import { RecordingOutput, type SentSegment } from "./recording_output.ts";
import { finishChecksum, streamByte } from "./wire_segment.ts";

/** What can be chosen for a rig. */
export interface RigOptions {
  readonly ipVersion?: 4 | 6;
  readonly mtu?: number;
  readonly gso?: boolean;
  readonly limits?: Partial<TcpLimits>;
  readonly seed?: number;
  readonly startMs?: number;
  readonly poolBytes?: number;
}

/** Our port when we listen, and the peer's when we connect. */
export const SERVER_PORT = 80;
/** The peer's port of flow 1 when it connects to us. */
export const PEER_PORT = 40_000;

const PACKET_BYTES = 80_000;

/** How a packet is put into the layer. */
export interface InjectOptions {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly isCorrupt?: boolean;
  /** Payload bytes of each packet of a GRO run, 0 for a single packet. */
  readonly runBytes?: number;
  readonly isMarked?: boolean;
  readonly remote?: Uint8Array;
  readonly local?: Uint8Array;
}

/** The application's end of one connection. */
export class RigApp implements TcpHandler {
  connection: TcpConnection | null = null;
  pending: PendingTcp | null = null;
  /** What the layer has told, in order, until the test takes it. */
  readonly events: string[] = [];
  readBytes = 0;
  writtenBytes = 0;
  isWritable = false;
  isAutoRead = false;
  takePieces?: (connection: TcpConnection, pieces: Pieces) => number;

  constructor(readonly rig: TcpRig, takesPieces = false) {
    if (takesPieces) this.takePieces = (_, pieces) => this.#take(pieces);
  }

  onConnected(_connection: TcpConnection): void {
    this.events.push("connected");
  }

  onReadable(connection: TcpConnection): void {
    if (this.isAutoRead) this.readAll(connection);
  }

  onWritable(): void {
    this.isWritable = true;
  }

  onEnd(_connection: TcpConnection, end: TcpEnd): void {
    const name = Object.entries(TcpEnd).find(([, value]) => value === end)![0];
    this.events.push(`end ${name}`);
  }

  /** Writes up to `bytes` bytes of the stream; returns how many found room. */
  write(bytes: number): number {
    const connection = this.connection!;
    const { u8 } = this.rig.slab;
    let left = bytes;
    while (left > 0) {
      const room = connection.writeSpan(left);
      if (room === 0) break;
      assert(room <= left, "a span is not larger than asked for");
      const at = connection.spanAt;
      for (let i = 0; i < room; i++) u8[at + i] = streamByte(this.writtenBytes + i, false);
      connection.commitWrite(room);
      this.writtenBytes += room;
      left -= room;
    }
    return bytes - left;
  }

  /** Reads up to `bytes` bytes, checks each, and returns how many there were. */
  read(bytes: number, connection = this.connection!): number {
    let done = 0;
    while (done < bytes) {
      const span = Math.min(connection.readSpan(), bytes - done);
      if (span === 0) break;
      this.#check(connection.spanAt, span);
      connection.consume(span);
      done += span;
    }
    return done;
  }

  readAll(connection = this.connection!): number {
    return this.read(Infinity, connection);
  }

  #take(pieces: Pieces): number {
    for (let i = 0; i < pieces.count; i++) this.#check(pieces.at[i], pieces.bytes[i]);
    return pieces.totalBytes;
  }

  #check(at: number, bytes: number): void {
    const { u8 } = this.rig.slab;
    for (let i = 0; i < bytes; i++) {
      const expected = streamByte(this.readBytes + i, true);
      if (u8[at + i] !== expected) {
        assertEquals(u8[at + i], expected, `byte ${this.readBytes + i} of what was received`);
      }
    }
    this.readBytes += bytes;
  }
}

/** See the module's text. */
export class TcpRig {
  readonly slab: Slab;
  readonly pool: BufferPool;
  readonly layer: TcpLayer;
  readonly output: RecordingOutput;
  readonly ipVersion: 4 | 6;
  readonly local: Uint8Array;
  readonly remote: Uint8Array;
  readonly drops = new Map<string, number>();
  readonly random: SeededRandom;
  /** What was sent and not yet looked at. */
  readonly sent: SentSegment[] = [];
  /** Called with each segment before it is put into `sent`. */
  onSent: (segment: SentSegment) => void = () => {};
  nowMs: number;
  readonly #packetAt: number;
  readonly #datagram = new InboundDatagram();
  readonly #error = new InboundError();

  constructor(options: RigOptions = {}) {
    const regions = new RegionAllocator();
    const headerAt = regions.reserve(128);
    this.#packetAt = regions.reserve(PACKET_BYTES);
    const poolBytes = options.poolBytes ?? 64 << 20;
    const poolAt = regions.reserve(poolBytes, 4096);
    this.slab = createSlab(regions.byteLength);
    this.pool = new BufferPool(poolAt, poolBytes);
    this.ipVersion = options.ipVersion ?? 4;
    this.local = addressOf(this.ipVersion, 1);
    this.remote = addressOf(this.ipVersion, 2);
    this.nowMs = options.startMs ?? 1000;
    this.random = new SeededRandom(options.seed ?? 1);
    this.output = new RecordingOutput({
      slab: this.slab,
      headerAt,
      gso: options.gso ?? true,
      linkMtu: options.mtu ?? 1500,
      local: this.local,
      nowMs: () => this.nowMs,
      onSent: (segment) => {
        this.onSent(segment);
        this.sent.push(segment);
      },
    });
    this.layer = new TcpLayer({
      slab: this.slab,
      kernel: new ScalarChecksumKernel(this.slab),
      pool: this.pool,
      output: this.output,
      random: this.random,
      counters: { drop: (reason, packets = 1) => this.#countDrop(reason, packets) },
      limits: options.limits,
    });
  }

  #countDrop(reason: DropReason, packets: number): void {
    const name = dropReasonName(reason);
    this.drops.set(name, (this.drops.get(name) ?? 0) + packets);
  }

  /** Lets time pass, firing every timer on the way. */
  advanceTo(untilMs: number): void {
    for (let spins = 0; this.layer.nextTimeoutMs() <= untilMs; spins++) {
      assert(spins < 100_000, "timers make progress");
      this.nowMs = Math.max(this.nowMs, this.layer.nextTimeoutMs());
      this.layer.onTimeout(this.nowMs);
      this.layer.flush(this.nowMs);
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
  }

  advance(byMs: number): void {
    this.advanceTo(this.nowMs + byMs);
  }

  flush(): void {
    this.layer.flush(this.nowMs);
  }

  /** Puts a TCP segment (header and payload, checksum not yet there) into the layer; no flush. */
  inject(segment: Uint8Array, options: InjectOptions): void {
    const { u8, view } = this.slab;
    const isV4 = this.ipVersion === 4;
    const ipBytes = isV4 ? 20 : 40;
    const at = this.#packetAt, transportAt = at + ipBytes;
    const datagram = this.#datagram;
    u8.fill(0, at, transportAt);
    view.setUint8(at, isV4 ? 0x45 : 0x60);
    datagram.ipVersion = this.ipVersion;
    datagram.ipAt = at;
    datagram.ipHeaderBytes = ipBytes;
    datagram.sourceAt = at + (isV4 ? 12 : 8);
    datagram.destinationAt = at + (isV4 ? 16 : 24);
    datagram.protocol = 6;
    datagram.tos = options.isMarked ? 3 : 0;
    datagram.hopLimit = 64;
    datagram.bytes = segment.length;
    u8.set(options.remote ?? this.remote, datagram.sourceAt);
    u8.set(options.local ?? this.local, datagram.destinationAt);
    u8.set(segment, transportAt);
    const pseudo = pseudoHeaderSum(view, at, this.ipVersion, 6, segment.length);
    finishChecksum(view, transportAt, segment.length, pseudo);
    if (options.isCorrupt) u8[transportAt + 16] ^= 0xff;
    const headerBytes = (segment[12] >>> 4) << 2;
    this.#cut(transportAt, headerBytes, segment.length, options.runBytes ?? 0);
    this.layer.onDatagram(datagram, this.nowMs);
    // Whoever keeps a reference to what was lent reads garbage.
    u8.fill(0xdd, at, transportAt + segment.length);
  }

  /** Makes one piece of the segment, or a run with a piece for each packet. */
  #cut(at: number, headerBytes: number, bytes: number, runBytes: number): void {
    const datagram = this.#datagram;
    const payloadBytes = bytes - headerBytes;
    datagram.pieces.clear();
    datagram.isVerified = runBytes > 0;
    datagram.gsoSize = runBytes > 0 && payloadBytes > runBytes ? runBytes : 0;
    datagram.packetCount = datagram.gsoSize > 0 ? Math.ceil(payloadBytes / runBytes) : 1;
    if (datagram.gsoSize === 0) {
      datagram.pieces.add(at, bytes);
      return;
    }
    datagram.pieces.add(at, headerBytes + runBytes);
    for (let done = runBytes; done < payloadBytes; done += runBytes) {
      datagram.pieces.add(at + headerBytes + done, Math.min(runBytes, payloadBytes - done));
    }
  }

  /** Tells the layer of an ICMP error about a segment of ours. */
  icmpError(
    kind: number,
    localPort: number,
    remotePort: number,
    sequence: number,
    mtu: number,
  ): void {
    const error = this.#error;
    const at = this.#packetAt;
    this.slab.u8.set(this.local, at);
    this.slab.u8.set(this.remote, at + 16);
    error.kind = kind as InboundError["kind"];
    error.ipVersion = this.ipVersion;
    error.localAt = at;
    error.remoteAt = at + 16;
    error.localPort = localPort;
    error.remotePort = remotePort;
    error.sequence = sequence;
    error.mtu = mtu;
    this.layer.onIcmpError(error, this.nowMs);
  }

  /** An acceptor that accepts at once with a new app, or keeps the pending connection for later. */
  acceptor(makeApp: (pending: PendingTcp) => RigApp, isManual = false): TcpAcceptor {
    return {
      onSyn: (pending) => {
        const app = makeApp(pending);
        app.pending = pending;
        if (isManual) app.events.push("syn");
        else app.connection = pending.accept(app);
      },
      onPendingGone: (pending) => {
        const app = makeApp(pending);
        app.pending = null;
        app.events.push("gone");
      },
    };
  }
}

/** 10.0.0.`n`, or fd00::`n`. */
function addressOf(ipVersion: 4 | 6, n: number): Uint8Array {
  if (ipVersion === 4) return Uint8Array.of(10, 0, 0, n);
  const address = new Uint8Array(16);
  address[0] = 0xfd;
  address[15] = n;
  return address;
}
