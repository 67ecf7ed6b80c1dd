/**
 * The receive side's out-of-order ranges, the plain way: a set of numbered bytes, and a list of
 * what came when. Sequence numbers are counted from the start of the test, so they do not wrap.
 */
export class ReassemblyReference {
  readonly bytes = new Set<number>();
  /** Runs in the order in which they have changed, the latest first, by one byte of each. */
  #recent: number[] = [];
  #duplicate: [number, number] | null = null;

  constructor(readonly rangesMax: number) {}

  /** The ranges, lowest first. */
  ranges(): [number, number][] {
    const ranges: [number, number][] = [];
    for (const byte of [...this.bytes].sort((a, b) => a - b)) {
      const last = ranges.at(-1);
      if (last !== undefined && last[1] === byte) last[1]++;
      else ranges.push([byte, byte + 1]);
    }
    return ranges;
  }

  add(start: number, end: number): number {
    const touches = this.ranges().some(([from, to]) => from <= end && start <= to);
    if (!touches && this.ranges().length >= this.rangesMax) return -1;
    let added = 0;
    let duplicate: [number, number] | null = null;
    for (let byte = start; byte < end; byte++) {
      if (!this.bytes.has(byte)) {
        this.bytes.add(byte);
        added++;
      } else if (duplicate === null) {
        duplicate = [byte, byte + 1];
      } else if (duplicate[1] === byte) {
        duplicate[1]++;
      }
    }
    if (duplicate !== null) this.noteDuplicate(...duplicate);
    this.#recent.unshift(start);
    return added;
  }

  noteDuplicate(start: number, end: number): void {
    if (this.#duplicate !== null && this.#duplicate[1] === start) this.#duplicate[1] = end;
    else this.#duplicate = [start, end];
  }

  advance(rcvNxt: number): number {
    let next = rcvNxt;
    while (this.bytes.has(next)) next++;
    for (const byte of this.bytes) if (byte < next) this.bytes.delete(byte);
    return next;
  }

  takeSackBlocks(blocksMax: number): [number, number][] {
    const ranges = this.ranges();
    const around = (byte: number) => ranges.find(([from, to]) => from <= byte && byte < to);
    const wanted: [number, number][] = [];
    const push = (range: [number, number] | undefined) => {
      if (range !== undefined && !wanted.some(([from]) => from === range[0])) wanted.push(range);
    };
    const duplicate = this.#duplicate;
    this.#duplicate = null;
    if (duplicate !== null) push(around(duplicate[0]));
    for (const byte of this.#recent) push(around(byte));
    return (duplicate === null ? wanted : [duplicate, ...wanted]).slice(0, blocksMax);
  }
}
