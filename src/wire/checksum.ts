/**
 * The internet checksum (RFC 1071), its incremental update (RFC 1624) and pseudo-headers.
 *
 * Sums are one's-complement sums of 16-bit words in the byte order of the host, which is
 * little-endian: RFC 1071 section 2 (B) shows that the order does not matter as long as the result
 * is stored in the same one. So a checksum is written with `setUint16(at, value, true)`, and a
 * number that stands in a header in network order enters a sum through `swap16`.
 */
import type { Slab } from "../memory/slab.ts";
import type { ChecksumKernel } from "./checksum_kernel.ts";

/** Folds a 32-bit sum (signed or unsigned) to 16 bits with end-around carry. */
export function fold16(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** The checksum that belongs to a 32-bit sum: folded and complemented. */
export function checksumOf(sum: number): number {
  return ~fold16(sum) & 0xffff;
}

/** Exchanges the bytes of a 16-bit number. */
export function swap16(word: number): number {
  return ((word & 0xff) << 8) | (word >>> 8);
}

/** The sum of `bytes` bytes (even, at most 64 KB) at `at`; for headers, where a kernel call costs more. */
export function sumWords(view: DataView, at: number, bytes: number): number {
  let sum = 0;
  let offset = 0;
  for (; offset + 4 <= bytes; offset += 4) {
    const pair = view.getInt32(at + offset, true);
    sum += (pair & 0xffff) + (pair >>> 16);
  }
  return offset < bytes ? sum + view.getUint16(at + offset, true) : sum;
}

/**
 * The pseudo-header sum of the IPv4 packet at `ipAt` (RFC 9293 section 3.1): addresses, protocol and
 * the `length` of transport header and payload. Not folded, below 2^19.
 */
export function pseudoHeaderSum4(
  view: DataView,
  ipAt: number,
  protocol: number,
  length: number,
): number {
  const source = view.getUint32(ipAt + 12, true);
  const destination = view.getUint32(ipAt + 16, true);
  return (source & 0xffff) + (source >>> 16) + (destination & 0xffff) + (destination >>> 16) +
    (protocol << 8) + swap16(length);
}

/** The same of the IPv6 packet at `ipAt` (RFC 8200 section 8.1). Not folded, below 2^21. */
export function pseudoHeaderSum6(
  view: DataView,
  ipAt: number,
  protocol: number,
  length: number,
): number {
  let sum = (protocol << 8) + swap16(length);
  for (let at = ipAt + 8; at < ipAt + 40; at += 4) {
    const word = view.getUint32(at, true);
    sum += (word & 0xffff) + (word >>> 16);
  }
  return sum;
}

/** The pseudo-header sum for IP version 4 or 6. */
export function pseudoHeaderSum(
  view: DataView,
  ipAt: number,
  version: number,
  protocol: number,
  length: number,
): number {
  return version === 4
    ? pseudoHeaderSum4(view, ipAt, protocol, length)
    : pseudoHeaderSum6(view, ipAt, protocol, length);
}

/**
 * The checksum after one 16-bit word that it covers went from `oldWord` to `newWord`: RFC 1624
 * equation 3, `HC' = ~(~HC + ~m + m')`. All three in the same byte order, whichever it is.
 */
export function updateChecksum(checksum: number, oldWord: number, newWord: number): number {
  return checksumOf((~checksum & 0xffff) + (~oldWord & 0xffff) + newWord);
}

/** The checksum kernel in plain JavaScript: the fallback and the oracle of the WebAssembly one. */
export class ScalarChecksumKernel implements ChecksumKernel {
  readonly #u8: Uint8Array;
  readonly #view: DataView;

  constructor(slab: Slab) {
    this.#u8 = slab.u8;
    this.#view = slab.view;
  }

  sum(at: number, length: number, initial: number): number {
    const view = this.#view;
    const end = at + length;
    // Each half collects at most 2^14 words of 16 bits per 64 KB, so 32 bits last for 256 KB.
    let low = 0;
    let high = 0;
    let i = at;
    for (; i + 16 <= end; i += 16) {
      const a = view.getInt32(i, true);
      const b = view.getInt32(i + 4, true);
      const c = view.getInt32(i + 8, true);
      const d = view.getInt32(i + 12, true);
      low = (low + (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff)) | 0;
      high = (high + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0;
    }
    for (; i + 2 <= end; i += 2) low = (low + view.getUint16(i, true)) | 0;
    if (i < end) low = (low + view.getUint8(i)) | 0;
    return fold16(low) + fold16(high) + fold16(initial);
  }

  copySum(to: number, from: number, length: number, initial: number): number {
    this.#u8.copyWithin(to, from, from + length);
    return this.sum(to, length, initial);
  }
}
