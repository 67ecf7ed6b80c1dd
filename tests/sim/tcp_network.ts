/**
 * A network between two TCP layers, under virtual time and one seed: it delays, loses, repeats,
 * reorders and corrupts packets, and has a bottleneck with a queue. Super-segments are cut where they
 * leave, as the lane does it, and packets that arrive together can be merged again.
 */
import { assert } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { createSlab, RegionAllocator, type Slab } from "../../src/memory/slab.ts";
import { BufferPool } from "../../src/netstack/buffer_pool.ts";
import { InboundDatagram } from "../../src/netstack/inbound.ts";
import type { IpOutput, IpPath } from "../../src/netstack/output.ts";
import type { CongestionControl } from "../../src/netstack/tcp/congestion.ts";
import type { TcpLimits } from "../../src/netstack/tcp/limits.ts";
import { TcpLayer } from "../../src/netstack/tcp/tcp_layer.ts";
import { pseudoHeaderSum, ScalarChecksumKernel } from "../../src/wire/checksum.ts";
import { TcpFlag } from "../../src/wire/tcp.ts";
import { finishChecksum } from "../dsl/wire_segment.ts";

/** What one direction does to packets. Shares are between 0 and 1. */
export interface LinkFaults {
  readonly delayMs: number;
  readonly lost?: number;
  readonly duplicated?: number;
  readonly reordered?: number;
  /** How much later a reordered packet arrives, at most. */
  readonly reorderMs?: number;
  readonly corrupted?: number;
  /** Whether everything is lost at that time. */
  readonly isDown?: (nowMs: number) => boolean;
  /** The bottleneck; unlimited when left out. */
  readonly bytesPerMs?: number;
  /** What waits before the bottleneck at most. */
  readonly queueBytes?: number;
}

/** What can be chosen for one end. */
export interface HostOptions {
  readonly gso?: boolean;
  /** Packets that arrive at the same moment are merged. */
  readonly gro?: boolean;
  readonly mtu?: number;
  readonly limits?: Partial<TcpLimits>;
  /** CUBIC if left out. */
  readonly makeCongestion?: () => CongestionControl;
}

interface Packet {
  readonly atMs: number;
  readonly order: number;
  readonly to: SimHost;
  /** TCP header and payload. */
  readonly bytes: Uint8Array;
}

const POOL_BYTES = 64 << 20;
const PACKET_PLACE_BYTES = 72_000;

/**
 * What one end may send by the windows that it was offered, and that what it offers itself never
 * shrinks; for one connection at a time.
 */
class OfferedWindow {
  #edge: number | null = null;
  #ownEdge: number | null = null;
  #ownScale = -1;
  #peerScale = -1;

  /** A segment has left this end. */
  onSent(view: DataView, payloadBytes: number): void {
    if ((view.getUint8(13) & TcpFlag.Syn) !== 0) this.#ownScale = windowScale(view);
    this.#checkOwn(view);
    if (payloadBytes === 0 || this.#edge === null) return;
    const end = (view.getInt32(4) + payloadBytes) | 0;
    assert(((end - this.#edge) | 0) <= 0, `${(end - this.#edge) | 0} bytes beyond the window`);
  }

  #checkOwn(view: DataView): void {
    const flags = view.getUint8(13);
    if ((flags & TcpFlag.Ack) === 0 || (flags & TcpFlag.Rst) !== 0) return;
    const edge = this.#edgeOf(view, this.#ownScale);
    const growth = this.#ownEdge === null ? 0 : (edge - this.#ownEdge) | 0;
    assert(growth >= 0, `the right edge of the window has moved back by ${-growth}`);
    this.#ownEdge = edge;
  }

  #edgeOf(view: DataView, scale: number): number {
    const isSyn = (view.getUint8(13) & TcpFlag.Syn) !== 0;
    const isScaled = !isSyn && this.#peerScale >= 0 && this.#ownScale >= 0;
    return (view.getInt32(8) + (view.getUint16(14) << (isScaled ? scale : 0))) | 0;
  }

  /** A segment has come from the other end. */
  onReceived(view: DataView): void {
    const flags = view.getUint8(13);
    if ((flags & TcpFlag.Syn) !== 0) this.#peerScale = windowScale(view);
    if ((flags & TcpFlag.Ack) === 0) return;
    const edge = this.#edgeOf(view, this.#peerScale);
    if (this.#edge === null || ((edge - this.#edge) | 0) > 0) this.#edge = edge;
  }
}

function windowScale(view: DataView): number {
  const end = (view.getUint8(12) >>> 4) << 2;
  for (let at = 20; at < end;) {
    const kind = view.getUint8(at);
    if (kind === 0) break;
    if (kind === 3) return view.getUint8(at + 2);
    at += kind === 1 ? 1 : view.getUint8(at + 1);
  }
  return -1;
}

/** One end: a TCP layer and its way out. */
export class SimHost implements IpOutput {
  readonly slab: Slab;
  readonly pool: BufferPool;
  readonly layer: TcpLayer;
  readonly gso: boolean;
  isFull = false;
  /** Until then it does nothing: packets wait for it, and timers (a pause of the process). */
  pausedUntilMs = 0;
  readonly #waiting: Uint8Array[] = [];
  /** Packets that were sent. */
  packetsOut = 0;
  readonly #headerAt: number;
  readonly #packetAt: number;
  readonly #datagram = new InboundDatagram();
  readonly #offered = new OfferedWindow();

  constructor(
    readonly network: TcpNetwork,
    readonly address: Uint8Array,
    readonly options: HostOptions,
  ) {
    const regions = new RegionAllocator();
    this.#headerAt = regions.reserve(128);
    this.#packetAt = regions.reserve(PACKET_PLACE_BYTES);
    const poolAt = regions.reserve(POOL_BYTES, 4096);
    this.slab = createSlab(regions.byteLength);
    this.pool = new BufferPool(poolAt, POOL_BYTES);
    this.gso = options.gso ?? true;
    this.layer = new TcpLayer({
      slab: this.slab,
      kernel: new ScalarChecksumKernel(this.slab),
      pool: this.pool,
      output: this,
      random: network.random,
      counters: { drop: () => {} },
      limits: options.limits,
      makeCongestion: options.makeCongestion,
    });
  }

  makePath(remote: Uint8Array): IpPath {
    const mtu = this.options.mtu ?? 1500;
    return { ipVersion: 4, local: this.address, remote: remote.slice(), hopLimit: 64, tos: 0, mtu };
  }

  answerPath(datagram: InboundDatagram): IpPath {
    return this.makePath(this.slab.u8.subarray(datagram.sourceAt, datagram.sourceAt + 4));
  }

  begin(): number {
    return this.#headerAt;
  }

  commitTcp(
    _path: IpPath,
    headerBytes: number,
    payloadAt: number,
    payloadBytes: number,
    mss: number,
  ): void {
    assert(this.gso || payloadBytes <= mss, "without GSO nothing is to be cut");
    const { u8 } = this.slab;
    let done = 0;
    do {
      const length = Math.min(mss, payloadBytes - done);
      const bytes = new Uint8Array(headerBytes + length);
      bytes.set(u8.subarray(this.#headerAt, this.#headerAt + headerBytes));
      bytes.set(u8.subarray(payloadAt + done, payloadAt + done + length), headerBytes);
      const view = new DataView(bytes.buffer);
      view.setInt32(4, (view.getInt32(4) + done) | 0);
      if (this.network.watchesWindows) this.#offered.onSent(view, length);
      const isLast = done + length === payloadBytes;
      if (!isLast) bytes[13] &= ~(TcpFlag.Fin | TcpFlag.Psh);
      this.packetsOut++;
      this.network.send(this, bytes);
      done += length;
    } while (done < payloadBytes);
  }

  sendUnreachable(): void {}

  /** Takes packets that have arrived at one moment, or keeps them until the pause is over. */
  receive(arrived: readonly Uint8Array[], nowMs: number): void {
    this.#waiting.push(...arrived);
    if (nowMs < this.pausedUntilMs) return;
    const packets = this.#waiting.splice(0);
    if (this.network.watchesWindows) {
      for (const packet of packets) this.#offered.onReceived(new DataView(packet.buffer));
    }
    for (let i = 0; i < packets.length;) {
      let count = 1;
      if (this.options.gro ?? true) {
        let bytes = packets[i].length;
        while (i + count < packets.length && bytes < 60_000) {
          const next = packets[i + count];
          if (!follows(packets[i], packets[i + count - 1], next)) break;
          bytes += next.length;
          count++;
        }
      }
      this.#deliver(packets.slice(i, i + count), nowMs);
      i += count;
    }
  }

  #deliver(packets: readonly Uint8Array[], nowMs: number): void {
    const { u8 } = this.slab;
    const datagram = this.#datagram;
    const at = this.#packetAt;
    const headerBytes = (packets[0][12] >>> 4) << 2;
    this.#writeIpHeader(at);
    datagram.pieces.clear();
    let place = at + 20;
    let totalBytes = 0;
    packets.forEach((packet, i) => {
      u8.set(packet, place);
      const skipped = i === 0 ? 0 : headerBytes;
      datagram.pieces.add(place + skipped, packet.length - skipped);
      place += packet.length;
      totalBytes += packet.length - skipped;
    });
    // A run has the flags of all its packets.
    u8[at + 33] |= packets[packets.length - 1][13];
    datagram.ipAt = at;
    datagram.ipHeaderBytes = 20;
    datagram.sourceAt = at + 12;
    datagram.destinationAt = at + 16;
    datagram.protocol = 6;
    datagram.bytes = totalBytes;
    datagram.packetCount = packets.length;
    datagram.gsoSize = packets.length > 1 ? packets[0].length - headerBytes : 0;
    datagram.isVerified = !this.network.hasChecksums;
    this.layer.onDatagram(datagram, nowMs);
  }

  #writeIpHeader(at: number): void {
    const { u8 } = this.slab;
    u8[at] = 0x45;
    u8.set(this.network.otherOf(this).address, at + 12);
    u8.set(this.address, at + 16);
  }
}

/** Whether GRO may put `next` behind `last` in a run that begins with `first`. */
function follows(first: Uint8Array, last: Uint8Array, next: Uint8Array): boolean {
  const headerBytes = (first[12] >>> 4) << 2;
  const [a, c] = [new DataView(first.buffer), new DataView(next.buffer)];
  const lastPayload = last.length - headerBytes;
  const isRun = lastPayload > 0 && last.length === first.length && next.length <= first.length &&
    next.length > headerBytes && next[12] === first[12] && (last[13] & ~TcpFlag.Ack) === 0 &&
    (next[13] & ~(TcpFlag.Ack | TcpFlag.Psh)) === 0;
  if (!isRun) return false;
  const lastSeq = new DataView(last.buffer).getInt32(4);
  if (c.getInt32(4) !== ((lastSeq + lastPayload) | 0)) return false;
  if (c.getInt32(0) !== a.getInt32(0) || c.getInt32(8) !== a.getInt32(8)) return false;
  if (c.getUint16(14) !== a.getUint16(14)) return false;
  for (let i = 20; i < headerBytes; i++) if (first[i] !== next[i]) return false;
  return true;
}

/** The network with its two ends, `a` and `b`. */
export class TcpNetwork {
  nowMs = 1000;
  readonly random: SeededRandom;
  readonly a: SimHost;
  readonly b: SimHost;
  readonly hasChecksums: boolean;
  readonly watchesWindows: boolean;
  /** Called after each moment, when both ends have had their turn. */
  onMoment: () => void = () => {};
  /** Moments come at least so often, for applications that wait for a time. */
  tickMs = Infinity;
  readonly #faults = new Map<SimHost, LinkFaults>();
  /** When the bottleneck of each sender is free again. */
  readonly #freeAtMs = new Map<SimHost, number>();
  readonly #heap: Packet[] = [];
  #order = 0;
  lostCount = 0;

  constructor(
    readonly seed: number,
    options: {
      a?: HostOptions;
      b?: HostOptions;
      aToB: LinkFaults;
      bToA: LinkFaults;
      /** False when there are several connections: then windows are not watched. */
      isSingle?: boolean;
    },
  ) {
    this.random = new SeededRandom(seed);
    this.hasChecksums = (options.aToB.corrupted ?? 0) + (options.bToA.corrupted ?? 0) > 0;
    // Of what may be corrupted nothing is known.
    this.watchesWindows = (options.isSingle ?? true) && !this.hasChecksums;
    this.a = new SimHost(this, Uint8Array.of(10, 0, 0, 1), options.a ?? {});
    this.b = new SimHost(this, Uint8Array.of(10, 0, 0, 2), options.b ?? {});
    this.#faults.set(this.a, options.aToB);
    this.#faults.set(this.b, options.bToA);
  }

  otherOf(host: SimHost): SimHost {
    return host === this.a ? this.b : this.a;
  }

  /** A packet leaves `from`. */
  send(from: SimHost, bytes: Uint8Array): void {
    const faults = this.#faults.get(from)!;
    if (faults.isDown?.(this.nowMs) || this.#happens(faults.lost)) {
      this.lostCount++;
      return;
    }
    let leavesMs = this.nowMs;
    if (faults.bytesPerMs !== undefined) {
      const freeAtMs = Math.max(this.#freeAtMs.get(from) ?? 0, this.nowMs);
      const waitingBytes = (freeAtMs - this.nowMs) * faults.bytesPerMs;
      if (waitingBytes + bytes.length > (faults.queueBytes ?? Infinity)) {
        this.lostCount++;
        return;
      }
      leavesMs = freeAtMs + (bytes.length + 20) / faults.bytesPerMs;
      this.#freeAtMs.set(from, leavesMs);
    }
    if (this.hasChecksums) this.#sum(from, bytes);
    this.#schedule(from, bytes, leavesMs, faults);
    if (this.#happens(faults.duplicated)) this.#schedule(from, bytes, leavesMs, faults);
  }

  #sum(from: SimHost, bytes: Uint8Array): void {
    const header = new DataView(new ArrayBuffer(20));
    const to = this.otherOf(from);
    for (let i = 0; i < 4; i++) {
      header.setUint8(12 + i, from.address[i]);
      header.setUint8(16 + i, to.address[i]);
    }
    const pseudo = pseudoHeaderSum(header, 0, 4, 6, bytes.length);
    finishChecksum(new DataView(bytes.buffer), 0, bytes.length, pseudo);
  }

  #schedule(from: SimHost, bytes: Uint8Array, leavesMs: number, faults: LinkFaults): void {
    let atMs = leavesMs + faults.delayMs;
    if (this.#happens(faults.reordered)) {
      atMs += (this.random.nextUint32() / 2 ** 32) * (faults.reorderMs ?? 5);
    }
    let arriving = bytes;
    if (this.#happens(faults.corrupted)) {
      arriving = bytes.slice();
      arriving[this.random.below(bytes.length)] ^= 1 << this.random.below(8);
    }
    this.#push({ atMs, order: this.#order++, to: this.otherOf(from), bytes: arriving });
  }

  #happens(share = 0): boolean {
    return share > 0 && this.random.nextUint32() < share * 2 ** 32;
  }

  /** Lets time pass until `isDone`; false when `untilMs` comes first. */
  run(isDone: () => boolean, untilMs: number): boolean {
    this.#turn();
    while (!isDone()) {
      const nextMs = Math.min(
        this.#heap.length > 0 ? this.#heap[0].atMs : Infinity,
        this.#timeoutOf(this.a),
        this.#timeoutOf(this.b),
        this.tickMs === Infinity
          ? Infinity
          : (Math.floor(this.nowMs / this.tickMs) + 1) * this.tickMs,
      );
      if (nextMs > untilMs) return false;
      this.nowMs = Math.max(this.nowMs, nextMs);
      this.#arrivals();
      for (const host of [this.a, this.b]) {
        if (this.nowMs < host.pausedUntilMs) continue;
        if (host.layer.nextTimeoutMs() <= this.nowMs) host.layer.onTimeout(this.nowMs);
      }
      this.#turn();
    }
    return true;
  }

  #arrivals(): void {
    const due = new Map<SimHost, Uint8Array[]>([[this.a, []], [this.b, []]]);
    while (this.#heap.length > 0 && this.#heap[0].atMs <= this.nowMs) {
      const packet = this.#pop();
      due.get(packet.to)!.push(packet.bytes);
    }
    for (const [host, packets] of due) host.receive(packets, this.nowMs);
  }

  /** When something is to be done at one end without a packet. */
  #timeoutOf(host: SimHost): number {
    const timeoutMs = host.layer.nextTimeoutMs();
    return this.nowMs < host.pausedUntilMs ? host.pausedUntilMs : timeoutMs;
  }

  #turn(): void {
    this.onMoment();
    for (const host of [this.a, this.b]) {
      if (this.nowMs < host.pausedUntilMs) continue;
      for (let i = 0; host.layer.hasOutput && i < 1000; i++) host.layer.flush(this.nowMs);
    }
  }

  #push(packet: Packet): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(packet);
    while (i > 0) {
      const parent = (i - 1) >>> 1;
      if (!isBefore(packet, heap[parent])) break;
      heap[i] = heap[parent];
      i = parent;
    }
    heap[i] = packet;
  }

  #pop(): Packet {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop()!;
    if (heap.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (!isBefore(heap[child], last)) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = last;
    return top;
  }
}

function isBefore(a: Packet, b: Packet): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
