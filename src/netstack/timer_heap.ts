/**
 * Deadlines of many things that are named by small integers: a binary heap over typed arrays that
 * knows where each id stands, so that a deadline is set, moved and cleared in O(log n) without
 * allocation.
 */

const ABSENT = -1;

/** The heap; ids are dense, from 0. */
export class TimerHeap {
  #ids: Int32Array;
  /** Deadline by id. */
  #deadlineMs: Float64Array;
  /** Position in `#ids` by id. */
  #position: Int32Array;
  #count = 0;

  constructor(capacity = 64) {
    this.#ids = new Int32Array(capacity);
    this.#deadlineMs = new Float64Array(capacity);
    this.#position = new Int32Array(capacity).fill(ABSENT);
  }

  /** Number of deadlines that are set. */
  get count(): number {
    return this.#count;
  }

  /** The earliest deadline, or Infinity. */
  get nextMs(): number {
    return this.#count === 0 ? Infinity : this.#deadlineMs[this.#ids[0]];
  }

  /** The deadline of `id`, or Infinity. */
  deadlineMs(id: number): number {
    return this.#has(id) ? this.#deadlineMs[id] : Infinity;
  }

  /** Sets or moves the deadline of `id`; Infinity clears it. */
  set(id: number, deadlineMs: number): void {
    if (deadlineMs === Infinity) return this.clear(id);
    if (id >= this.#position.length) this.#grow(id);
    let position = this.#position[id];
    if (position === ABSENT) {
      position = this.#count++;
      this.#ids[position] = id;
      this.#position[id] = position;
    }
    this.#deadlineMs[id] = deadlineMs;
    this.#down(this.#up(position));
  }

  /** Takes the deadline of `id` away. */
  clear(id: number): void {
    if (!this.#has(id)) return;
    const position = this.#position[id];
    this.#position[id] = ABSENT;
    const last = this.#ids[--this.#count];
    if (position === this.#count) return;
    this.#ids[position] = last;
    this.#position[last] = position;
    this.#down(this.#up(position));
  }

  /** Takes out and returns the id of a deadline that is not after `nowMs`, earliest first, or -1. */
  popDue(nowMs: number): number {
    if (this.#count === 0) return ABSENT;
    const id = this.#ids[0];
    if (this.#deadlineMs[id] > nowMs) return ABSENT;
    this.clear(id);
    return id;
  }

  #has(id: number): boolean {
    return id < this.#position.length && this.#position[id] !== ABSENT;
  }

  #up(from: number): number {
    const ids = this.#ids;
    const id = ids[from];
    const deadlineMs = this.#deadlineMs[id];
    let position = from;
    while (position > 0) {
      const parent = (position - 1) >>> 1;
      if (this.#deadlineMs[ids[parent]] <= deadlineMs) break;
      ids[position] = ids[parent];
      this.#position[ids[position]] = position;
      position = parent;
    }
    ids[position] = id;
    this.#position[id] = position;
    return position;
  }

  #down(from: number): void {
    const ids = this.#ids;
    const id = ids[from];
    const deadlineMs = this.#deadlineMs[id];
    let position = from;
    for (;;) {
      let child = 2 * position + 1;
      if (child >= this.#count) break;
      const right = child + 1;
      if (
        right < this.#count && this.#deadlineMs[ids[right]] < this.#deadlineMs[ids[child]]
      ) child = right;
      if (this.#deadlineMs[ids[child]] >= deadlineMs) break;
      ids[position] = ids[child];
      this.#position[ids[position]] = position;
      position = child;
    }
    ids[position] = id;
    this.#position[id] = position;
  }

  #grow(id: number): void {
    const capacity = Math.max(id + 1, this.#position.length * 2);
    const ids = new Int32Array(capacity);
    ids.set(this.#ids);
    this.#ids = ids;
    const deadlines = new Float64Array(capacity);
    deadlines.set(this.#deadlineMs);
    this.#deadlineMs = deadlines;
    const positions = new Int32Array(capacity).fill(ABSENT);
    positions.set(this.#position);
    this.#position = positions;
  }
}
