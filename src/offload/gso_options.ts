/**
 * How a super-packet is to be cut: one shape for what the TUN's virtio header says and for what the
 * netstack says about its own segments.
 */
import { DropReason } from "../base/drop_reason.ts";
import { IPV6_HEADER_BYTES } from "../wire/ipv6.ts";
import { IPV4_HEADER_BYTES } from "../wire/ipv4.ts";
import {
  TCP_CHECKSUM,
  TCP_HEADER_BYTES,
  TCP_HEADER_BYTES_MAX,
  tcpHeaderBytes,
} from "../wire/tcp.ts";
import {
  VNET_GSO_ECN,
  VNET_NEEDS_CSUM,
  vnetCsumOffset,
  vnetCsumStart,
  vnetFlags,
  vnetGsoSize,
  VnetGsoType,
  vnetGsoType,
  vnetHdrLen,
} from "../wire/virtio_net.ts";

/** The fields of a virtio header, offsets counted from the IP header, lengths in bytes. */
export interface GsoOptions {
  /** A `VnetGsoType`, without the ECN bit. */
  type: number;
  /** Whether the first segment may carry CWR (VNET_GSO_ECN). */
  ecn: boolean;
  /** Length of all headers as the source claims it; from the kernel it is only a hint. */
  hdrLen: number;
  csumStart: number;
  /** Counted from `csumStart`. */
  csumOffset: number;
  gsoSize: number;
  needsCsum: boolean;
}

/** A fresh `GsoOptions` of a plain packet, to be filled again and again. */
export function plainGsoOptions(): GsoOptions {
  return {
    type: VnetGsoType.None,
    ecn: false,
    hdrLen: 0,
    csumStart: 0,
    csumOffset: 0,
    gsoSize: 0,
    needsCsum: false,
  };
}

/** Reads the virtio header at `vnetAt` into `into`; tells an unknown type by its drop reason. */
export function readVnetGso(view: DataView, vnetAt: number, into: GsoOptions): DropReason {
  const typeByte = vnetGsoType(view, vnetAt);
  into.type = typeByte & ~VNET_GSO_ECN;
  into.ecn = (typeByte & VNET_GSO_ECN) !== 0;
  into.needsCsum = (vnetFlags(view, vnetAt) & VNET_NEEDS_CSUM) !== 0;
  into.hdrLen = vnetHdrLen(view, vnetAt);
  into.gsoSize = vnetGsoSize(view, vnetAt);
  into.csumStart = vnetCsumStart(view, vnetAt);
  into.csumOffset = vnetCsumOffset(view, vnetAt);
  const isTcp = into.type === VnetGsoType.TcpV4 || into.type === VnetGsoType.TcpV6;
  if (isTcp) return DropReason.None;
  const isKnown = into.type === VnetGsoType.None || into.type === VnetGsoType.UdpL4;
  return isKnown && !into.ecn ? DropReason.None : DropReason.VnetTypeUnknown;
}

/** Kinds of segments that the netstack makes. */
export const StackGsoType = { None: 0, TcpV4: 1, TcpV6: 2 } as const;

/** What the netstack says about a segment of its own. */
export interface StackGso {
  /** A `StackGsoType`. */
  type: number;
  /** The checksum field holds the pseudo-header sum. */
  needsCsum: boolean;
  /** Where the checksum field stands, counted from the transport header. */
  csumOffset: number;
  /** Payload bytes of each segment but the last. */
  mss: number;
  /** Length of the IP header, which is where the transport header begins. */
  l3HeaderBytes: number;
}

/**
 * Translates the netstack's options for the segment of `bytes` bytes at `at` into `into`.
 *
 * The TCP header's length is taken from the segment itself. Returns `VnetTypeUnknown` for a type
 * that does not exist, `IpTruncated` for a segment too short for its headers, `GsoSizeZero` for a
 * TCP type without MSS, and `GsoHeaderInvalid` for impossible offsets; then `into` is of no use.
 */
export function stackGsoToTunGso(
  view: DataView,
  at: number,
  bytes: number,
  stack: StackGso,
  into: GsoOptions,
): DropReason {
  const transport = stack.l3HeaderBytes;
  into.ecn = false;
  into.needsCsum = stack.needsCsum;
  into.csumStart = stack.needsCsum ? transport : 0;
  into.csumOffset = stack.needsCsum ? stack.csumOffset : 0;
  into.hdrLen = 0;
  into.gsoSize = 0;
  into.type = VnetGsoType.None;
  if (stack.needsCsum && transport + stack.csumOffset + 1 >= bytes) return DropReason.IpTruncated;
  if (stack.type === StackGsoType.None) return DropReason.None;

  if (stack.type !== StackGsoType.TcpV4 && stack.type !== StackGsoType.TcpV6) {
    return DropReason.VnetTypeUnknown;
  }
  const isV4 = stack.type === StackGsoType.TcpV4;
  const l3BytesMin = isV4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
  if (transport < l3BytesMin) return DropReason.GsoHeaderInvalid;
  if (stack.needsCsum && stack.csumOffset !== TCP_CHECKSUM) return DropReason.GsoHeaderInvalid;
  if (bytes < transport + TCP_HEADER_BYTES) return DropReason.IpTruncated;
  const tcpBytes = tcpHeaderBytes(view, at + transport);
  if (tcpBytes < TCP_HEADER_BYTES || tcpBytes > TCP_HEADER_BYTES_MAX) {
    return DropReason.GsoHeaderInvalid;
  }
  if (bytes < transport + tcpBytes) return DropReason.IpTruncated;
  if (stack.mss === 0) return DropReason.GsoSizeZero;
  into.type = isV4 ? VnetGsoType.TcpV4 : VnetGsoType.TcpV6;
  into.hdrLen = transport + tcpBytes;
  into.gsoSize = stack.mss;
  return DropReason.None;
}
