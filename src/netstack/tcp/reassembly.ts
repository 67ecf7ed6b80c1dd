/**
 * Which bytes have come out of order: a sorted list of ranges of sequence numbers, and what the other
 * end is told about them, by SACK (RFC 2018) and DSACK (RFC 2883). The bytes themselves are in the
 * receive buffer at their places.
 *
 * Sequence numbers are signed 32-bit integers; all ranges lie within one window above `rcvNxt`, so
 * they are compared by difference. Cost is bounded: the number of ranges is, a lookup is a binary
 * search, and an insertion moves at most that many words.
 */

/** SACK blocks that fit beside nothing; beside timestamps one less. */
export const SACK_BLOCKS_MAX = 4;
/** Ranges that are kept at most; a segment that would open one more is refused. */
const REASSEMBLY_RANGES_MAX = 1024;

const RANGES_AT_FIRST = 8;
/** Ranges remembered as lately changed: more than fit in one acknowledgment, as some will merge. */
const RECENT = 8;

/** What nothing has come out of order for has. */
const NONE = new Int32Array(0);
/** The blocks that were taken last, of whichever connection: they are written down at once. */
const takenBlocks = new Int32Array(SACK_BLOCKS_MAX * 2);

/** The out-of-order ranges of one connection. */
export class Reassembly {
  /** Number of ranges. */
  count = 0;
  /** Bytes in all ranges. */
  totalBytes = 0;
  /** What `takeSackBlocks` has left, until it is called again: start and end of each block. */
  readonly blocks = takenBlocks;
  #starts = NONE;
  #ends = NONE;
  /** Sequence numbers inside the ranges that changed lately, the latest first. */
  #recent = NONE;
  #recentCount = 0;
  #duplicateStart = 0;
  #duplicateEnd = 0;

  constructor(readonly rangesMax = REASSEMBLY_RANGES_MAX) {}

  /** Whether a DSACK block waits to be told. */
  get hasDuplicate(): boolean {
    return this.#duplicateStart !== this.#duplicateEnd;
  }

  /** Forgets everything. */
  clear(): void {
    this.count = 0;
    this.totalBytes = 0;
    this.#recentCount = 0;
    this.#duplicateStart = this.#duplicateEnd = 0;
  }

  /** Start of range `index`, lowest first. */
  startOf(index: number): number {
    return this.#starts[index];
  }

  /** End of range `index`; the byte at `end` is not in it. */
  endOf(index: number): number {
    return this.#ends[index];
  }

  /**
   * Adds `start .. end - 1`, which lies above `rcvNxt` and inside the window, and returns how many
   * of these bytes are new. -1: refused, because there are `rangesMax` ranges already; the bytes
   * must not be kept. What had come before is noted for DSACK.
   */
  add(start: number, end: number): number {
    if (((end - start) | 0) <= 0) return 0;
    // Ranges first .. last - 1 overlap or touch the new one.
    const first = this.#firstEndingAtOrAfter(start);
    let last = first;
    while (last < this.count && ((end - this.#starts[last]) | 0) >= 0) last++;
    if (first === last) return this.#open(first, start, end);
    this.#noteOverlap(first, last, start, end);
    return this.#merge(first, last, start, end);
  }

  /**
   * In-order data has come up to `rcvNxt`: removes the ranges that it has reached and returns how
   * far the stream now goes without a gap.
   */
  advance(rcvNxt: number): number {
    let next = rcvNxt;
    let removed = 0;
    while (removed < this.count && ((this.#starts[removed] - next) | 0) <= 0) {
      const end = this.#ends[removed];
      this.totalBytes -= (end - this.#starts[removed]) | 0;
      if (((end - next) | 0) > 0) next = end;
      removed++;
    }
    if (removed > 0) this.#remove(0, removed);
    return next;
  }

  /**
   * Notes that `start .. end - 1` came again, to be told by the next acknowledgment. Pieces that
   * follow each other become one block; otherwise the latest wins, as there is room for one.
   */
  noteDuplicate(start: number, end: number): void {
    if (((end - start) | 0) <= 0) return;
    if (this.hasDuplicate && start === this.#duplicateEnd) {
      this.#duplicateEnd = end;
      return;
    }
    this.#duplicateStart = start;
    this.#duplicateEnd = end;
  }

  /**
   * Leaves in `blocks` what the next acknowledgment is to tell, at most `blocksMax` blocks, and
   * returns their number. A duplicate comes first and is told once (RFC 2883 section 4), then the
   * range that contains it, then the ranges in the order in which they have changed, latest first.
   */
  takeSackBlocks(blocksMax: number): number {
    let blockCount = 0;
    if (this.hasDuplicate && blocksMax > 0) {
      blockCount = this.#putBlock(0, this.#duplicateStart, this.#duplicateEnd);
      const around = this.#indexContaining(this.#duplicateStart);
      this.#duplicateStart = this.#duplicateEnd = 0;
      if (around >= 0) blockCount = this.#putRange(blockCount, around, blocksMax, 1);
    }
    const first = blockCount > 1 ? 1 : blockCount;
    for (let i = 0; i < this.#recentCount && blockCount < blocksMax; i++) {
      const index = this.#indexContaining(this.#recent[i]);
      if (index >= 0) blockCount = this.#putRange(blockCount, index, blocksMax, first);
    }
    for (let index = this.count - 1; index >= 0 && blockCount < blocksMax; index--) {
      blockCount = this.#putRange(blockCount, index, blocksMax, first);
    }
    return blockCount;
  }

  #putBlock(index: number, start: number, end: number): number {
    this.blocks[index * 2] = start;
    this.blocks[index * 2 + 1] = end;
    return index + 1;
  }

  /** Puts a range behind `blockCount` blocks unless it is among those from `first` on. */
  #putRange(blockCount: number, range: number, blocksMax: number, first: number): number {
    if (blockCount >= blocksMax) return blockCount;
    const start = this.#starts[range];
    for (let i = first; i < blockCount; i++) {
      if (this.blocks[i * 2] === start) return blockCount;
    }
    return this.#putBlock(blockCount, start, this.#ends[range]);
  }

  #open(index: number, start: number, end: number): number {
    if (this.count >= this.rangesMax) return -1;
    if (this.count === this.#starts.length) this.#grow();
    this.#starts.copyWithin(index + 1, index, this.count);
    this.#ends.copyWithin(index + 1, index, this.count);
    this.#starts[index] = start;
    this.#ends[index] = end;
    this.count++;
    this.totalBytes += (end - start) | 0;
    this.#noteRecent(start, end, start);
    return (end - start) | 0;
  }

  #merge(first: number, last: number, start: number, end: number): number {
    let heldBytes = 0;
    for (let i = first; i < last; i++) heldBytes += (this.#ends[i] - this.#starts[i]) | 0;
    const mergedStart = ((start - this.#starts[first]) | 0) < 0 ? start : this.#starts[first];
    const mergedEnd = ((end - this.#ends[last - 1]) | 0) > 0 ? end : this.#ends[last - 1];
    this.#starts[first] = mergedStart;
    this.#ends[first] = mergedEnd;
    if (last - first > 1) this.#remove(first + 1, last);
    const newBytes = ((mergedEnd - mergedStart) | 0) - heldBytes;
    this.totalBytes += newBytes;
    this.#noteRecent(mergedStart, mergedEnd, start);
    return newBytes;
  }

  /** The first contiguous part of a new range that was there before is a duplicate. */
  #noteOverlap(first: number, last: number, start: number, end: number): void {
    for (let i = first; i < last; i++) {
      const from = ((this.#starts[i] - start) | 0) > 0 ? this.#starts[i] : start;
      const to = ((this.#ends[i] - end) | 0) < 0 ? this.#ends[i] : end;
      if (((to - from) | 0) > 0) return this.noteDuplicate(from, to);
    }
  }

  /** Puts `within` in front of the recent ones and takes out others of the same range. */
  #noteRecent(start: number, end: number, within: number): void {
    const recent = this.#recent;
    let kept = 0;
    let carried = within;
    for (let i = 0; i < this.#recentCount; i++) {
      const other = recent[i];
      if (((other - start) | 0) >= 0 && ((other - end) | 0) < 0) continue;
      recent[kept++] = carried;
      carried = other;
    }
    if (kept < RECENT) recent[kept++] = carried;
    this.#recentCount = kept;
  }

  #remove(from: number, to: number): void {
    this.#starts.copyWithin(from, to, this.count);
    this.#ends.copyWithin(from, to, this.count);
    this.count -= to - from;
  }

  #grow(): void {
    if (this.#recent === NONE) this.#recent = new Int32Array(RECENT);
    const length = Math.min(Math.max(this.#starts.length * 2, RANGES_AT_FIRST), this.rangesMax);
    const [starts, ends] = [new Int32Array(length), new Int32Array(length)];
    starts.set(this.#starts);
    ends.set(this.#ends);
    this.#starts = starts;
    this.#ends = ends;
  }

  /** Index of the first range whose end is at or behind `sequence`. */
  #firstEndingAtOrAfter(sequence: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (((this.#ends[middle] - sequence) | 0) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Index of the range with the byte `sequence`, or -1. */
  #indexContaining(sequence: number): number {
    const index = this.#firstEndingAtOrAfter((sequence + 1) | 0);
    if (index === this.count || ((this.#starts[index] - sequence) | 0) > 0) return -1;
    return index;
  }
}
