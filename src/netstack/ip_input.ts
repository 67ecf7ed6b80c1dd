/**
 * The way into the stack: from what a peer sent to datagrams for TCP, UDP and ICMP (RFC 791, RFC 1122
 * section 3.2, RFC 8200).
 *
 * ```
 * item ─▶ lengths, checksum ─▶ options / header chain ─▶ addresses ─▶ hop limit ─▶ datagram
 *                                                             │
 *                                                    fragment ▼
 *                                                        reassembly ─▶ once more, as one packet
 * ```
 *
 * A merged run of packets was checked when it was merged, so only its addresses and its hop limit are
 * looked at. Whatever is refused is counted, and answered only where an RFC says so.
 */
import { DropReason } from "../base/drop_reason.ts";
import type { Slab } from "../memory/slab.ts";
import {
  IcmpTimeExceeded,
  IcmpType,
  IcmpUnreachable,
  Icmpv6ParameterProblem,
  Icmpv6Type,
  Icmpv6Unreachable,
} from "../wire/icmp.ts";
import { IP_BYTES_MAX, IpProtocol } from "../wire/ip.ts";
import {
  IPV4_DESTINATION,
  IPV4_HEADER_BYTES,
  IPV4_MF,
  IPV4_OFFSET_MASK,
  IPV4_SOURCE,
  ipv4ChecksumValid,
  ipv4FragmentField,
  ipv4HeaderBytes,
  ipv4Id,
  ipv4Protocol,
  ipv4Tos,
  ipv4TotalBytes,
  ipv4Ttl,
} from "../wire/ipv4.ts";
import {
  IPV6_DESTINATION,
  IPV6_FRAGMENT_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  ipv6HopLimit,
  ipv6NextHeader,
  ipv6PayloadBytes,
  ipv6TrafficClass,
} from "../wire/ipv6.ts";
import { TCP_HEADER_BYTES } from "../wire/tcp.ts";
import { UDP_HEADER_BYTES } from "../wire/udp.ts";
import { type AddressList, isLinkLocal, isMulticast, isUnicast } from "./addresses.ts";
import { type DropCounters, StackCounter, type StackCounters } from "./counters.ts";
import { Fragment, type FragmentTimeoutSink, type Reassembly } from "./fragments.ts";
import type { IcmpErrors } from "./icmp_errors.ts";
import { InboundDatagram, type InboundItem } from "./inbound.ts";
import { ipv4OptionsFault, OPTIONS_FINE, OPTIONS_REFUSED } from "./ipv4_options.ts";
import { Ipv6Chain } from "./ipv6_chain.ts";

/** What becomes of packets to an address that is not ours, in forwarding mode. */
export const DestinationVerdict = {
  Forward: 0,
  /** It is none of our business: silence. */
  Foreign: 1,
  /** It could be reached from here, but is not to be: "administratively prohibited". */
  Prohibited: 2,
} as const;
/** One of the values of `DestinationVerdict`. */
export type DestinationVerdict = (typeof DestinationVerdict)[keyof typeof DestinationVerdict];

/** Decides which destinations are forwarded to; asked for each item. */
export interface DestinationPolicy {
  /** `at`: 4 or 16 bytes of address. Never asked about multicast, nor about our own addresses. */
  judge(view: DataView, at: number, ipVersion: number): DestinationVerdict;
}

/** Takes datagrams: the switch between transport protocols. */
export interface DatagramSink {
  /** `datagram` and its bytes are valid during the call. */
  onDatagram(datagram: InboundDatagram, nowMs: number): void;
}

/** What the input works with. */
export interface IpInputOptions {
  readonly slab: Slab;
  readonly addresses: AddressList;
  readonly reassembly: Reassembly;
  readonly errors: IcmpErrors;
  readonly counters: DropCounters;
  readonly stackCounters: StackCounters;
  readonly sink: DatagramSink;
}

/** See the module's text. */
export class IpInput implements FragmentTimeoutSink {
  /** Whether packets for any destination are taken: the stack forwards their flows. */
  acceptsAny = false;
  /** Which destinations those are; without it, everything that is not special. */
  destinations: DestinationPolicy | null = null;

  readonly #options: IpInputOptions;
  readonly #view: DataView;
  readonly #addresses: AddressList;
  readonly #counters: DropCounters;
  readonly #datagram = new InboundDatagram();
  readonly #fragment = new Fragment();
  readonly #chain = new Ipv6Chain();
  /** Whether the destination of the datagram that is being looked at may not be forwarded to. */
  #isProhibited = false;
  #nowMs = 0;

  constructor(options: IpInputOptions) {
    this.#options = options;
    this.#view = options.slab.view;
    this.#addresses = options.addresses;
    this.#counters = options.counters;
  }

  /** Of the IPv6 datagram that is being handed up: where the byte stands that names its protocol. */
  get protocolOffset(): number {
    return this.#chain.protocolOffset;
  }

  /** Takes one packet or run. */
  onItem(item: InboundItem, nowMs: number): void {
    this.#nowMs = nowMs;
    const counters = this.#options.stackCounters;
    counters.add(StackCounter.ItemsIn, 1);
    counters.add(StackCounter.PacketsIn, item.packetCount);
    counters.add(StackCounter.BytesIn, item.bytes);
    if (item.headerBytes > 0) this.#onRun(item);
    else this.#onPacket(item.at, item.bytes, item.isVerified, false);
  }

  /** A run of TCP or UDP: neither options, extension headers nor fragments are in it. */
  #onRun(item: InboundItem): void {
    const { at } = item;
    const datagram = this.#datagram;
    const isV4 = this.#view.getUint8(at) >>> 4 === 4;
    if (isV4) this.#describeV4(at, IPV4_HEADER_BYTES);
    else this.#describeV6(at, IPV6_HEADER_BYTES, ipv6NextHeader(this.#view, at));
    datagram.packetCount = item.packetCount;
    if (!this.#isForUs(datagram)) return;
    datagram.bytes = item.bytes - datagram.ipHeaderBytes;
    datagram.gsoSize = item.packetCount > 1 ? item.gsoSize : 0;
    datagram.isVerified = item.isVerified;
    joinPieces(item, datagram);
    const obstacle = this.#obstacle(datagram);
    if (obstacle === NO_OBSTACLE) this.#options.sink.onDatagram(datagram, this.#nowMs);
    else this.#options.errors.about(datagram, obstacle >> 8, obstacle & 0xff, this.#nowMs);
  }

  /** A packet that nobody has looked at, or one that was made of fragments. */
  #onPacket(at: number, available: number, isVerified: boolean, isReassembled: boolean): void {
    if (available < IPV4_HEADER_BYTES) return this.#drop(DropReason.IpTruncated);
    this.#datagram.packetCount = 1;
    const version = this.#view.getUint8(at) >>> 4;
    if (version === 4) this.#onV4(at, available, isVerified, isReassembled);
    else if (version === 6) this.#onV6(at, available, isVerified, isReassembled);
    else this.#drop(DropReason.IpVersionUnknown);
  }

  #drop(reason: DropReason): void {
    this.#counters.drop(reason);
  }

  // IPv4.

  #onV4(at: number, available: number, isVerified: boolean, isReassembled: boolean): void {
    const view = this.#view;
    const headerBytes = ipv4HeaderBytes(view, at);
    const bytes = ipv4TotalBytes(view, at);
    if (headerBytes < IPV4_HEADER_BYTES || bytes < headerBytes || bytes > available) {
      return this.#drop(DropReason.IpTruncated);
    }
    if (!isVerified && !isReassembled && !ipv4ChecksumValid(view, at, headerBytes)) {
      return this.#drop(DropReason.Ipv4ChecksumInvalid);
    }
    const datagram = this.#datagram;
    this.#describeV4(at, headerBytes);
    if (!this.#isForUs(datagram)) return;
    if (headerBytes > IPV4_HEADER_BYTES && !this.#optionsPass(at, headerBytes, bytes)) return;
    const obstacle = this.#obstacle(datagram);
    if (obstacle !== NO_OBSTACLE) return this.#sayObstacle(obstacle, at, bytes);
    const field = ipv4FragmentField(view, at);
    if ((field & (IPV4_MF | IPV4_OFFSET_MASK)) !== 0) {
      this.#onFragmentV4(at, bytes, headerBytes, field);
    } else {
      this.#deliver(at + headerBytes, bytes - headerBytes, isVerified);
    }
  }

  #describeV4(at: number, headerBytes: number): void {
    const view = this.#view;
    const datagram = this.#datagram;
    datagram.ipVersion = 4;
    datagram.ipAt = at;
    datagram.ipHeaderBytes = headerBytes;
    datagram.sourceAt = at + IPV4_SOURCE;
    datagram.destinationAt = at + IPV4_DESTINATION;
    datagram.protocol = ipv4Protocol(view, at);
    datagram.tos = ipv4Tos(view, at);
    datagram.hopLimit = ipv4Ttl(view, at);
  }

  #optionsPass(at: number, headerBytes: number, bytes: number): boolean {
    const fault = ipv4OptionsFault(this.#view, at, headerBytes);
    if (fault === OPTIONS_FINE) return true;
    this.#drop(DropReason.Ipv4OptionsRefused);
    if (fault !== OPTIONS_REFUSED) {
      const pointer = fault << 24;
      this.#options.errors.send(at, bytes, IcmpType.ParameterProblem, 0, pointer, this.#nowMs);
    }
    return false;
  }

  #onFragmentV4(at: number, bytes: number, headerBytes: number, field: number): void {
    const fragment = this.#fragment;
    const dataBytes = bytes - headerBytes;
    const offset = (field & IPV4_OFFSET_MASK) << 3;
    const hasMore = (field & IPV4_MF) !== 0;
    const isPossible = dataBytes > 0 && (!hasMore || (dataBytes & 7) === 0) &&
      headerBytes + offset + dataBytes <= IP_BYTES_MAX &&
      (offset > 0 || dataBytes >= transportBytesMin(this.#datagram.protocol));
    if (!isPossible) return this.#drop(DropReason.FragmentInvalid);
    fragment.headerBytes = headerBytes;
    fragment.id = ipv4Id(this.#view, at);
    fragment.protocol = this.#datagram.protocol;
    fragment.nameOffset = 0;
    this.#reassemble(at, offset, dataBytes, hasMore);
  }

  // IPv6.

  #onV6(at: number, available: number, isVerified: boolean, isReassembled: boolean): void {
    const view = this.#view;
    if (available < IPV6_HEADER_BYTES) return this.#drop(DropReason.IpTruncated);
    const bytes = IPV6_HEADER_BYTES + ipv6PayloadBytes(view, at);
    if (bytes > available) return this.#drop(DropReason.IpTruncated);
    const datagram = this.#datagram;
    this.#describeV6(at, IPV6_HEADER_BYTES, ipv6NextHeader(view, at));
    if (!this.#isForUs(datagram)) return;
    const chain = this.#chain;
    if (!chain.walk(view, at, bytes)) return this.#refuseChain(at, bytes);
    datagram.ipHeaderBytes = chain.offset;
    datagram.protocol = chain.protocol;
    const obstacle = this.#obstacle(datagram);
    if (obstacle !== NO_OBSTACLE) return this.#sayObstacle(obstacle, at, bytes);
    if (chain.fragmentOffset > 0 && !isReassembled) this.#onFragmentV6(at, bytes);
    else if (chain.fragmentOffset > 0) this.#drop(DropReason.FragmentInvalid);
    else if (chain.protocol === IpProtocol.NoNextHeader) this.#drop(DropReason.ProtocolUnknown);
    else this.#deliver(at + chain.offset, bytes - chain.offset, isVerified);
  }

  #describeV6(at: number, headerBytes: number, protocol: number): void {
    const view = this.#view;
    const datagram = this.#datagram;
    datagram.ipVersion = 6;
    datagram.ipAt = at;
    datagram.ipHeaderBytes = headerBytes;
    datagram.sourceAt = at + IPV6_SOURCE;
    datagram.destinationAt = at + IPV6_DESTINATION;
    datagram.protocol = protocol;
    datagram.tos = ipv6TrafficClass(view, at);
    datagram.hopLimit = ipv6HopLimit(view, at);
  }

  #refuseChain(at: number, bytes: number): void {
    const { problemCode, problemPointer } = this.#chain;
    this.#drop(DropReason.Ipv6ExtensionsRefused);
    if (problemCode >= 0) this.#problemV6(at, bytes, problemCode, problemPointer);
  }

  #problemV6(at: number, bytes: number, code: number, pointer: number): void {
    const { errors } = this.#options;
    errors.send(at, bytes, Icmpv6Type.ParameterProblem, code, pointer, this.#nowMs);
  }

  #onFragmentV6(at: number, bytes: number): void {
    const view = this.#view;
    const { fragmentOffset, fragmentNameOffset, offset: transportOffset } = this.#chain;
    const headerAt = at + fragmentOffset;
    const headerBytes = fragmentOffset + IPV6_FRAGMENT_HEADER_BYTES;
    const field = view.getUint16(headerAt + 2);
    const offset = field & 0xfff8;
    const hasMore = (field & 1) !== 0;
    const dataBytes = bytes - headerBytes;
    const { ErroneousField, IncompleteHeaderChain } = Icmpv6ParameterProblem;
    if (dataBytes === 0 || offset + dataBytes > IP_BYTES_MAX) {
      return this.#drop(DropReason.FragmentInvalid);
    }
    if (hasMore && (dataBytes & 7) !== 0) {
      this.#drop(DropReason.FragmentInvalid);
      this.#problemV6(at, bytes, ErroneousField, IPV6_PAYLOAD_LENGTH);
      return;
    }
    // RFC 7112: the first fragment holds all headers, the upper-layer one included.
    if (offset === 0 && bytes - transportOffset < transportBytesMin(this.#datagram.protocol)) {
      this.#drop(DropReason.FragmentInvalid);
      this.#problemV6(at, bytes, IncompleteHeaderChain, 0);
      return;
    }
    const fragment = this.#fragment;
    fragment.headerBytes = headerBytes;
    fragment.id = view.getInt32(headerAt + 4);
    fragment.nameOffset = fragmentNameOffset;
    this.#reassemble(at, offset, dataBytes, hasMore);
  }

  // Both.

  #reassemble(at: number, offset: number, dataBytes: number, hasMore: boolean): void {
    const { reassembly, stackCounters } = this.#options;
    const fragment = this.#fragment;
    const datagram = this.#datagram;
    fragment.ipVersion = datagram.ipVersion;
    fragment.at = at;
    fragment.offset = offset;
    fragment.dataBytes = dataBytes;
    fragment.hasMore = hasMore;
    fragment.sourceAt = datagram.sourceAt;
    fragment.destinationAt = datagram.destinationAt;
    stackCounters.add(StackCounter.FragmentsIn, 1);
    const packetAt = reassembly.add(fragment, this.#nowMs);
    if (packetAt === 0) return;
    stackCounters.add(StackCounter.Reassembled, 1);
    this.#onPacket(packetAt, reassembly.packetBytes, false, true);
    reassembly.release();
  }

  /** The reassembly has given up on a datagram whose first fragment stands at `packetAt`. */
  onTimeout(packetAt: number, bytes: number): void {
    const isV4 = this.#view.getUint8(packetAt) >>> 4 === 4;
    const type = isV4 ? IcmpType.TimeExceeded : Icmpv6Type.TimeExceeded;
    const { errors } = this.#options;
    errors.send(packetAt, bytes, type, IcmpTimeExceeded.Reassembly, 0, this.#nowMs);
  }

  /** Forgets fragments whose time is over. */
  onTimer(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#options.reassembly.onTimeout(nowMs, this);
  }

  /** Whether both addresses are acceptable; counts it if not. */
  #isForUs(datagram: InboundDatagram): boolean {
    const view = this.#view;
    const { ipVersion, sourceAt, destinationAt, packetCount } = datagram;
    const addresses = this.#addresses;
    const isV4 = ipVersion === 4;
    const isSourceValid = isUnicast(view, sourceAt, ipVersion) &&
      !addresses.has(view, sourceAt, ipVersion) && !(isV4 && addresses.isBroadcast(view, sourceAt));
    if (!isSourceValid) {
      this.#counters.drop(DropReason.IpSourceInvalid, packetCount);
      return false;
    }
    datagram.isLocal = addresses.has(view, destinationAt, ipVersion);
    if (datagram.isLocal) return true;
    // RFC 1122 section 3.2.1.3: what is not for us is discarded silently.
    const verdict = this.#judgeForeign(destinationAt, ipVersion);
    this.#isProhibited = verdict === DestinationVerdict.Prohibited;
    if (verdict !== DestinationVerdict.Foreign) return true;
    this.#counters.drop(DropReason.IpDestinationForeign, packetCount);
    return false;
  }

  #judgeForeign(at: number, ipVersion: number): DestinationVerdict {
    const view = this.#view;
    const isV4 = ipVersion === 4;
    const isPossible = this.acceptsAny && !isMulticast(view, at, ipVersion) &&
      !(isV4 && this.#addresses.isBroadcast(view, at));
    if (!isPossible) return DestinationVerdict.Foreign;
    if (this.destinations !== null) return this.destinations.judge(view, at, ipVersion);
    return isUnicast(view, at, ipVersion) && !isLinkLocal(view, at, ipVersion)
      ? DestinationVerdict.Forward
      : DestinationVerdict.Foreign;
  }

  /**
   * What keeps a packet from going on, as ICMP type and code in one number, or `NO_OBSTACLE`; counts
   * it. One for ourselves always may.
   */
  #obstacle(datagram: InboundDatagram): number {
    if (datagram.isLocal) return NO_OBSTACLE;
    const isV4 = datagram.ipVersion === 4;
    if (datagram.hopLimit <= 1) {
      this.#counters.drop(DropReason.HopLimitExceeded, datagram.packetCount);
      return (isV4 ? IcmpType.TimeExceeded : Icmpv6Type.TimeExceeded) << 8 |
        IcmpTimeExceeded.HopLimit;
    }
    if (!this.#isProhibited) return NO_OBSTACLE;
    this.#counters.drop(DropReason.DestinationProhibited, datagram.packetCount);
    return isV4
      ? IcmpType.DestinationUnreachable << 8 | IcmpUnreachable.AdministrativelyProhibited
      : Icmpv6Type.DestinationUnreachable << 8 | Icmpv6Unreachable.AdministrativelyProhibited;
  }

  #sayObstacle(obstacle: number, at: number, bytes: number): void {
    const { errors } = this.#options;
    errors.send(at, bytes, obstacle >> 8, obstacle & 0xff, 0, this.#nowMs);
  }

  /** Hands up a datagram that is one piece. */
  #deliver(transportAt: number, bytes: number, isVerified: boolean): void {
    const datagram = this.#datagram;
    datagram.bytes = bytes;
    datagram.packetCount = 1;
    datagram.gsoSize = 0;
    datagram.isVerified = isVerified;
    datagram.pieces.clear();
    datagram.pieces.add(transportAt, bytes);
    this.#options.sink.onDatagram(datagram, this.#nowMs);
  }
}

/** The pieces of a run with the transport header in front, in one piece with the first payload. */
function joinPieces(item: InboundItem, datagram: InboundDatagram): void {
  const { pieces } = datagram;
  const { at, headerBytes } = item;
  const from = item.pieces;
  const transportAt = at + datagram.ipHeaderBytes;
  const transportBytes = headerBytes - datagram.ipHeaderBytes;
  pieces.clear();
  let index = 0;
  if (from.count > 0 && from.at[0] === at + headerBytes) {
    pieces.add(transportAt, transportBytes + from.bytes[index++]);
  } else {
    pieces.add(transportAt, transportBytes);
  }
  for (; index < from.count; index++) pieces.add(from.at[index], from.bytes[index]);
}

/** No type and code of an ICMP error. */
const NO_OBSTACLE = 0;

/** What a first fragment must hold of the transport header (RFC 1858, RFC 7112). */
function transportBytesMin(protocol: number): number {
  return protocol === IpProtocol.Tcp ? TCP_HEADER_BYTES : UDP_HEADER_BYTES;
}
