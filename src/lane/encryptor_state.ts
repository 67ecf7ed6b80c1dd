/** What an encryptor worker shares with its lane and with main, beside the lane's batches. */
import { PACKET_AEAD_SCRATCH_BYTES } from "../crypto/aead_scratch.ts";
import { DOORBELL_BYTES } from "../memory/doorbell.ts";
import type { RegionAllocator, Slab } from "../memory/slab.ts";

/** Doubles of the block, in bytes. */
const BATCHES = 0;
const MESSAGES = 8;
/** A word of the block, in bytes. */
const KEY_GENERATION = 16;
/** A double too. */
const ROUNDS = 24;
const BLOCK_BYTES = 64;

/** The places of one encryptor worker. */
export interface EncryptorPlan {
  readonly blockAt: number;
  readonly bellAt: number;
  readonly aeadScratchAt: number;
}

/** Reserves the places of one encryptor. */
export function planEncryptor(regions: RegionAllocator): EncryptorPlan {
  return {
    blockAt: regions.reserve(BLOCK_BYTES),
    bellAt: regions.reserve(DOORBELL_BYTES),
    aeadScratchAt: regions.reserve(PACKET_AEAD_SCRATCH_BYTES),
  };
}

/** Accessors over one encryptor's block; it alone writes. */
export class EncryptorState {
  readonly #f64: Float64Array;
  readonly #i32: Int32Array;
  readonly #blockAt: number;

  constructor(slab: Slab, plan: EncryptorPlan) {
    this.#f64 = slab.f64;
    this.#i32 = slab.i32;
    this.#blockAt = plan.blockAt;
  }

  /** Batches that it has sealed or opened. */
  get batches(): number {
    return this.#f64[(this.#blockAt + BATCHES) >> 3];
  }

  /** Messages in those batches. */
  get messages(): number {
    return this.#f64[(this.#blockAt + MESSAGES) >> 3];
  }

  /** Rounds of its loop, with and without a batch: it moves as long as they grow. */
  get rounds(): number {
    return this.#f64[(this.#blockAt + ROUNDS) >> 3];
  }

  /** Encryptor: begins another round. */
  beginRound(): void {
    this.#f64[(this.#blockAt + ROUNDS) >> 3]++;
  }

  /** Encryptor: counts a batch of so many messages. */
  count(messages: number): void {
    this.#f64[(this.#blockAt + BATCHES) >> 3]++;
    this.#f64[(this.#blockAt + MESSAGES) >> 3] += messages;
  }

  /** The `LaneWord.KeyGeneration` up to which its cipher has forgotten wiped keys. */
  get keyGeneration(): number {
    return Atomics.load(this.#i32, (this.#blockAt + KEY_GENERATION) >> 2);
  }

  /** Encryptor: announces what its cipher has forgotten. */
  setKeyGeneration(generation: number): void {
    Atomics.store(this.#i32, (this.#blockAt + KEY_GENERATION) >> 2, generation);
  }
}
