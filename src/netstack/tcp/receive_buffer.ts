/**
 * The receive buffer: a ring in a pool block that holds what the application has not read, and
 * behind it, at their places, bytes that came out of order.
 *
 * ```
 *   [ in order, not read ][ gap ][ out of order ]
 *   head                  head + used = RCV.NXT
 * ```
 * There is no block until something has to be kept, and it grows with what is kept, not with the
 * window that is offered: a reader that keeps up costs nothing.
 */
import type { Slab } from "../../memory/slab.ts";
import type { BufferPool } from "../buffer_pool.ts";
import type { Pieces } from "../inbound.ts";

const BLOCK_BYTES_FIRST = 16 << 10;

/** One connection's receive buffer. */
export class ReceiveBuffer {
  /** Bytes in order that were not read. */
  usedBytes = 0;
  /** Where the span that `span` has found stands. */
  spanAt = 0;
  #block = 0;
  #capacityBytes = 0;
  #head = 0;

  constructor(readonly slab: Slab, readonly pool: BufferPool) {}

  /** Bytes of memory that it has. */
  get capacityBytes(): number {
    return this.#capacityBytes;
  }

  /** Makes sure that the `bytes` bytes behind the head have a place; false when there is no memory. */
  reserve(bytes: number): boolean {
    if (bytes <= this.#capacityBytes) return true;
    const block = this.pool.allocate(Math.max(bytes, BLOCK_BYTES_FIRST));
    if (block === 0) return false;
    if (this.#block !== 0) {
      const { u8 } = this.slab;
      const first = this.#capacityBytes - this.#head;
      u8.copyWithin(block, this.#block + this.#head, this.#block + this.#capacityBytes);
      u8.copyWithin(block + first, this.#block, this.#block + this.#head);
      this.pool.free(this.#block);
    }
    this.#block = block;
    this.#head = 0;
    this.#capacityBytes = this.pool.blockBytes(block);
    return true;
  }

  /** Copies all of `pieces` to `offset` behind the head; the place was reserved. */
  store(offset: number, pieces: Pieces): void {
    const mask = this.#capacityBytes - 1;
    let position = (this.#head + offset) & mask;
    for (let i = 0; i < pieces.count; i++) {
      const at = pieces.at[i];
      const bytes = pieces.bytes[i];
      const first = Math.min(bytes, this.#capacityBytes - position);
      const { u8 } = this.slab;
      u8.copyWithin(this.#block + position, at, at + first);
      if (first < bytes) u8.copyWithin(this.#block, at + first, at + bytes);
      position = (position + bytes) & mask;
    }
  }

  /** Moves the head over bytes that were taken without being stored; nothing may wait to be read. */
  skip(bytes: number): void {
    if (this.#block !== 0) this.#head = (this.#head + bytes) & (this.#capacityBytes - 1);
  }

  /** Finds contiguous bytes to read. */
  span(): number {
    this.spanAt = this.#block + this.#head;
    return Math.min(this.usedBytes, this.#capacityBytes - this.#head);
  }

  /** Forgets the oldest `bytes` bytes. */
  consume(bytes: number): void {
    this.usedBytes -= bytes;
    this.#head = (this.#head + bytes) & (this.#capacityBytes - 1);
  }

  /** Begins at the start again; nothing is in it, in order or not. */
  rewind(): void {
    this.#head = 0;
  }

  /** Gives the block back, with all that is in it. */
  close(): void {
    if (this.#block !== 0) this.pool.free(this.#block);
    this.#block = 0;
    this.#capacityBytes = 0;
    this.#head = 0;
    this.usedBytes = 0;
  }
}
