/**
 * Memory for send buffers, receive buffers and single datagrams: a buddy allocator over one region of
 * the slab. Blocks are powers of two from 4 KiB to 16 MiB, named by their place.
 *
 * A block that is pinned outlives `free`: queued segments point into it, and it goes back when the
 * last of them has left. All work but `trim` is O(number of sizes); nothing is allocated after
 * construction.
 *
 * Free memory keeps its pages for who comes next: giving them back and touching them anew costs more
 * than a short connection does otherwise. `trim`, called now and then, gives back what has lain idle
 * from one call to the next.
 */
import { invariant } from "../base/invariant.ts";

/** The smallest block. */
export const POOL_BLOCK_BYTES_MIN = 4096;
/** The largest block. */
export const POOL_BLOCK_BYTES_MAX = 16 << 20;

const MIN_SHIFT = 12;
const ORDER_COUNT = 13;
const NONE = -1;

/** Of a free block: its pages were given back; it is new since the last `trim`; it was there then. */
const Pages = { None: 0, Fresh: 1, Idle: 2 } as const;

/** What a unit (4 KiB) is; a block is described at its first unit. */
const Unit = { Inside: 0, Free: 1, Used: 2, FreedWhilePinned: 3 } as const;

/** The allocator. A unit is 4 KiB; block `u` of order `o` covers units `u .. u + 2^o - 1`. */
export class BufferPool {
  readonly #at: number;
  readonly #onRelease: ((at: number, bytes: number) => void) | undefined;
  readonly #kind: Uint8Array;
  readonly #order: Uint8Array;
  readonly #pins: Int32Array;
  readonly #pages: Uint8Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** First free block of each order. */
  readonly #first = new Int32Array(ORDER_COUNT).fill(NONE);
  readonly #unitCount: number;
  #usedUnits = 0;
  #peakUnits = 0;
  #isTrimmed = true;

  /**
   * Manages `byteLength` bytes at `at`, which is not 0. `onRelease` hears from `trim` of free blocks,
   * merged with their free neighbours, whose memory can be given to the system.
   */
  constructor(at: number, byteLength: number, onRelease?: (at: number, bytes: number) => void) {
    invariant(at > 0, "place 0 means that there is no block");
    this.#at = at;
    this.#onRelease = onRelease;
    const units = byteLength >>> MIN_SHIFT;
    this.#unitCount = units;
    this.#kind = new Uint8Array(units);
    this.#order = new Uint8Array(units);
    this.#pins = new Int32Array(units);
    this.#pages = new Uint8Array(units);
    this.#next = new Int32Array(units);
    this.#previous = new Int32Array(units);
    for (let unit = 0; unit < units;) {
      let order = ORDER_COUNT - 1;
      while (unit % (1 << order) !== 0 || unit + (1 << order) > units) order--;
      this.#link(unit, order);
      unit += 1 << order;
    }
  }

  /** Bytes in blocks that are in use or pinned. */
  get usedBytes(): number {
    return this.#usedUnits * POOL_BLOCK_BYTES_MIN;
  }

  /** The most that `usedBytes` has been. */
  get peakBytes(): number {
    return this.#peakUnits * POOL_BLOCK_BYTES_MIN;
  }

  /** All bytes that it manages. */
  get totalBytes(): number {
    return this.#unitCount * POOL_BLOCK_BYTES_MIN;
  }

  /** Whether every free block has been told to `onRelease`. */
  get isTrimmed(): boolean {
    return this.#isTrimmed;
  }

  /**
   * Tells `onRelease` of the free blocks that were free at the last call too, until they come to
   * `bytesMax`; whether there are more of them, which the next call goes on with.
   */
  trim(bytesMax = Infinity): boolean {
    let left = bytesMax;
    for (let order = ORDER_COUNT - 1; order >= 0; order--) {
      for (let unit = this.#first[order]; unit !== NONE; unit = this.#next[unit]) {
        if (this.#pages[unit] !== Pages.Idle) continue;
        if (left <= 0) return true;
        const bytes = POOL_BLOCK_BYTES_MIN << order;
        this.#pages[unit] = Pages.None;
        this.#onRelease?.(this.#at + unit * POOL_BLOCK_BYTES_MIN, bytes);
        left -= bytes;
      }
    }
    this.#isTrimmed = !this.#growOld();
    return false;
  }

  /** Takes a block of at least `bytes` bytes; its place, or 0 when there is none. */
  allocate(bytes: number): number {
    if (bytes > POOL_BLOCK_BYTES_MAX) return 0;
    const order = orderFor(bytes);
    let found = order;
    while (found < ORDER_COUNT && this.#first[found] === NONE) found++;
    if (found === ORDER_COUNT) return 0;
    const unit = this.#first[found];
    this.#unlink(unit, found);
    while (found > order) {
      found--;
      this.#pages[unit + (1 << found)] = this.#pages[unit];
      this.#link(unit + (1 << found), found);
    }
    this.#kind[unit] = Unit.Used;
    this.#order[unit] = order;
    this.#usedUnits += 1 << order;
    if (this.#usedUnits > this.#peakUnits) this.#peakUnits = this.#usedUnits;
    return this.#at + unit * POOL_BLOCK_BYTES_MIN;
  }

  /** Bytes of the block at `at`. */
  blockBytes(at: number): number {
    return POOL_BLOCK_BYTES_MIN << this.#order[this.#unitOf(at)];
  }

  /** Gives the block at `at` back, at once or when its last pin goes. */
  free(at: number): void {
    const unit = this.#unitOf(at);
    invariant(this.#kind[unit] === Unit.Used, "a block is freed once");
    if (this.#pins[unit] > 0) this.#kind[unit] = Unit.FreedWhilePinned;
    else this.#release(unit);
  }

  /** Keeps the block at `at` until `unpin`, whatever its owner does. Pins are counted. */
  pin(at: number): void {
    const unit = this.#unitOf(at);
    invariant(this.#kind[unit] >= Unit.Used, "a pinned block is in use");
    this.#pins[unit]++;
  }

  /** Takes one pin away. */
  unpin(at: number): void {
    const unit = this.#unitOf(at);
    invariant(this.#pins[unit] > 0, "pins are taken away once each");
    if (--this.#pins[unit] === 0 && this.#kind[unit] === Unit.FreedWhilePinned) {
      this.#release(unit);
    }
  }

  #unitOf(at: number): number {
    const unit = (at - this.#at) >>> MIN_SHIFT;
    invariant(unit < this.#unitCount, "the place lies in the pool");
    return unit;
  }

  #release(freed: number): void {
    let unit = freed;
    let order = this.#order[unit];
    this.#usedUnits -= 1 << order;
    this.#kind[unit] = Unit.Inside;
    while (order < ORDER_COUNT - 1) {
      const buddy = unit ^ (1 << order);
      const isWhole = buddy + (1 << order) <= this.#unitCount &&
        this.#kind[buddy] === Unit.Free && this.#order[buddy] === order;
      if (!isWhole) break;
      this.#unlink(buddy, order);
      if (buddy < unit) unit = buddy;
      order++;
    }
    this.#pages[unit] = Pages.Fresh;
    this.#isTrimmed = false;
    this.#link(unit, order);
  }

  /** What is new since the last `trim` is so no more; whether there was any. */
  #growOld(): boolean {
    let hasFresh = false;
    for (let order = 0; order < ORDER_COUNT; order++) {
      for (let unit = this.#first[order]; unit !== NONE; unit = this.#next[unit]) {
        if (this.#pages[unit] !== Pages.Fresh) continue;
        this.#pages[unit] = Pages.Idle;
        hasFresh = true;
      }
    }
    return hasFresh;
  }

  #link(unit: number, order: number): void {
    const first = this.#first[order];
    this.#kind[unit] = Unit.Free;
    this.#order[unit] = order;
    this.#previous[unit] = NONE;
    this.#next[unit] = first;
    if (first !== NONE) this.#previous[first] = unit;
    this.#first[order] = unit;
  }

  #unlink(unit: number, order: number): void {
    const next = this.#next[unit];
    const previous = this.#previous[unit];
    if (previous === NONE) this.#first[order] = next;
    else this.#next[previous] = next;
    if (next !== NONE) this.#previous[next] = previous;
    this.#kind[unit] = Unit.Inside;
  }
}

function orderFor(bytes: number): number {
  return bytes <= POOL_BLOCK_BYTES_MIN ? 0 : 32 - Math.clz32(bytes - 1) - MIN_SHIFT;
}
