/**
 * Coalescing packets of one flow into super-packets (generic receive offload), the inverse of
 * `gso_split`: what tcp_gro_receive and udp_gro_receive of the kernel do, without copying. A merged
 * item is a list of iovecs over packets that stay where they were decrypted.
 *
 * Order: packets of one flow leave in the order they came in, only that a TCP segment which belongs
 * right before its predecessor may be put there. A packet is therefore compared with its flow's last
 * item only, one that cannot be merged becomes a closed item, and one that might belong to any flow
 * closes all of them. Items leave in the order of their first arrival.
 *
 * Checksums of a packet are verified when it takes part in a merge; a packet that stays alone is
 * passed on as it came.
 */
import type { Slab } from "../memory/slab.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";
import { IP_BYTES_MAX } from "../wire/ip.ts";
import { TcpFlag, tcpFlags, tcpSequence } from "../wire/tcp.ts";
import { clearVnetHeader, VNET_HEADER_BYTES } from "../wire/virtio_net.ts";
import {
  classifyPacket,
  PacketKind,
  shapeHeaderBytes,
  shapeKind,
  shapeTransport,
} from "./gro_classify.ts";
import { GroFlowTable } from "./gro_flow_table.ts";
import {
  areChecksumsValid,
  isSameIpHeader,
  isSameTcpHeader,
  writeMergedHeaders,
} from "./gro_headers.ts";
import { GroRun } from "./gro_run.ts";
import { IOVEC_BYTES, IovecWriter } from "./iovec.ts";

/** Packets that one flush can hold. */
export const GRO_PACKETS_MAX = 256;
/** Iovecs that writev takes (UIO_MAXIOV). */
export const GRO_IOVECS_MAX = 1024;
/** Room for the iovecs of one item, at a multiple of 8. */
export const GRO_IOVEC_REGION_BYTES = GRO_PACKETS_MAX * IOVEC_BYTES;
/** A packet has one iovec, and an item at most as many as one writev takes. */
const ITEM_PACKETS_MAX = Math.min(GRO_PACKETS_MAX, GRO_IOVECS_MAX);
/**
 * Datagrams in one item: the kernel refuses a write of more (UDP_MAX_SEGMENTS, include/linux/udp.h: 64,
 * and 128 since 6.9; include/linux/virtio_net.h looks).
 */
export const GRO_DATAGRAMS_MAX = 64;

/** Takes the items of a flush. */
export interface GroSink {
  /**
   * One packet or super-packet as `iovecCount` struct iovec at `iovecAt`, `totalBytes` in all: the
   * virtio header and the first packet, then payloads. Both are valid only
   * during the call, and so are the fields of `GroCoalescer.item`.
   */
  write(iovecAt: number, iovecCount: number, totalBytes: number): void;
}

/** What a coalescer is made for. */
export interface GroOptions {
  /** The address of the slab's first byte in this process; 0 where nobody dereferences it. */
  slabAddress: number;
  /** Whether TCP segments are merged. */
  tcp: boolean;
  /** Whether UDP datagrams are merged. */
  udp: boolean;
}

/** Takes places that hold bytes of one stream, one behind the other. */
export interface PieceList {
  add(at: number, bytes: number): void;
}

/** The item that `GroSink.write` is being called for, for sinks that want more than iovecs. */
export class GroItem {
  /** Where the IP header of the item's first packet stands. */
  at = 0;
  /** IP length of the whole item. */
  bytes = 0;
  /** Number of packets in it. */
  packetCount = 0;
  /** Length of the headers; 0 for a packet that was not looked at so far. */
  headerBytes = 0;
  /** Payload bytes of each packet but the last; 0 for a single packet. */
  gsoSize = 0;
  /** Whether the checksums of all its packets were found right; never for a single packet. */
  isVerified = false;
}

// State bits of an item.
const APPENDABLE = 1;
const PREPENDABLE = 2;
const VERIFIED = 4;
const HAS_PSH = 8;

/** Collects the packets of one batch and delivers them coalesced. */
export class GroCoalescer {
  /** Switch for TCP: see `GroOptions`. May be changed between flushes. */
  tcp: boolean;
  /** Switch for UDP: see `GroOptions`. May be changed between flushes. */
  udp: boolean;
  /**
   * Whether items are for a reader of streams, which looks at `item` and `listPieces` alone: then no
   * headers and no iovecs are written, and an item of TCP is all that has come in order, longer than
   * an IP packet, over PSH and segments of any length. May be changed between flushes.
   */
  joinsStreams = false;
  /** Valid during `GroSink.write`. */
  readonly item = new GroItem();

  readonly #view: DataView;
  readonly #kernel: ChecksumKernel;
  readonly #iovecs: IovecWriter;
  readonly #iovecAt: number;

  readonly #flows = new GroFlowTable();
  readonly #run = new GroRun();
  /** Items below this one are closed, whatever their state says. */
  #closedBelow = 0;

  #packetCount = 0;
  readonly #packetAt = new Int32Array(GRO_PACKETS_MAX);
  readonly #packetBytes = new Int32Array(GRO_PACKETS_MAX);
  /** The packet behind a packet in its item, or -1. */
  readonly #packetNext = new Int32Array(GRO_PACKETS_MAX);

  /** The item that is being delivered. */
  #delivered = 0;
  #itemCount = 0;
  /** First and last packet of an item, in the order of their payloads. */
  readonly #itemHead = new Int32Array(GRO_PACKETS_MAX);
  readonly #itemTail = new Int32Array(GRO_PACKETS_MAX);
  /** Where the first packet stands. */
  readonly #itemAt = new Int32Array(GRO_PACKETS_MAX);
  readonly #itemPackets = new Int32Array(GRO_PACKETS_MAX);
  /** IP length of the merged packet. */
  readonly #itemBytes = new Int32Array(GRO_PACKETS_MAX);
  readonly #itemKind = new Uint8Array(GRO_PACKETS_MAX);
  readonly #itemState = new Uint8Array(GRO_PACKETS_MAX);
  readonly #itemTransport = new Uint8Array(GRO_PACKETS_MAX);
  readonly #itemHeaderBytes = new Uint8Array(GRO_PACKETS_MAX);
  readonly #itemGsoSize = new Int32Array(GRO_PACKETS_MAX);
  /** TCP: sequence number of the first payload byte, and of the byte behind the last. */
  readonly #itemSequence = new Int32Array(GRO_PACKETS_MAX);
  readonly #itemNextSequence = new Int32Array(GRO_PACKETS_MAX);

  /** `iovecAt` is a region of `GRO_IOVEC_REGION_BYTES` at a multiple of 8 that only this uses. */
  constructor(slab: Slab, kernel: ChecksumKernel, iovecAt: number, options: GroOptions) {
    this.#view = slab.view;
    this.#iovecs = new IovecWriter(slab, options.slabAddress);
    this.#kernel = kernel;
    this.#iovecAt = iovecAt;
    this.tcp = options.tcp;
    this.udp = options.udp;
  }

  /** How many packets wait for a flush. */
  get length(): number {
    return this.#packetCount;
  }

  /** Whether the next packet needs a flush first. */
  get isFull(): boolean {
    return this.#packetCount === GRO_PACKETS_MAX;
  }

  /**
   * Takes the IP packet of `bytes` bytes at `at`, whose memory belongs to the coalescer until the
   * next flush, together with the bytes before it (room for the virtio header: it needs 10, and two
   * packets must not share them). Returns false, and takes nothing, when it is full.
   */
  add(at: number, bytes: number): boolean {
    const packet = this.#packetCount;
    if (packet === GRO_PACKETS_MAX) return false;
    this.#packetCount = packet + 1;
    this.#packetAt[packet] = at;
    this.#packetBytes[packet] = bytes;
    this.#packetNext[packet] = -1;
    const run = this.#run;
    if (run.item >= 0 && bytes === run.bytes && this.#continueRun(run, packet, at)) return true;
    run.end();
    this.#addToFlow(packet, at, bytes);
    return true;
  }

  /** Appends a packet to the current run if it continues it. */
  #continueRun(run: GroRun, packet: number, at: number): boolean {
    const item = run.item;
    const payloadBytes = run.payloadBytes;
    const kind = this.#itemKind[item];
    if (this.#itemPackets[item] >= packetsMax(kind)) return false;
    if (this.#itemBytes[item] + payloadBytes > this.#bytesMax(kind)) return false;
    const nextSequence = this.#itemNextSequence[item];
    if (!run.continues(this.#view, this.#kernel, at, nextSequence)) return false;
    this.#itemNextSequence[item] = (nextSequence + payloadBytes) | 0;
    this.#append(item, packet, payloadBytes);
    return true;
  }

  /** Finds out what a packet is, and merges it into its flow's last item or opens another. */
  #addToFlow(packet: number, at: number, bytes: number): void {
    const view = this.#view;
    let shape = classifyPacket(view, at, bytes);
    const kind = shapeKind(shape);
    if (kind < PacketKind.Unmergeable) {
      this.#open(packet, at, bytes, shape);
      if (kind === PacketKind.AnyFlow) this.#closedBelow = this.#itemCount;
      return;
    }
    if ((kind === PacketKind.Tcp && !this.tcp) || (kind === PacketKind.Udp && !this.udp)) {
      shape = PacketKind.Unmergeable | (shapeTransport(shape) << 8);
    }
    const flows = this.#flows;
    const transport = shapeTransport(shape);
    const slot = flows.find(view, at, transport, this.#itemAt, this.#itemTransport);
    const item = flows.itemOf(slot);
    if (item < this.#closedBelow || !this.#merge(item, packet, at, bytes, shape)) {
      flows.set(slot, this.#open(packet, at, bytes, shape));
    } else if ((this.#itemState[item] & APPENDABLE) !== 0) {
      this.#beginRun(item);
    }
  }

  /** From now on, packets are first compared with those of `item`, which are all equally long. */
  #beginRun(item: number): void {
    const headerBytes = this.#itemHeaderBytes[item];
    this.#run.begin(
      this.#view,
      item,
      this.#itemAt[item],
      headerBytes + this.#itemGsoSize[item],
      this.#itemTransport[item],
      headerBytes,
      this.#itemKind[item] === PacketKind.Tcp,
      this.joinsStreams,
    );
  }

  /** The IP length that an item of that kind may have. */
  #bytesMax(kind: number): number {
    return this.joinsStreams && kind === PacketKind.Tcp ? Infinity : IP_BYTES_MAX;
  }

  /** Begins an item with a packet and returns it. */
  #open(packet: number, at: number, bytes: number, shape: number): number {
    const item = this.#itemCount++;
    const kind = shapeKind(shape);
    this.#itemHead[item] = packet;
    this.#itemTail[item] = packet;
    this.#itemAt[item] = at;
    this.#itemPackets[item] = 1;
    this.#itemBytes[item] = bytes;
    this.#itemKind[item] = kind;
    this.#itemTransport[item] = shapeTransport(shape);
    const headerBytes = shapeHeaderBytes(shape);
    this.#itemHeaderBytes[item] = headerBytes;
    this.#itemGsoSize[item] = bytes - headerBytes;
    let state = 0;
    if (kind === PacketKind.Udp) {
      state = APPENDABLE;
    } else if (kind === PacketKind.Tcp) {
      const tcp = at + shapeTransport(shape);
      const sequence = tcpSequence(this.#view, tcp);
      this.#itemSequence[item] = sequence;
      this.#itemNextSequence[item] = (sequence + bytes - headerBytes) | 0;
      const isPushed = (tcpFlags(this.#view, tcp) & TcpFlag.Psh) !== 0;
      state = isPushed ? PREPENDABLE | HAS_PSH : PREPENDABLE | APPENDABLE;
      if (this.joinsStreams) state |= APPENDABLE;
    }
    this.#itemState[item] = state;
    return item;
  }

  /** Merges a packet into an item of its flow if the rules allow it. */
  #merge(item: number, packet: number, at: number, bytes: number, shape: number): boolean {
    const kind = shapeKind(shape);
    const headerBytes = shapeHeaderBytes(shape);
    const payloadBytes = bytes - headerBytes;
    if (
      kind === PacketKind.Unmergeable ||
      headerBytes !== this.#itemHeaderBytes[item] ||
      this.#itemBytes[item] + payloadBytes > this.#bytesMax(kind) ||
      this.#itemPackets[item] >= packetsMax(kind)
    ) return false;
    if (kind === PacketKind.Udp) return this.#mergeUdp(item, packet, at, bytes, payloadBytes);
    const tcp = at + this.#itemTransport[item];
    const sequence = tcpSequence(this.#view, tcp);
    if (sequence === this.#itemNextSequence[item]) {
      return this.#appendTcp(item, packet, at, bytes, payloadBytes);
    }
    return ((sequence + payloadBytes) | 0) === this.#itemSequence[item] &&
      this.#prependTcp(item, packet, at, bytes, payloadBytes);
  }

  #mergeUdp(
    item: number,
    packet: number,
    at: number,
    bytes: number,
    payloadBytes: number,
  ): boolean {
    const gsoSize = this.#itemGsoSize[item];
    if ((this.#itemState[item] & APPENDABLE) === 0 || payloadBytes > gsoSize) return false;
    if (!isSameIpHeader(this.#view, this.#itemAt[item], at)) return false;
    if (!this.#verifyBoth(item, at, bytes)) return false;
    if (payloadBytes < gsoSize) this.#itemState[item] &= ~APPENDABLE;
    this.#append(item, packet, payloadBytes);
    return true;
  }

  #appendTcp(
    item: number,
    packet: number,
    at: number,
    bytes: number,
    payloadBytes: number,
  ): boolean {
    const gsoSize = this.#itemGsoSize[item];
    if ((this.#itemState[item] & APPENDABLE) === 0) return false;
    if (payloadBytes > gsoSize && !this.joinsStreams) return false;
    if (!this.#isSameTcp(item, at) || !this.#verifyBoth(item, at, bytes)) return false;
    const isPushed = (tcpFlags(this.#view, at + this.#itemTransport[item]) & TcpFlag.Psh) !== 0;
    if (isPushed) this.#itemState[item] |= HAS_PSH;
    const isLast = isPushed || payloadBytes < gsoSize;
    if (isLast && !this.joinsStreams) this.#itemState[item] &= ~APPENDABLE;
    this.#itemNextSequence[item] = (this.#itemNextSequence[item] + payloadBytes) | 0;
    this.#append(item, packet, payloadBytes);
    return true;
  }

  #prependTcp(
    item: number,
    packet: number,
    at: number,
    bytes: number,
    payloadBytes: number,
  ): boolean {
    const tcp = at + this.#itemTransport[item];
    const gsoSize = this.#itemGsoSize[item];
    const isSingle = this.#itemPackets[item] === 1;
    if ((this.#itemState[item] & PREPENDABLE) === 0) return false;
    if (isSingle ? payloadBytes < gsoSize : payloadBytes !== gsoSize) return false;
    if ((tcpFlags(this.#view, tcp) & TcpFlag.Psh) !== 0) return false;
    if (!this.#isSameTcp(item, at) || !this.#verifyBoth(item, at, bytes)) return false;
    // What was the only packet so far is now the last one, and a shorter one ends an item.
    if (payloadBytes > gsoSize && !this.joinsStreams) this.#itemState[item] &= ~APPENDABLE;
    this.#itemGsoSize[item] = payloadBytes;
    this.#itemSequence[item] = tcpSequence(this.#view, tcp);
    this.#packetNext[packet] = this.#itemHead[item];
    this.#itemHead[item] = packet;
    this.#itemAt[item] = at;
    this.#itemPackets[item]++;
    this.#itemBytes[item] += payloadBytes;
    return true;
  }

  /** Puts a packet behind the last one of an item. */
  #append(item: number, packet: number, payloadBytes: number): void {
    this.#packetNext[this.#itemTail[item]] = packet;
    this.#itemTail[item] = packet;
    this.#itemPackets[item]++;
    this.#itemBytes[item] += payloadBytes;
  }

  #isSameTcp(item: number, at: number): boolean {
    const transport = this.#itemTransport[item];
    const headerBytes = this.#itemHeaderBytes[item];
    return isSameTcpHeader(this.#view, at, this.#itemAt[item], transport, headerBytes);
  }

  /** Verifies a packet, and the item's first one unless that is done. A bad first one closes it. */
  #verifyBoth(item: number, at: number, bytes: number): boolean {
    const transport = this.#itemTransport[item];
    if ((this.#itemState[item] & VERIFIED) === 0) {
      if (!this.#isValid(this.#itemAt[item], this.#itemBytes[item], transport)) {
        this.#itemState[item] = 0;
        return false;
      }
      this.#itemState[item] |= VERIFIED;
    }
    return this.#isValid(at, bytes, transport);
  }

  #isValid(at: number, bytes: number, transport: number): boolean {
    return areChecksumsValid(this.#view, this.#kernel, at, bytes, transport);
  }

  /** Delivers everything that was added since the last flush, and forgets it. */
  flush(sink: GroSink): void {
    const itemCount = this.#itemCount;
    for (let item = 0; item < itemCount; item++) this.#deliver(item, sink);
    this.#itemCount = 0;
    this.#packetCount = 0;
    this.#closedBelow = 0;
    this.#run.end();
    this.#flows.clear();
  }

  #deliver(item: number, sink: GroSink): void {
    const packets = this.#itemPackets[item];
    const at = this.#itemAt[item];
    const bytes = this.#itemBytes[item];
    if (!this.joinsStreams) this.#writeForDevice(item, packets, at);
    const current = this.item;
    current.at = at;
    current.bytes = bytes;
    current.packetCount = packets;
    current.headerBytes = this.#itemHeaderBytes[item];
    current.gsoSize = packets > 1 ? this.#itemGsoSize[item] : 0;
    current.isVerified = packets > 1;
    this.#delivered = item;
    sink.write(this.#iovecAt, packets, VNET_HEADER_BYTES + bytes);
  }

  /** Writes the headers of an item as a device reads them, and its iovecs. */
  #writeForDevice(item: number, packets: number, at: number): void {
    if (packets > 1) this.#writeHeaders(item);
    else clearVnetHeader(this.#view, at - VNET_HEADER_BYTES);
    const head = this.#itemHead[item];
    const headBytes = VNET_HEADER_BYTES + this.#packetBytes[head];
    this.#iovecs.write(this.#iovecAt, at - VNET_HEADER_BYTES, headBytes);
    if (packets > 1) this.#writePayloadIovecs(head, this.#itemHeaderBytes[item]);
  }

  /**
   * During `GroSink.write`: adds the places of the item's payloads, in order, or the whole packet when
   * it is a single one.
   */
  listPieces(into: PieceList): void {
    let packet = this.#itemHead[this.#delivered];
    if (this.#itemPackets[this.#delivered] === 1) {
      into.add(this.#packetAt[packet], this.#packetBytes[packet]);
      return;
    }
    const headerBytes = this.#itemHeaderBytes[this.#delivered];
    for (; packet >= 0; packet = this.#packetNext[packet]) {
      into.add(this.#packetAt[packet] + headerBytes, this.#packetBytes[packet] - headerBytes);
    }
  }

  /** Writes the iovecs of all packets behind `head`, from the second place on. */
  #writePayloadIovecs(head: number, headerBytes: number): void {
    let iovecAt = this.#iovecAt;
    let packet = this.#packetNext[head];
    while (packet >= 0) {
      iovecAt += IOVEC_BYTES;
      const payloadBytes = this.#packetBytes[packet] - headerBytes;
      this.#iovecs.write(iovecAt, this.#packetAt[packet] + headerBytes, payloadBytes);
      packet = this.#packetNext[packet];
    }
  }

  #writeHeaders(item: number): void {
    writeMergedHeaders(
      this.#view,
      this.#itemAt[item],
      this.#itemBytes[item],
      this.#itemTransport[item],
      this.#itemHeaderBytes[item],
      this.#itemGsoSize[item],
      this.#itemKind[item] === PacketKind.Tcp,
      (this.#itemState[item] & HAS_PSH) !== 0,
    );
  }
}

/** Packets that an item of that kind may have. */
function packetsMax(kind: number): number {
  return kind === PacketKind.Udp ? GRO_DATAGRAMS_MAX : ITEM_PACKETS_MAX;
}
