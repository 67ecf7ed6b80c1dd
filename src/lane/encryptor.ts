/**
 * The encryptor: seals and opens whole batches. The same code runs inside a lane (`InlineStage`) or
 * in a worker of its own behind two rings (`RingStage` on the lane's side, `serveRings` on the
 * worker's). A batch that went in comes out in the same order, so no flow is ever reordered.
 */
import type { PacketAead } from "../crypto/packet_aead.ts";
import { invariant } from "../base/invariant.ts";
import { Ring } from "../memory/ring.ts";
import type { Doorbell } from "../memory/doorbell.ts";
import type { Slab } from "../memory/slab.ts";
import {
  KEYPAIR_RECEIVE_KEY,
  KEYPAIR_SEND_KEY,
  type KeypairTable,
} from "../tables/keypair_table.ts";
import { DATA_OVERHEAD_BYTES, DATA_PAYLOAD } from "../wire/wireguard.ts";
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
}

/** The lane's side of a stage in another worker. The rings have a slot for every batch. */
export class RingStage implements CryptoStage {
  readonly #i32: Int32Array;

  constructor(
    slab: Slab,
    readonly submitted: Ring,
    readonly completed: Ring,
    readonly encryptorBell: Doorbell,
  ) {
    this.#i32 = slab.i32;
  }

  submit(batch: number): void {
    pushBatch(this.#i32, this.submitted, batch);
    this.encryptorBell.ring();
  }

  takeCompleted(): number {
    return popBatch(this.#i32, this.completed);
  }

  hasCompleted(): boolean {
    return this.completed.peek() >= 0;
  }

  /** The encryptor looks at `LaneWord.KeyGeneration` whenever it wakes. */
  forgetKeys(): void {
    this.encryptorBell.ring();
  }
}

/** The encryptor worker's side: does all that waits and returns how many batches that were. */
export function serveRings(
  slab: Slab,
  encryptor: Encryptor,
  submitted: Ring,
  completed: Ring,
  laneBell: Doorbell,
): number {
  let served = 0;
  for (;;) {
    const batch = popBatch(slab.i32, submitted);
    if (batch < 0) return served;
    encryptor.process(batch);
    pushBatch(slab.i32, completed, batch);
    laneBell.ring();
    served++;
  }
}

function pushBatch(i32: Int32Array, ring: Ring, batch: number): void {
  const at = ring.claim();
  invariant(at >= 0, "a batch ring has a slot for every batch");
  i32[at >> 2] = batch;
  ring.publish();
}

function popBatch(i32: Int32Array, ring: Ring): number {
  const at = ring.peek();
  if (at < 0) return -1;
  const batch = i32[at >> 2];
  ring.release();
  return batch;
}
