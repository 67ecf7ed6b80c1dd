/**
 * Replacing an address of a packet and carrying the change into its checksums (RFC 1624), for NAT.
 *
 * A packet with VNET_NEEDS_CSUM holds a *partial* transport checksum: the pseudo-header sum itself,
 * not its complement. So the same change enters it the other way round.
 */
import { checksumOf, fold16 } from "./checksum.ts";
import { IPV4_CHECKSUM } from "./ipv4.ts";

/** How the transport checksum of a packet takes part in a change of address. */
export const TransportChecksum = {
  /** Not covered: the protocol has no pseudo-header, or this is a later fragment. */
  None: 0,
  /** Complete: TCP, ICMPv6. */
  Full: 1,
  /** Complete UDP over IPv4: 0 means "none" and stays, a computed 0 is written as 0xFFFF. */
  FullUdp: 2,
  /** The pseudo-header sum, waiting to be completed. */
  Partial: 3,
} as const;

/** One of the values of `TransportChecksum`. */
export type TransportChecksum = (typeof TransportChecksum)[keyof typeof TransportChecksum];

/** What must be added to a sum that covers `bytes` bytes at `at`, once those at `newAt` replace them. */
function sumOfChange(view: DataView, at: number, newAt: number, bytes: number): number {
  let sum = 0;
  for (let i = 0; i < bytes; i += 2) {
    sum += (~view.getUint16(at + i, true) & 0xffff) + view.getUint16(newAt + i, true);
  }
  return fold16(sum);
}

/** Adds a change to the transport checksum field at `checksumAt`. */
function changeTransport(
  view: DataView,
  checksumAt: number,
  kind: TransportChecksum,
  change: number,
): void {
  if (kind === TransportChecksum.None) return;
  const field = view.getUint16(checksumAt, true);
  if (kind === TransportChecksum.Partial) {
    view.setUint16(checksumAt, fold16(field + change), true);
    return;
  }
  if (kind === TransportChecksum.FullUdp && field === 0) return;
  const updated = checksumOf((~field & 0xffff) + change);
  const isUdpZero = kind === TransportChecksum.FullUdp && updated === 0;
  view.setUint16(checksumAt, isUdpZero ? 0xffff : updated, true);
}

/**
 * Puts the 4 bytes at `newAt` in the place of the address at `ipAt + addressOffset`, and updates the
 * header checksum and the transport checksum at `checksumAt` (ignored for `None`).
 */
export function rewriteAddress4(
  view: DataView,
  ipAt: number,
  addressOffset: number,
  newAt: number,
  checksumAt: number,
  kind: TransportChecksum,
): void {
  const change = sumOfChange(view, ipAt + addressOffset, newAt, 4);
  const headerChecksum = view.getUint16(ipAt + IPV4_CHECKSUM, true);
  const updated = checksumOf((~headerChecksum & 0xffff) + change);
  view.setUint16(ipAt + IPV4_CHECKSUM, updated, true);
  changeTransport(view, checksumAt, kind, change);
  view.setUint32(ipAt + addressOffset, view.getUint32(newAt));
}

/** The same for all 16 bytes of an IPv6 address, with no header checksum to update. */
export function rewriteAddress6(
  view: DataView,
  ipAt: number,
  addressOffset: number,
  newAt: number,
  checksumAt: number,
  kind: TransportChecksum,
): void {
  changeTransport(view, checksumAt, kind, sumOfChange(view, ipAt + addressOffset, newAt, 16));
  for (let i = 0; i < 16; i += 4) {
    view.setUint32(ipAt + addressOffset + i, view.getUint32(newAt + i));
  }
}
