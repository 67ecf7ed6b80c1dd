/**
 * The headers of packets that are being coalesced: whether two agree, whether their checksums are
 * right, and what stands in front of the merged packet. All packets here have passed
 * `classifyPacket`: no IPv4 options, no IPv6 extension headers.
 */
import { checksumOf, fold16, pseudoHeaderSum } from "../wire/checksum.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";
import { IpProtocol } from "../wire/ip.ts";
import {
  IPV4_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_PROTOCOL,
  IPV4_TTL,
  ipv4ChecksumValid,
  setIpv4Checksum,
  setIpv4TotalBytes,
} from "../wire/ipv4.ts";
import {
  IPV6_HEADER_BYTES,
  IPV6_HOP_LIMIT,
  IPV6_NEXT_HEADER,
  setIpv6PayloadBytes,
} from "../wire/ipv6.ts";
import {
  TCP_ACKNOWLEDGMENT,
  TCP_CHECKSUM,
  TCP_FLAGS,
  TCP_HEADER_BYTES,
  TCP_WINDOW,
  TcpFlag,
} from "../wire/tcp.ts";
import { UDP_CHECKSUM, UDP_LENGTH } from "../wire/udp.ts";
import {
  VNET_HEADER_BYTES,
  VNET_NEEDS_CSUM,
  VnetGsoType,
  writeVnetHeader,
} from "../wire/virtio_net.ts";

/** Whether the IP headers of two packets of one flow may become one. */
export function isSameIpHeader(view: DataView, at: number, otherAt: number): boolean {
  const first = view.getInt32(at);
  const otherFirst = view.getInt32(otherAt);
  if (first >>> 28 === 4) {
    // Version, IHL and TOS; DF and the reserved bit; TTL.
    return (first >>> 16) === (otherFirst >>> 16) &&
      view.getUint16(at + IPV4_FRAGMENT) === view.getUint16(otherAt + IPV4_FRAGMENT) &&
      view.getUint8(at + IPV4_TTL) === view.getUint8(otherAt + IPV4_TTL);
  }
  // Version, traffic class and flow label; hop limit.
  return first === otherFirst &&
    view.getUint8(at + IPV6_HOP_LIMIT) === view.getUint8(otherAt + IPV6_HOP_LIMIT);
}

/**
 * Whether two TCP packets of one flow agree in everything that the merged one has only once. Both
 * have IP headers of `transport` and headers of `headerBytes` bytes in all.
 */
export function isSameTcpHeader(
  view: DataView,
  at: number,
  otherAt: number,
  transport: number,
  headerBytes: number,
): boolean {
  const tcp = at + transport;
  const otherTcp = otherAt + transport;
  // The window too, as in tcp_gro_receive: the merged packet would hide a change of it.
  if (
    view.getInt32(tcp + TCP_ACKNOWLEDGMENT) !== view.getInt32(otherTcp + TCP_ACKNOWLEDGMENT) ||
    view.getUint16(tcp + TCP_WINDOW) !== view.getUint16(otherTcp + TCP_WINDOW) ||
    !isSameIpHeader(view, at, otherAt)
  ) return false;
  for (let i = transport + TCP_HEADER_BYTES; i < headerBytes; i += 4) {
    if (view.getInt32(at + i) !== view.getInt32(otherAt + i)) return false;
  }
  return true;
}

/** Whether the checksums of the IPv4 header and of TCP or UDP are right. */
export function areChecksumsValid(
  view: DataView,
  kernel: ChecksumKernel,
  at: number,
  bytes: number,
  transport: number,
): boolean {
  const isV4 = transport === IPV4_HEADER_BYTES;
  if (isV4 && !ipv4ChecksumValid(view, at, IPV4_HEADER_BYTES)) return false;
  const protocol = view.getUint8(at + (isV4 ? IPV4_PROTOCOL : IPV6_NEXT_HEADER));
  const length = bytes - transport;
  const pseudo = pseudoHeaderSum(view, at, isV4 ? 4 : 6, protocol, length);
  return checksumOf(kernel.sum(at + transport, length, pseudo)) === 0;
}

/**
 * Makes the headers of the packet at `at` those of a merged packet of `bytes` bytes, and writes the
 * virtio header in front of it. The transport checksum is left to the reader: its field holds the
 * pseudo-header sum. `isPushed` adds PSH to a TCP packet.
 */
export function writeMergedHeaders(
  view: DataView,
  at: number,
  bytes: number,
  transport: number,
  headerBytes: number,
  gsoSize: number,
  isTcp: boolean,
  isPushed: boolean,
): void {
  const isV4 = transport === IPV4_HEADER_BYTES;
  if (isV4) {
    setIpv4TotalBytes(view, at, bytes);
    setIpv4Checksum(view, at, IPV4_HEADER_BYTES);
  } else {
    setIpv6PayloadBytes(view, at, bytes - IPV6_HEADER_BYTES);
  }
  const length = bytes - transport;
  const protocol = isTcp ? IpProtocol.Tcp : IpProtocol.Udp;
  const csumOffset = isTcp ? TCP_CHECKSUM : UDP_CHECKSUM;
  const pseudo = fold16(pseudoHeaderSum(view, at, isV4 ? 4 : 6, protocol, length));
  view.setUint16(at + transport + csumOffset, pseudo, true);
  let type: number = VnetGsoType.UdpL4;
  if (isTcp) {
    type = isV4 ? VnetGsoType.TcpV4 : VnetGsoType.TcpV6;
    if (isPushed) view.setUint8(at + transport + TCP_FLAGS, TcpFlag.Ack | TcpFlag.Psh);
  } else {
    view.setUint16(at + transport + UDP_LENGTH, length);
  }
  const vnetAt = at - VNET_HEADER_BYTES;
  const flags = VNET_NEEDS_CSUM;
  writeVnetHeader(view, vnetAt, flags, type, headerBytes, gsoSize, transport, csumOffset);
}
