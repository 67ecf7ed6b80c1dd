/**
 * A stack for tests of the lane: a real link endpoint, an upper side that writes down what it is
 * given, and segments that the test composes.
 */
import type { StackPort } from "../../src/lane/ports.ts";
import type { Slab } from "../../src/memory/slab.ts";
import { BufferPool } from "../../src/netstack/buffer_pool.ts";
import type { InboundItem } from "../../src/netstack/inbound.ts";
import { LINK_HEADER_BYTES, LinkEndpoint } from "../../src/netstack/link_endpoint.ts";
import { STACK_BYTES } from "./lane_fixture.ts";

/** One item as the stack saw it. */
export interface SeenItem {
  /** Headers and payload, joined. */
  readonly bytes: Uint8Array;
  readonly pieces: readonly number[];
  readonly packetCount: number;
  readonly gsoSize: number;
  readonly headerBytes: number;
  readonly isVerified: boolean;
  readonly arrivedMs: number;
}

/** How `RecordingStack.send` wants a segment to be cut. */
export interface SentGso {
  readonly type?: number;
  readonly mss?: number;
  readonly needsCsum?: boolean;
  readonly headerBytes: number;
  readonly l3HeaderBytes: number;
  readonly csumOffset?: number;
}

/** See the module's text. */
export class RecordingStack implements StackPort {
  nowMs = 0;
  readonly link: LinkEndpoint;
  readonly pool: BufferPool;
  readonly items: SeenItem[] = [];
  /** What happened, in order: "item", "timeout", "flush". */
  readonly calls: string[] = [];
  deadlineMs = Infinity;
  /** Called within `flush`, as the place where a stack sends. */
  onFlush: () => void = () => {};
  onItemSeen: (item: InboundItem) => void = () => {};
  readonly #slab: Slab;

  constructor(slab: Slab, at: number, capacity = 512) {
    this.#slab = slab;
    const linkBytes = LinkEndpoint.bytes(capacity);
    this.pool = new BufferPool(at + linkBytes, STACK_BYTES - linkBytes);
    this.link = new LinkEndpoint(slab, this.pool, at, { mtu: 1420, capacity });
  }

  onItem(item: InboundItem, arrivedMs: number): void {
    this.calls.push("item");
    const { pieces, headerBytes } = item;
    const parts = [this.#slab.u8.slice(item.at, item.at + headerBytes)];
    for (let i = 0; i < pieces.count; i++) {
      parts.push(this.#slab.u8.slice(pieces.at[i], pieces.at[i] + pieces.bytes[i]));
    }
    this.items.push({
      bytes: Uint8Array.from(parts.flatMap((part) => [...part])),
      pieces: [...pieces.bytes.subarray(0, pieces.count)],
      packetCount: item.packetCount,
      gsoSize: item.gsoSize,
      headerBytes,
      isVerified: item.isVerified,
      arrivedMs,
    });
    this.onItemSeen(item);
  }

  nextTimeoutMs(): number {
    return this.deadlineMs;
  }

  onTimeout(): void {
    this.calls.push("timeout");
    this.deadlineMs = Infinity;
  }

  flush(): void {
    this.calls.push("flush");
    this.onFlush();
  }

  /** Queues `packet` with its payload apart from its headers; false when the link is full. */
  send(packet: Uint8Array, gso: SentGso): boolean {
    const headerAt = this.link.claim();
    if (headerAt < 0) return false;
    const payloadBytes = packet.length - gso.headerBytes;
    const block = this.pool.allocate(Math.max(1, payloadBytes));
    if (block === 0) throw new Error("the test's pool is empty");
    this.#slab.u8.fill(0xee, headerAt, headerAt + LINK_HEADER_BYTES);
    this.#slab.u8.set(packet.subarray(0, gso.headerBytes), headerAt);
    this.#slab.u8.set(packet.subarray(gso.headerBytes), block);
    this.link.publish(
      gso.headerBytes,
      block,
      payloadBytes,
      block,
      gso.type ?? 0,
      gso.mss ?? 0,
      gso.l3HeaderBytes,
      gso.csumOffset ?? 16,
      gso.needsCsum ?? true,
    );
    this.pool.free(block);
    return true;
  }
}
