/**
 * How fast a client may begin flows: a bucket of tokens for each. A new flow costs about a tenth of a
 * millisecond of system calls, and a peer that scans a network could keep the lane busy with nothing
 * else. What comes too early is dropped; who means it asks again.
 */

interface Bucket {
  tokens: number;
  atMs: number;
}

/** Clients that are remembered although their buckets may be full again. */
const CLIENTS_MAX = 1024;

/** The buckets of one lane. */
export class ClientRate {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  /** Clients that are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Takes a token of the client; false when it has none. */
  take(client: string, nowMs: number): boolean {
    let bucket = this.#buckets.get(client);
    if (bucket === undefined) {
      if (this.#buckets.size >= CLIENTS_MAX) this.#forgetFull(nowMs);
      this.#buckets.set(client, bucket = { tokens: this.#burst, atMs: nowMs });
    }
    bucket.tokens = this.#tokensAt(bucket, nowMs);
    bucket.atMs = nowMs;
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  #tokensAt({ tokens, atMs }: Bucket, nowMs: number): number {
    return Math.min(this.#burst, tokens + (nowMs - atMs) * this.#perSecond / 1000);
  }

  /** A full bucket is as good as none. Addresses of nobody, where all are in use, go too. */
  #forgetFull(nowMs: number): void {
    for (const [client, bucket] of this.#buckets) {
      if (this.#tokensAt(bucket, nowMs) >= this.#burst) this.#buckets.delete(client);
    }
    for (const client of this.#buckets.keys()) {
      if (this.#buckets.size < CLIENTS_MAX) break;
      this.#buckets.delete(client);
    }
  }
}
