/**
 * The allowed-IPs table: which peer a destination belongs to, and which peer may send from a source
 * (cryptokey routing, section 2 of the WireGuard paper). Longest prefix first, IPv4 and IPv6.
 *
 * Main writes (`AllowedIps`), lanes read without a lock (`lookupV4`, `lookupV6`). Both tries hang on
 * one word, so that a reader sees the whole of a transaction or nothing of it: a prefix that moves is
 * never without an owner or with two. A lane may hold on to what it has looked up, but not to nodes,
 * and announces its epochs (`EpochTable`) around its lookups.
 *
 * `allowed_ips_node.ts` has the layout.
 */
import { invariant } from "../base/invariant.ts";
import type { Slab } from "../memory/slab.ts";
import { PrefixLists } from "./allowed_ips_lists.ts";
import {
  type AddressPrefix,
  FAMILY_V4,
  FAMILY_V6,
  NODE_BRANCH,
  NODE_OWNER,
  NODE_WORDS,
  TABLE_HEADER_BYTES,
} from "./allowed_ips_node.ts";
import type { RetireEpochs } from "./allowed_ips_pool.ts";
import { AllowedIpsTrie, type PrefixKey, writeKey } from "./allowed_ips_trie.ts";

/** Bytes of slab that a table of `nodeCapacity` nodes needs. */
export function allowedIpsBytes(nodeCapacity: number): number {
  return TABLE_HEADER_BYTES + (nodeCapacity + 1) * NODE_WORDS * 4;
}

/**
 * The peer that owns an IPv4 address given as a 32-bit word in host order; -1 for none.
 *
 * Goes down by the address's bits alone and compares prefixes only where there is an owner: every
 * prefix that holds the address is on that way, each longer than the one before.
 */
function findV4(i32: Int32Array, tableAt: number, address: number): number {
  const nodes = (tableAt + TABLE_HEADER_BYTES) >> 2;
  let link = i32[nodes + Atomics.load(i32, tableAt >> 2) * NODE_WORDS + FAMILY_V4];
  let owner = -1;
  while (link !== 0) {
    const word = (nodes + (link >>> 8) * NODE_WORDS) | 0;
    const bits = link & 255;
    // A full-length prefix has no branches, so it does not matter which of its links is read.
    link = i32[word + NODE_BRANCH + ((address >>> (31 - bits)) & 1)];
    const nodeOwner = i32[word + NODE_OWNER];
    if (nodeOwner < 0) continue;
    // Shifting by 32 is shifting by 0, so the empty prefix, which always matches, is told apart.
    if (bits !== 0 && ((i32[word] ^ address) >>> (32 - bits)) !== 0) return owner;
    owner = nodeOwner;
  }
  return owner;
}

/** Whether the prefix of `bits` bits at `word` holds the address in four words. */
function holdsV6(
  i32: Int32Array,
  word: number,
  bits: number,
  a: number,
  b: number,
  c: number,
  d: number,
): boolean {
  if (bits === 0) return true;
  if (bits <= 32) return ((i32[word] ^ a) >>> (32 - bits)) === 0;
  if (i32[word] !== a) return false;
  if (bits <= 64) return ((i32[word + 1] ^ b) >>> (64 - bits)) === 0;
  if (i32[word + 1] !== b) return false;
  if (bits <= 96) return ((i32[word + 2] ^ c) >>> (96 - bits)) === 0;
  return i32[word + 2] === c && ((i32[word + 3] ^ d) >>> (128 - bits)) === 0;
}

/** The same as `findV4` for an IPv6 address in four words, most significant first. */
function findV6(
  i32: Int32Array,
  tableAt: number,
  a: number,
  b: number,
  c: number,
  d: number,
): number {
  const nodes = (tableAt + TABLE_HEADER_BYTES) >> 2;
  let link = i32[nodes + Atomics.load(i32, tableAt >> 2) * NODE_WORDS + FAMILY_V6];
  let owner = -1;
  while (link !== 0) {
    const word = (nodes + (link >>> 8) * NODE_WORDS) | 0;
    const bits = link & 255;
    const next = bits < 64 ? (bits < 32 ? a : b) : (bits < 96 ? c : d);
    link = i32[word + NODE_BRANCH + ((next >>> (31 - (bits & 31))) & 1)];
    const nodeOwner = i32[word + NODE_OWNER];
    if (nodeOwner < 0) continue;
    if (!holdsV6(i32, word, bits, a, b, c, d)) return owner;
    owner = nodeOwner;
  }
  return owner;
}

/** The peer that owns the IPv4 address in the 4 bytes at `addressAt`; -1 for none. */
export function lookupV4(slab: Slab, tableAt: number, addressAt: number): number {
  return findV4(slab.i32, tableAt, slab.view.getInt32(addressAt));
}

/** The peer that owns the IPv6 address in the 16 bytes at `addressAt`; -1 for none. */
export function lookupV6(slab: Slab, tableAt: number, addressAt: number): number {
  const view = slab.view;
  return findV6(
    slab.i32,
    tableAt,
    view.getInt32(addressAt),
    view.getInt32(addressAt + 4),
    view.getInt32(addressAt + 8),
    view.getInt32(addressAt + 12),
  );
}

/**
 * The table's one writer. `insert`, `remove` and `removePeer` collect changes; `commit` publishes
 * them together, `rollback` forgets them. Everything but `lookup` tells of the collected changes.
 */
export class AllowedIps {
  readonly #i32: Int32Array;
  readonly #at: number;
  readonly #trie: AllowedIpsTrie;
  readonly #lists = new PrefixLists();
  readonly #key: PrefixKey = new Int32Array(4);

  /** `at` is a region of `allowedIpsBytes(nodeCapacity)` zero bytes at a multiple of 64. */
  constructor(slab: Slab, at: number, readonly nodeCapacity: number, epochs: RetireEpochs) {
    this.#i32 = slab.i32;
    this.#at = at;
    this.#trie = new AllowedIpsTrie(slab, at, nodeCapacity, epochs);
  }

  /**
   * Gives a prefix (host bits are ignored) to a peer and returns the peer that had it before, or -1.
   * When there is no room it throws `AllowedIpsFullError`, and the whole transaction is rolled back.
   */
  insert(prefix: AddressPrefix, peer: number): number {
    const family = this.#load(prefix);
    const node = this.#trie.find(family, this.#key, prefix.bits);
    const previous = node === 0 ? -1 : this.#trie.owner(node);
    if (previous === peer) return previous;
    if (node !== 0) this.#lists.take(this.#trie.tag(node));
    const entry = this.#lists.append(peer, family, this.#key, prefix.bits);
    try {
      this.#trie.insert(family, this.#key, prefix.bits, peer, entry);
    } catch (error) {
      this.rollback();
      throw error;
    }
    return previous;
  }

  /**
   * Takes a prefix away from a peer; returns false, and does nothing, when the peer does not have
   * exactly that prefix. Throws as `insert` does.
   */
  remove(prefix: AddressPrefix, peer: number): boolean {
    const family = this.#load(prefix);
    const node = this.#trie.find(family, this.#key, prefix.bits);
    if (node === 0 || this.#trie.owner(node) !== peer) return false;
    this.#removeEntry(this.#trie.tag(node));
    return true;
  }

  /** Takes all prefixes away from a peer. Throws as `insert` does. */
  removePeer(peer: number): void {
    for (let entry = this.#lists.first(peer); entry !== 0; entry = this.#lists.first(peer)) {
      this.#removeEntry(entry);
    }
  }

  /** Publishes the collected changes. */
  commit(): void {
    this.#trie.publish();
    this.#lists.commit();
  }

  /** Forgets the collected changes. */
  rollback(): void {
    this.#lists.rollback();
    this.#trie.rollback();
  }

  /** A peer's prefixes, in the order in which it got them. */
  list(peer: number): AddressPrefix[] {
    return [...this.snapshot(peer)];
  }

  /** The same in little memory: each prefix is made when it is asked for. */
  snapshot(peer: number): Iterable<AddressPrefix> {
    return this.#lists.snapshot(peer);
  }

  /** How many prefixes a peer has. */
  count(peer: number): number {
    return this.#lists.count(peer);
  }

  /** The peer that owns an address (4 or 16 bytes) in the published table; -1 for none. */
  lookup(address: Uint8Array): number {
    const key = this.#key;
    writeKey(key, address, 128);
    if (address.length === 4) return findV4(this.#i32, this.#at, key[0]);
    return findV6(this.#i32, this.#at, key[0], key[1], key[2], key[3]);
  }

  #load(prefix: AddressPrefix): number {
    const length = prefix.address.length;
    invariant(length === 4 || length === 16, "an address has 4 or 16 bytes");
    invariant(
      prefix.bits >= 0 && prefix.bits <= length * 8,
      "a prefix is no longer than its address",
    );
    writeKey(this.#key, prefix.address, prefix.bits);
    return length === 4 ? FAMILY_V4 : FAMILY_V6;
  }

  #removeEntry(entry: number): void {
    const lists = this.#lists;
    lists.readKey(entry, this.#key);
    lists.take(entry);
    try {
      this.#trie.remove(lists.family(entry), this.#key, lists.bits(entry));
    } catch (error) {
      this.rollback();
      throw error;
    }
  }
}
