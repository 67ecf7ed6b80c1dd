/**
 * The IPv4 header (RFC 791) as functions over a DataView and the byte offset of the header. Whoever
 * calls them has made sure that at least `IPV4_HEADER_BYTES` stand there.
 */
import { checksumOf, sumWords } from "./checksum.ts";

/** Length of a header without options. */
export const IPV4_HEADER_BYTES = 20;

// Places of the fields, counted from the header.
export const IPV4_TOS = 1;
export const IPV4_TOTAL_LENGTH = 2;
export const IPV4_ID = 4;
export const IPV4_FRAGMENT = 6;
export const IPV4_TTL = 8;
export const IPV4_PROTOCOL = 9;
export const IPV4_CHECKSUM = 10;
export const IPV4_SOURCE = 12;
export const IPV4_DESTINATION = 16;

/** Don't Fragment, in the 16-bit fragment field. */
export const IPV4_DF = 0x4000;
/** More Fragments, in the 16-bit fragment field. */
export const IPV4_MF = 0x2000;
/** The fragment offset, in units of 8 bytes, in the 16-bit fragment field. */
export const IPV4_OFFSET_MASK = 0x1fff;

/** Header length in bytes, options included; below 20 the header is broken. */
export function ipv4HeaderBytes(view: DataView, at: number): number {
  return (view.getUint8(at) & 15) << 2;
}

/** Type of service: DSCP and ECN. */
export function ipv4Tos(view: DataView, at: number): number {
  return view.getUint8(at + IPV4_TOS);
}

/** Length of the whole packet, header included. */
export function ipv4TotalBytes(view: DataView, at: number): number {
  return view.getUint16(at + IPV4_TOTAL_LENGTH);
}

/** Sets the total length; the header checksum is the caller's to redo. */
export function setIpv4TotalBytes(view: DataView, at: number, bytes: number): void {
  view.setUint16(at + IPV4_TOTAL_LENGTH, bytes);
}

/** Identification, for reassembly. */
export function ipv4Id(view: DataView, at: number): number {
  return view.getUint16(at + IPV4_ID);
}

/** Flags and fragment offset as one 16-bit field. */
export function ipv4FragmentField(view: DataView, at: number): number {
  return view.getUint16(at + IPV4_FRAGMENT);
}

/** Whether the packet is a piece of a larger one, the first piece included. */
export function ipv4IsFragment(view: DataView, at: number): boolean {
  return (view.getUint16(at + IPV4_FRAGMENT) & (IPV4_MF | IPV4_OFFSET_MASK)) !== 0;
}

/** Time to live. */
export function ipv4Ttl(view: DataView, at: number): number {
  return view.getUint8(at + IPV4_TTL);
}

/** Protocol number of the payload. */
export function ipv4Protocol(view: DataView, at: number): number {
  return view.getUint8(at + IPV4_PROTOCOL);
}

/** Whether the header checksum is right. `headerBytes` includes the options. */
export function ipv4ChecksumValid(view: DataView, at: number, headerBytes: number): boolean {
  return checksumOf(sumWords(view, at, headerBytes)) === 0;
}

/** Computes the header checksum and stores it. `headerBytes` includes the options. */
export function setIpv4Checksum(view: DataView, at: number, headerBytes: number): void {
  view.setUint16(at + IPV4_CHECKSUM, 0);
  view.setUint16(at + IPV4_CHECKSUM, checksumOf(sumWords(view, at, headerBytes)), true);
}

/**
 * Writes a header without options, all fields but the addresses, which the caller puts in place
 * before `setIpv4Checksum`.
 */
export function writeIpv4Header(
  view: DataView,
  at: number,
  totalBytes: number,
  tos: number,
  id: number,
  fragmentField: number,
  ttl: number,
  protocol: number,
): void {
  view.setUint8(at, 0x45);
  view.setUint8(at + IPV4_TOS, tos);
  view.setUint16(at + IPV4_TOTAL_LENGTH, totalBytes);
  view.setUint16(at + IPV4_ID, id);
  view.setUint16(at + IPV4_FRAGMENT, fragmentField);
  view.setUint8(at + IPV4_TTL, ttl);
  view.setUint8(at + IPV4_PROTOCOL, protocol);
  view.setUint16(at + IPV4_CHECKSUM, 0);
}
