/**
 * The keypair table: every session key in the process, one slot per keypair, shared by main (which
 * installs and retires them) and the data plane (which seals, opens and counts).
 *
 * A receiver index that we give out names its slot and the lane of its peer, so a data message finds
 * its key by arithmetic:
 *
 * ```
 * bit 31........22 21...........6 5....0
 *     generation   slot           lane      (upper 26 bits are masked by a secret of this process)
 * ```
 *
 * Main writes a slot completely before it publishes `LocalIndex`; the data plane trusts nothing in a
 * slot whose `LocalIndex` is not the index on the wire. A retired slot gets `LocalIndex` 0 at once;
 * its keys are wiped and the slot is reused only after every lane has passed an epoch (`EpochTable`).
 */
import type { Slab } from "../memory/slab.ts";
import { REPLAY_WINDOW_BYTES } from "./replay_window.ts";

export const KEYPAIR_RECORD_BYTES = 192 + REPLAY_WINDOW_BYTES;

/** Offsets of the i32 words in a slot, in bytes. */
export const KeypairWord = {
  /** The index that we gave out, 0 while the slot is not valid for receiving. */
  LocalIndex: 0,
  /** The index that the peer gave us; stands in the header of what we send. */
  RemoteIndex: 4,
  /** The peer that the keypair belongs to. */
  Peer: 8,
  /** 1 when we initiated the handshake. */
  IsInitiator: 12,
  /** 1 once the lane has told main that the first packet under it was authenticated. */
  ConfirmPosted: 16,
  /** 1 once the lane has asked for the rekey that an old key calls for on receiving. */
  RekeyPosted: 20,
} as const;

/** Offsets of the double-precision fields in a slot, in bytes. */
export const KeypairField = {
  /** When the handshake was completed, on CLOCK_BOOTTIME. */
  CreatedMs: 32,
  /** The counter of the next message to seal; only the peer's lane writes it. */
  SendCounter: 40,
} as const;

/** Where the 32-byte keys stand in a slot. */
export const KEYPAIR_SEND_KEY = 64;
export const KEYPAIR_RECEIVE_KEY = 96;
/** Where the slot's replay window stands (`replay_window.ts`). */
export const KEYPAIR_REPLAY = 192;

const LANE_BITS = 6;
const SLOT_BITS = 16;
/** Slots that a receiver index can name. */
export const KEYPAIR_CAPACITY_MAX = 1 << SLOT_BITS;

/** Lanes that a receiver index can name. */
export const INDEX_LANES_MAX = 1 << LANE_BITS;

/** The lane that a receiver index names. */
export function laneOfIndex(index: number): number {
  return index & (INDEX_LANES_MAX - 1);
}

/** Bytes of slab that the table needs. */
export function keypairTableBytes(capacity: number): number {
  return capacity * KEYPAIR_RECORD_BYTES;
}

/** Accessors over the slots; cheap to build, holds no state of its own. */
export class KeypairTable {
  readonly #slab: Slab;
  readonly #at: number;
  readonly #mask: number;

  /** `indexSecret` is 32 random bits, the same for all workers of the process. */
  constructor(slab: Slab, at: number, readonly capacity: number, indexSecret: number) {
    this.#slab = slab;
    this.#at = at;
    this.#mask = (indexSecret << LANE_BITS) | 0;
  }

  /** The place of a slot. */
  at(slot: number): number {
    return this.#at + slot * KEYPAIR_RECORD_BYTES;
  }

  /** One of the words of `KeypairWord`, read atomically. */
  word(slot: number, word: number): number {
    return Atomics.load(this.#slab.i32, (this.at(slot) + word) >> 2);
  }

  /** Sets one of the words of `KeypairWord` atomically. */
  setWord(slot: number, word: number, value: number): void {
    Atomics.store(this.#slab.i32, (this.at(slot) + word) >> 2, value);
  }

  /** One of the fields of `KeypairField`. */
  field(slot: number, field: number): number {
    return this.#slab.f64[(this.at(slot) + field) >> 3];
  }

  /** Sets one of the fields of `KeypairField`. */
  setField(slot: number, field: number, value: number): void {
    this.#slab.f64[(this.at(slot) + field) >> 3] = value;
  }

  /** The receiver index (as a signed 32-bit word) that names `slot` in its `generation`. */
  indexOf(slot: number, generation: number, lane: number): number {
    const high = (generation << (LANE_BITS + SLOT_BITS)) | (slot << LANE_BITS);
    return (high ^ this.#mask) | lane;
  }

  /** The slot that a receiver index names, valid for receiving; -1 for none. */
  find(localIndex: number): number {
    const slot = ((localIndex ^ this.#mask) >>> LANE_BITS) & (KEYPAIR_CAPACITY_MAX - 1);
    if (localIndex === 0 || slot >= this.capacity) return -1;
    return this.word(slot, KeypairWord.LocalIndex) === localIndex ? slot : -1;
  }

  /** Wipes the keys, counters and window of a slot that no lane can be using. */
  wipe(slot: number): void {
    const at = this.at(slot);
    this.#slab.u8.fill(0, at, at + KEYPAIR_RECORD_BYTES);
  }
}
