/**
 * Explicit Congestion Notification across the tunnel (RFC 6040), with the choices of the kernel's
 * WireGuard: the outer header's DSCP is 0, an inner CE goes out as ECT(0), and a packet that is not
 * ECN-capable is delivered even when the outer header says CE.
 */
import { updateChecksum } from "./checksum.ts";
import { IPV4_CHECKSUM } from "./ipv4.ts";

/** The two ECN bits of the TOS byte or traffic class. */
export const Ecn = { NotEct: 0, Ect1: 1, Ect0: 2, Ce: 3 } as const;

/** The ECN bits of the IP header at `at`; `NotEct` for an unknown version. */
export function innerEcn(view: DataView, at: number): number {
  const first = view.getUint16(at);
  const version = first >>> 12;
  if (version === 4) return first & 3;
  return version === 6 ? (first >>> 4) & 3 : Ecn.NotEct;
}

/** The TOS byte of the outer header for the inner packet at `at`. */
export function outerTos(view: DataView, at: number): number {
  const ecn = innerEcn(view, at);
  return ecn === Ecn.Ce ? Ecn.Ect0 : ecn;
}

/**
 * Carries congestion marks inwards: when the outer TOS byte says CE and the packet at `at` is
 * ECN-capable, it becomes CE, and an IPv4 header checksum follows. Call it before packets are
 * coalesced. The caller has made sure of a whole IP header.
 */
export function carryCongestion(view: DataView, at: number, outerTosByte: number): void {
  if ((outerTosByte & 3) !== Ecn.Ce) return;
  const ecn = innerEcn(view, at);
  if (ecn === Ecn.NotEct || ecn === Ecn.Ce) return;
  const before = view.getUint16(at);
  const after = before >>> 12 === 4 ? before | 3 : before | 0x30;
  view.setUint16(at, after);
  if (before >>> 12 !== 4) return;
  const checksum = view.getUint16(at + IPV4_CHECKSUM);
  view.setUint16(at + IPV4_CHECKSUM, updateChecksum(checksum, before, after));
}
