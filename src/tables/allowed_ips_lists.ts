/**
 * Which prefixes each peer has, in the order in which it got them: doubly linked lists over integer
 * entries, because a peer may have more than a hundred thousand. Changes since the last `commit` can
 * be undone exactly, order included; so an entry that was taken out keeps its place until then.
 */
import { type AddressPrefix, FAMILY_V6 } from "./allowed_ips_node.ts";
import type { PrefixKey } from "./allowed_ips_trie.ts";

const NONE = 0;
const ENTRY_WORDS = 8;
// Words of an entry; its address stands in the first four.
const BITS = 4;
const FAMILY_AND_PEER = 5;
const PREVIOUS = 6;
const NEXT = 7;

/** Words of a prefix in a snapshot: the address, then length and family. */
const SNAPSHOT_WORDS = 5;

/**
 * A peer's prefixes at one moment. They are made when they are asked for: as objects, the prefixes of
 * one large device would take 60 MB.
 */
class PrefixSnapshot implements Iterable<AddressPrefix> {
  constructor(readonly words: Int32Array) {}

  *[Symbol.iterator](): Generator<AddressPrefix> {
    const words = this.words;
    for (let at = 0; at < words.length; at += SNAPSHOT_WORDS) {
      const bitsAndFamily = words[at + 4];
      const address = new Uint8Array((bitsAndFamily & 1) === FAMILY_V6 ? 16 : 4);
      for (let i = 0; i < address.length; i++) {
        address[i] = words[at + (i >> 2)] >>> (24 - (i & 3) * 8);
      }
      yield { address, bits: bitsAndFamily >> 1 };
    }
  }
}

interface PeerList {
  first: number;
  last: number;
  count: number;
}

/** The lists of all peers; entry numbers begin at 1. */
export class PrefixLists {
  #words = new Int32Array(64 * ENTRY_WORDS);
  #neverUsed = 1;
  readonly #free: number[] = [];
  readonly #lists = new Map<number, PeerList>();
  /** Entries added (positive) and taken out (negative) since the last commit. */
  #log: number[] = [];

  /** Adds a prefix to the end of a peer's list and returns its entry. */
  append(peer: number, family: number, key: PrefixKey, bits: number): number {
    const entry = this.#free.pop() ?? this.#neverUsed++;
    if (this.#neverUsed * ENTRY_WORDS > this.#words.length) this.#grow();
    const list = this.#listOf(peer);
    const word = entry * ENTRY_WORDS;
    this.#words.set(key, word);
    this.#words[word + BITS] = bits;
    this.#words[word + FAMILY_AND_PEER] = peer * 2 + family;
    this.#words[word + PREVIOUS] = list.last;
    this.#words[word + NEXT] = NONE;
    this.#link(entry);
    this.#log.push(entry);
    return entry;
  }

  /** Takes an entry out of its peer's list. */
  take(entry: number): void {
    this.#unlink(entry);
    this.#log.push(-entry);
  }

  /** The first entry of a peer, 0 when it has none. */
  first(peer: number): number {
    return this.#lists.get(peer)?.first ?? NONE;
  }

  /** How many prefixes a peer has. */
  count(peer: number): number {
    return this.#lists.get(peer)?.count ?? 0;
  }

  /** Copies an entry's address to `key`. */
  readKey(entry: number, key: PrefixKey): void {
    for (let i = 0; i < 4; i++) key[i] = this.#words[entry * ENTRY_WORDS + i];
  }

  /** The length of an entry's prefix. */
  bits(entry: number): number {
    return this.#words[entry * ENTRY_WORDS + BITS];
  }

  /** The family of an entry's prefix. */
  family(entry: number): number {
    return this.#words[entry * ENTRY_WORDS + FAMILY_AND_PEER] & 1;
  }

  /** The prefixes that a peer has now, oldest first; later changes do not alter the result. */
  snapshot(peer: number): Iterable<AddressPrefix> {
    const words = this.#words;
    const copy = new Int32Array(this.count(peer) * SNAPSHOT_WORDS);
    let at = 0;
    for (let entry = this.first(peer); entry !== NONE;) {
      const word = entry * ENTRY_WORDS;
      for (let i = 0; i < 4; i++) copy[at + i] = words[word + i];
      copy[at + 4] = words[word + BITS] * 2 + (words[word + FAMILY_AND_PEER] & 1);
      at += SNAPSHOT_WORDS;
      entry = words[word + NEXT];
    }
    return new PrefixSnapshot(copy);
  }

  /** Makes the changes final. */
  commit(): void {
    for (const change of this.#log) if (change < 0) this.#free.push(-change);
    this.#log = [];
  }

  /** Undoes the changes since the last commit. */
  rollback(): void {
    for (let i = this.#log.length - 1; i >= 0; i--) {
      const change = this.#log[i];
      if (change < 0) {
        this.#link(-change);
      } else {
        this.#unlink(change);
        this.#free.push(change);
      }
    }
    this.#log = [];
  }

  #listOf(peer: number): PeerList {
    let list = this.#lists.get(peer);
    if (list === undefined) {
      list = { first: NONE, last: NONE, count: 0 };
      this.#lists.set(peer, list);
    }
    return list;
  }

  /** Puts an entry between the two that its own words name. */
  #link(entry: number): void {
    const word = entry * ENTRY_WORDS;
    const list = this.#listOf(this.#words[word + FAMILY_AND_PEER] >> 1);
    const previous = this.#words[word + PREVIOUS], next = this.#words[word + NEXT];
    if (previous === NONE) list.first = entry;
    else this.#words[previous * ENTRY_WORDS + NEXT] = entry;
    if (next === NONE) list.last = entry;
    else this.#words[next * ENTRY_WORDS + PREVIOUS] = entry;
    list.count++;
  }

  #unlink(entry: number): void {
    const word = entry * ENTRY_WORDS;
    const peer = this.#words[word + FAMILY_AND_PEER] >> 1;
    const list = this.#listOf(peer);
    const previous = this.#words[word + PREVIOUS], next = this.#words[word + NEXT];
    if (previous === NONE) list.first = next;
    else this.#words[previous * ENTRY_WORDS + NEXT] = next;
    if (next === NONE) list.last = previous;
    else this.#words[next * ENTRY_WORDS + PREVIOUS] = previous;
    list.count--;
    if (list.count === 0) this.#lists.delete(peer);
  }

  #grow(): void {
    const words = new Int32Array(this.#words.length * 2);
    words.set(this.#words);
    this.#words = words;
  }
}
