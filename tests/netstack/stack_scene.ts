/** A stack on a table: packets in, packets out, drops by name, virtual time, memory accounted for. */
import { assert, assertEquals } from "@std/assert";
import { DropReason, dropReasonName } from "../../src/base/drop_reason.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { instantiateKernels } from "../../src/kernels/kernels.ts";
import { createSlab, type Slab } from "../../src/memory/slab.ts";
import { BufferPool } from "../../src/netstack/buffer_pool.ts";
import { InboundItem } from "../../src/netstack/inbound.ts";
import { LinkEndpoint } from "../../src/netstack/link_endpoint.ts";
import { Stack, type StackOptions } from "../../src/netstack/stack.ts";
import { segmentBytes, splitSegments } from "../../src/offload/gso_split.ts";
import { describeStackSegment, SuperPacket } from "../../src/offload/super_packet.ts";
import type { ChecksumKernel } from "../../src/wire/checksum_kernel.ts";
import { address, isMessageValid, OWN4, OWN6, parse, type Parsed } from "./packets.ts";

const LINK_AT = 1 << 16;
const INPUT_AT = 1 << 18;
const OUTPUT_AT = 1 << 19;
const POOL_AT = 1 << 20;

/** What a test may want to choose. */
export interface SceneOptions extends Partial<StackOptions> {
  mtu?: number;
  poolBytes?: number;
  gsoMaxBytes?: number;
}

/** See the module's text. */
export class StackScene {
  readonly slab: Slab;
  readonly kernel: ChecksumKernel;
  readonly pool: BufferPool;
  readonly link: LinkEndpoint;
  readonly stack: Stack;
  readonly random = new SeededRandom(4711);
  nowMs = 1000;
  /** Packets dropped since the last look, by reason. */
  #drops = new Map<string, number>();
  readonly #item = new InboundItem();
  readonly #packet = new SuperPacket();

  constructor(options: SceneOptions = {}) {
    const poolBytes = options.poolBytes ?? 16 << 20;
    this.slab = createSlab(POOL_AT + poolBytes);
    this.kernel = instantiateKernels(this.slab.memory);
    this.pool = new BufferPool(POOL_AT, poolBytes);
    const { mtu = 1420, gsoMaxBytes } = options;
    this.link = new LinkEndpoint(this.slab, this.pool, LINK_AT, { mtu, gsoMaxBytes });
    this.stack = new Stack({
      slab: this.slab,
      kernel: this.kernel,
      pool: this.pool,
      link: this.link,
      random: this.random,
      counters: this,
      addresses: [
        { address: address(OWN4), bits: 24 },
        { address: address(OWN6), bits: 64 },
      ],
      ...options,
    });
    this.stack.nowMs = this.nowMs;
  }

  /** Counts a drop: the scene is its stack's `DropCounters`. */
  drop(reason: DropReason, packets = 1): void {
    assert(reason !== DropReason.None && packets > 0);
    const name = dropReasonName(reason);
    this.#drops.set(name, (this.#drops.get(name) ?? 0) + packets);
  }

  /** Drops since the last look. */
  takeDrops(): Record<string, number> {
    const drops = Object.fromEntries(this.#drops);
    this.#drops.clear();
    return drops;
  }

  /** Gives a packet to the stack. */
  receive(packet: Uint8Array, isVerified = false): void {
    // Behind it stands what is not part of it.
    this.slab.u8.fill(0xee, INPUT_AT, INPUT_AT + packet.length + 128);
    this.slab.u8.set(packet, INPUT_AT + 2);
    const item = this.#item;
    item.at = INPUT_AT + 2;
    item.bytes = packet.length;
    item.packetCount = 1;
    item.headerBytes = 0;
    item.gsoSize = 0;
    item.isVerified = isVerified;
    item.pieces.clear();
    item.pieces.add(item.at, packet.length);
    this.stack.onItem(item, this.nowMs);
  }

  /**
   * Gives packets of one flow to the stack as GRO merges them: the first one's headers with the
   * lengths of all, payloads where they are. All have headers of `headerBytes`.
   */
  receiveRun(packets: Uint8Array[], headerBytes: number): void {
    const item = this.#item;
    item.pieces.clear();
    let at = INPUT_AT + 2;
    let payloadBytes = 0;
    for (const packet of packets) {
      this.slab.u8.set(packet, at);
      item.pieces.add(at + headerBytes, packet.length - headerBytes);
      payloadBytes += packet.length - headerBytes;
      at += packet.length + 31;
    }
    item.at = INPUT_AT + 2;
    item.bytes = headerBytes + payloadBytes;
    const { view } = this.slab;
    const isV4 = packets[0][0] >> 4 === 4;
    view.setUint16(item.at + (isV4 ? 2 : 4), isV4 ? item.bytes : item.bytes - 40);
    item.packetCount = packets.length;
    item.headerBytes = headerBytes;
    item.gsoSize = packets.length > 1 ? packets[0].length - headerBytes : 0;
    item.isVerified = true;
    this.stack.onItem(item, this.nowMs);
  }

  /** Takes what the stack has sent, cut and completed as a lane does it. */
  sent(): Uint8Array[] {
    const packets: Uint8Array[] = [];
    const { link, slab, kernel } = this;
    while (!link.isEmpty) {
      const reason = describeStackSegment(
        slab,
        link.frontHeaderAt,
        link.frontHeaderBytes,
        link.frontPayloadAt,
        link.frontPayloadBytes,
        link.frontGso,
        this.#packet,
      );
      assertEquals(dropReasonName(reason), "None");
      for (let i = 0; i < this.#packet.segmentCount; i++) {
        splitSegments(slab, kernel, this.#packet, i, 1, OUTPUT_AT, 0);
        packets.push(slab.u8.slice(OUTPUT_AT, OUTPUT_AT + segmentBytes(this.#packet, i)));
      }
      link.pop();
    }
    return packets;
  }

  /** The same, taken apart; checksums of what is not fragmented must be right. */
  sentParsed(): Parsed[] {
    return this.sent().map((bytes) => {
      const packet = parse(bytes);
      const isFragment = packet.hasMore || packet.offset > 0;
      assert(isFragment || isMessageValid(packet), "the checksum is right");
      return packet;
    });
  }

  /** The one packet that was sent. */
  sentOne(): Parsed {
    const packets = this.sentParsed();
    assertEquals(packets.length, 1, "one packet was sent");
    return packets[0];
  }

  /** Moves time and does what is due. */
  advance(ms: number): void {
    this.nowMs += ms;
    if (this.stack.nextTimeoutMs() <= this.nowMs) this.stack.onTimeout(this.nowMs);
    this.stack.nowMs = this.nowMs;
  }

  /** Nothing was sent, and this was counted. */
  assertDropped(drops: Record<string, number>, message?: string): void {
    assertEquals(this.sent().length, 0, message ?? "nothing was sent");
    assertEquals(this.takeDrops(), drops, message);
  }

  /** Bytes put where `send` calls of sockets can take them from; returns the place. */
  place(bytes: Uint8Array): number {
    this.slab.u8.set(bytes, INPUT_AT);
    return INPUT_AT;
  }
}
