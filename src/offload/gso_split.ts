/**
 * Cutting a super-packet into the packets that go over the wire, each at its final place: what the
 * kernel's tcp_gso_segment and __udp_gso_segment do (net/ipv4/tcp_offload.c, udp_offload.c).
 *
 * Of the headers only lengths, IPv4 ID, sequence number, flags and checksums differ between segments.
 * The rest is summed once per call; per segment a handful of words is added to the sum of the
 * payload, which is taken while it is copied, from behind the headers or from where else it stands.
 * Any range of segments can be written at any time, so a super-packet of more segments than a batch
 * has room for simply goes on in the next batch.
 */
import { invariant } from "../base/invariant.ts";
import type { Slab } from "../memory/slab.ts";
import { checksumOf, fold16, pseudoHeaderSum, sumWords, swap16 } from "../wire/checksum.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";
import { IpProtocol } from "../wire/ip.ts";
import { IPV4_CHECKSUM, IPV4_ID, IPV4_TOTAL_LENGTH, ipv4Id } from "../wire/ipv4.ts";
import { IPV6_HEADER_BYTES, IPV6_PAYLOAD_LENGTH } from "../wire/ipv6.ts";
import {
  TCP_CHECKSUM,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_SEQUENCE,
  TcpFlag,
  tcpFlags,
  tcpSequence,
} from "../wire/tcp.ts";
import { UDP_CHECKSUM, UDP_HEADER_BYTES, UDP_LENGTH } from "../wire/udp.ts";
import type { SuperPacket } from "./super_packet.ts";

/** Flags that stand on the last segment only. */
const LAST_ONLY = TcpFlag.Fin | TcpFlag.Psh;

/** The length of the IP packet that segment `index` becomes. */
export function segmentBytes(sp: SuperPacket, index: number): number {
  if (index < sp.segmentCount - 1) return sp.headerBytes + sp.gsoSize;
  return sp.bytes - index * sp.gsoSize;
}

/**
 * Writes segments `first .. first + count - 1` of `sp`; segment k's IP header stands at
 * `outAt + (k - first) * strideBytes`. Bytes between the segments are left alone.
 *
 * The output must not overlap the input, with one exception: all segments at once, at or behind the
 * input's own place. Wrong ranges are bugs of the caller and fail an invariant.
 */
export function splitSegments(
  slab: Slab,
  kernel: ChecksumKernel,
  sp: SuperPacket,
  first: number,
  count: number,
  outAt: number,
  strideBytes: number,
): void {
  invariant(first >= 0 && first + count <= sp.segmentCount, "segments exist");
  if (count <= 0) return;
  if (sp.segmentCount === 1) {
    copyWhole(slab, kernel, sp, outAt);
    return;
  }
  const segmentBytesMax = sp.headerBytes + sp.gsoSize;
  invariant(count === 1 || strideBytes >= segmentBytesMax, "segments do not overlap");
  const outEnd = outAt + (count - 1) * strideBytes + segmentBytesMax;
  const inPlace = outAt < sp.at + sp.contiguousBytes && sp.at < outEnd;
  invariant(
    !inPlace || (sp.isContiguous && outAt >= sp.at && count === sp.segmentCount),
    "a split in place writes all segments, at or behind the super-packet",
  );
  invariant(
    sp.isContiguous || outEnd <= sp.payloadAt || sp.payloadAt + sp.payloadBytes <= outAt,
    "a payload that stands apart is not overwritten",
  );
  if (sp.protocol === IpProtocol.Tcp) {
    splitTcp(slab, kernel, sp, first, count, outAt, strideBytes, inPlace);
  } else {
    splitUdp(slab, kernel, sp, first, count, outAt, strideBytes, inPlace);
  }
}

/** One packet: copied, and its checksum completed if it waits for that. */
function copyWhole(slab: Slab, kernel: ChecksumKernel, sp: SuperPacket, outAt: number): void {
  if (!sp.isContiguous) {
    joinWhole(slab, kernel, sp, outAt);
    return;
  }
  const { at, bytes, gso } = sp;
  const isApart = outAt + bytes <= at || at + bytes <= outAt;
  if (!gso.needsCsum) {
    // In shared memory V8's copyWithin goes byte by byte between places of different alignment.
    if (isApart) kernel.copySum(outAt, at, bytes, 0);
    else if (outAt !== at) slab.u8.copyWithin(outAt, at, at + bytes);
    return;
  }
  const start = gso.csumStart;
  let sum: number;
  if (isApart) {
    kernel.copySum(outAt, at, start, 0);
    sum = kernel.copySum(outAt + start, at + start, bytes - start, 0);
  } else {
    if (outAt !== at) slab.u8.copyWithin(outAt, at, at + bytes);
    sum = kernel.sum(outAt + start, bytes - start, 0);
  }
  completeChecksum(slab.view, sp, outAt, sum);
}

/** The same of a packet whose payload stands apart, which does not overlap its new place. */
function joinWhole(slab: Slab, kernel: ChecksumKernel, sp: SuperPacket, outAt: number): void {
  const { at, headerBytes, payloadAt, payloadBytes, gso } = sp;
  slab.u8.copyWithin(outAt, at, at + headerBytes);
  if (!gso.needsCsum) {
    slab.u8.copyWithin(outAt + headerBytes, payloadAt, payloadAt + payloadBytes);
    return;
  }
  const headerSum = sumWords(slab.view, outAt + gso.csumStart, headerBytes - gso.csumStart);
  const sum = kernel.copySum(outAt + headerBytes, payloadAt, payloadBytes, fold16(headerSum));
  completeChecksum(slab.view, sp, outAt, sum);
}

/** Writes the checksum that belongs to `sum` into the field that waits for it. */
function completeChecksum(view: DataView, sp: SuperPacket, outAt: number, sum: number): void {
  let checksum = checksumOf(sum);
  // RFC 768: "If the computed checksum is zero, it is transmitted as all ones".
  if (checksum === 0 && sp.protocol === IpProtocol.Udp) checksum = 0xffff;
  view.setUint16(outAt + sp.gso.csumStart + sp.gso.csumOffset, checksum, true);
}

/** The sum of the 16-bit words in `from .. to - 1`. */
function sumRange(view: DataView, from: number, to: number): number {
  let sum = 0;
  for (let at = from; at < to; at += 2) sum += view.getUint16(at, true);
  return sum;
}

/** The sum of the IPv4 header without the fields that differ between segments. */
function constantIpv4Sum(view: DataView, sp: SuperPacket): number {
  const { at, transportOffset } = sp;
  return view.getUint16(at, true) + sumRange(view, at + 6, at + IPV4_CHECKSUM) +
    sumRange(view, at + IPV4_CHECKSUM + 2, at + transportOffset);
}

/** Copies a header of `bytes` bytes (a multiple of 4) to where it does not overlap itself. */
function copyHeader(view: DataView, to: number, from: number, bytes: number): void {
  let i = 0;
  for (; i + 8 <= bytes; i += 8) {
    view.setInt32(to + i, view.getInt32(from + i, true), true);
    view.setInt32(to + i + 4, view.getInt32(from + i + 4, true), true);
  }
  if (i < bytes) view.setInt32(to + i, view.getInt32(from + i, true), true);
}

/** Sets the lengths, the ID and the checksum of the IP header of segment `index` at `out`. */
function finishIpHeader(
  view: DataView,
  out: number,
  isV4: boolean,
  bytes: number,
  id: number,
  constantSum: number,
): void {
  if (!isV4) {
    view.setUint16(out + IPV6_PAYLOAD_LENGTH, bytes - IPV6_HEADER_BYTES);
    return;
  }
  view.setUint16(out + IPV4_TOTAL_LENGTH, bytes);
  view.setUint16(out + IPV4_ID, id);
  const checksum = checksumOf(constantSum + swap16(bytes) + swap16(id));
  view.setUint16(out + IPV4_CHECKSUM, checksum, true);
}

/** Copies a payload that may overlap its own new place, and returns its sum. */
function moveSum(
  slab: Slab,
  kernel: ChecksumKernel,
  to: number,
  from: number,
  bytes: number,
  initial: number,
): number {
  if (to !== from) slab.u8.copyWithin(to, from, from + bytes);
  return kernel.sum(to, bytes, initial);
}

/*
 * Both loops write a segment's payload before its header and, in place, go from the last segment to
 * the first: then segment k is written behind everything that segments 0 .. k-1 still have to read,
 * and the header that all are made from is changed last. Flags, ID and sequence number are read
 * before the loop.
 */

function splitTcp(
  slab: Slab,
  kernel: ChecksumKernel,
  sp: SuperPacket,
  first: number,
  count: number,
  outAt: number,
  strideBytes: number,
  inPlace: boolean,
): void {
  const view = slab.view;
  const { at, headerBytes, payloadAt, gsoSize, transportOffset, segmentCount, ipVersion } = sp;
  const isV4 = ipVersion === 4;
  const tcp = at + transportOffset;
  const baseId = isV4 ? ipv4Id(view, at) : 0;
  const baseSequence = tcpSequence(view, tcp);
  const baseFlags = tcpFlags(view, tcp);
  const offsetByte = view.getUint8(tcp + TCP_DATA_OFFSET);
  const ipSum = isV4 ? fold16(constantIpv4Sum(view, sp)) : 0;
  // Ports; acknowledgment; window; urgent pointer and options.
  const tcpSum = fold16(
    pseudoHeaderSum(view, at, ipVersion, IpProtocol.Tcp, 0) + sumRange(view, tcp, tcp + 4) +
      sumRange(view, tcp + 8, tcp + 12) + sumRange(view, tcp + 14, tcp + 16) +
      sumRange(view, tcp + 18, at + headerBytes),
  );
  for (let i = 0; i < count; i++) {
    const slot = inPlace ? count - 1 - i : i;
    const index = first + slot;
    const out = outAt + slot * strideBytes;
    const isLast = index === segmentCount - 1;
    const payloadBytes = isLast ? sp.payloadBytes - index * gsoSize : gsoSize;
    const sequence = (baseSequence + index * gsoSize) | 0;
    let flags = baseFlags;
    if (!isLast) flags &= ~LAST_ONLY;
    if (index !== 0) flags &= ~TcpFlag.Cwr;
    const initial = tcpSum + swap16(headerBytes - transportOffset + payloadBytes) +
      swap16(sequence >>> 16) + swap16(sequence & 0xffff) + (offsetByte | (flags << 8));
    const from = payloadAt + index * gsoSize;
    const to = out + headerBytes;
    let sum: number;
    if (inPlace) {
      sum = moveSum(slab, kernel, to, from, payloadBytes, initial);
      slab.u8.copyWithin(out, at, at + headerBytes);
    } else {
      sum = kernel.copySum(to, from, payloadBytes, initial);
      copyHeader(view, out, at, headerBytes);
    }
    const id = (baseId + index) & 0xffff;
    finishIpHeader(view, out, isV4, headerBytes + payloadBytes, id, ipSum);
    const outTcp = out + transportOffset;
    view.setInt32(outTcp + TCP_SEQUENCE, sequence);
    view.setUint8(outTcp + TCP_FLAGS, flags);
    view.setUint16(outTcp + TCP_CHECKSUM, checksumOf(sum), true);
  }
}

function splitUdp(
  slab: Slab,
  kernel: ChecksumKernel,
  sp: SuperPacket,
  first: number,
  count: number,
  outAt: number,
  strideBytes: number,
  inPlace: boolean,
): void {
  const view = slab.view;
  const { at, headerBytes, payloadAt, gsoSize, transportOffset, segmentCount, ipVersion } = sp;
  const isV4 = ipVersion === 4;
  const udp = at + transportOffset;
  const baseId = isV4 ? ipv4Id(view, at) : 0;
  const ipSum = isV4 ? fold16(constantIpv4Sum(view, sp)) : 0;
  const udpSum = fold16(
    pseudoHeaderSum(view, at, ipVersion, IpProtocol.Udp, 0) + sumRange(view, udp, udp + 4),
  );
  for (let i = 0; i < count; i++) {
    const slot = inPlace ? count - 1 - i : i;
    const index = first + slot;
    const out = outAt + slot * strideBytes;
    const isLast = index === segmentCount - 1;
    const payloadBytes = isLast ? sp.payloadBytes - index * gsoSize : gsoSize;
    const length = UDP_HEADER_BYTES + payloadBytes;
    // The length counts twice: in the pseudo-header and in the header.
    const initial = udpSum + 2 * swap16(length);
    const from = payloadAt + index * gsoSize;
    const to = out + headerBytes;
    let sum: number;
    if (inPlace) {
      sum = moveSum(slab, kernel, to, from, payloadBytes, initial);
      slab.u8.copyWithin(out, at, at + headerBytes);
    } else {
      sum = kernel.copySum(to, from, payloadBytes, initial);
      copyHeader(view, out, at, headerBytes);
    }
    const id = (baseId + index) & 0xffff;
    finishIpHeader(view, out, isV4, headerBytes + payloadBytes, id, ipSum);
    const outUdp = out + transportOffset;
    view.setUint16(outUdp + UDP_LENGTH, length);
    const checksum = checksumOf(sum);
    // RFC 768: "If the computed checksum is zero, it is transmitted as all ones".
    view.setUint16(outUdp + UDP_CHECKSUM, checksum === 0 ? 0xffff : checksum, true);
  }
}
