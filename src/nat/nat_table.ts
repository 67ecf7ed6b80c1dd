/**
 * Which address of ours a peer knows us by. A peer whose network has given us another address than our
 * own tunnel address gets packets from that one, and what it sends there comes to our own.
 *
 * Main writes a record per peer (`set`, `clear`), lanes read it (`read`). A record is guarded by a
 * sequence word, odd while it is being written, so that nobody uses half of an address. Byte layout:
 *
 * ```
 * header   i32 number of peers with a record; 60 bytes zero
 * record   i32 sequence, i32 families (1: IPv4, 2: IPv6),
 *          4 bytes own, 4 bytes theirs, 16 bytes own, 16 bytes theirs, 16 bytes zero
 * ```
 */
import { invariant } from "../base/invariant.ts";
import type { Slab } from "../memory/slab.ts";

const HEADER_BYTES = 64;
const RECORD_BYTES = 64;
const SEQUENCE_WORD = 0;
const FAMILIES_WORD = 1;

/** Places in a record, and in the copy that `read` makes. */
export const NAT_OWN4 = 8;
export const NAT_THEIRS4 = 12;
export const NAT_OWN6 = 16;
export const NAT_THEIRS6 = 32;
/** Bytes of slab for a copy of a record. */
export const NAT_COPY_BYTES = RECORD_BYTES;

/** What a record translates, as bits. */
export const NatFamily = { None: 0, V4: 1, V6: 2 } as const;

/** An address of ours and the one that a peer knows it by; both 4, or both 16 bytes. */
export interface NatPair {
  readonly own: Uint8Array;
  readonly theirs: Uint8Array;
}

/** Bytes of slab for the table, at a multiple of 64. */
export function natTableBytes(peerCapacity: number): number {
  return HEADER_BYTES + peerCapacity * RECORD_BYTES;
}

/** The table; main and lanes use the same class. */
export class NatTable {
  readonly #slab: Slab;
  readonly #at: number;

  constructor(slab: Slab, at: number) {
    this.#slab = slab;
    this.#at = at;
  }

  /** Whether any peer has a record. */
  get isActive(): boolean {
    return Atomics.load(this.#slab.i32, this.#at >> 2) !== 0;
  }

  /** Main: gives a peer at most one pair of each family; none takes its record away. */
  set(peer: number, pairs: readonly NatPair[]): void {
    const { i32, u8 } = this.#slab;
    const at = this.#recordAt(peer);
    const had = i32[(at >> 2) + FAMILIES_WORD] !== NatFamily.None;
    Atomics.add(i32, (at >> 2) + SEQUENCE_WORD, 1);
    let families: number = NatFamily.None;
    for (const { own, theirs } of pairs) {
      invariant(own.length === theirs.length, "both addresses of a pair are of one family");
      const isV4 = own.length === 4;
      families |= isV4 ? NatFamily.V4 : NatFamily.V6;
      u8.set(own, at + (isV4 ? NAT_OWN4 : NAT_OWN6));
      u8.set(theirs, at + (isV4 ? NAT_THEIRS4 : NAT_THEIRS6));
    }
    Atomics.store(i32, (at >> 2) + FAMILIES_WORD, families);
    Atomics.add(i32, (at >> 2) + SEQUENCE_WORD, 1);
    const has = families !== NatFamily.None;
    Atomics.add(i32, this.#at >> 2, (has ? 1 : 0) - (had ? 1 : 0));
  }

  /** Lane: copies a peer's record to `to` and returns its families as bits of `NatFamily`. */
  read(peer: number, to: number): number {
    const { i32 } = this.#slab;
    const word = this.#recordAt(peer) >> 2;
    if (i32[word + FAMILIES_WORD] === NatFamily.None) return NatFamily.None;
    for (;;) {
      const sequence = Atomics.load(i32, word + SEQUENCE_WORD);
      for (let i = FAMILIES_WORD; i < NAT_COPY_BYTES >> 2; i++) i32[(to >> 2) + i] = i32[word + i];
      const isWhole = (sequence & 1) === 0 &&
        Atomics.load(i32, word + SEQUENCE_WORD) === sequence;
      if (isWhole) return i32[(to >> 2) + FAMILIES_WORD];
    }
  }

  #recordAt(peer: number): number {
    return this.#at + HEADER_BYTES + peer * RECORD_BYTES;
  }
}
