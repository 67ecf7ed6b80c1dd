/**
 * The writer's side of the allowed-IPs trie: a path-compressed binary trie whose published nodes are
 * never changed. A change copies the nodes on its path (once per transaction) and hangs them under a
 * new root node; `publish` makes that root the one that readers start from.
 *
 * `n` prefixes take at most `2 n - 1` nodes in each family. A change needs, until old nodes can be
 * reused, as many nodes more as it touches: twice the size of the table in the worst case.
 */
import { invariant } from "../base/invariant.ts";
import type { Slab } from "../memory/slab.ts";
import {
  NODE_BITS,
  NODE_BRANCH,
  NODE_CAPACITY_MAX,
  NODE_OWNER,
  NODE_WORDS,
  TABLE_HEADER_BYTES,
} from "./allowed_ips_node.ts";
import { NodePool, type RetireEpochs } from "./allowed_ips_pool.ts";

const NO_OWNER = -1;

/** Key of a prefix: 4 words, most significant first, host bits zero. */
export type PrefixKey = Int32Array;

/** Bit `index` of a key that begins at word `at`; 0 is the most significant. */
function bitAt(words: Int32Array, at: number, index: number): number {
  return (words[at + (index >> 5)] >>> (31 - (index & 31))) & 1;
}

/** Writes a prefix's address to `key` and clears the bits behind its length. */
export function writeKey(key: PrefixKey, address: Uint8Array, bits: number): void {
  for (let i = 0; i < 4; i++) {
    const at = i * 4;
    const word = at >= address.length
      ? 0
      : address[at] << 24 | address[at + 1] << 16 | address[at + 2] << 8 | address[at + 3];
    const kept = bits - i * 32;
    key[i] = kept >= 32 ? word : kept <= 0 ? 0 : word & (-1 << (32 - kept));
  }
}

/** The trie of both families in the region at `at`; main alone has one. */
export class AllowedIpsTrie {
  readonly #i32: Int32Array;
  readonly #tableWord: number;
  readonly #nodesWord: number;
  readonly #pool: NodePool;
  /** For each node the caller's number for its prefix. */
  readonly #tags: Int32Array;
  /** Root node of the version that is being made, 0 when no transaction is open. */
  #draftRoot = 0;

  constructor(slab: Slab, at: number, nodeCapacity: number, epochs: RetireEpochs) {
    invariant(nodeCapacity <= NODE_CAPACITY_MAX, "a link can name every node");
    this.#i32 = slab.i32;
    this.#tableWord = at >> 2;
    this.#nodesWord = (at + TABLE_HEADER_BYTES) >> 2;
    this.#pool = new NodePool(nodeCapacity, epochs);
    this.#tags = new Int32Array(nodeCapacity + 1);
  }

  /** The node of exactly this prefix in the version that is being made, 0 when it has no owner. */
  find(family: number, key: PrefixKey, bits: number): number {
    const i32 = this.#i32;
    let node = this.#target(this.#word(this.#currentRoot()) + family);
    while (node !== 0) {
      const word = this.#word(node);
      const nodeBits = i32[word + NODE_BITS];
      if (nodeBits > bits || this.#commonBits(word, key) < nodeBits) return 0;
      if (nodeBits === bits) return i32[word + NODE_OWNER] === NO_OWNER ? 0 : node;
      node = this.#target(word + NODE_BRANCH + bitAt(key, 0, nodeBits));
    }
    return 0;
  }

  /** The peer that owns the prefix of a node. */
  owner(node: number): number {
    return this.#i32[this.#word(node) + NODE_OWNER];
  }

  /** The number that came with the prefix of a node. */
  tag(node: number): number {
    return this.#tags[node];
  }

  /**
   * Gives a prefix to `owner`, whoever had it before. Throws `AllowedIpsFullError` when nodes run
   * out; the only thing to do then is `rollback`.
   */
  insert(family: number, key: PrefixKey, bits: number, owner: number, tag: number): void {
    const i32 = this.#i32;
    let link = this.#word(this.#ownRoot()) + family;
    for (;;) {
      const node = this.#target(link);
      if (node === 0) {
        this.#setLink(link, this.#make(key, bits, owner, tag));
        return;
      }
      const nodeBits = i32[this.#word(node) + NODE_BITS];
      const common = Math.min(this.#commonBits(this.#word(node), key), nodeBits, bits);
      if (common < nodeBits) {
        this.#insertAbove(link, node, common, key, bits, owner, tag);
        return;
      }
      const own = this.#own(link);
      const word = this.#word(own);
      if (nodeBits === bits) {
        i32[word + NODE_OWNER] = owner;
        this.#tags[own] = tag;
        return;
      }
      link = word + NODE_BRANCH + bitAt(key, 0, nodeBits);
    }
  }

  /** Takes a prefix out that `find` has found in the same transaction; throws as `insert` does. */
  remove(family: number, key: PrefixKey, bits: number): void {
    const i32 = this.#i32;
    let parentLink = -1;
    let link = this.#word(this.#ownRoot()) + family;
    while ((i32[link] & 255) !== bits) {
      const word = this.#word(this.#own(link));
      parentLink = link;
      link = word + NODE_BRANCH + bitAt(key, 0, i32[word + NODE_BITS]);
    }
    const branches = this.#word(this.#target(link)) + NODE_BRANCH;
    if (i32[branches] !== 0 && i32[branches + 1] !== 0) {
      i32[this.#word(this.#own(link)) + NODE_OWNER] = NO_OWNER;
      return;
    }
    this.#replaceByOnlyBranch(link);
    if (i32[link] !== 0 || parentLink < 0) return;
    if (this.owner(this.#target(parentLink)) === NO_OWNER) this.#replaceByOnlyBranch(parentLink);
  }

  /** Makes the changes since the last `publish` or `rollback` visible to readers, all at once. */
  publish(): void {
    if (this.#draftRoot === 0) return;
    Atomics.store(this.#i32, this.#tableWord, this.#draftRoot);
    this.#draftRoot = 0;
    this.#pool.commit();
  }

  /** Forgets the changes since the last `publish` or `rollback`. */
  rollback(): void {
    this.#draftRoot = 0;
    this.#pool.rollback();
  }

  #word(node: number): number {
    return this.#nodesWord + node * NODE_WORDS;
  }

  /** The node that the link in a word leads to, 0 for none. */
  #target(link: number): number {
    return this.#i32[link] >>> 8;
  }

  #setLink(link: number, node: number): void {
    this.#i32[link] = node << 8 | this.#i32[this.#word(node) + NODE_BITS];
  }

  #currentRoot(): number {
    return this.#draftRoot === 0 ? this.#i32[this.#tableWord] : this.#draftRoot;
  }

  #ownRoot(): number {
    if (this.#draftRoot !== 0) return this.#draftRoot;
    const published = this.#i32[this.#tableWord];
    this.#draftRoot = this.#copy(published);
    if (published !== 0) this.#pool.drop(published);
    return this.#draftRoot;
  }

  /** How many leading bits of a node's address and of a key agree. */
  #commonBits(word: number, key: PrefixKey): number {
    const i32 = this.#i32;
    for (let i = 0; i < 4; i++) {
      const difference = i32[word + i] ^ key[i];
      if (difference !== 0) return i * 32 + Math.clz32(difference);
    }
    return 128;
  }

  #make(key: PrefixKey, bits: number, owner: number, tag: number): number {
    const node = this.#pool.make();
    const word = this.#word(node);
    for (let i = 0; i < 4; i++) this.#i32[word + i] = key[i];
    this.#i32[word + NODE_BITS] = bits;
    this.#i32[word + NODE_OWNER] = owner;
    this.#i32[word + NODE_BRANCH] = 0;
    this.#i32[word + NODE_BRANCH + 1] = 0;
    this.#tags[node] = tag;
    return node;
  }

  #copy(node: number): number {
    const copy = this.#pool.make();
    const from = this.#word(node), to = this.#word(copy);
    for (let i = 0; i < NODE_WORDS; i++) this.#i32[to + i] = this.#i32[from + i];
    this.#tags[copy] = this.#tags[node];
    return copy;
  }

  /** The node that the link leads to, replaced by a copy unless it is fresh. */
  #own(link: number): number {
    const node = this.#target(link);
    if (this.#pool.isFresh(node)) return node;
    const copy = this.#copy(node);
    this.#setLink(link, copy);
    this.#pool.drop(node);
    return copy;
  }

  /** Puts a new prefix that shares only `common` bits with `node` where `node` hangs. */
  #insertAbove(
    link: number,
    node: number,
    common: number,
    key: PrefixKey,
    bits: number,
    owner: number,
    tag: number,
  ): void {
    const i32 = this.#i32;
    const leaf = this.#make(key, bits, owner, tag);
    const side = bitAt(i32, this.#word(node), common);
    let top = leaf;
    if (common < bits) {
      top = this.#make(key, common, NO_OWNER, 0);
      const word = this.#word(top);
      for (let i = 0; i < 4; i++) {
        const kept = common - i * 32;
        if (kept < 32) i32[word + i] &= kept <= 0 ? 0 : -1 << (32 - kept);
      }
      this.#setLink(word + NODE_BRANCH + 1 - side, leaf);
    }
    this.#setLink(this.#word(top) + NODE_BRANCH + side, node);
    this.#setLink(link, top);
  }

  /** Takes out the node that the link leads to, which has at most one branch. */
  #replaceByOnlyBranch(link: number): void {
    const i32 = this.#i32;
    const node = this.#target(link);
    const branches = this.#word(node) + NODE_BRANCH;
    invariant(i32[branches] === 0 || i32[branches + 1] === 0, "a node with two branches stays");
    i32[link] = i32[branches] | i32[branches + 1];
    this.#pool.drop(node);
  }
}
