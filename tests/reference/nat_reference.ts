/**
 * Replacing an address the plain way: put the new one in, compute every checksum from nothing. For
 * whole packets; a partial transport checksum becomes the new pseudo-header sum.
 */
import { internetChecksum, networkSum, pseudoHeader } from "./checksum_reference.ts";

const FIELDS: Record<number, number> = { 6: 16, 17: 6, 58: 2 };

/** A packet with the address at `offset` replaced by `address`. `transport` is its header's offset. */
export function withAddress(
  packet: Uint8Array,
  offset: number,
  address: Uint8Array,
  transport: number,
  protocol: number,
  isPartial = false,
): Uint8Array {
  const bytes = packet.slice();
  bytes.set(address, offset);
  const view = new DataView(bytes.buffer);
  if (bytes[0] >> 4 === 4) {
    view.setUint16(10, 0);
    view.setUint16(10, internetChecksum(bytes.subarray(0, (bytes[0] & 15) * 4)));
  }
  const field = FIELDS[protocol];
  if (field === undefined) return bytes;
  const checksumAt = transport + field;
  const isNone = protocol === 17 && !isPartial && view.getUint16(checksumAt) === 0;
  if (isNone) return bytes;
  const pseudo = pseudoHeader(bytes, protocol, bytes.length - transport);
  view.setUint16(checksumAt, 0);
  const checksum = isPartial
    ? networkSum(pseudo)
    : internetChecksum(pseudo, bytes.subarray(transport));
  view.setUint16(checksumAt, checksum === 0 && protocol === 17 && !isPartial ? 0xffff : checksum);
  return bytes;
}
