/**
 * From addresses and ports to a small integer: an open-addressing table over typed arrays, used for
 * TCP connections and UDP flows. The hash (HalfSipHash-1-3, Aumasson and Bernstein) is keyed by
 * randomness of the process, so that nobody outside can choose flows that collide.
 *
 * The key is loaded first, from a packet or from addresses, and the next call uses it:
 *
 *     table.loadPacket(view, 4, localAt, remoteAt, localPort, remotePort);
 *     const id = table.find();
 */
import { invariant } from "../base/invariant.ts";
import type { RandomSource } from "../base/random.ts";

/** Words of a key: both ports, then 4 words of each address. */
const KEY_WORDS = 9;
const EMPTY = -1;

/** The table. Ids are at least 0. */
export class FlowTable {
  readonly #key = new Int32Array(KEY_WORDS);
  #keyHash = 0;
  readonly #secret0: number;
  readonly #secret1: number;
  #mask: number;
  #ids: Int32Array;
  #hashes: Int32Array;
  #keys: Int32Array;
  #count = 0;

  constructor(random: RandomSource, capacity = 64) {
    const secret = new DataView(random.fill(new Uint8Array(8)).buffer);
    this.#secret0 = secret.getInt32(0);
    this.#secret1 = secret.getInt32(4);
    this.#mask = capacity - 1;
    invariant((capacity & this.#mask) === 0, "the capacity is a power of two");
    this.#ids = new Int32Array(capacity).fill(EMPTY);
    this.#hashes = new Int32Array(capacity);
    this.#keys = new Int32Array(capacity * KEY_WORDS);
  }

  /** Flows in it. */
  get count(): number {
    return this.#count;
  }

  /** Makes the flow of a packet the key; addresses are 4 or 16 bytes by `version`. */
  loadPacket(
    view: DataView,
    version: number,
    localAt: number,
    remoteAt: number,
    localPort: number,
    remotePort: number,
  ): void {
    const key = this.#key;
    key[0] = (localPort << 16) | remotePort;
    if (version === 4) {
      key[1] = view.getInt32(localAt);
      key[5] = view.getInt32(remoteAt);
      key[2] =
        key[3] =
        key[6] =
        key[7] =
          0;
      // IPv4-mapped, which no packet carries: an IPv6 flow cannot look like this one.
      key[4] = key[8] = 0xffff;
    } else {
      for (let i = 0; i < 4; i++) {
        key[1 + i] = view.getInt32(localAt + 4 * i);
        key[5 + i] = view.getInt32(remoteAt + 4 * i);
      }
    }
    this.#keyHash = this.#hash();
  }

  /** Makes a flow given by addresses of equal length the key. */
  load(local: Uint8Array, localPort: number, remote: Uint8Array, remotePort: number): void {
    const key = this.#key;
    key.fill(0);
    key[0] = (localPort << 16) | remotePort;
    for (let i = 0; i < local.length; i++) {
      key[1 + (i >> 2)] |= local[i] << (24 - 8 * (i & 3));
      key[5 + (i >> 2)] |= remote[i] << (24 - 8 * (i & 3));
    }
    if (local.length === 4) key[4] = key[8] = 0xffff;
    this.#keyHash = this.#hash();
  }

  /** The id of the loaded key, or -1. */
  find(): number {
    const slot = this.#slotOf();
    return slot < 0 ? EMPTY : this.#ids[slot];
  }

  /** Enters the loaded key, which is not in the table. */
  insert(id: number): void {
    if (2 * (this.#count + 1) > this.#mask) this.#grow();
    this.#place(id, this.#keyHash, this.#key, 0);
    this.#count++;
  }

  /** Takes the loaded key out; false when it was not in the table. */
  remove(): boolean {
    let hole = this.#slotOf();
    if (hole < 0) return false;
    // What stands behind the hole and was displaced over it moves back, so no tombstones are needed.
    for (let slot = (hole + 1) & this.#mask; this.#ids[slot] !== EMPTY;) {
      const home = this.#hashes[slot] & this.#mask;
      if (((slot - home) & this.#mask) >= ((slot - hole) & this.#mask)) {
        this.#ids[hole] = this.#ids[slot];
        this.#hashes[hole] = this.#hashes[slot];
        const from = slot * KEY_WORDS;
        this.#keys.copyWithin(hole * KEY_WORDS, from, from + KEY_WORDS);
        hole = slot;
      }
      slot = (slot + 1) & this.#mask;
    }
    this.#ids[hole] = EMPTY;
    this.#count--;
    return true;
  }

  #slotOf(): number {
    const hash = this.#keyHash;
    for (let slot = hash & this.#mask; this.#ids[slot] !== EMPTY; slot = (slot + 1) & this.#mask) {
      if (this.#hashes[slot] === hash && this.#equals(slot)) return slot;
    }
    return EMPTY;
  }

  #equals(slot: number): boolean {
    const from = slot * KEY_WORDS;
    for (let i = 0; i < KEY_WORDS; i++) {
      if (this.#keys[from + i] !== this.#key[i]) return false;
    }
    return true;
  }

  #place(id: number, hash: number, keys: Int32Array, from: number): void {
    let slot = hash & this.#mask;
    while (this.#ids[slot] !== EMPTY) slot = (slot + 1) & this.#mask;
    this.#ids[slot] = id;
    this.#hashes[slot] = hash;
    for (let i = 0; i < KEY_WORDS; i++) this.#keys[slot * KEY_WORDS + i] = keys[from + i];
  }

  #grow(): void {
    const [ids, hashes, keys] = [this.#ids, this.#hashes, this.#keys];
    const capacity = 2 * (this.#mask + 1);
    this.#mask = capacity - 1;
    this.#ids = new Int32Array(capacity).fill(EMPTY);
    this.#hashes = new Int32Array(capacity);
    this.#keys = new Int32Array(capacity * KEY_WORDS);
    for (let slot = 0; slot < ids.length; slot++) {
      if (ids[slot] !== EMPTY) this.#place(ids[slot], hashes[slot], keys, slot * KEY_WORDS);
    }
  }

  /** HalfSipHash with one round per word and three at the end. */
  #hash(): number {
    const key = this.#key;
    let v0 = this.#secret0;
    let v1 = this.#secret1;
    let v2 = 0x6c796765 ^ this.#secret0;
    let v3 = 0x74656462 ^ this.#secret1;
    for (let i = 0; i < KEY_WORDS + 4; i++) {
      const word = i < KEY_WORDS ? key[i] : i === KEY_WORDS ? (KEY_WORDS * 4) << 24 : 0;
      if (i === KEY_WORDS + 1) v2 ^= 0xff;
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    return v1 ^ v3;
  }
}
