/**
 * The peers of a device, by public key and by slot, and the slots themselves. A slot of a removed
 * peer is given to another one only when no lane can be working for the old one any more.
 */
import type { EpochTable } from "../tables/epoch.ts";
import { PeerField, type PeerTable, PeerWord } from "../tables/peer_table.ts";
import type { Peer } from "./peer.ts";

const KEYPAIR_WORDS = [PeerWord.Current, PeerWord.Previous, PeerWord.Next];
const CLEARED_WORDS = [
  PeerWord.Watch,
  PeerWord.NeedAnotherKeepalive,
  PeerWord.KeepaliveInterval,
  PeerWord.HandshakeWanted,
];

interface RemovedSlot {
  readonly slot: number;
  /** The epoch that has to pass; null until the lane's last command has been handed over. */
  epoch: number | null;
}

/** All peers of a device; main alone has one. */
export class PeerSet {
  readonly #table: PeerTable;
  readonly #epochs: EpochTable;
  readonly #laneOf: (slot: number) => number;
  readonly #byKey = new Map<string, Peer>();
  readonly #bySlot: (Peer | undefined)[] = [];
  #neverUsed = 0;
  readonly #free: number[] = [];
  #removed: RemovedSlot[] = [];

  constructor(table: PeerTable, epochs: EpochTable, laneOf: (slot: number) => number) {
    this.#table = table;
    this.#epochs = epochs;
    this.#laneOf = laneOf;
  }

  /** How many peers there are. */
  get size(): number {
    return this.#byKey.size;
  }

  /** Whether slots of removed peers wait to become free. */
  get hasRemoved(): boolean {
    return this.#removed.length > 0;
  }

  /** The peers, in the order in which they were added. */
  values(): Iterable<Peer> {
    return this.#byKey.values();
  }

  /** The peer in a slot. */
  at(slot: number): Peer | undefined {
    return this.#bySlot[slot];
  }

  /** The peer with a public key given in hexadecimal. */
  find(keyText: string): Peer | undefined {
    return this.#byKey.get(keyText);
  }

  /** Takes a free slot for a peer to come, -1 when there is none. */
  takeSlot(): number {
    const slot = this.#free.pop();
    if (slot !== undefined) return slot;
    if (this.#neverUsed === this.#table.capacity) return -1;
    // A record of zeros would name keypair 0; from here on the slot never names a foreign one.
    this.#clearKeypairs(this.#neverUsed);
    return this.#neverUsed++;
  }

  /** Gives back a slot from `takeSlot` that was not used. */
  giveBackSlot(slot: number): void {
    this.#free.push(slot);
  }

  /** Adds a peer with a fresh record; its endpoint is the caller's to write. */
  add(peer: Peer): void {
    const { slot } = peer;
    const table = this.#table;
    this.#resetRecord(slot);
    table.setWord(slot, PeerWord.Lane, this.#laneOf(slot));
    table.setWord(slot, PeerWord.InUse, 1);
    this.#byKey.set(peer.keyText, peer);
    this.#bySlot[slot] = peer;
  }

  /** Puts a new peer in the slot of an old one with the same public key; likewise. */
  replace(peer: Peer): void {
    this.#resetRecord(peer.slot);
    this.#byKey.delete(peer.keyText);
    this.#byKey.set(peer.keyText, peer);
    this.#bySlot[peer.slot] = peer;
  }

  /** Removes a peer; its keypairs must have been retired. */
  remove(peer: Peer): void {
    this.#table.setWord(peer.slot, PeerWord.InUse, 0);
    this.#byKey.delete(peer.keyText);
    this.#bySlot[peer.slot] = undefined;
    this.#removed.push({ slot: peer.slot, epoch: null });
  }

  /** Frees the slots of removed peers for which nothing is under way any more. */
  reclaim(hasCommand: (slot: number) => boolean): void {
    const epochs = this.#epochs;
    this.#removed = this.#removed.filter((removed) => {
      if (removed.epoch === null) {
        if (!hasCommand(removed.slot)) removed.epoch = epochs.advance();
        return true;
      }
      if (!epochs.hasPassed(removed.epoch)) return true;
      this.#free.push(removed.slot);
      return false;
    });
  }

  /**
   * Clears words and fields of a record, but never, not even for a moment, so that the words that
   * name keypairs read 0, which is the keypair of somebody else.
   */
  #resetRecord(slot: number): void {
    const table = this.#table;
    this.#clearKeypairs(slot);
    for (const word of CLEARED_WORDS) table.setWord(slot, word, 0);
    for (const field of Object.values(PeerField)) table.setField(slot, field, 0);
  }

  #clearKeypairs(slot: number): void {
    for (const word of KEYPAIR_WORDS) this.#table.setWord(slot, word, -1);
  }
}
