/**
 * The IPv6 header and its extension headers (RFC 8200) as functions over a DataView and the byte
 * offset of the header. Whoever calls them has made sure that at least `IPV6_HEADER_BYTES` stand
 * there. Jumbograms are not understood.
 */

/** Length of the fixed header. */
export const IPV6_HEADER_BYTES = 40;

// Places of the fields, counted from the header.
export const IPV6_PAYLOAD_LENGTH = 4;
export const IPV6_NEXT_HEADER = 6;
export const IPV6_HOP_LIMIT = 7;
export const IPV6_SOURCE = 8;
export const IPV6_DESTINATION = 24;

/** A chain with more extension headers than this is refused. */
export const IPV6_EXTENSIONS_MAX = 8;

/** Traffic class: DSCP and ECN. */
export function ipv6TrafficClass(view: DataView, at: number): number {
  return (view.getUint16(at) >>> 4) & 0xff;
}

/** Length of everything behind the fixed header. */
export function ipv6PayloadBytes(view: DataView, at: number): number {
  return view.getUint16(at + IPV6_PAYLOAD_LENGTH);
}

/** Sets the length of everything behind the fixed header. */
export function setIpv6PayloadBytes(view: DataView, at: number, bytes: number): void {
  view.setUint16(at + IPV6_PAYLOAD_LENGTH, bytes);
}

/** Number of the first header behind the fixed one. */
export function ipv6NextHeader(view: DataView, at: number): number {
  return view.getUint8(at + IPV6_NEXT_HEADER);
}

/** Hop limit. */
export function ipv6HopLimit(view: DataView, at: number): number {
  return view.getUint8(at + IPV6_HOP_LIMIT);
}

/** Writes the fixed header with flow label 0, all fields but the addresses. */
export function writeIpv6Header(
  view: DataView,
  at: number,
  payloadBytes: number,
  trafficClass: number,
  nextHeader: number,
  hopLimit: number,
): void {
  view.setUint32(at, 0x60000000 | (trafficClass << 20));
  view.setUint16(at + IPV6_PAYLOAD_LENGTH, payloadBytes);
  view.setUint8(at + IPV6_NEXT_HEADER, nextHeader);
  view.setUint8(at + IPV6_HOP_LIMIT, hopLimit);
}

/** Length of a fragment header. */
export const IPV6_FRAGMENT_HEADER_BYTES = 8;

/** Writes a fragment header (RFC 8200 section 4.5); `offset` is a number of bytes, a multiple of 8. */
export function writeIpv6FragmentHeader(
  view: DataView,
  at: number,
  nextHeader: number,
  offset: number,
  hasMore: boolean,
  id: number,
): void {
  view.setUint16(at, nextHeader << 8);
  view.setUint16(at + 2, offset | (hasMore ? 1 : 0));
  view.setInt32(at + 4, id);
}

// Extension headers that can be walked over; the numbers are IpProtocol's.
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;
const MOBILITY = 135;

/** Whether a next-header number is an extension header that `ipv6Transport` walks over. */
export function isIpv6Extension(nextHeader: number): boolean {
  return nextHeader === HOP_BY_HOP || nextHeader === ROUTING || nextHeader === FRAGMENT ||
    nextHeader === AUTHENTICATION || nextHeader === DESTINATION_OPTIONS || nextHeader === MOBILITY;
}

/** Set in the result of `ipv6Transport` when the packet is a fragment. */
export const IPV6_TRANSPORT_FRAGMENT = 1 << 24;
/** Set when it is a fragment that does not begin with the transport header. */
export const IPV6_TRANSPORT_LATER_FRAGMENT = 1 << 25;
/** Set when a routing header has segments left, so that the destination is not the final one. */
export const IPV6_TRANSPORT_ROUTED = 1 << 26;

/**
 * Walks the extension headers of the packet of `bytes` bytes at `at`.
 *
 * Returns the offset of what follows them in the low 16 bits, its protocol number in the next 8, and
 * `IPV6_TRANSPORT_*` bits; or -1 when the chain is truncated or longer than `IPV6_EXTENSIONS_MAX`.
 * Behind the header of a later fragment nothing is looked at.
 */
export function ipv6Transport(view: DataView, at: number, bytes: number): number {
  let nextHeader = ipv6NextHeader(view, at);
  let offset = IPV6_HEADER_BYTES;
  let bits = 0;
  for (let count = 0; isIpv6Extension(nextHeader); count++) {
    if (count === IPV6_EXTENSIONS_MAX || offset + 8 > bytes) return -1;
    const header = at + offset;
    let headerBytes = 8 + view.getUint8(header + 1) * 8;
    if (nextHeader === FRAGMENT) {
      headerBytes = 8;
      const field = view.getUint16(header + 2);
      // RFC 6946: offset 0 without "more" is a whole packet that only wears the header.
      if ((field & 0xfff9) !== 0) bits |= IPV6_TRANSPORT_FRAGMENT;
      if ((field & 0xfff8) !== 0) bits |= IPV6_TRANSPORT_LATER_FRAGMENT;
    } else if (nextHeader === AUTHENTICATION) {
      headerBytes = 8 + view.getUint8(header + 1) * 4;
    } else if (nextHeader === ROUTING && view.getUint8(header + 3) !== 0) {
      bits |= IPV6_TRANSPORT_ROUTED;
    }
    nextHeader = view.getUint8(header);
    offset += headerBytes;
    if (offset > bytes) return -1;
    if ((bits & IPV6_TRANSPORT_LATER_FRAGMENT) !== 0) break;
  }
  return offset | (nextHeader << 16) | bits;
}
