/**
 * Stateless translation of our own address, for one super-packet: our address in the source of what
 * goes to a peer becomes the one that the peer knows, and the other way round in what comes from it.
 * Within ICMP errors the quoted packet is translated too, or nobody would find the flow it tells of.
 *
 * Checksums are updated by the difference (RFC 1624), not computed again. A *partial* checksum, which
 * a later stage completes, holds the sum itself: the difference enters it uncomplemented. IPv6
 * addresses are exchanged with all 16 bytes. A UDP checksum of 0 over IPv4 means "none" and stays.
 */
import type { Slab } from "../memory/slab.ts";
import type { SuperPacket } from "../offload/super_packet.ts";
import { rewriteAddress4, rewriteAddress6, TransportChecksum } from "../wire/address_rewrite.ts";
import { checksumOf, fold16, sumWords } from "../wire/checksum.ts";
import { ICMP_CHECKSUM, ICMP_HEADER_BYTES, icmpv4IsError } from "../wire/icmp.ts";
import { destinationOffset, IpProtocol, sourceOffset } from "../wire/ip.ts";
import {
  IPV4_HEADER_BYTES,
  IPV4_OFFSET_MASK,
  ipv4FragmentField,
  ipv4HeaderBytes,
  ipv4Protocol,
} from "../wire/ipv4.ts";
import { IPV6_HEADER_BYTES, IPV6_TRANSPORT_LATER_FRAGMENT, ipv6Transport } from "../wire/ipv6.ts";
import { TCP_CHECKSUM } from "../wire/tcp.ts";
import { UDP_CHECKSUM } from "../wire/udp.ts";
import { NAT_OWN4, NAT_OWN6, NAT_THEIRS4, NAT_THEIRS6, NatFamily } from "./nat_table.ts";

/** Bytes of a quoted packet that may change: its headers as far as the TCP checksum. */
const QUOTED_BYTES_MAX = 128;

/**
 * Translates what goes to the peer whose record stands at `natAt` (a copy by `NatTable.read`, with
 * `families` as it returned). `isPartial`: the transport checksum waits to be completed. Returns
 * whether anything was changed.
 */
export function translateOutbound(
  slab: Slab,
  packet: SuperPacket,
  natAt: number,
  families: number,
  isPartial: boolean,
): boolean {
  const isV4 = packet.ipVersion === 4;
  if ((families & (isV4 ? NatFamily.V4 : NatFamily.V6)) === 0) return false;
  const ownAt = natAt + (isV4 ? NAT_OWN4 : NAT_OWN6);
  const theirsAt = natAt + (isV4 ? NAT_THEIRS4 : NAT_THEIRS6);
  const { sourceAt } = packet;
  if (!isSameAddress(slab.view, sourceAt, ownAt, isV4)) return false;
  rewrite(slab.view, packet, sourceAt, theirsAt, isPartial);
  // A quoted packet came from the peer: it was for our own address by then.
  translateQuoted(
    slab.view,
    packet,
    destinationOffset(packet.ipVersion),
    ownAt,
    theirsAt,
    isPartial,
  );
  return true;
}

/** Translates what comes from the peer; parameters and result as for `translateOutbound`. */
export function translateInbound(
  slab: Slab,
  packet: SuperPacket,
  natAt: number,
  families: number,
  isPartial: boolean,
): boolean {
  const isV4 = packet.ipVersion === 4;
  if ((families & (isV4 ? NatFamily.V4 : NatFamily.V6)) === 0) return false;
  const ownAt = natAt + (isV4 ? NAT_OWN4 : NAT_OWN6);
  const theirsAt = natAt + (isV4 ? NAT_THEIRS4 : NAT_THEIRS6);
  const { destinationAt } = packet;
  if (!isSameAddress(slab.view, destinationAt, theirsAt, isV4)) return false;
  rewrite(slab.view, packet, destinationAt, ownAt, isPartial);
  // A quoted packet was sent by us, and had been translated.
  translateQuoted(slab.view, packet, sourceOffset(packet.ipVersion), theirsAt, ownAt, isPartial);
  return true;
}

function isSameAddress(view: DataView, at: number, otherAt: number, isV4: boolean): boolean {
  const bytes = isV4 ? 4 : 16;
  for (let i = 0; i < bytes; i += 4) {
    if (view.getInt32(at + i) !== view.getInt32(otherAt + i)) return false;
  }
  return true;
}

function rewrite(
  view: DataView,
  packet: SuperPacket,
  addressAt: number,
  newAt: number,
  isPartial: boolean,
): void {
  const { at, transportOffset, protocol, ipVersion } = packet;
  const field = packet.isLaterFragment ? -1 : checksumOffset(protocol);
  const isCovered = field >= 0 && transportOffset + field + 2 <= packet.bytes;
  const kind = isCovered ? checksumKind(protocol, isPartial) : TransportChecksum.None;
  const checksumAt = isCovered ? packet.placeOf(transportOffset + field) : 0;
  if (ipVersion === 4) rewriteAddress4(view, at, addressAt - at, newAt, checksumAt, kind);
  else rewriteAddress6(view, at, addressAt - at, newAt, checksumAt, kind);
}

/** Where the checksum that covers the addresses stands in a transport header; -1 for none. */
function checksumOffset(protocol: number): number {
  if (protocol === IpProtocol.Tcp) return TCP_CHECKSUM;
  if (protocol === IpProtocol.Udp) return UDP_CHECKSUM;
  return protocol === IpProtocol.Icmpv6 ? ICMP_CHECKSUM : -1;
}

function checksumKind(protocol: number, isPartial: boolean): TransportChecksum {
  if (isPartial) return TransportChecksum.Partial;
  return protocol === IpProtocol.Udp ? TransportChecksum.FullUdp : TransportChecksum.Full;
}

/**
 * Exchanges the address at `addressOffset` of the packet that an ICMP error quotes, if it is the one at
 * `fromAt`, together with the checksums of the quoted packet as far as they are quoted, and carries
 * all of it into the checksum of the ICMP message.
 */
function translateQuoted(
  view: DataView,
  packet: SuperPacket,
  addressOffset: number,
  fromAt: number,
  toAt: number,
  isPartial: boolean,
): void {
  const { transportOffset, bytes, ipVersion } = packet;
  const isV4 = ipVersion === 4;
  const quotedOffset = transportOffset + ICMP_HEADER_BYTES;
  const quotedBytes = bytes - quotedOffset;
  const headerBytesMin = isV4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
  if (!isIcmpError(view, packet) || quotedBytes < headerBytesMin) return;
  // Only a packet whose quotation stands in one piece can be translated; ours all do.
  if (!packet.isContiguous && quotedOffset < packet.headerBytes) return;
  const quotedAt = packet.placeOf(quotedOffset);
  if (view.getUint8(quotedAt) >>> 4 !== ipVersion) return;
  if (!isSameAddress(view, quotedAt + addressOffset, fromAt, isV4)) return;
  const changingBytes = Math.min(quotedBytes, QUOTED_BYTES_MAX) & ~1;
  const before = sumWords(view, quotedAt, changingBytes);
  if (isV4) rewriteQuoted4(view, quotedAt, quotedBytes, addressOffset, toAt);
  else rewriteQuoted6(view, quotedAt, quotedBytes, addressOffset, toAt);
  if (isPartial) return;
  const after = sumWords(view, quotedAt, changingBytes);
  const checksumAt = packet.placeOf(transportOffset + ICMP_CHECKSUM);
  const checksum = view.getUint16(checksumAt, true);
  const change = (~fold16(before) & 0xffff) + fold16(after);
  view.setUint16(checksumAt, checksumOf((~checksum & 0xffff) + change), true);
}

function isIcmpError(view: DataView, packet: SuperPacket): boolean {
  const { transportOffset, protocol, ipVersion } = packet;
  if (packet.isLaterFragment || transportOffset + ICMP_HEADER_BYTES > packet.bytes) return false;
  const type = view.getUint8(packet.placeOf(transportOffset));
  return ipVersion === 4
    ? protocol === IpProtocol.Icmp && icmpv4IsError(type)
    : protocol === IpProtocol.Icmpv6 && type < 128;
}

function rewriteQuoted4(
  view: DataView,
  at: number,
  bytes: number,
  addressOffset: number,
  toAt: number,
): void {
  const transport = ipv4HeaderBytes(view, at);
  const isLater = (ipv4FragmentField(view, at) & IPV4_OFFSET_MASK) !== 0;
  const protocol = ipv4Protocol(view, at);
  const field = isLater ? -1 : checksumOffset(protocol);
  const isQuoted = isFieldQuoted(transport, field, bytes);
  const kind = isQuoted ? checksumKind(protocol, false) : TransportChecksum.None;
  rewriteAddress4(view, at, addressOffset, toAt, at + transport + field, kind);
}

function rewriteQuoted6(
  view: DataView,
  at: number,
  bytes: number,
  addressOffset: number,
  toAt: number,
): void {
  const found = ipv6Transport(view, at, bytes);
  const isLater = found < 0 || (found & IPV6_TRANSPORT_LATER_FRAGMENT) !== 0;
  const protocol = (found >>> 16) & 0xff;
  const transport = found & 0xffff;
  const field = isLater ? -1 : checksumOffset(protocol);
  const isQuoted = isFieldQuoted(transport, field, bytes);
  const kind = isQuoted ? checksumKind(protocol, false) : TransportChecksum.None;
  rewriteAddress6(view, at, addressOffset, toAt, at + transport + field, kind);
}

function isFieldQuoted(transport: number, field: number, bytes: number): boolean {
  const end = transport + field + 2;
  return field >= 0 && end <= bytes && end <= QUOTED_BYTES_MAX;
}
