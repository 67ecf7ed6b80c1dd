/**
 * The send buffer: a ring in a pool block, with a guard area behind it.
 *
 * ```
 *  block                                        capacity          capacity + guard
 *  |------[ sent, not acknowledged ][ not sent ]-----|··········overhang··|
 *         head                          head + used
 * ```
 * A segment that would wrap around is made contiguous by copying its overhang from the ring's
 * beginning to the guard; a write may likewise run into the guard and is copied back. So every
 * segment of up to 64 KB is one range of memory, and only bytes near the end are copied. Bytes that
 * a queued segment refers to change only after they were acknowledged, when nobody wants them.
 *
 * There is no block until the first write, whose size decides how large it is; an empty ring begins
 * at its start again and can be given back.
 */
import type { Slab } from "../../memory/slab.ts";
import type { BufferPool } from "../buffer_pool.ts";

/** The guard: more than the payload of any segment; half of the block when the ring is smaller. */
const GUARD_BYTES = 65_536;
/** The first block, for whoever writes little and for others: rings of 8 and of 64 KiB. */
const BLOCK_BYTES_MIN = 16 << 10;
const BLOCK_BYTES_FIRST = 2 * GUARD_BYTES;

/** One connection's send buffer. Offsets count from the oldest byte that is not acknowledged. */
export class SendBuffer {
  /** The pool block, 0 when there is none. */
  block = 0;
  /** Bytes in it: acknowledged ones are gone. */
  usedBytes = 0;
  /** Where the span that `span` has found stands. */
  spanAt = 0;
  #capacityBytes = 0;
  #guardBytes = 0;
  #head = 0;

  constructor(readonly slab: Slab, readonly pool: BufferPool) {}

  /** Size of the ring; while there is none, what it may begin with. */
  get capacityBytes(): number {
    return this.block === 0 ? GUARD_BYTES : this.#capacityBytes;
  }

  /** Room for writing. */
  get freeBytes(): number {
    return this.capacityBytes - this.usedBytes;
  }

  /** Finds contiguous room of at most `maxBytes`; 0 when there is none, or no memory. */
  span(maxBytes: number): number {
    if (this.block === 0 && !this.#open(maxBytes)) return 0;
    let position = this.#head + this.usedBytes;
    if (position >= this.#capacityBytes) position -= this.#capacityBytes;
    this.spanAt = this.block + position;
    const untilEnd = this.#capacityBytes + this.#guardBytes - position;
    return Math.min(maxBytes, this.#capacityBytes - this.usedBytes, untilEnd);
  }

  /** Adds the first `bytes` bytes of the span. */
  commit(bytes: number): void {
    this.usedBytes += bytes;
    const overhang = this.spanAt + bytes - (this.block + this.#capacityBytes);
    if (overhang <= 0) return;
    const end = this.block + this.#capacityBytes;
    const from = Math.max(this.spanAt, end);
    this.slab.u8.copyWithin(from - this.#capacityBytes, from, end + overhang);
  }

  /** Forgets the oldest `bytes` bytes: they were acknowledged. */
  release(bytes: number): void {
    this.usedBytes -= bytes;
    this.#head += bytes;
    if (this.#head >= this.#capacityBytes) this.#head -= this.#capacityBytes;
    if (this.usedBytes === 0) this.#head = 0;
  }

  /** The place of `bytes` (at most 64 KB) bytes at `offset`, contiguous. */
  placeOf(offset: number, bytes: number): number {
    let position = this.#head + offset;
    if (position >= this.#capacityBytes) position -= this.#capacityBytes;
    const overhang = position + bytes - this.#capacityBytes;
    if (overhang > 0) {
      const end = this.block + this.#capacityBytes;
      this.slab.u8.copyWithin(end, this.block, this.block + overhang);
    }
    return this.block + position;
  }

  /** Doubles the block; false when the pool has none. */
  grow(): boolean {
    if (this.block === 0) return this.#open(GUARD_BYTES);
    const block = this.pool.allocate(2 * this.pool.blockBytes(this.block));
    if (block === 0) return false;
    const { u8 } = this.slab;
    const first = Math.min(this.usedBytes, this.#capacityBytes - this.#head);
    const from = this.block + this.#head;
    u8.copyWithin(block, from, from + first);
    u8.copyWithin(block + first, this.block, this.block + this.usedBytes - first);
    this.pool.free(this.block);
    this.#adopt(block);
    return true;
  }

  /** Gives the block back, with all that is in it. */
  close(): void {
    if (this.block !== 0) this.pool.free(this.block);
    this.block = 0;
    this.usedBytes = 0;
    this.#head = 0;
    this.#capacityBytes = 0;
  }

  #open(wantedBytes: number): boolean {
    const bytes = Math.max(BLOCK_BYTES_MIN, Math.min(2 * wantedBytes, BLOCK_BYTES_FIRST));
    const block = this.pool.allocate(bytes);
    if (block !== 0) this.#adopt(block);
    return block !== 0;
  }

  #adopt(block: number): void {
    this.block = block;
    this.#head = 0;
    const bytes = this.pool.blockBytes(block);
    this.#guardBytes = Math.min(GUARD_BYTES, bytes >> 1);
    this.#capacityBytes = bytes - this.#guardBytes;
  }
}
