/**
 * Batches: the unit of work between the read loop and the encryptor stage. A batch is a descriptor
 * in the slab that names a run of messages in a buffer; workers pass its number around.
 *
 * A *seal* batch is exactly what one send takes: `count` data messages of `stride` bytes, the last
 * possibly shorter, each `[16 header][packet][16 tag]`. An *open* batch is what one receive gave:
 * per message a place, a length, a keypair and a counter; the stage writes back a result.
 *
 * Buffer of a seal batch, and of an open batch with its two halves:
 *
 * ```
 * seal: [64 headroom][messages ................ 65,507][512 slack]
 * open: [64 headroom][datagrams ............... 65,536][512 slack]
 *       [64 headroom][plaintexts, 64 to 79 bytes apart][512 slack]
 * ```
 */
import { alignUp, CACHE_LINE_BYTES } from "../base/align.ts";
import type { RegionAllocator, Slab } from "../memory/slab.ts";
import { ENDPOINT_BYTES } from "../tables/endpoint.ts";
import { RECEIVE_MESSAGES_MAX, SEND_BYTES_MAX } from "./limits.ts";

const HEADROOM_BYTES = 64;
const SLACK_BYTES = 512;
/** Free bytes before each plaintext of an open batch, for key block and vnet header. */
export const PLAINTEXT_HEADROOM_BYTES = 64;

const SEAL_BUFFER_BYTES = HEADROOM_BYTES + SEND_BYTES_MAX + SLACK_BYTES;
const OPEN_INPUT_BYTES = HEADROOM_BYTES + 65_536 + SLACK_BYTES;
const OPEN_OUTPUT_BYTES = 65_536 + RECEIVE_MESSAGES_MAX * (PLAINTEXT_HEADROOM_BYTES + 16) +
  SLACK_BYTES;

/** Offsets of the i32 words of a descriptor, in bytes. */
export const BatchWord = {
  Kind: 0,
  Count: 4,
  Peer: 8,
  Keypair: 12,
  /** Seal: bytes of each message but the last. */
  Stride: 16,
  /** Seal: bytes of the last message. */
  LastBytes: 20,
  /** Outer TOS byte. */
  Tos: 24,
  /** Seal: 1 when any message carries data, 0 for a keepalive alone. */
  HasData: 28,
  /** Seal: bytes of its shortest message before that was made as long as the others. */
  LeastBytes: 32,
  /** Open: 1 until one of its packets has told its sender of congestion, if one is to. */
  Congested: 56,
  /** Seal: how often the socket refused it for want of buffers. */
  Retries: 36,
  /** Seal: messages that the socket has taken. */
  Sent: 40,
  /** Seal: the errno for which the rest is sent one by one, 0 while it is sent as a run. */
  SingleCause: 44,
} as const;

/** Seal: the counter of the first message, a double. */
export const BATCH_COUNTER = 48;
/** Open: when it was received, in milliseconds of the lane's clock, a double. */
export const BATCH_ARRIVED_MS = 48;
/** Open: the endpoint record of the sender. */
export const BATCH_ENDPOINT = 64;

/** Kinds of batches. */
export const BatchKind = { Seal: 1, Open: 2 } as const;

/** Arrays of an open batch, one element per message, as offsets in bytes from the descriptor. */
const ARRAYS = BATCH_ENDPOINT + ENDPOINT_BYTES;
export const OPEN_AT = ARRAYS;
export const OPEN_LENGTH = OPEN_AT + 4 * RECEIVE_MESSAGES_MAX;
export const OPEN_KEYPAIR = OPEN_LENGTH + 4 * RECEIVE_MESSAGES_MAX;
export const OPEN_OUT_AT = OPEN_KEYPAIR + 4 * RECEIVE_MESSAGES_MAX;
/** 1 when the message was authentic. */
export const OPEN_RESULT = OPEN_OUT_AT + 4 * RECEIVE_MESSAGES_MAX;
export const OPEN_COUNTER = OPEN_RESULT + 4 * RECEIVE_MESSAGES_MAX;
const DESCRIPTOR_BYTES = OPEN_COUNTER + 8 * RECEIVE_MESSAGES_MAX;

/** Where a lane's batches are; plain numbers, so that it can be posted to workers. */
export interface BatchPlan {
  readonly sealCount: number;
  readonly openCount: number;
  readonly descriptorsAt: number;
  readonly sealBuffersAt: number;
  readonly openBuffersAt: number;
}

const DESCRIPTOR_STRIDE = alignUp(DESCRIPTOR_BYTES, CACHE_LINE_BYTES);
const SEAL_STRIDE = alignUp(SEAL_BUFFER_BYTES, CACHE_LINE_BYTES);
/** Where the output of an open buffer begins. */
const OPEN_OUTPUT = alignUp(OPEN_INPUT_BYTES, CACHE_LINE_BYTES);
const OPEN_STRIDE = OPEN_OUTPUT + alignUp(OPEN_OUTPUT_BYTES, CACHE_LINE_BYTES);

/** Reserves descriptors and buffers for one lane. */
export function planBatches(
  regions: RegionAllocator,
  sealCount: number,
  openCount: number,
): BatchPlan {
  return {
    sealCount,
    openCount,
    descriptorsAt: regions.reserve((sealCount + openCount) * DESCRIPTOR_STRIDE),
    sealBuffersAt: regions.reserve(sealCount * SEAL_STRIDE),
    openBuffersAt: regions.reserve(openCount * OPEN_STRIDE),
  };
}

/** Accessors over the batches of one lane. Numbers below `sealCount` are seal batches. */
export class BatchTable {
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;

  constructor(slab: Slab, readonly plan: BatchPlan) {
    this.#i32 = slab.i32;
    this.#f64 = slab.f64;
  }

  /** The place of a descriptor. */
  at(batch: number): number {
    return this.plan.descriptorsAt + batch * DESCRIPTOR_STRIDE;
  }

  /** One of the words of `BatchWord`. */
  word(batch: number, word: number): number {
    return this.#i32[(this.at(batch) + word) >> 2];
  }

  /** Sets one of the words of `BatchWord`. */
  setWord(batch: number, word: number, value: number): void {
    this.#i32[(this.at(batch) + word) >> 2] = value;
  }

  /** Seal: the counter of the first message. */
  counter(batch: number): number {
    return this.#f64[(this.at(batch) + BATCH_COUNTER) >> 3];
  }

  /** Seal: sets the counter of the first message. */
  setCounter(batch: number, counter: number): void {
    this.#f64[(this.at(batch) + BATCH_COUNTER) >> 3] = counter;
  }

  /** Open: when it was received. */
  arrivedMs(batch: number): number {
    return this.#f64[(this.at(batch) + BATCH_ARRIVED_MS) >> 3];
  }

  /** Open: sets when it was received. */
  setArrivedMs(batch: number, nowMs: number): void {
    this.#f64[(this.at(batch) + BATCH_ARRIVED_MS) >> 3] = nowMs;
  }

  /** Seal: where the first message begins. */
  messagesAt(batch: number): number {
    return this.plan.sealBuffersAt + batch * SEAL_STRIDE + HEADROOM_BYTES;
  }

  /** Seal: bytes of the whole run. */
  bytes(batch: number): number {
    const count = this.word(batch, BatchWord.Count);
    return (count - 1) * this.word(batch, BatchWord.Stride) + this.word(batch, BatchWord.LastBytes);
  }

  /** Open: where the datagrams are received to; there is room for 65,536 bytes. */
  inputAt(batch: number): number {
    const index = batch - this.plan.sealCount;
    return this.plan.openBuffersAt + index * OPEN_STRIDE + HEADROOM_BYTES;
  }

  /** Open: where the first plaintext goes. */
  outputAt(batch: number): number {
    const index = batch - this.plan.sealCount;
    return this.plan.openBuffersAt + index * OPEN_STRIDE + OPEN_OUTPUT + PLAINTEXT_HEADROOM_BYTES;
  }
}

/** A stack of free batch numbers: the one used last is the one that is warm in the cache. */
export class FreeList {
  readonly #numbers: Int32Array;
  #count: number;

  constructor(first: number, count: number) {
    this.#numbers = new Int32Array(count);
    for (let i = 0; i < count; i++) this.#numbers[i] = first + count - 1 - i;
    this.#count = count;
  }

  /** Takes a number, or -1 when none is free. */
  take(): number {
    return this.#count === 0 ? -1 : this.#numbers[--this.#count];
  }

  /** Gives a number back. */
  give(number: number): void {
    this.#numbers[this.#count++] = number;
  }

  /** How many are free. */
  get length(): number {
    return this.#count;
  }
}
