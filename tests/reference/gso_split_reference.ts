/**
 * Splitting a super-packet the plain way: every segment is built from a fresh copy of the headers,
 * field by field, and its checksums are computed from nothing. No validation.
 */
import { internetChecksum, pseudoHeader } from "./checksum_reference.ts";

const FIN = 0x01;
const PSH = 0x08;
const CWR = 0x80;
const TCP = 6;
const UDP = 17;

/** What the reference has to know about a super-packet. */
export interface ReferenceGso {
  /** False for a plain packet. */
  isGso: boolean;
  needsCsum: boolean;
  csumStart: number;
  csumOffset: number;
  gsoSize: number;
  /** TCP or UDP, by number. */
  protocol: number;
  /** Where the transport header begins. */
  transport: number;
}

/** The packets that a super-packet becomes. */
export function splitReference(packet: Uint8Array, gso: ReferenceGso): Uint8Array[] {
  const transportBytes = gso.protocol === TCP ? (packet[gso.transport + 12] >> 4) * 4 : 8;
  const headers = packet.subarray(0, gso.transport + transportBytes);
  const payload = packet.subarray(headers.length);
  if (!gso.isGso || payload.length <= gso.gsoSize) return [completed(packet, gso)];
  const segments: Uint8Array[] = [];
  for (let from = 0; from < payload.length; from += gso.gsoSize) {
    const piece = payload.subarray(from, from + gso.gsoSize);
    const isLast = from + gso.gsoSize >= payload.length;
    segments.push(segment(headers, piece, segments.length, from, isLast, gso));
  }
  return segments;
}

function completed(packet: Uint8Array, gso: ReferenceGso): Uint8Array {
  const copy = packet.slice();
  if (!gso.needsCsum) return copy;
  let checksum = internetChecksum(packet.subarray(gso.csumStart));
  if (checksum === 0 && gso.protocol === UDP) checksum = 0xffff;
  put16(copy, gso.csumStart + gso.csumOffset, checksum);
  return copy;
}

function segment(
  headers: Uint8Array,
  piece: Uint8Array,
  index: number,
  from: number,
  isLast: boolean,
  gso: ReferenceGso,
): Uint8Array {
  const bytes = new Uint8Array([...headers, ...piece]);
  const { transport, protocol } = gso;
  if (bytes[0] >> 4 === 4) {
    put16(bytes, 2, bytes.length);
    put16(bytes, 4, (headers[4] * 256 + headers[5] + index) % 65_536);
    put16(bytes, 10, 0);
    put16(bytes, 10, internetChecksum(bytes.subarray(0, (bytes[0] & 15) * 4)));
  } else {
    put16(bytes, 4, bytes.length - 40);
  }
  if (protocol === TCP) {
    const view = new DataView(bytes.buffer);
    view.setUint32(transport + 4, (view.getUint32(transport + 4) + from) % 2 ** 32);
    if (!isLast) bytes[transport + 13] &= ~(FIN | PSH);
    if (index > 0) bytes[transport + 13] &= ~CWR;
  } else {
    put16(bytes, transport + 4, bytes.length - transport);
  }
  const checksumAt = transport + (protocol === TCP ? 16 : 6);
  put16(bytes, checksumAt, 0);
  const pseudo = pseudoHeader(bytes, protocol, bytes.length - transport);
  const checksum = internetChecksum(pseudo, bytes.subarray(transport));
  put16(bytes, checksumAt, checksum === 0 && protocol === UDP ? 0xffff : checksum);
  return bytes;
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 255;
}
