/**
 * Who owns an address by the allowed-IPs table, and by a prefix of what length: for whoever has an
 * address in bytes, now and then, or another claim to compare.
 */
import type { Slab } from "../memory/slab.ts";
import {
  FAMILY_V4,
  FAMILY_V6,
  NODE_BITS,
  NODE_BRANCH,
  NODE_OWNER,
  NODE_WORDS,
  TABLE_HEADER_BYTES,
} from "./allowed_ips_node.ts";

/**
 * Length of the longest prefix with an owner that holds `address` (4 or 16 bytes), -1 for none. A
 * reader's call, as `lookupV4`: within an epoch that the lane has announced.
 */
export function ownedPrefixBits(slab: Slab, tableAt: number, address: Uint8Array): number {
  const word = findOwned(slab.i32, tableAt, address);
  return word === 0 ? -1 : slab.i32[word + NODE_BITS];
}

/** The peer that owns `address`, -1 for none; likewise. */
export function ownerOf(slab: Slab, tableAt: number, address: Uint8Array): number {
  const word = findOwned(slab.i32, tableAt, address);
  return word === 0 ? -1 : slab.i32[word + NODE_OWNER];
}

/** The node of the longest prefix with an owner, as an index into the words; 0 for none. */
function findOwned(i32: Int32Array, tableAt: number, address: Uint8Array): number {
  const nodes = (tableAt + TABLE_HEADER_BYTES) >> 2;
  const root = nodes + Atomics.load(i32, tableAt >> 2) * NODE_WORDS;
  let link = i32[root + (address.length === 4 ? FAMILY_V4 : FAMILY_V6)];
  let best = 0;
  while (link !== 0) {
    const word = nodes + (link >>> 8) * NODE_WORDS;
    const bits = link & 255;
    if (!holds(i32, word, bits, address)) break;
    if (i32[word + NODE_OWNER] >= 0) best = word;
    if (bits === address.length * 8) break;
    link = i32[word + NODE_BRANCH + ((address[bits >> 3] >> (7 - (bits & 7))) & 1)];
  }
  return best;
}

function holds(i32: Int32Array, word: number, bits: number, address: Uint8Array): boolean {
  for (let i = 0; 32 * i < bits; i++) {
    const part = address[4 * i] << 24 | address[4 * i + 1] << 16 | address[4 * i + 2] << 8 |
      address[4 * i + 3];
    const covered = Math.min(32, bits - 32 * i);
    if (((i32[word + i] ^ part) >>> (32 - covered)) !== 0) return false;
  }
  return true;
}
