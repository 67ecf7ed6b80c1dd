/**
 * The staging store: packets that wait for a handshake, kept as they were read from the TUN (vnet
 * header first), so that a flush routes and splits them as if they had just arrived.
 *
 * Packets are cut into chunks of one pool that all peers of a lane share; a peer has a queue of at
 * most `STAGED_PACKETS_MAX` packets. When its queue is full, or the pool is empty, the oldest packet
 * of the peer that wants room goes first; a peer with none waiting finds the pool empty only when
 * others fill it, and then its packet is refused.
 *
 * Only the lane touches the store. Chunk: `[u32 next chunk][u32 packet bytes][payload]`.
 */
import type { Slab } from "../memory/slab.ts";
import { STAGED_PACKETS_MAX } from "./limits.ts";

const CHUNK_BYTES = 2048;
const CHUNK_HEADER_BYTES = 8;
const CHUNK_PAYLOAD_BYTES = CHUNK_BYTES - CHUNK_HEADER_BYTES;
const CHUNK_COUNT = 8192;

/** Bytes of slab for the store of one lane. */
export const STAGING_BYTES = CHUNK_COUNT * CHUNK_BYTES;

interface Queue {
  /** First chunks of the packets that wait, oldest first. */
  readonly packets: number[];
}

/** The packets of one lane that wait for handshakes. */
export class StagingStore {
  readonly #slab: Slab;
  readonly #at: number;
  readonly #free = new Int32Array(CHUNK_COUNT);
  #freeCount = CHUNK_COUNT;
  readonly #queues = new Map<number, Queue>();

  constructor(slab: Slab, at: number) {
    this.#slab = slab;
    this.#at = at;
    for (let i = 0; i < CHUNK_COUNT; i++) this.#free[i] = CHUNK_COUNT - 1 - i;
  }

  /** How many packets of `peer` wait. */
  count(peer: number): number {
    return this.#queues.get(peer)?.packets.length ?? 0;
  }

  /**
   * Stores the `bytes` at `at` for `peer`, behind what waits already; returns how many packets
   * were dropped for it (older ones of the peer, or this very packet).
   */
  push(peer: number, at: number, bytes: number): number {
    const queue = this.#queueOf(peer);
    const chunks = Math.ceil(bytes / CHUNK_PAYLOAD_BYTES);
    let dropped = 0;
    while (
      queue.packets.length >= STAGED_PACKETS_MAX ||
      (this.#freeCount < chunks && queue.packets.length > 0)
    ) {
      this.#release(queue.packets.shift()!);
      dropped++;
    }
    if (this.#freeCount < chunks) return dropped + 1;
    queue.packets.push(this.#store(at, bytes));
    return dropped;
  }

  /** Copies the oldest packet of `peer` to `to` and removes it; its length, or -1 for none. */
  shift(peer: number, to: number): number {
    const queue = this.#queues.get(peer);
    if (queue === undefined) return -1;
    const first = queue.packets.shift();
    if (queue.packets.length === 0) this.#queues.delete(peer);
    if (first === undefined) return -1;
    const bytes = this.#load(first, to);
    this.#release(first);
    return bytes;
  }

  /** Drops all that waits for `peer`; returns how many packets that were. */
  clear(peer: number): number {
    const queue = this.#queues.get(peer);
    if (queue === undefined) return 0;
    for (const first of queue.packets) this.#release(first);
    this.#queues.delete(peer);
    return queue.packets.length;
  }

  #queueOf(peer: number): Queue {
    let queue = this.#queues.get(peer);
    if (queue === undefined) {
      queue = { packets: [] };
      this.#queues.set(peer, queue);
    }
    return queue;
  }

  #store(at: number, bytes: number): number {
    const { u8, u32 } = this.#slab;
    let first = -1, previousAt = -1;
    for (let done = 0; done < bytes; done += CHUNK_PAYLOAD_BYTES) {
      const chunk = this.#free[--this.#freeCount];
      const chunkAt = this.#at + chunk * CHUNK_BYTES;
      u32[chunkAt >> 2] = 0xffffffff;
      u32[(chunkAt >> 2) + 1] = bytes;
      const end = Math.min(done + CHUNK_PAYLOAD_BYTES, bytes);
      u8.copyWithin(chunkAt + CHUNK_HEADER_BYTES, at + done, at + end);
      if (first < 0) first = chunk;
      else u32[previousAt >> 2] = chunk;
      previousAt = chunkAt;
    }
    return first;
  }

  #load(first: number, to: number): number {
    const { u8, u32 } = this.#slab;
    const bytes = u32[((this.#at + first * CHUNK_BYTES) >> 2) + 1];
    let chunk = first;
    for (let done = 0; done < bytes; done += CHUNK_PAYLOAD_BYTES) {
      const from = this.#at + chunk * CHUNK_BYTES + CHUNK_HEADER_BYTES;
      u8.copyWithin(to + done, from, from + Math.min(CHUNK_PAYLOAD_BYTES, bytes - done));
      chunk = u32[(from - CHUNK_HEADER_BYTES) >> 2];
    }
    return bytes;
  }

  #release(first: number): void {
    const u32 = this.#slab.u32;
    for (let chunk = first; chunk !== 0xffffffff;) {
      this.#free[this.#freeCount++] = chunk;
      chunk = u32[(this.#at + chunk * CHUNK_BYTES) >> 2];
    }
  }
}
