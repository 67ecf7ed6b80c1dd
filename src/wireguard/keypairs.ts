/**
 * The life of keypair slots, on main's side of the keypair table.
 *
 * ```
 * free -> reserved (its index is in a handshake message, no key yet) -> live -> retired -> free
 *                 \-> free (the handshake came to nothing)
 * ```
 *
 * A live keypair stands in one of three words of its peer: `Next` (we answered; it is not used for
 * sending until the peer has used it), `Current` and `Previous`. All three open messages. A retired
 * one stands in none and has lost its index; its keys are wiped as soon as no lane can be using
 * them. Every use of a slot has its own generation, so an old index never finds a new session.
 */
import { invariant } from "../base/invariant.ts";
import type { RandomSource } from "../base/random.ts";
import type { Slab } from "../memory/slab.ts";
import type { EpochTable } from "../tables/epoch.ts";
import {
  KEYPAIR_RECEIVE_KEY,
  KEYPAIR_SEND_KEY,
  KeypairField,
  type KeypairTable,
  KeypairWord,
} from "../tables/keypair_table.ts";
import { type PeerTable, PeerWord } from "../tables/peer_table.ts";
import { wipe } from "./bytes.ts";
import type { TransportKeys } from "./noise.ts";

/** What a handshake has come to. */
export interface Session {
  readonly isInitiator: boolean;
  /** The index that the peer gave us. */
  readonly remoteIndex: number;
  /** Copied into the slot and wiped. */
  readonly keys: TransportKeys;
}

/** Other uses between two uses of a slot, as long as there are slots enough. */
const REUSE_DISTANCE = 64;

interface Retired {
  readonly epoch: number;
  readonly slots: readonly number[];
}

/** Reserves, installs, rotates and retires keypairs. Main alone has one. */
export class Keypairs {
  readonly #slab: Slab;
  readonly #table: KeypairTable;
  readonly #peers: PeerTable;
  readonly #epochs: EpochTable;
  /** Slots that have been used and are free again, as a ring: the longest free one goes first. */
  readonly #free: Int32Array;
  #freeHead = 0;
  #freeCount = 0;
  /** Slots from here on have never been used: untouched memory costs nothing. */
  #untouched = 0;
  #wipedCount = 0;
  readonly #random: RandomSource;
  /** How often a slot has been used, from a random number on that it gets with its first use. */
  readonly #generations: Uint16Array;
  readonly #indexes: Int32Array;
  /** The peer of each slot, plus one; 0 when it is free. */
  readonly #owners: Int32Array;
  readonly #slotByIndex = new Map<number, number>();
  readonly #retired: Retired[] = [];

  constructor(
    slab: Slab,
    table: KeypairTable,
    peers: PeerTable,
    epochs: EpochTable,
    random: RandomSource,
  ) {
    this.#slab = slab;
    this.#table = table;
    this.#peers = peers;
    this.#epochs = epochs;
    this.#free = new Int32Array(table.capacity);
    this.#indexes = new Int32Array(table.capacity);
    this.#owners = new Int32Array(table.capacity);
    this.#generations = new Uint16Array(table.capacity);
    this.#random = random;
  }

  /** Whether slots wait until the lanes have let go of them. */
  get hasRetired(): boolean {
    return this.#retired.length > 0;
  }

  /** How many slots are free. */
  get freeCount(): number {
    return this.#freeCount + this.#table.capacity - this.#untouched;
  }

  /** Counts the keypairs that were wiped: whoever keeps copies of keys compares and wipes his own. */
  get wipedCount(): number {
    return this.#wipedCount;
  }

  /** Reserves a slot and an index for a handshake with `peer`; -1 when all slots are taken. */
  reserve(peer: number): number {
    if (this.freeCount === 0) this.reclaim();
    const slot = this.#takeFree();
    if (slot < 0) return -1;
    const lane = this.#peers.word(peer, PeerWord.Lane);
    let index = 0;
    while (index === 0) {
      index = this.#table.indexOf(slot, ++this.#generations[slot], lane);
    }
    this.#indexes[slot] = index;
    this.#owners[slot] = peer + 1;
    this.#slotByIndex.set(index, slot);
    return slot;
  }

  /** The index of a slot that is reserved or live. */
  index(slot: number): number {
    return this.#indexes[slot];
  }

  /** The slot, reserved or live, that an index names; -1 for none. */
  find(index: number): number {
    return this.#slotByIndex.get(index) ?? -1;
  }

  /** The peer that a slot is reserved for or belongs to. */
  owner(slot: number): number {
    return this.#owners[slot] - 1;
  }

  /** Frees a slot that was reserved and never held a key. */
  release(slot: number): void {
    this.#forgetIndex(slot);
    this.#makeFree(slot);
  }

  /** Makes a reserved slot a live keypair of its peer, as `Current` or as `Next`. */
  install(slot: number, session: Session, nowMs: number): void {
    const peer = this.#owners[slot] - 1;
    const peers = this.#peers;
    this.#write(slot, session, nowMs);
    const current = peers.word(peer, PeerWord.Current);
    const previous = peers.word(peer, PeerWord.Previous);
    const next = peers.word(peer, PeerWord.Next);
    if (!session.isInitiator) {
      peers.setWord(peer, PeerWord.Next, slot);
      peers.setWord(peer, PeerWord.Previous, -1);
      this.#retire(next, previous);
      return;
    }
    // A session that we answered and that was never used gives way, but the peer may yet use it.
    const displaced = next >= 0 ? current : -1;
    peers.setWord(peer, PeerWord.Previous, next >= 0 ? next : current);
    peers.setWord(peer, PeerWord.Current, slot);
    peers.setWord(peer, PeerWord.Next, -1);
    this.#retire(displaced, previous);
  }

  /**
   * The peer has used a session that we answered: from now on we send with it. False when the
   * session that the lane speaks of is no longer the next one.
   */
  confirmNext(peer: number): boolean {
    const peers = this.#peers;
    const next = peers.word(peer, PeerWord.Next);
    if (next < 0 || this.#table.word(next, KeypairWord.ConfirmPosted) === 0) return false;
    const current = peers.word(peer, PeerWord.Current);
    const previous = peers.word(peer, PeerWord.Previous);
    peers.setWord(peer, PeerWord.Previous, current);
    peers.setWord(peer, PeerWord.Current, next);
    peers.setWord(peer, PeerWord.Next, -1);
    this.#retire(previous);
    return true;
  }

  /** Ends sending under the present keys; what is under way to us may still arrive. */
  stopSending(peer: number): void {
    const peers = this.#peers;
    const current = peers.word(peer, PeerWord.Current);
    const previous = peers.word(peer, PeerWord.Previous);
    const next = peers.word(peer, PeerWord.Next);
    peers.setWord(peer, PeerWord.Next, -1);
    if (current >= 0) {
      peers.setWord(peer, PeerWord.Previous, current);
      peers.setWord(peer, PeerWord.Current, -1);
    }
    this.#retire(next, current >= 0 ? previous : -1);
  }

  /** Retires all live keypairs of a peer. */
  retireAll(peer: number): void {
    const peers = this.#peers;
    const current = peers.word(peer, PeerWord.Current);
    const previous = peers.word(peer, PeerWord.Previous);
    const next = peers.word(peer, PeerWord.Next);
    peers.setWord(peer, PeerWord.Current, -1);
    peers.setWord(peer, PeerWord.Previous, -1);
    peers.setWord(peer, PeerWord.Next, -1);
    this.#retire(current, previous, next);
  }

  /** Wipes and frees the retired slots that no lane can be using. */
  reclaim(): void {
    const retired = this.#retired;
    let passed = 0;
    while (passed < retired.length && this.#epochs.hasPassed(retired[passed].epoch)) {
      for (const slot of retired[passed].slots) this.#makeFree(slot);
      passed++;
    }
    retired.splice(0, passed);
  }

  /** Wipes every slot, whoever may be using it: the end of the process. */
  wipeAll(): void {
    for (let slot = 0; slot < this.#table.capacity; slot++) {
      if (this.#owners[slot] > 0) this.#table.wipe(slot);
    }
    this.#slotByIndex.clear();
  }

  /** Writes a slot, its index last: from then on the data plane trusts it. */
  #write(slot: number, session: Session, nowMs: number): void {
    const table = this.#table;
    const at = table.at(slot);
    const { fromInitiator, fromResponder } = session.keys;
    const { isInitiator } = session;
    table.wipe(slot);
    table.setWord(slot, KeypairWord.RemoteIndex, session.remoteIndex);
    table.setWord(slot, KeypairWord.Peer, this.owner(slot));
    table.setWord(slot, KeypairWord.IsInitiator, isInitiator ? 1 : 0);
    table.setField(slot, KeypairField.CreatedMs, nowMs);
    this.#slab.u8.set(isInitiator ? fromInitiator : fromResponder, at + KEYPAIR_SEND_KEY);
    this.#slab.u8.set(isInitiator ? fromResponder : fromInitiator, at + KEYPAIR_RECEIVE_KEY);
    wipe(fromInitiator, fromResponder);
    table.setWord(slot, KeypairWord.LocalIndex, this.#indexes[slot]);
  }

  #retire(...words: number[]): void {
    const slots = words.filter((slot) => slot >= 0);
    if (slots.length === 0) return;
    for (const slot of slots) {
      this.#table.setWord(slot, KeypairWord.LocalIndex, 0);
      this.#forgetIndex(slot);
    }
    this.#retired.push({ epoch: this.#epochs.advance(), slots });
  }

  #forgetIndex(slot: number): void {
    this.#slotByIndex.delete(this.#indexes[slot]);
  }

  /** A used slot when enough of them are free that none comes back soon, else a new one. */
  #takeFree(): number {
    const isFull = this.#untouched === this.#table.capacity;
    if (!isFull && this.#freeCount < REUSE_DISTANCE) return this.#takeUntouched();
    if (this.#freeCount === 0) return -1;
    const slot = this.#free[this.#freeHead];
    this.#freeHead = (this.#freeHead + 1) % this.#free.length;
    this.#freeCount--;
    return slot;
  }

  #takeUntouched(): number {
    const slot = this.#untouched++;
    const { buffer, BYTES_PER_ELEMENT } = this.#generations;
    this.#random.fill(new Uint8Array(buffer, slot * BYTES_PER_ELEMENT, BYTES_PER_ELEMENT));
    return slot;
  }

  #makeFree(slot: number): void {
    invariant(this.#owners[slot] > 0, "a keypair slot is freed once");
    this.#table.wipe(slot);
    this.#wipedCount++;
    this.#owners[slot] = 0;
    const tail = (this.#freeHead + this.#freeCount) % this.#free.length;
    this.#free[tail] = slot;
    this.#freeCount++;
  }
}
