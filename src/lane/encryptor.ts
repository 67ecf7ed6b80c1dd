/**
 * The encryptor: seals and opens whole batches. The same code runs inside a lane (`InlineStage`) or
 * in workers of its own, several of which share the lane's queue (`WorkerStage` on the lane's side,
 * `serveBatch` on a worker's). Batches come out in the order in which they went in, so no flow is
 * ever reordered.
 */
import type { PacketAead } from "../crypto/packet_aead.ts";
import type { Doorbell } from "../memory/doorbell.ts";
import type { Slab } from "../memory/slab.ts";
import type { TicketQueue } from "../memory/ticket_queue.ts";
import {
  KEYPAIR_RECEIVE_KEY,
  KEYPAIR_SEND_KEY,
  type KeypairTable,
} from "../tables/keypair_table.ts";
import { DATA_OVERHEAD_BYTES, DATA_PAYLOAD } from "../wire/wireguard.ts";
import type { EncryptorState } from "./encryptor_state.ts";
import {
  BatchKind,
  type BatchTable,
  BatchWord,
  OPEN_AT,
  OPEN_COUNTER,
  OPEN_KEYPAIR,
  OPEN_LENGTH,
  OPEN_OUT_AT,
  OPEN_RESULT,
} from "./batch.ts";

/** What a lane needs of the stage, wherever it runs. */
export interface CryptoStage {
  /** Hands a complete batch over; the stage owns it until it comes out of `takeCompleted`. */
  submit(batch: number): void;
  /** The next batch in the order of submission, or -1 while none is complete. */
  takeCompleted(): number;
  /** Whether `takeCompleted` would return a batch. */
  hasCompleted(): boolean;
  /** Wipes the copies of keys that the cipher holds, at once or as soon as it can. */
  forgetKeys(): void;
  /** Whether a worker of the stage was awake at the last call and has not moved since. */
  isStuck(): boolean;
}

/** Seals and opens batches in the calling worker. */
export class Encryptor {
  readonly #slab: Slab;

  constructor(
    slab: Slab,
    readonly batches: BatchTable,
    readonly keypairs: KeypairTable,
    readonly aead: PacketAead,
  ) {
    this.#slab = slab;
  }

  /** Does the work of one batch. */
  process(batch: number): void {
    const kind = this.batches.word(batch, BatchWord.Kind);
    if (kind === BatchKind.Seal) this.#seal(batch);
    else this.#open(batch);
  }

  #seal(batch: number): void {
    const { batches, aead } = this;
    const keyAt = this.keypairs.at(batches.word(batch, BatchWord.Keypair)) + KEYPAIR_SEND_KEY;
    const count = batches.word(batch, BatchWord.Count);
    const stride = batches.word(batch, BatchWord.Stride);
    const counter = batches.counter(batch);
    const last = count - 1;
    let at = batches.messagesAt(batch) + DATA_PAYLOAD;
    for (let i = 0; i < last; i++) {
      aead.seal(keyAt, counter + i, at, stride - DATA_OVERHEAD_BYTES);
      at += stride;
    }
    const lastBytes = batches.word(batch, BatchWord.LastBytes);
    aead.seal(keyAt, counter + last, at, lastBytes - DATA_OVERHEAD_BYTES);
  }

  #open(batch: number): void {
    const i32 = this.#slab.i32, f64 = this.#slab.f64;
    const descriptor = this.batches.at(batch);
    const at = (descriptor + OPEN_AT) >> 2;
    const length = (descriptor + OPEN_LENGTH) >> 2;
    const keypair = (descriptor + OPEN_KEYPAIR) >> 2;
    const outAt = (descriptor + OPEN_OUT_AT) >> 2;
    const result = (descriptor + OPEN_RESULT) >> 2;
    const counter = (descriptor + OPEN_COUNTER) >> 3;
    const count = this.batches.word(batch, BatchWord.Count);
    for (let i = 0; i < count; i++) {
      const keyAt = this.keypairs.at(i32[keypair + i]) + KEYPAIR_RECEIVE_KEY;
      const ok = this.aead.open(
        keyAt,
        f64[counter + i],
        i32[at + i],
        i32[length + i],
        i32[outAt + i],
      );
      i32[result + i] = ok ? 1 : 0;
    }
  }
}

/** The stage inside the lane: a submitted batch is complete at once. */
export class InlineStage implements CryptoStage {
  readonly #completed: Int32Array;
  #head = 0;
  #tail = 0;

  constructor(readonly encryptor: Encryptor, batchCount: number) {
    this.#completed = new Int32Array(batchCount);
  }

  submit(batch: number): void {
    this.encryptor.process(batch);
    this.#completed[this.#head] = batch;
    this.#head = (this.#head + 1) % this.#completed.length;
  }

  takeCompleted(): number {
    if (this.#head === this.#tail) return -1;
    const batch = this.#completed[this.#tail];
    this.#tail = (this.#tail + 1) % this.#completed.length;
    return batch;
  }

  hasCompleted(): boolean {
    return this.#head !== this.#tail;
  }

  forgetKeys(): void {
    this.encryptor.aead.forgetKeys();
  }

  isStuck(): boolean {
    return false;
  }
}

/** The lane's side of a stage in other workers. The queue has a slot for every batch. */
export class WorkerStage implements CryptoStage {
  /** For each encryptor the rounds that it had begun at the last look, -1 while it sleeps. */
  readonly #roundsBefore: Float64Array;

  /** `bells` and `states` are those of the encryptors. */
  constructor(
    readonly queue: TicketQueue,
    readonly bells: readonly Doorbell[],
    readonly states: readonly EncryptorState[],
  ) {
    this.#roundsBefore = new Float64Array(bells.length).fill(-1);
  }

  submit(batch: number): void {
    this.queue.submit(batch);
    this.#wakeOne();
  }

  takeCompleted(): number {
    return this.queue.take();
  }

  hasCompleted(): boolean {
    return this.queue.isOldestDone();
  }

  /** An encryptor looks at `LaneWord.KeyGeneration` before each batch and when it wakes. */
  forgetKeys(): void {
    for (let i = 0; i < this.bells.length; i++) this.bells[i].ring();
  }

  /**
   * One that holds nothing can hang too: it would never take what it was not woken for. One that is
   * woken again and again when others have already taken the work does not.
   */
  isStuck(): boolean {
    let isStuck = false;
    for (let i = 0; i < this.bells.length; i++) {
      const rounds = this.bells[i].isAsleep ? -1 : this.states[i].rounds;
      isStuck ||= rounds >= 0 && rounds === this.#roundsBefore[i];
      this.#roundsBefore[i] = rounds;
    }
    return isStuck;
  }

  /**
   * Wakes an encryptor when more batches wait than encryptors are awake: each of these takes one as
   * soon as it has done its own, which is sooner than another wakes up.
   */
  #wakeOne(): void {
    const { bells } = this;
    let awake = 0, sleeper = -1;
    for (let i = bells.length - 1; i >= 0; i--) {
      if (bells[i].isAsleep) sleeper = i;
      else awake++;
    }
    if (sleeper >= 0 && this.queue.unclaimed > awake) bells[sleeper].ring();
  }
}

/** An encryptor worker's side: does one batch, if one waits; how many messages that were. */
export function serveBatch(encryptor: Encryptor, queue: TicketQueue, laneBell: Doorbell): number {
  const slot = queue.claim();
  if (slot < 0) return 0;
  const batch = queue.value(slot);
  const messages = encryptor.batches.word(batch, BatchWord.Count);
  encryptor.process(batch);
  if (queue.complete(slot)) laneBell.ring();
  return messages;
}
