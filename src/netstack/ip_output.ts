/**
 * The way out of the stack: IP headers in front of what transports have written, straight into slots
 * of the link endpoint.
 *
 * TCP writes its header behind the place of the IP header and leaves the payload in its send buffer.
 * Messages of UDP and ICMP are copied once: a short one into the slot itself, a longer one into a pool
 * block that the slot keeps until it is popped. A message longer than the path MTU becomes fragments
 * that all point into that block.
 *
 * Identification of IPv4 (RFC 6864): packets that may not be fragmented count up per path, so that
 * the other end's GRO sees a run; fragments take theirs from a table of counters that a secret hash
 * spreads over destinations (RFC 7739 section 5 for IPv6).
 */
import { DropReason } from "../base/drop_reason.ts";
import { invariant } from "../base/invariant.ts";
import type { RandomSource } from "../base/random.ts";
import type { Slab } from "../memory/slab.ts";
import { StackGsoType } from "../offload/gso_options.ts";
import { fold16, swap16 } from "../wire/checksum.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";
import { addressBytes, IP_BYTES_MAX, IpProtocol } from "../wire/ip.ts";
import {
  IPV4_DESTINATION,
  IPV4_DF,
  IPV4_HEADER_BYTES,
  IPV4_MF,
  IPV4_SOURCE,
  ipv4FragmentField,
  setIpv4Checksum,
  writeIpv4Header,
} from "../wire/ipv4.ts";
import {
  IPV6_DESTINATION,
  IPV6_FRAGMENT_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE,
  writeIpv6FragmentHeader,
  writeIpv6Header,
} from "../wire/ipv6.ts";
import { TCP_CHECKSUM } from "../wire/tcp.ts";
import type { AddressList } from "./addresses.ts";
import { type DropCounters, StackCounter, type StackCounters } from "./counters.ts";
import { IcmpErrors } from "./icmp_errors.ts";
import type { InboundDatagram } from "./inbound.ts";
import { type BlockPool, LINK_HEADER_BYTES, type LinkEndpoint } from "./link_endpoint.ts";
import type { IpOutput, IpPath, Unreachable } from "./output.ts";
import { PathMtuCache } from "./path_mtu.ts";

/** TTL and hop limit of what the stack sends (RFC 1700). */
export const DEFAULT_HOP_LIMIT = 64;
/** A message's header that stands in the slot, of UDP and of ICMP. */
const MESSAGE_HEADER_BYTES = 8;
const ID_BUCKETS = 256;

/** The paths that `IpSender` makes and takes. */
export class OutputPath implements IpPath {
  readonly ipVersion: 4 | 6;
  readonly local: Uint8Array;
  readonly remote: Uint8Array;
  hopLimit = DEFAULT_HOP_LIMIT;
  tos = 0;
  mtu: number;
  /** Length of the IP header. */
  readonly headerBytes: number;
  /** Identification of the next IPv4 packet. */
  nextId: number;
  /** Of all IPv6 packets of the path (RFC 6437), so that routers may spread flows over links. */
  readonly flowLabel: number;
  /** Source and destination as they stand in a header, in words. */
  readonly words: Int32Array;
  /** Their share of the pseudo-header sum, folded. */
  readonly addressSum: number;

  /** `seed`: 32 bits that differ from path to path. */
  constructor(local: Uint8Array, remote: Uint8Array, mtu: number, seed: number) {
    this.ipVersion = local.length === 4 ? 4 : 6;
    this.local = local;
    this.remote = remote;
    this.mtu = mtu;
    this.nextId = seed & 0xffff;
    this.flowLabel = Math.imul(seed, 0x9e3779b1) >>> 12;
    this.headerBytes = this.ipVersion === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
    this.words = new Int32Array(local.length >> 1);
    this.addressSum = fold16(
      putWords(local, this.words, 0) + putWords(remote, this.words, local.length >> 2),
    );
  }
}

/** Puts an address into `words` as it stands in a header, and returns its sum. */
function putWords(address: Uint8Array, words: Int32Array, first: number): number {
  let sum = 0;
  for (let i = 0; i < address.length; i += 4) {
    const [a, b, c, d] = [address[i], address[i + 1], address[i + 2], address[i + 3]];
    words[first + (i >> 2)] = a << 24 | b << 16 | c << 8 | d;
    sum += (a | b << 8) + (c | d << 8);
  }
  return sum;
}

/** So few bytes are copied by hand in a fraction of what `slice` takes. */
function copyOf(u8: Uint8Array, at: number, bytes: number): Uint8Array {
  const copy = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) copy[i] = u8[at + i];
  return copy;
}

/** What the sender works with. */
export interface IpSenderOptions {
  readonly slab: Slab;
  readonly kernel: ChecksumKernel;
  readonly pool: BlockPool;
  readonly link: LinkEndpoint;
  readonly addresses: AddressList;
  readonly random: RandomSource;
  readonly counters: DropCounters;
  readonly stackCounters: StackCounters;
  /** Whether TCP may hand down segments longer than the MTU. */
  readonly gso: boolean;
}

/** The IP layer's way out; see the module's text. */
export class IpSender implements IpOutput {
  readonly gso: boolean;
  /** ICMP errors of our own. */
  readonly errors: IcmpErrors;
  /** What others' ICMP errors have told. */
  readonly pathMtus = new PathMtuCache();
  /** Set by the stack before anything else is called. */
  nowMs = 0;

  readonly #options: IpSenderOptions;
  readonly #slab: Slab;
  readonly #link: LinkEndpoint;
  /** Counters of identifications by hash of the flow, and the hash's secret. */
  readonly #ids: Int32Array;
  readonly #idSecret: number;
  #nextSeed: number;
  /** The slot that `begin` has claimed. */
  #claimedAt = -1;
  /** The message that `beginMessage` has begun: its place, and its block unless it is in a slot. */
  #messageAt = 0;
  #messageBlock = 0;

  constructor(options: IpSenderOptions) {
    this.#options = options;
    this.#slab = options.slab;
    this.#link = options.link;
    this.gso = options.gso && options.link.gsoMaxBytes > 0;
    this.errors = new IcmpErrors(options);
    const random = options.random.fill(new Uint8Array(4 * (ID_BUCKETS + 2)));
    const words = new Int32Array(random.buffer);
    this.#ids = words.slice(0, ID_BUCKETS);
    this.#idSecret = words[ID_BUCKETS];
    this.#nextSeed = words[ID_BUCKETS + 1];
  }

  get isFull(): boolean {
    return this.#link.isFull || this.#link.isClosed;
  }

  makePath(remote: Uint8Array, local?: Uint8Array): OutputPath | null {
    const from = local ?? this.#options.addresses.sourceFor(remote);
    if (from === null || from.length !== remote.length) return null;
    return this.#pathOf(from.slice(), remote.slice());
  }

  /** The path between two addresses that nobody else changes. */
  #pathOf(local: Uint8Array, remote: Uint8Array): OutputPath {
    // An odd stride, so all seeds come before one comes again, and paths begin far from each other.
    this.#nextSeed = (this.#nextSeed + 0x9e37) | 0;
    return new OutputPath(local, remote, this.mtuTo(remote), this.#nextSeed);
  }

  /**
   * Whether a router might cut a datagram that has come in, or it has been cut already: an IPv4 header
   * without DF, or more than the link carries at once.
   */
  mayBeFragmented({ ipVersion, ipAt, ipHeaderBytes, bytes, gsoSize }: InboundDatagram): boolean {
    if (gsoSize === 0 && ipHeaderBytes + bytes > this.#link.mtu) return true;
    return ipVersion === 4 && (ipv4FragmentField(this.#slab.view, ipAt) & IPV4_DF) === 0;
  }

  /** The largest packet to `remote`, by the link and by what ICMP has told. */
  mtuTo(remote: Uint8Array): number {
    return this.pathMtus.mtuTo(remote, this.#link.mtu, this.nowMs);
  }

  answerPath(datagram: InboundDatagram): OutputPath {
    const { sourceAt, destinationAt } = datagram;
    const length = addressBytes(datagram.ipVersion);
    const { u8 } = this.#slab;
    return this.#pathOf(copyOf(u8, destinationAt, length), copyOf(u8, sourceAt, length));
  }

  // TCP.

  begin(path: IpPath): number {
    const at = this.#link.claim();
    this.#claimedAt = at;
    return at < 0 ? -1 : at + (path as OutputPath).headerBytes;
  }

  commitTcp(
    ipPath: IpPath,
    headerBytes: number,
    payloadAt: number,
    payloadBytes: number,
    mss: number,
    block: number,
  ): void {
    const path = ipPath as OutputPath;
    const at = this.#claimedAt;
    invariant(at >= 0, "a segment is begun before it is committed");
    this.#claimedAt = -1;
    const transportBytes = headerBytes + payloadBytes;
    const isLong = payloadBytes > mss;
    const segments = isLong ? Math.ceil(payloadBytes / mss) : 1;
    this.#writeHeader(path, at, transportBytes, IpProtocol.Tcp, path.nextId, IPV4_DF);
    path.nextId = (path.nextId + segments) & 0xffff;
    const sum = path.addressSum + (IpProtocol.Tcp << 8) + swap16(transportBytes);
    const checksumAt = at + path.headerBytes + TCP_CHECKSUM;
    this.#slab.view.setUint16(checksumAt, fold16(sum), true);
    let gsoType: number = StackGsoType.None;
    if (isLong) gsoType = path.ipVersion === 4 ? StackGsoType.TcpV4 : StackGsoType.TcpV6;
    this.#link.publish(
      path.headerBytes + headerBytes,
      payloadAt,
      payloadBytes,
      block,
      gsoType,
      mss,
      path.headerBytes,
      TCP_CHECKSUM,
      true,
    );
  }

  /** Writes the IP header of a packet with `payloadBytes` behind it. */
  #writeHeader(
    path: OutputPath,
    at: number,
    payloadBytes: number,
    protocol: number,
    id: number,
    fragmentField: number,
  ): void {
    const { view } = this.#slab;
    const words = path.words;
    if (path.ipVersion === 4) {
      const total = IPV4_HEADER_BYTES + payloadBytes;
      writeIpv4Header(view, at, total, path.tos, id, fragmentField, path.hopLimit, protocol);
      view.setInt32(at + IPV4_SOURCE, words[0]);
      view.setInt32(at + IPV4_DESTINATION, words[1]);
      setIpv4Checksum(view, at, IPV4_HEADER_BYTES);
      return;
    }
    writeIpv6Header(view, at, payloadBytes, path.tos, protocol, path.hopLimit);
    view.setInt32(at, 0x60000000 | (path.tos << 20) | path.flowLabel);
    for (let i = 0; i < 4; i++) {
      view.setInt32(at + IPV6_SOURCE + 4 * i, words[i]);
      view.setInt32(at + IPV6_DESTINATION + 4 * i, words[4 + i]);
    }
  }

  // UDP and ICMP.

  /**
   * Room for a message of `bytes` (at least 8) bytes, its transport header included: its place, or 0
   * when it cannot be sent, which is counted. `commitMessage` comes next.
   */
  beginMessage(path: OutputPath, bytes: number): number {
    const { pool, counters } = this.#options;
    this.#messageBlock = 0;
    const slotAt = this.#link.claim();
    if (slotAt < 0) {
      counters.drop(this.#link.isClosed ? DropReason.LinkClosed : DropReason.LinkFull);
      return 0;
    }
    if (path.headerBytes + bytes <= LINK_HEADER_BYTES) {
      this.#messageAt = slotAt + path.headerBytes;
      return this.#messageAt;
    }
    const isTooLong = bytes > IP_BYTES_MAX - (path.ipVersion === 4 ? IPV4_HEADER_BYTES : 0);
    const block = isTooLong ? 0 : pool.allocate(bytes);
    if (block === 0) counters.drop(isTooLong ? DropReason.PacketTooLong : DropReason.NoBuffer);
    this.#messageBlock = block;
    this.#messageAt = block;
    return block;
  }

  /** The sum of the pseudo-header of a message. */
  pseudoSum(path: OutputPath, protocol: number, bytes: number): number {
    return path.addressSum + (protocol << 8) + swap16(bytes);
  }

  /** Sends the message, all of it written, checksum included; in fragments if it has to be. */
  commitMessage(path: OutputPath, protocol: number, bytes: number): boolean {
    const block = this.#messageBlock;
    if (block === 0 || path.headerBytes + bytes <= path.mtu) {
      this.#publishMessage(path, protocol, bytes, block);
    } else if (!this.#publishFragments(path, protocol, bytes, block)) {
      this.#options.pool.free(block);
      this.#options.counters.drop(DropReason.LinkFull);
      return false;
    }
    if (block !== 0) this.#options.pool.free(block);
    return true;
  }

  #publishMessage(path: OutputPath, protocol: number, bytes: number, block: number): void {
    const at = this.#link.claim();
    this.#writeHeader(path, at, bytes, protocol, path.nextId, IPV4_DF);
    path.nextId = (path.nextId + 1) & 0xffff;
    this.#publishPart(at, path.headerBytes, this.#messageAt, bytes, block, true);
  }

  /** Queues `bytes` of the message at `from` behind the `headerBytes` of IP headers at `at`. */
  #publishPart(
    at: number,
    headerBytes: number,
    from: number,
    bytes: number,
    block: number,
    isFirst: boolean,
  ): void {
    // The transport header stands with the IP header, where the lower side looks for ports.
    const inSlot = isFirst ? MESSAGE_HEADER_BYTES : 0;
    if (isFirst && block !== 0) {
      this.#slab.u8.copyWithin(at + headerBytes, from, from + MESSAGE_HEADER_BYTES);
    }
    this.#link.publish(
      headerBytes + inSlot,
      from + inSlot,
      bytes - inSlot,
      block,
      StackGsoType.None,
      0,
      headerBytes,
      0,
      false,
    );
  }

  /** All fragments of the message, or none when they do not fit. */
  #publishFragments(path: OutputPath, protocol: number, bytes: number, block: number): boolean {
    const isV4 = path.ipVersion === 4;
    const headerBytes = path.headerBytes + (isV4 ? 0 : IPV6_FRAGMENT_HEADER_BYTES);
    const pieceBytes = (path.mtu - headerBytes) & ~7;
    const count = Math.ceil(bytes / pieceBytes);
    if (pieceBytes < 8 || count > this.#link.freeSlots) return false;
    const id = this.#nextId(path, protocol);
    for (let offset = 0; offset < bytes; offset += pieceBytes) {
      const length = Math.min(pieceBytes, bytes - offset);
      const isLast = offset + length === bytes;
      const at = this.#link.claim();
      if (isV4) {
        const field = (offset >>> 3) | (isLast ? 0 : IPV4_MF);
        this.#writeHeader(path, at, length, protocol, id & 0xffff, field);
      } else {
        const ipPayloadBytes = IPV6_FRAGMENT_HEADER_BYTES + length;
        this.#writeHeader(path, at, ipPayloadBytes, IpProtocol.Fragment, 0, 0);
        const headerAt = at + IPV6_HEADER_BYTES;
        writeIpv6FragmentHeader(this.#slab.view, headerAt, protocol, offset, !isLast, id);
      }
      this.#publishPart(at, headerBytes, block + offset, length, block, offset === 0);
    }
    this.#options.stackCounters.add(StackCounter.Fragmented, 1);
    this.#options.stackCounters.add(StackCounter.FragmentsOut, count);
    return true;
  }

  /** The identification of the next fragmented message between two addresses. */
  #nextId(path: OutputPath, protocol: number): number {
    let hash = this.#idSecret ^ protocol;
    for (let i = 0; i < path.words.length; i++) {
      hash = Math.imul(hash ^ path.words[i], 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    const bucket = hash & (ID_BUCKETS - 1);
    this.#ids[bucket] = (this.#ids[bucket] + 1) | 0;
    return this.#ids[bucket];
  }

  sendUnreachable(datagram: InboundDatagram, reason: Unreachable): void {
    this.errors.unreachable(datagram, reason, this.nowMs);
  }
}
