/**
 * CoDel as RFC 8289 writes it down in its appendix, for a queue of which only waiting times are
 * known, one decision for each that is taken; with two bounds that the RFC has not: for its count,
 * and for what is made up for after a time in which nothing was taken.
 */
export class CodelReference {
  firstAboveTime: number | null = null;
  dropNext = 0;
  count = 0;
  lastcount = 0;
  dropping = false;

  /** Target and interval may be changed at any time. */
  constructor(public target: number, public interval: number, readonly countMax: number) {}

  /** The decision about one that has waited `sojourn` at `now`. */
  dequeue(sojourn: number, now: number): boolean {
    const okToDrop = this.#isAboveForAnInterval(sojourn, now);
    if (this.dropping) {
      if (!okToDrop) {
        this.dropping = false;
        return false;
      }
      if (now < this.dropNext) return false;
      if (this.count < this.countMax) this.count += 1;
      this.dropNext = Math.max(this.#controlLaw(this.dropNext, this.count), now);
      return true;
    }
    if (!okToDrop) return false;
    this.dropping = true;
    const delta = this.count - this.lastcount;
    const isRecent = now - this.dropNext < 16 * this.interval;
    this.count = delta > 1 && isRecent ? delta : 1;
    this.dropNext = this.#controlLaw(now, this.count);
    this.lastcount = this.count;
    return true;
  }

  #isAboveForAnInterval(sojourn: number, now: number): boolean {
    if (sojourn < this.target) {
      this.firstAboveTime = null;
      return false;
    }
    this.firstAboveTime ??= now;
    return now >= this.firstAboveTime + this.interval;
  }

  #controlLaw(time: number, count: number): number {
    return time + this.interval / Math.sqrt(count);
  }
}
