/**
 * A TCP stream between two userspace stacks in one thread, cut and merged as lanes do it but neither
 * sealed nor sent: what segments of 64 KB cost in each step, on a clock and with numbers that are the
 * same in every run.
 *
 *     stack A ─▶ link ─▶ split ─▶ packets ─▶ coalesce ─▶ item ─▶ stack B
 *             ◀───────────────── acknowledgments ◀──────────────
 */
import { systemClock } from "../../ffi/clock.ts";
import { SeededRandom } from "../base/random.ts";
import { instantiateKernels, type Kernels } from "../kernels/kernels.ts";
import { createSlab, RegionAllocator, type Slab } from "../memory/slab.ts";
import { BufferPool } from "../netstack/buffer_pool.ts";
import { InboundItem, type Pieces } from "../netstack/inbound.ts";
import { LinkEndpoint } from "../netstack/link_endpoint.ts";
import { Stack } from "../netstack/stack.ts";
import type { TcpConnection } from "../netstack/tcp/tcp_socket.ts";
import { GRO_IOVEC_REGION_BYTES, GroCoalescer, type GroSink } from "../offload/gro_coalesce.ts";
import { segmentBytes, splitSegments } from "../offload/gso_split.ts";
import { describeStackSegment, SuperPacket } from "../offload/super_packet.ts";

const MTU = 1420;
const PORT = 5201;
const POOL_BYTES = 32 << 20;
/** Segments of one turn: 1 MiB. */
const TURN_SEGMENTS = 16;
const TURN_BYTES = 1 << 20;
/** Packets that a segment is cut into, at most. */
const SEGMENT_PACKETS_MAX = 64;
/** Decrypted packets stand this far apart, with room for a virtio header before each. */
const STRIDE_BYTES = 1488;
const SEGMENT_AREA_BYTES = SEGMENT_PACKETS_MAX * STRIDE_BYTES;
/** How far virtual time moves on with each turn. */
const TURN_MS = 0.5;
const WARM_UP_BYTES = 128 << 20;
const UNIT_BYTES = 65_536;

/** The steps that are clocked. */
export const STACK_STEPS = ["send", "split", "coalesce", "receive"] as const;
/** One of them. */
export type StackStep = (typeof STACK_STEPS)[number];

/** One end. */
class End {
  readonly stack: Stack;
  readonly link: LinkEndpoint;

  constructor(slab: Slab, kernel: Kernels, regions: RegionAllocator, address: Uint8Array) {
    const linkAt = regions.reserve(LinkEndpoint.bytes(), 4096);
    const pool = new BufferPool(regions.reserve(POOL_BYTES, 4096), POOL_BYTES);
    this.link = new LinkEndpoint(slab, pool, linkAt, { mtu: MTU });
    this.stack = new Stack({
      slab,
      kernel,
      pool,
      link: this.link,
      random: new SeededRandom(1),
      counters: { drop: () => {} },
      addresses: [{ address, bits: 24 }],
    });
  }
}

const ADDRESS_A = Uint8Array.of(10, 77, 0, 1);
const ADDRESS_B = Uint8Array.of(10, 77, 0, 2);
const SLAB_BYTES = 2 * (POOL_BYTES + (1 << 20)) + (TURN_SEGMENTS + 1) * SEGMENT_AREA_BYTES +
  (1 << 20);

/** Two stacks and a connection between them. */
export class StackBed implements GroSink {
  readonly #slab = createSlab(SLAB_BYTES);
  readonly #kernel = instantiateKernels(this.#slab.memory);
  readonly #a: End;
  readonly #b: End;
  readonly #packetsAt: number;
  readonly #acknowledgmentAt: number;
  readonly #gro: GroCoalescer;
  readonly #sp = new SuperPacket();
  readonly #items = Array.from({ length: TURN_SEGMENTS * 2 }, () => new InboundItem());
  readonly #acknowledgment = new InboundItem();
  readonly #segmentPackets = new Int32Array(TURN_SEGMENTS);
  readonly #segmentLastBytes = new Int32Array(TURN_SEGMENTS);
  readonly #segmentPacketBytes = new Int32Array(TURN_SEGMENTS);
  #segmentCount = 0;
  #itemCount = 0;
  #connection: TcpConnection | null = null;
  #receivedBytes = 0;
  #nowMs = 1000;
  /** Milliseconds of each step since they were last taken. */
  readonly #stepMs = new Float64Array(STACK_STEPS.length);

  constructor() {
    const regions = new RegionAllocator();
    this.#a = new End(this.#slab, this.#kernel, regions, ADDRESS_A);
    this.#b = new End(this.#slab, this.#kernel, regions, ADDRESS_B);
    // Not a multiple of 4096 away from the buffers: see `OUT_AT` of crypto_work.ts.
    this.#packetsAt = regions.reserve(TURN_SEGMENTS * SEGMENT_AREA_BYTES, 4096) + 1040;
    regions.reserve(4096);
    this.#acknowledgmentAt = regions.reserve(4096);
    this.#gro = new GroCoalescer(
      this.#slab,
      this.#kernel,
      regions.reserve(GRO_IOVEC_REGION_BYTES),
      { slabAddress: 0, tcp: true, udp: false },
    );
    this.#connect();
    this.transfer(WARM_UP_BYTES);
  }

  /** Carries so many bytes; the nanoseconds that each step has taken for 64 KB. */
  transfer(bytes: number): Record<StackStep, number> {
    this.#stepMs.fill(0);
    const startBytes = this.#receivedBytes;
    while (this.#receivedBytes - startBytes < bytes) this.#turn();
    const units = (this.#receivedBytes - startBytes) / UNIT_BYTES;
    const [send, split, coalesce, receive] = this.#stepMs;
    const each = (ms: number) => ms * 1e6 / units;
    return {
      send: each(send),
      split: each(split),
      coalesce: each(coalesce),
      receive: each(receive),
    };
  }

  #connect(): void {
    this.#b.stack.tcp.listen(null, PORT, {
      onSyn: (pending) =>
        void pending.accept({
          onReadable: (connection) => this.#read(connection),
          takePieces: (_connection, pieces) => this.#take(pieces),
          onWritable: () => {},
          onEnd: () => {},
        }),
      onPendingGone: () => {},
    });
    this.#a.stack.tcp.connect(ADDRESS_B, PORT, {
      onConnected: (connection) => this.#connection = connection,
      onReadable: () => {},
      onWritable: () => {},
      onEnd: () => {
        throw new Error("The connection between the stacks has ended");
      },
    }, this.#nowMs);
    for (let i = 0; this.#connection === null; i++) {
      if (i === 100) throw new Error("The stacks cannot connect");
      this.#turn();
    }
  }

  #read(connection: TcpConnection): void {
    for (let bytes = connection.readSpan(); bytes > 0; bytes = connection.readSpan()) {
      connection.consume(bytes);
      this.#receivedBytes += bytes;
    }
  }

  #take(pieces: Pieces): number {
    this.#receivedBytes += pieces.totalBytes;
    return pieces.totalBytes;
  }

  #turn(): void {
    const stepMs = this.#stepMs;
    const t0 = systemClock.nowMs();
    this.#send();
    const t1 = systemClock.nowMs();
    this.#split();
    const t2 = systemClock.nowMs();
    this.#coalesce();
    const t3 = systemClock.nowMs();
    this.#receive();
    const t4 = systemClock.nowMs();
    this.#nowMs += TURN_MS;
    stepMs[0] += t1 - t0;
    stepMs[1] += t2 - t1;
    stepMs[2] += t3 - t2;
    stepMs[3] += t4 - t3;
  }

  /** Takes the other end's acknowledgments, writes, and lets the stack make segments. */
  #send(): void {
    const { stack } = this.#a;
    const { link } = this.#b;
    stack.nowMs = this.#nowMs;
    while (!link.isEmpty) this.#acknowledge(link);
    if (stack.nextTimeoutMs() <= this.#nowMs) stack.onTimeout(this.#nowMs);
    const connection = this.#connection;
    for (let left = TURN_BYTES; connection !== null && left > 0;) {
      const room = connection.writeSpan(left);
      if (room === 0) break;
      connection.commitWrite(room);
      left -= room;
    }
    stack.flush(this.#nowMs);
  }

  #acknowledge(link: LinkEndpoint): void {
    const { frontHeaderAt, frontHeaderBytes } = link;
    const at = this.#acknowledgmentAt, item = this.#acknowledgment;
    this.#slab.u8.copyWithin(at, frontHeaderAt, frontHeaderAt + frontHeaderBytes);
    item.at = at;
    item.bytes = frontHeaderBytes;
    item.isVerified = true;
    item.pieces.clear();
    item.pieces.add(at, frontHeaderBytes);
    link.pop();
    this.#a.stack.onItem(item, this.#nowMs);
  }

  /** Cuts the segments of a turn into packets. */
  #split(): void {
    const { link } = this.#a;
    const sp = this.#sp;
    let count = 0;
    for (; count < TURN_SEGMENTS && !link.isEmpty; count++) {
      describeStackSegment(
        this.#slab,
        link.frontHeaderAt,
        link.frontHeaderBytes,
        link.frontPayloadAt,
        link.frontPayloadBytes,
        link.frontGso,
        sp,
      );
      const at = this.#packetsAt + count * SEGMENT_AREA_BYTES;
      splitSegments(this.#slab, this.#kernel, sp, 0, sp.segmentCount, at, STRIDE_BYTES);
      this.#segmentPackets[count] = sp.segmentCount;
      this.#segmentPacketBytes[count] = segmentBytes(sp, 0);
      this.#segmentLastBytes[count] = segmentBytes(sp, sp.segmentCount - 1);
      link.pop();
    }
    this.#segmentCount = count;
  }

  /** Merges the packets of each segment, as those of one receive. */
  #coalesce(): void {
    this.#itemCount = 0;
    for (let k = 0; k < this.#segmentCount; k++) {
      const last = this.#segmentPackets[k] - 1;
      let at = this.#packetsAt + k * SEGMENT_AREA_BYTES;
      for (let i = 0; i < last; i++, at += STRIDE_BYTES) {
        this.#gro.add(at, this.#segmentPacketBytes[k]);
      }
      this.#gro.add(at, this.#segmentLastBytes[k]);
      this.#gro.flush(this);
    }
  }

  /** Keeps an item of the coalescer for the stack. */
  write(): void {
    const item = this.#items[this.#itemCount++];
    item.takeDelivered(this.#gro);
  }

  /** Gives the items to the receiving stack, which owes acknowledgments for them. */
  #receive(): void {
    const { stack } = this.#b;
    stack.nowMs = this.#nowMs;
    for (let i = 0; i < this.#itemCount; i++) stack.onItem(this.#items[i], this.#nowMs);
    if (stack.nextTimeoutMs() <= this.#nowMs) stack.onTimeout(this.#nowMs);
    stack.flush(this.#nowMs);
  }
}
