/**
 * The endpoint record: where datagrams for a peer go, and from which local address they leave.
 *
 * 64 bytes, compared and copied as 16 words:
 *
 * ```
 *  0  struct sockaddr_in or sockaddr_in6, as the kernel takes it (flow information zero)
 * 28  u32  length of that structure: 16, 28, or 0 when no endpoint is known
 * 32  u32  interface index that the last datagram arrived on (the sticky source), 0 when unknown
 * 36  16 B local address it was sent to (IPv4: the first 4 bytes), all zero when unknown
 * 52  12 B zero
 * ```
 */
import type { Slab } from "../memory/slab.ts";

export const ENDPOINT_BYTES = 64;
export const ENDPOINT_SOCKADDR_LENGTH = 28;
export const ENDPOINT_SOURCE_INTERFACE = 32;
export const ENDPOINT_SOURCE_ADDRESS = 36;
/** Where the sticky source begins; it runs to the end of the record. */
export const ENDPOINT_SOURCE = 32;

/** AF_INET and AF_INET6 of include/linux/socket.h. */
export const AF_INET = 2;
export const AF_INET6 = 10;

/** An endpoint record outside the slab, as the control plane keeps and passes it. */
export type EndpointBytes = Uint8Array;

/** Whether two records in the slab are equal, sticky source included. */
export function endpointsEqual(slab: Slab, a: number, b: number): boolean {
  const i32 = slab.i32;
  const wordA = a >> 2, wordB = b >> 2;
  for (let i = 0; i < 13; i++) if (i32[wordA + i] !== i32[wordB + i]) return false;
  return true;
}

/** Copies a record within the slab. */
export function copyEndpoint(slab: Slab, from: number, to: number): void {
  const i32 = slab.i32;
  const source = from >> 2, target = to >> 2;
  for (let i = 0; i < 16; i++) i32[target + i] = i32[source + i];
}
