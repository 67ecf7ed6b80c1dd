/**
 * Reading a super-packet: the checks that stand between what the kernel (or the netstack) handed over
 * and the splitter, which then needs none.
 */
import { DropReason } from "../base/drop_reason.ts";
import type { Slab } from "../memory/slab.ts";
import { destinationOffset, IpProtocol, ipVersion, sourceOffset } from "../wire/ip.ts";
import {
  IPV4_HEADER_BYTES,
  IPV4_OFFSET_MASK,
  ipv4FragmentField,
  ipv4HeaderBytes,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4TotalBytes,
} from "../wire/ipv4.ts";
import {
  IPV6_HEADER_BYTES,
  IPV6_TRANSPORT_FRAGMENT,
  IPV6_TRANSPORT_LATER_FRAGMENT,
  IPV6_TRANSPORT_ROUTED,
  ipv6PayloadBytes,
  ipv6Transport,
} from "../wire/ipv6.ts";
import { TCP_CHECKSUM, TCP_HEADER_BYTES, tcpHeaderBytes } from "../wire/tcp.ts";
import { UDP_CHECKSUM, UDP_HEADER_BYTES } from "../wire/udp.ts";
import { VNET_HEADER_BYTES, VnetGsoType } from "../wire/virtio_net.ts";
import {
  type GsoOptions,
  plainGsoOptions,
  readVnetGso,
  type StackGso,
  stackGsoToTunGso,
} from "./gso_options.ts";

/**
 * One IP packet of up to 65,535 bytes in the slab and how it is to be cut. A lane keeps one instance
 * and fills it again for every read; all fields are valid after one of the functions below returned
 * `DropReason.None`, and until the bytes that they name change.
 *
 * ```
 * from a TUN       at: [headers][payload]                 payloadAt = at + headerBytes
 * from the stack   at: [headers]   payloadAt: [payload]   in a send buffer, or 0 bytes anywhere
 * ```
 */
export class SuperPacket {
  /** Where the IP header stands. */
  at = 0;
  /** Length by the IP header; bytes behind it are padding. */
  bytes = 0;
  /** 4 or 6. */
  ipVersion = 0;
  /** Transport protocol, behind any IPv6 extension headers. */
  protocol = 0;
  /** Where the source address stands. */
  sourceAt = 0;
  /** Where the destination address stands. */
  destinationAt = 0;
  /** Length of the IP header, options and extension headers included. */
  transportOffset = 0;
  /** Whether this is a fragment of a larger packet. */
  isFragment = false;
  /** Whether it is one without the transport header. */
  isLaterFragment = false;
  /** Where the ports stand, source first, or 0 when the packet shows none. */
  portsAt = 0;
  /**
   * Length of the headers that every segment repeats: IP and transport of a GSO type, the IP header
   * alone of a plain packet from a TUN, what stands at `at` of one from the stack.
   */
  headerBytes = 0;
  /** Where what follows the headers stands. */
  payloadAt = 0;
  /** What follows the headers. */
  payloadBytes = 0;
  /** Payload bytes of each segment but the last; all of the payload when there is only one. */
  gsoSize = 0;
  /** Number of packets that this becomes. */
  segmentCount = 0;
  /** Whether the virtio header announced ECN. */
  ecn = false;
  /** What the source said, as it was read. */
  readonly gso: GsoOptions = plainGsoOptions();

  /** Whether the payload stands right behind the headers. */
  get isContiguous(): boolean {
    return this.payloadAt === this.at + this.headerBytes;
  }

  /** The place of byte `offset`, which is not beyond the packet. */
  placeOf(offset: number): number {
    const { at, headerBytes, payloadAt } = this;
    return offset < headerBytes ? at + offset : payloadAt + offset - headerBytes;
  }

  /** Bytes that stand at `at`, one behind the other. */
  get contiguousBytes(): number {
    return this.isContiguous ? this.bytes : this.headerBytes;
  }
}

/**
 * Reads and checks what one read of the TUN left at `vnetAt`: a virtio header and an IP packet,
 * `totalBytes` in all. Anything but `DropReason.None` means that `into` is of no use and that this
 * read is to be counted and forgotten.
 */
export function parseSuperPacket(
  slab: Slab,
  vnetAt: number,
  totalBytes: number,
  into: SuperPacket,
): DropReason {
  if (totalBytes < VNET_HEADER_BYTES) return DropReason.VnetHeaderTruncated;
  const reason = readVnetGso(slab.view, vnetAt, into.gso);
  if (reason !== DropReason.None) return reason;
  return describeSuperPacket(
    slab,
    vnetAt + VNET_HEADER_BYTES,
    totalBytes - VNET_HEADER_BYTES,
    into,
  );
}

/**
 * The same for a segment of the netstack: `headerBytes` bytes of IP and transport headers at `at`, and
 * `payloadBytes` bytes anywhere else. The IP header must tell the length of both together.
 */
export function describeStackSegment(
  slab: Slab,
  at: number,
  headerBytes: number,
  payloadAt: number,
  payloadBytes: number,
  stack: StackGso,
  into: SuperPacket,
): DropReason {
  const bytes = headerBytes + payloadBytes;
  const untold = stackGsoToTunGso(slab.view, at, bytes, stack, into.gso);
  if (untold !== DropReason.None) return untold;
  const reason = describeSuperPacket(slab, at, bytes, into);
  if (reason !== DropReason.None) return reason;
  if (payloadAt === at + headerBytes) {
    return into.bytes === bytes ? DropReason.None : DropReason.GsoHeaderInvalid;
  }
  const isSplit = into.segmentCount > 1;
  // The copy of one packet sums both parts by themselves, so the first must end on a whole word.
  const fits = into.bytes === bytes && into.headerBytes <= headerBytes &&
    (!isSplit || into.headerBytes === headerBytes) && (headerBytes & 1) === 0 &&
    (!into.gso.needsCsum || isChecksumInFront(into, headerBytes));
  if (!fits) return DropReason.GsoHeaderInvalid;
  into.headerBytes = headerBytes;
  into.payloadAt = payloadAt;
  into.payloadBytes = payloadBytes;
  if (!isSplit) into.gsoSize = payloadBytes;
  if (into.portsAt !== 0) into.portsAt = into.placeOf(into.transportOffset);
  return DropReason.None;
}

function isChecksumInFront(sp: SuperPacket, headerBytes: number): boolean {
  const { csumStart, csumOffset } = sp.gso;
  return csumStart === sp.transportOffset && csumStart + csumOffset + 2 <= headerBytes;
}

/**
 * The same for a contiguous IP packet at `at` with up to `bytes` bytes whose options already stand in
 * `into.gso`, such as packets of a TUN without virtio headers.
 */
export function describeSuperPacket(
  slab: Slab,
  at: number,
  bytes: number,
  into: SuperPacket,
): DropReason {
  const view = slab.view;
  into.at = at;
  if (bytes < IPV4_HEADER_BYTES) return DropReason.IpTruncated;
  const version = ipVersion(view, at);
  if (version !== 4 && version !== 6) return DropReason.IpVersionUnknown;
  into.ipVersion = version;
  into.sourceAt = at + sourceOffset(version);
  into.destinationAt = at + destinationOffset(version);
  const reason = version === 4 ? readIpv4(view, bytes, into) : readIpv6(view, bytes, into);
  if (reason !== DropReason.None) return reason;
  return into.gso.type === VnetGsoType.None ? asPlain(into) : asSegments(view, into);
}

function readIpv4(view: DataView, available: number, into: SuperPacket): DropReason {
  const at = into.at;
  const headerBytes = ipv4HeaderBytes(view, at);
  const bytes = ipv4TotalBytes(view, at);
  if (headerBytes < IPV4_HEADER_BYTES || bytes < headerBytes || bytes > available) {
    return DropReason.IpTruncated;
  }
  into.bytes = bytes;
  into.transportOffset = headerBytes;
  into.protocol = ipv4Protocol(view, at);
  into.isFragment = ipv4IsFragment(view, at);
  findPorts(into, (ipv4FragmentField(view, at) & IPV4_OFFSET_MASK) !== 0);
  return DropReason.None;
}

function readIpv6(view: DataView, available: number, into: SuperPacket): DropReason {
  const at = into.at;
  if (available < IPV6_HEADER_BYTES) return DropReason.IpTruncated;
  const bytes = IPV6_HEADER_BYTES + ipv6PayloadBytes(view, at);
  if (bytes > available) return DropReason.IpTruncated;
  const transport = ipv6Transport(view, at, bytes);
  if (transport < 0) return DropReason.IpTruncated;
  into.bytes = bytes;
  into.transportOffset = transport & 0xffff;
  into.protocol = (transport >>> 16) & 0xff;
  into.isFragment = (transport & IPV6_TRANSPORT_FRAGMENT) !== 0;
  findPorts(into, (transport & IPV6_TRANSPORT_LATER_FRAGMENT) !== 0);
  // The checksum of a routed packet is made with an address that stands elsewhere.
  const isRouted = (transport & IPV6_TRANSPORT_ROUTED) !== 0;
  return isRouted && into.gso.type !== VnetGsoType.None
    ? DropReason.GsoHeaderInvalid
    : DropReason.None;
}

function findPorts(into: SuperPacket, isLaterFragment: boolean): void {
  into.isLaterFragment = isLaterFragment;
  const hasPorts = !isLaterFragment && into.transportOffset + 4 <= into.bytes &&
    (into.protocol === IpProtocol.Tcp || into.protocol === IpProtocol.Udp);
  into.portsAt = hasPorts ? into.at + into.transportOffset : 0;
}

/** One packet that only may want its checksum completed. */
function asPlain(into: SuperPacket): DropReason {
  const gso = into.gso;
  if (gso.needsCsum && !checksumFits(into)) return DropReason.GsoHeaderInvalid;
  into.ecn = false;
  into.headerBytes = into.transportOffset;
  into.payloadAt = into.at + into.transportOffset;
  into.payloadBytes = into.bytes - into.transportOffset;
  into.gsoSize = into.payloadBytes;
  into.segmentCount = 1;
  return DropReason.None;
}

/** Whether a checksum field that waits to be completed lies inside the packet, on a 16-bit word. */
function checksumFits(into: SuperPacket): boolean {
  const { csumStart, csumOffset } = into.gso;
  return (csumOffset & 1) === 0 && csumStart + csumOffset + 1 < into.bytes;
}

/** A packet of a GSO type. The kernel's `hdrLen` is not looked at: it may be the whole first packet. */
function asSegments(view: DataView, into: SuperPacket): DropReason {
  const gso = into.gso;
  const isUdp = gso.type === VnetGsoType.UdpL4;
  if (!isUdp && (gso.type === VnetGsoType.TcpV4) !== (into.ipVersion === 4)) {
    return DropReason.VnetMismatch;
  }
  if (into.protocol !== (isUdp ? IpProtocol.Udp : IpProtocol.Tcp)) return DropReason.VnetMismatch;
  if (gso.gsoSize === 0) return DropReason.GsoSizeZero;
  if (into.isFragment) return DropReason.GsoHeaderInvalid;
  const start = into.transportOffset;
  if (gso.needsCsum) {
    const offset = isUdp ? UDP_CHECKSUM : TCP_CHECKSUM;
    if (gso.csumStart !== start || gso.csumOffset !== offset || !checksumFits(into)) {
      return DropReason.GsoHeaderInvalid;
    }
  }
  let transportBytes = UDP_HEADER_BYTES;
  if (!isUdp) {
    if (into.bytes < start + TCP_HEADER_BYTES) return DropReason.GsoHeaderInvalid;
    transportBytes = tcpHeaderBytes(view, into.at + start);
    if (transportBytes < TCP_HEADER_BYTES) return DropReason.GsoHeaderInvalid;
  }
  const headerBytes = start + transportBytes;
  const payloadBytes = into.bytes - headerBytes;
  if (payloadBytes < 0) return DropReason.GsoHeaderInvalid;
  into.ecn = gso.ecn;
  into.headerBytes = headerBytes;
  into.payloadAt = into.at + headerBytes;
  into.payloadBytes = payloadBytes;
  if (payloadBytes <= gso.gsoSize) {
    into.gsoSize = payloadBytes;
    into.segmentCount = 1;
  } else {
    into.gsoSize = gso.gsoSize;
    into.segmentCount = Math.ceil(payloadBytes / gso.gsoSize);
  }
  return DropReason.None;
}
