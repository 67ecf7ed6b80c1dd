/**
 * ICMP (RFC 792) and ICMPv6 (RFC 4443): the constants, and the error messages that a node sends back
 * when it cannot deliver a packet.
 *
 * Nothing here limits the rate of errors: the sender of these messages does.
 */
import type { Slab } from "../memory/slab.ts";
import { checksumOf, pseudoHeaderSum6 } from "./checksum.ts";
import type { ChecksumKernel } from "./checksum_kernel.ts";
import { IpProtocol } from "./ip.ts";
import {
  IPV4_DESTINATION,
  IPV4_HEADER_BYTES,
  IPV4_OFFSET_MASK,
  IPV4_SOURCE,
  ipv4FragmentField,
  ipv4HeaderBytes,
  ipv4Protocol,
  setIpv4Checksum,
  writeIpv4Header,
} from "./ipv4.ts";
import {
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE,
  IPV6_TRANSPORT_LATER_FRAGMENT,
  ipv6Transport,
  writeIpv6Header,
} from "./ipv6.ts";

/** Length of the header of an error message and of an echo message, both versions. */
export const ICMP_HEADER_BYTES = 8;

// Places of the fields, counted from the ICMP header.
export const ICMP_TYPE = 0;
export const ICMP_CODE = 1;
export const ICMP_CHECKSUM = 2;
export const ICMP_REST = 4;

/** Types of ICMP for IPv4. */
export const IcmpType = {
  EchoReply: 0,
  DestinationUnreachable: 3,
  SourceQuench: 4,
  Redirect: 5,
  EchoRequest: 8,
  TimeExceeded: 11,
  ParameterProblem: 12,
} as const;

/** Codes of `IcmpType.DestinationUnreachable`. */
export const IcmpUnreachable = {
  Network: 0,
  Host: 1,
  Protocol: 2,
  Port: 3,
  FragmentationNeeded: 4,
  AdministrativelyProhibited: 13,
} as const;

/** Types of ICMPv6; errors are below 128. */
export const Icmpv6Type = {
  DestinationUnreachable: 1,
  PacketTooBig: 2,
  TimeExceeded: 3,
  ParameterProblem: 4,
  EchoRequest: 128,
  EchoReply: 129,
} as const;

/** Codes of `Icmpv6Type.DestinationUnreachable`. */
export const Icmpv6Unreachable = {
  NoRoute: 0,
  AdministrativelyProhibited: 1,
  Address: 3,
  Port: 4,
} as const;

/** Codes of `Icmpv6Type.ParameterProblem`. */
export const Icmpv6ParameterProblem = {
  ErroneousField: 0,
  UnrecognizedNextHeader: 1,
  UnrecognizedOption: 2,
  /** A first fragment without its whole header chain (RFC 7112). */
  IncompleteHeaderChain: 3,
} as const;

/** Codes of "time exceeded", both versions. */
export const IcmpTimeExceeded = { HopLimit: 0, Reassembly: 1 } as const;

/** An IPv4 error message is at most this long (RFC 1812 section 4.3.2.3). */
export const ICMPV4_ERROR_BYTES_MAX = 576;
/** An ICMPv6 error message is at most this long: the minimum IPv6 MTU (RFC 4443 section 2.4 c). */
export const ICMPV6_ERROR_BYTES_MAX = 1280;
/** Room that every error message fits in. */
export const ICMP_ERROR_BYTES_MAX = ICMPV6_ERROR_BYTES_MAX;

const ERROR_TTL = 64;

/** Whether an ICMP type for IPv4 is an error, about which no error may be sent. */
export function icmpv4IsError(type: number): boolean {
  return type === IcmpType.DestinationUnreachable || type === IcmpType.SourceQuench ||
    type === IcmpType.Redirect || type === IcmpType.TimeExceeded ||
    type === IcmpType.ParameterProblem;
}

/**
 * Whether an error may be sent about the packet of `bytes` bytes at `at` (RFC 1122 section 3.2.2,
 * RFC 4443 section 2.4 e): not about an ICMP error, a later fragment, a multicast or broadcast
 * destination, or a source that is not one host.
 */
export function icmpErrorAllowed(view: DataView, at: number, bytes: number): boolean {
  if (bytes < IPV4_HEADER_BYTES) return false;
  const version = view.getUint8(at) >>> 4;
  if (version === 4) return icmpv4ErrorAllowed(view, at, bytes);
  return version === 6 && bytes >= IPV6_HEADER_BYTES && icmpv6ErrorAllowed(view, at, bytes);
}

function icmpv4ErrorAllowed(view: DataView, at: number, bytes: number): boolean {
  const headerBytes = ipv4HeaderBytes(view, at);
  if (headerBytes < IPV4_HEADER_BYTES || headerBytes > bytes) return false;
  if ((ipv4FragmentField(view, at) & IPV4_OFFSET_MASK) !== 0) return false;
  const source = view.getUint8(at + IPV4_SOURCE);
  // 224.0.0.0/4 and up: multicast, reserved, broadcast.
  if (source === 0 || source === 127 || source >= 224) return false;
  if (view.getUint8(at + IPV4_DESTINATION) >= 224) return false;
  if (ipv4Protocol(view, at) !== IpProtocol.Icmp) return true;
  return headerBytes < bytes && !icmpv4IsError(view.getUint8(at + headerBytes));
}

function icmpv6ErrorAllowed(view: DataView, at: number, bytes: number): boolean {
  if (view.getUint8(at + IPV6_SOURCE) === 0xff) return false;
  if (view.getUint8(at + IPV6_DESTINATION) === 0xff) return false;
  if (isUnspecifiedOrLoopback(view, at + IPV6_SOURCE)) return false;
  const transport = ipv6Transport(view, at, bytes);
  if (transport < 0 || (transport & IPV6_TRANSPORT_LATER_FRAGMENT) !== 0) return false;
  if (((transport >>> 16) & 0xff) !== IpProtocol.Icmpv6) return true;
  const offset = transport & 0xffff;
  return offset < bytes && view.getUint8(at + offset) >= 128;
}

/** `::` or `::1`. */
function isUnspecifiedOrLoopback(view: DataView, at: number): boolean {
  return view.getUint32(at) === 0 && view.getUint32(at + 4) === 0 && view.getUint32(at + 8) === 0 &&
    view.getUint32(at + 12) <= 1;
}

/**
 * Writes an IPv4 packet with an ICMP error about the packet of `bytes` bytes at `packetAt`, which it
 * quotes as far as 576 bytes allow, to `outAt`, and returns its length. `rest` is the word behind
 * the checksum. `sourceAt` is the place of the 4-byte address that it comes from. The caller has
 * asked `icmpErrorAllowed`; the two places do not overlap.
 */
export function writeIcmpv4Error(
  slab: Slab,
  kernel: ChecksumKernel,
  outAt: number,
  packetAt: number,
  bytes: number,
  type: number,
  code: number,
  rest: number,
  sourceAt: number,
): number {
  const { u8, view } = slab;
  const icmpAt = outAt + IPV4_HEADER_BYTES;
  const quotedBytes = Math.min(
    bytes,
    ICMPV4_ERROR_BYTES_MAX - IPV4_HEADER_BYTES - ICMP_HEADER_BYTES,
  );
  const totalBytes = IPV4_HEADER_BYTES + ICMP_HEADER_BYTES + quotedBytes;
  writeIpv4Header(view, outAt, totalBytes, 0, 0, 0, ERROR_TTL, IpProtocol.Icmp);
  u8.copyWithin(outAt + IPV4_SOURCE, sourceAt, sourceAt + 4);
  const replyToAt = packetAt + IPV4_SOURCE;
  u8.copyWithin(outAt + IPV4_DESTINATION, replyToAt, replyToAt + 4);
  setIpv4Checksum(view, outAt, IPV4_HEADER_BYTES);
  writeIcmpHeader(view, icmpAt, type, code, rest);
  u8.copyWithin(icmpAt + ICMP_HEADER_BYTES, packetAt, packetAt + quotedBytes);
  const sum = kernel.sum(icmpAt, ICMP_HEADER_BYTES + quotedBytes, 0);
  view.setUint16(icmpAt + ICMP_CHECKSUM, checksumOf(sum), true);
  return totalBytes;
}

/**
 * Writes an IPv6 packet with an ICMPv6 error about the packet of `bytes` bytes at `packetAt`, which
 * it quotes as far as 1,280 bytes allow, to `outAt`, and returns its length. Parameters as for
 * `writeIcmpv4Error`, with 16-byte addresses.
 */
export function writeIcmpv6Error(
  slab: Slab,
  kernel: ChecksumKernel,
  outAt: number,
  packetAt: number,
  bytes: number,
  type: number,
  code: number,
  rest: number,
  sourceAt: number,
): number {
  const { u8, view } = slab;
  const icmpAt = outAt + IPV6_HEADER_BYTES;
  const quotedBytes = Math.min(
    bytes,
    ICMPV6_ERROR_BYTES_MAX - IPV6_HEADER_BYTES - ICMP_HEADER_BYTES,
  );
  const icmpBytes = ICMP_HEADER_BYTES + quotedBytes;
  writeIpv6Header(view, outAt, icmpBytes, 0, IpProtocol.Icmpv6, ERROR_TTL);
  u8.copyWithin(outAt + IPV6_SOURCE, sourceAt, sourceAt + 16);
  const replyToAt = packetAt + IPV6_SOURCE;
  u8.copyWithin(outAt + IPV6_DESTINATION, replyToAt, replyToAt + 16);
  writeIcmpHeader(view, icmpAt, type, code, rest);
  u8.copyWithin(icmpAt + ICMP_HEADER_BYTES, packetAt, packetAt + quotedBytes);
  const pseudo = pseudoHeaderSum6(view, outAt, IpProtocol.Icmpv6, icmpBytes);
  view.setUint16(icmpAt + ICMP_CHECKSUM, checksumOf(kernel.sum(icmpAt, icmpBytes, pseudo)), true);
  return IPV6_HEADER_BYTES + icmpBytes;
}

function writeIcmpHeader(
  view: DataView,
  at: number,
  type: number,
  code: number,
  rest: number,
): void {
  view.setUint16(at, (type << 8) | code);
  view.setUint16(at + ICMP_CHECKSUM, 0);
  view.setUint32(at + ICMP_REST, rest);
}

/**
 * Writes "host unreachable" (IPv4) or "address unreachable" (IPv6) about the packet at `packetAt` to
 * `outAt` (room `ICMP_ERROR_BYTES_MAX`): what kernel WireGuard answers when no peer or no endpoint
 * is known. `sourceAt` is the place of our own address of the same version. Returns the reply's
 * length, or 0 when no error may be sent about that packet.
 */
export function writeUnreachable(
  slab: Slab,
  kernel: ChecksumKernel,
  outAt: number,
  packetAt: number,
  bytes: number,
  sourceAt: number,
): number {
  if (!icmpErrorAllowed(slab.view, packetAt, bytes)) return 0;
  if (slab.view.getUint8(packetAt) >>> 4 === 4) {
    const type = IcmpType.DestinationUnreachable;
    const code = IcmpUnreachable.Host;
    return writeIcmpv4Error(slab, kernel, outAt, packetAt, bytes, type, code, 0, sourceAt);
  }
  const type = Icmpv6Type.DestinationUnreachable;
  const code = Icmpv6Unreachable.Address;
  return writeIcmpv6Error(slab, kernel, outAt, packetAt, bytes, type, code, 0, sourceAt);
}
