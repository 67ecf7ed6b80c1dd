/**
 * Records of segments that were sent and not yet acknowledged: columns of numbers that all
 * connections of a layer share, so that a segment costs no object. A record stands in the list of
 * its connection by sequence number, and in one more list that its state decides (`Scoreboard`).
 */

/** No record. */
export const NO_RECORD = -1;

/** What is known of a segment, as bits. */
export const SentFlag = {
  /** Selectively acknowledged. */
  Sacked: 1,
  /** Believed lost, and not sent again since. */
  Lost: 2,
  /** Sent more than once. */
  Retransmitted: 4,
} as const;

const CAPACITY_FIRST = 256;

/** The columns. A record's number is its index in each of them. */
export class SentRecords {
  seq = new Int32Array(CAPACITY_FIRST);
  /** The sequence number behind it; a FIN counts. */
  end = new Int32Array(CAPACITY_FIRST);
  sentAtMs = new Float64Array(CAPACITY_FIRST);
  flags = new Uint8Array(CAPACITY_FIRST);
  /** By sequence number. */
  next = new Int32Array(CAPACITY_FIRST);
  previous = new Int32Array(CAPACITY_FIRST);
  /** In the list of its state. */
  after = new Int32Array(CAPACITY_FIRST);
  before = new Int32Array(CAPACITY_FIRST);
  /** Records in use. */
  usedCount = 0;
  #free = NO_RECORD;
  #fresh = 0;

  /** Takes a record out of the pool. */
  allocate(): number {
    this.usedCount++;
    const record = this.#free;
    if (record !== NO_RECORD) {
      this.#free = this.next[record];
      return record;
    }
    if (this.#fresh === this.seq.length) this.#grow();
    return this.#fresh++;
  }

  /** Puts a record back. */
  free(record: number): void {
    this.usedCount--;
    this.next[record] = this.#free;
    this.#free = record;
  }

  #grow(): void {
    const length = 2 * this.seq.length;
    this.seq = widen(this.seq, length);
    this.end = widen(this.end, length);
    this.next = widen(this.next, length);
    this.previous = widen(this.previous, length);
    this.after = widen(this.after, length);
    this.before = widen(this.before, length);
    const flags = new Uint8Array(length);
    flags.set(this.flags);
    this.flags = flags;
    const times = new Float64Array(length);
    times.set(this.sentAtMs);
    this.sentAtMs = times;
  }
}

function widen(column: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const wider = new Int32Array(length);
  wider.set(column);
  return wider;
}
