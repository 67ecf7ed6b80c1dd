/**
 * The stack's lower edge: a bounded queue of 512 segments on their way out, and a door for packets on
 * their way in.
 *
 * ```
 *  upper edge (stack)          slots                     lower edge (lane, or an embedder)
 *  claim ─▶ write headers ─▶ publish ─▶ [■■■■······] ─▶ front* ─▶ pop
 *                                                        read, readAsync, for await, drain
 *  onWritable ◀────────────── room again                 onReadable ◀─ something again
 *  attached sink ◀──────────────────────────────────────  injectInbound
 * ```
 *
 * A slot has 128 bytes of slab for headers; its payload is only referenced. Between `publish` and
 * `pop` the pool block that holds the payload is pinned, so that it is not given away meanwhile. When
 * the queue is full nothing is dropped here: `claim` fails, and `onWritable` tells when to go on.
 *
 * Both edges of the hot path speak in integers. The methods for embedders make objects, and copies
 * that belong to whoever asked.
 */
import { invariant } from "../base/invariant.ts";
import type { Slab } from "../memory/slab.ts";
import { type StackGso, StackGsoType } from "../offload/gso_options.ts";
import { IP_BYTES_MAX, ipPacketBytes, IpProtocol } from "../wire/ip.ts";
import { ipv4HeaderBytes, ipv4IsFragment, ipv4Protocol } from "../wire/ipv4.ts";
import { IPV6_TRANSPORT_FRAGMENT, ipv6Transport } from "../wire/ipv6.ts";
import { TCP_HEADER_BYTES, tcpHeaderBytes } from "../wire/tcp.ts";
import { InboundItem } from "./inbound.ts";
import { LinkWaiters } from "./link_waiters.ts";

/** Segments that a link endpoint holds. */
export const LINK_SEGMENTS = 512;
/** Bytes of slab in each slot for IP and transport headers. */
export const LINK_HEADER_BYTES = 128;

/** What the lower side of a link does for the stack, as bits of `capabilities`. */
export const LinkCapability = {
  /** Transport checksums may be left for it to complete (`needsCsum`). */
  TxChecksum: 1,
  /** It says which checksums it has verified. */
  RxChecksum: 2,
} as const;

/** Whether a link takes TCP segments longer than its MTU. */
export const SupportedGso = { None: 0, Stack: 1 } as const;
/** One of the values of `SupportedGso`. */
export type SupportedGso = (typeof SupportedGso)[keyof typeof SupportedGso];

/** Blocks of slab that are lent out; `BufferPool` is one. */
export interface BlockPool {
  /** A block of at least `bytes` bytes, or 0 when there is none. */
  allocate(bytes: number): number;
  /** Gives a block back, at once or when its last pin is gone. */
  free(at: number): void;
  /** Keeps a block until `unpin`, also when it is freed meanwhile; pins are counted. */
  pin(at: number): void;
  /** Takes one pin away. */
  unpin(at: number): void;
}

/** Takes the packets that come in through a link endpoint: the stack. */
export interface LinkSink {
  /** `item` and its bytes are valid during the call. */
  onInbound(item: InboundItem): void;
}

/** One segment as an embedder gets or gives it. */
export interface LinkPacket {
  /** IP header, transport header and payload. */
  readonly bytes: Uint8Array;
  /** How it is to be cut, and whether its checksum is to be completed. */
  readonly gso: StackGso;
}

/** The `StackGso` of a packet that is whole as it is. */
export function plainStackGso(): StackGso {
  return { type: StackGsoType.None, needsCsum: false, csumOffset: 0, mss: 0, l3HeaderBytes: 0 };
}

/** What a link endpoint is made for. */
export interface LinkOptions {
  /** The longest IP packet, 1,280 at least where IPv6 is used. */
  readonly mtu: number;
  /** The longest segment that the stack may hand down, headers included; 0: no GSO. */
  readonly gsoMaxBytes?: number;
  /** Segments that it holds, a power of two; `LINK_SEGMENTS` if left out. */
  readonly capacity?: number;
}

/** See the module's text. */
export class LinkEndpoint {
  /** May be changed at any time; what is queued stays as it is. */
  mtu: number;
  /** The longest segment that may be handed down, headers included; 0 without GSO. */
  readonly gsoMaxBytes: number;
  /** Whether segments longer than the MTU may be handed down. */
  readonly supportedGso: SupportedGso;
  /** Bits of `LinkCapability`. */
  readonly capabilities: number = LinkCapability.TxChecksum | LinkCapability.RxChecksum;
  /** Segments that it holds. */
  readonly capacity: number;
  /** Lower edge: called when the queue was empty and is not any more. */
  onReadable: (() => void) | null = null;
  /** Upper edge: called when there is room again after a `claim` had failed. */
  onWritable: (() => void) | null = null;

  readonly #slab: Slab;
  readonly #pool: BlockPool;
  readonly #firstHeaderAt: number;
  readonly #waiters = new LinkWaiters();
  readonly #item = new InboundItem();
  readonly #gso = plainStackGso();
  #sink: LinkSink | null = null;
  #isClosed = false;
  #wantsRoom = false;
  #front = 0;
  #count = 0;

  readonly #headerAt: Int32Array;
  readonly #headerBytes: Int32Array;
  readonly #payloadAt: Int32Array;
  readonly #payloadBytes: Int32Array;
  readonly #block: Int32Array;
  readonly #mss: Int32Array;
  readonly #gsoType: Uint8Array;
  readonly #l3HeaderBytes: Uint8Array;
  readonly #csumOffset: Uint8Array;
  readonly #needsCsum: Uint8Array;

  /** Slab bytes that an endpoint of `capacity` slots needs, at a multiple of 64. */
  static bytes(capacity: number = LINK_SEGMENTS): number {
    return capacity * LINK_HEADER_BYTES;
  }

  /** `at`: `LinkEndpoint.bytes(capacity)` bytes of slab that only this uses. */
  constructor(slab: Slab, pool: BlockPool, at: number, options: LinkOptions) {
    const capacity = options.capacity ?? LINK_SEGMENTS;
    invariant(capacity > 0 && (capacity & (capacity - 1)) === 0, "capacity is a power of two");
    this.#slab = slab;
    this.#pool = pool;
    this.#firstHeaderAt = at;
    this.mtu = options.mtu;
    this.gsoMaxBytes = Math.min(options.gsoMaxBytes ?? IP_BYTES_MAX, IP_BYTES_MAX);
    this.supportedGso = this.gsoMaxBytes > 0 ? SupportedGso.Stack : SupportedGso.None;
    this.capacity = capacity;
    this.#headerAt = new Int32Array(capacity);
    this.#headerBytes = new Int32Array(capacity);
    this.#payloadAt = new Int32Array(capacity);
    this.#payloadBytes = new Int32Array(capacity);
    this.#block = new Int32Array(capacity);
    this.#mss = new Int32Array(capacity);
    this.#gsoType = new Uint8Array(capacity);
    this.#l3HeaderBytes = new Uint8Array(capacity);
    this.#csumOffset = new Uint8Array(capacity);
    this.#needsCsum = new Uint8Array(capacity);
  }

  /** `gsoMaxBytes`, by the name that embedders know. */
  get gsoMaxSize(): number {
    return this.gsoMaxBytes;
  }

  // Upper edge.

  /**
   * The place of the next slot's `LINK_HEADER_BYTES`, to be filled and published; -1 when the endpoint
   * is full (then `onWritable` will be called) or closed. Claiming twice gives the same slot.
   */
  claim(): number {
    if (this.#isClosed) return -1;
    if (this.#count === this.capacity) {
      this.#wantsRoom = true;
      return -1;
    }
    return this.#firstHeaderAt + this.#backSlot() * LINK_HEADER_BYTES;
  }

  /**
   * Queues the claimed slot: `headerBytes` of headers in it, then `payloadBytes` bytes at `payloadAt`,
   * which lie in the pool block `block` (0 for none). The rest are the fields of `StackGso`.
   */
  publish(
    headerBytes: number,
    payloadAt: number,
    payloadBytes: number,
    block: number,
    gsoType: number,
    mss: number,
    l3HeaderBytes: number,
    csumOffset: number,
    needsCsum: boolean,
  ): void {
    invariant(!this.#isClosed && this.#count < this.capacity, "the slot was claimed");
    const slot = this.#backSlot();
    this.#headerAt[slot] = this.#firstHeaderAt + slot * LINK_HEADER_BYTES;
    this.#fill(slot, headerBytes, payloadAt, payloadBytes, block);
    this.#gsoType[slot] = gsoType;
    this.#mss[slot] = mss;
    this.#l3HeaderBytes[slot] = l3HeaderBytes;
    this.#csumOffset[slot] = csumOffset;
    this.#needsCsum[slot] = needsCsum ? 1 : 0;
    this.#announce();
  }

  #backSlot(): number {
    return (this.#front + this.#count) & (this.capacity - 1);
  }

  #fill(
    slot: number,
    headerBytes: number,
    payloadAt: number,
    payloadBytes: number,
    block: number,
  ): void {
    this.#headerBytes[slot] = headerBytes;
    this.#payloadAt[slot] = payloadAt;
    this.#payloadBytes[slot] = payloadBytes;
    this.#block[slot] = block;
    if (block !== 0) this.#pool.pin(block);
  }

  #announce(): void {
    if (this.#count++ !== 0) return;
    if (this.#waiters.isWaiting) this.#waiters.wake();
    if (this.onReadable !== null) this.onReadable();
  }

  // Lower edge.

  /** Segments that wait. */
  get numQueued(): number {
    return this.#count;
  }

  /** Segments that can still be published. */
  get freeSlots(): number {
    return this.#isClosed ? 0 : this.capacity - this.#count;
  }

  /** Whether nothing waits. */
  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Whether `claim` would fail for want of room. */
  get isFull(): boolean {
    return this.#count === this.capacity;
  }

  /** Whether `close` was called. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Place of the oldest segment's headers; this and what follows needs `!isEmpty`. */
  get frontHeaderAt(): number {
    return this.#headerAt[this.#front];
  }

  /** Length of its headers. */
  get frontHeaderBytes(): number {
    return this.#headerBytes[this.#front];
  }

  /** Place of its payload. */
  get frontPayloadAt(): number {
    return this.#payloadAt[this.#front];
  }

  /** Length of its payload. */
  get frontPayloadBytes(): number {
    return this.#payloadBytes[this.#front];
  }

  /** How the oldest segment is to be cut; the same object every time, valid until `pop`. */
  get frontGso(): StackGso {
    const front = this.#front;
    const gso = this.#gso;
    gso.type = this.#gsoType[front];
    gso.needsCsum = this.#needsCsum[front] === 1;
    gso.csumOffset = this.#csumOffset[front];
    gso.mss = this.#mss[front];
    gso.l3HeaderBytes = this.#l3HeaderBytes[front];
    return gso;
  }

  /** Frees the oldest slot and unpins its block. */
  pop(): void {
    invariant(this.#count > 0, "there is a segment to pop");
    const block = this.#block[this.#front];
    this.#front = (this.#front + 1) & (this.capacity - 1);
    this.#count--;
    if (block !== 0) this.#pool.unpin(block);
    if (!this.#wantsRoom || this.#isClosed) return;
    this.#wantsRoom = false;
    if (this.onWritable !== null) this.onWritable();
  }

  // For embedders.

  /** Takes the oldest segment without waiting; null when there is none. */
  read(): LinkPacket | null {
    if (this.#count === 0) return null;
    const bytes = new Uint8Array(this.frontHeaderBytes + this.frontPayloadBytes);
    this.#copyOut(bytes, 0, this.frontHeaderAt, this.frontHeaderBytes);
    this.#copyOut(bytes, this.frontHeaderBytes, this.frontPayloadAt, this.frontPayloadBytes);
    const packet = { bytes, gso: { ...this.frontGso } };
    this.pop();
    return packet;
  }

  #copyOut(to: Uint8Array, offset: number, at: number, length: number): void {
    to.set(this.#slab.u8.subarray(at, at + length), offset);
  }

  /** Takes the oldest segment, waiting for one; null when the endpoint is closed or `signal` fires. */
  async readAsync(signal?: AbortSignal): Promise<LinkPacket | null> {
    for (;;) {
      if (signal?.aborted) return null;
      const packet = this.read();
      if (packet !== null || this.#isClosed) return packet;
      await this.#waiters.wait(signal);
    }
  }

  /** All segments, until the endpoint is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<LinkPacket, void, void> {
    for (;;) {
      const packet = await this.readAsync();
      if (packet === null) return;
      yield packet;
    }
  }

  /**
   * Queues copies of packets as if the stack had sent them. Returns how many were accepted, from the
   * front: it stops at the first that finds no room, and at one that is not a whole IP packet.
   */
  writePackets(packets: readonly LinkPacket[]): number {
    let accepted = 0;
    while (accepted < packets.length && this.#writePacket(packets[accepted])) accepted++;
    return accepted;
  }

  #writePacket(packet: LinkPacket): boolean {
    const { bytes, gso } = packet;
    if (bytes.length === 0 || bytes.length > IP_BYTES_MAX || this.claim() < 0) return false;
    const block = this.#pool.allocate(bytes.length);
    if (block === 0) return false;
    this.#slab.u8.set(bytes, block);
    const headerBytes = headersOf(this.#slab.view, block, bytes.length, gso.type);
    if (headerBytes > 0) {
      const slot = this.#backSlot();
      const payloadAt = block + headerBytes;
      this.#headerAt[slot] = block;
      this.#fill(slot, headerBytes, payloadAt, bytes.length - headerBytes, block);
      this.#gsoType[slot] = gso.type;
      this.#mss[slot] = gso.mss;
      this.#l3HeaderBytes[slot] = gso.l3HeaderBytes;
      this.#csumOffset[slot] = gso.csumOffset;
      this.#needsCsum[slot] = gso.needsCsum ? 1 : 0;
    }
    // A pinned block goes back when its slot is popped.
    this.#pool.free(block);
    if (headerBytes > 0) this.#announce();
    return headerBytes > 0;
  }

  /** Discards everything that waits and returns how much it was. */
  drain(): number {
    const count = this.#count;
    for (let i = 0; i < count; i++) this.pop();
    return count;
  }

  /** Whether somebody takes inbound packets. */
  get isAttached(): boolean {
    return this.#sink !== null;
  }

  /** Sets who takes inbound packets; null detaches. */
  attach(sink: LinkSink | null): void {
    this.#sink = sink;
  }

  /** Gives a packet from the other side to the stack; false when nobody is attached, or no room. */
  injectInbound(bytes: Uint8Array): boolean {
    const sink = this.#sink;
    if (sink === null || this.#isClosed || bytes.length > IP_BYTES_MAX) return false;
    const block = this.#pool.allocate(Math.max(bytes.length, 1));
    if (block === 0) return false;
    this.#slab.u8.set(bytes, block);
    const item = this.#item;
    item.at = block;
    item.bytes = bytes.length;
    item.pieces.clear();
    item.pieces.add(block, bytes.length);
    sink.onInbound(item);
    this.#pool.free(block);
    return true;
  }

  /** Discards what waits, refuses what comes later and releases whoever waits. For good. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.drain();
    this.#waiters.wake();
  }
}

/** Length of the headers of the packet of `bytes` bytes at `at`, a TCP header only of a GSO type. */
function headersOf(view: DataView, at: number, bytes: number, gsoType: number): number {
  if (ipPacketBytes(view, at, bytes) !== bytes) return 0;
  let l3Bytes = ipv4HeaderBytes(view, at);
  let protocol = ipv4Protocol(view, at);
  let isFragment = ipv4IsFragment(view, at);
  if (view.getUint8(at) >>> 4 === 6) {
    const transport = ipv6Transport(view, at, bytes);
    if (transport < 0) return 0;
    l3Bytes = transport & 0xffff;
    protocol = (transport >>> 16) & 0xff;
    isFragment = (transport & IPV6_TRANSPORT_FRAGMENT) !== 0;
  }
  if (gsoType === StackGsoType.None) return l3Bytes;
  if (protocol !== IpProtocol.Tcp || isFragment || l3Bytes + TCP_HEADER_BYTES > bytes) return 0;
  const headerBytes = l3Bytes + tcpHeaderBytes(view, at + l3Bytes);
  return headerBytes >= l3Bytes + TCP_HEADER_BYTES && headerBytes <= bytes ? headerBytes : 0;
}
