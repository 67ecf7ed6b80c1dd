/**
 * What a packet means for coalescing, told from its headers alone: may it be merged, which flow does
 * it belong to, or could it belong to any.
 */
import { IpProtocol } from "../wire/ip.ts";
import {
  IPV4_HEADER_BYTES,
  IPV4_MF,
  IPV4_OFFSET_MASK,
  ipv4FragmentField,
  ipv4HeaderBytes,
  ipv4Protocol,
  ipv4TotalBytes,
} from "../wire/ipv4.ts";
import {
  IPV6_HEADER_BYTES,
  ipv6NextHeader,
  ipv6PayloadBytes,
  isIpv6Extension,
} from "../wire/ipv6.ts";
import { TCP_HEADER_BYTES, TcpFlag, tcpFlags, tcpHeaderBytes } from "../wire/tcp.ts";
import { UDP_HEADER_BYTES, udpChecksum, udpLength } from "../wire/udp.ts";

/** The kinds of packets, in the low byte of a shape. */
export const PacketKind = {
  /** Neither TCP nor UDP, or not a whole IP packet: of no flow. */
  Alone: 0,
  /** TCP or UDP of a flow that its headers do not show, such as a fragment: of any flow. */
  AnyFlow: 1,
  /** TCP or UDP of a known flow that must not be merged. */
  Unmergeable: 2,
  /** A TCP segment that may be merged. */
  Tcp: 3,
  /** A UDP datagram that may be merged. */
  Udp: 4,
} as const;

/** The `PacketKind` of a shape. */
export function shapeKind(shape: number): number {
  return shape & 0xff;
}

/** Of a packet of a known flow: length of the IP header, where the ports begin. */
export function shapeTransport(shape: number): number {
  return (shape >>> 8) & 0xff;
}

/** Of a packet that may be merged: length of IP and transport header. */
export function shapeHeaderBytes(shape: number): number {
  return shape >>> 16;
}

/**
 * The shape of the packet of `bytes` bytes at `at`: its kind and header lengths in one integer.
 *
 * A packet may be merged when it has no IPv4 options and no IPv6 extension headers, is no fragment,
 * says the length that it has and has a payload; TCP further only with ACK, or ACK and PSH, set; UDP
 * only with a checksum.
 */
export function classifyPacket(view: DataView, at: number, bytes: number): number {
  if (bytes < IPV4_HEADER_BYTES) return PacketKind.Alone;
  const first = view.getUint8(at);
  let protocol: number;
  let transport: number;
  let isRegular: boolean;
  if (first >>> 4 === 4) {
    protocol = ipv4Protocol(view, at);
    if (protocol !== IpProtocol.Tcp && protocol !== IpProtocol.Udp) return PacketKind.Alone;
    if ((ipv4FragmentField(view, at) & (IPV4_MF | IPV4_OFFSET_MASK)) !== 0) {
      return PacketKind.AnyFlow;
    }
    transport = ipv4HeaderBytes(view, at);
    if (transport < IPV4_HEADER_BYTES) return PacketKind.AnyFlow;
    isRegular = transport === IPV4_HEADER_BYTES && ipv4TotalBytes(view, at) === bytes;
  } else if (first >>> 4 === 6 && bytes >= IPV6_HEADER_BYTES) {
    protocol = ipv6NextHeader(view, at);
    if (isIpv6Extension(protocol)) return PacketKind.AnyFlow;
    if (protocol !== IpProtocol.Tcp && protocol !== IpProtocol.Udp) return PacketKind.Alone;
    transport = IPV6_HEADER_BYTES;
    isRegular = ipv6PayloadBytes(view, at) + IPV6_HEADER_BYTES === bytes;
  } else {
    return PacketKind.Alone;
  }
  if (transport + 4 > bytes) return PacketKind.AnyFlow;
  const unmergeable = PacketKind.Unmergeable | (transport << 8);
  if (!isRegular) return unmergeable;
  return protocol === IpProtocol.Tcp
    ? tcpShape(view, at, bytes, transport, unmergeable)
    : udpShape(view, at, bytes, transport, unmergeable);
}

function tcpShape(
  view: DataView,
  at: number,
  bytes: number,
  transport: number,
  unmergeable: number,
): number {
  if (transport + TCP_HEADER_BYTES > bytes) return unmergeable;
  const tcp = at + transport;
  // Together with the data offset stand four flag bits that must be zero.
  const offsetByte = view.getUint8(tcp + 12);
  const tcpBytes = tcpHeaderBytes(view, tcp);
  const flags = tcpFlags(view, tcp);
  const headerBytes = transport + tcpBytes;
  const isCandidate = (flags & ~TcpFlag.Psh) === TcpFlag.Ack && (offsetByte & 15) === 0 &&
    tcpBytes >= TCP_HEADER_BYTES && headerBytes < bytes;
  return isCandidate ? PacketKind.Tcp | (transport << 8) | (headerBytes << 16) : unmergeable;
}

function udpShape(
  view: DataView,
  at: number,
  bytes: number,
  transport: number,
  unmergeable: number,
): number {
  const headerBytes = transport + UDP_HEADER_BYTES;
  if (headerBytes >= bytes) return unmergeable;
  const udp = at + transport;
  const isCandidate = udpLength(view, udp) === bytes - transport && udpChecksum(view, udp) !== 0;
  return isCandidate ? PacketKind.Udp | (transport << 8) | (headerBytes << 16) : unmergeable;
}
