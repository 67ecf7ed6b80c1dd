/**
 * What IPv4 and IPv6 have in common: the version nibble, protocol numbers, lengths and the places of
 * the addresses. Everything is a function over a DataView and the byte offset of the IP header.
 */
import { IPV4_DESTINATION, IPV4_HEADER_BYTES, IPV4_SOURCE, ipv4TotalBytes } from "./ipv4.ts";
import { IPV6_DESTINATION, IPV6_HEADER_BYTES, IPV6_SOURCE, ipv6PayloadBytes } from "./ipv6.ts";

/** Protocol and next-header numbers (IANA) that this program tells apart. */
export const IpProtocol = {
  HopByHop: 0,
  Icmp: 1,
  Tcp: 6,
  Udp: 17,
  Routing: 43,
  Fragment: 44,
  Authentication: 51,
  Icmpv6: 58,
  NoNextHeader: 59,
  DestinationOptions: 60,
  Mobility: 135,
} as const;

/** The longest IP packet that a 16-bit length field tells. */
export const IP_BYTES_MAX = 65_535;

/** The version nibble of the header at `at`; anything but 4 and 6 is garbage. */
export function ipVersion(view: DataView, at: number): number {
  return view.getUint8(at) >>> 4;
}

/**
 * The length of the IP packet at `at` as its own header tells it, or 0 when the header is broken or
 * the packet is longer than the `available` bytes. Padding behind the packet is thereby cut off.
 */
export function ipPacketBytes(view: DataView, at: number, available: number): number {
  if (available < IPV4_HEADER_BYTES) return 0;
  const first = view.getUint8(at);
  if (first >>> 4 === 4) {
    const headerBytes = (first & 15) << 2;
    const bytes = ipv4TotalBytes(view, at);
    return headerBytes >= IPV4_HEADER_BYTES && bytes >= headerBytes && bytes <= available
      ? bytes
      : 0;
  }
  if (first >>> 4 !== 6 || available < IPV6_HEADER_BYTES) return 0;
  const bytes = IPV6_HEADER_BYTES + ipv6PayloadBytes(view, at);
  return bytes <= available ? bytes : 0;
}

/** Where the source address stands, counted from the IP header. */
export function sourceOffset(version: number): number {
  return version === 4 ? IPV4_SOURCE : IPV6_SOURCE;
}

/** Where the destination address stands, counted from the IP header. */
export function destinationOffset(version: number): number {
  return version === 4 ? IPV4_DESTINATION : IPV6_DESTINATION;
}

/** 4 or 16. */
export function addressBytes(version: number): number {
  return version === 4 ? 4 : 16;
}
