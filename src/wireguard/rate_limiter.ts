/**
 * The limiter behind the cookies: under load, an address that has proved that it receives what is
 * sent to it may still have only so many handshakes computed (WireGuard paper, section 5.3).
 *
 * A token bucket per IPv4 address and per IPv6 /64: 20 a second, 5 at once. Entries are forgotten
 * when they have been full for a while; when there are too many, unknown addresses are refused.
 */
import { AF_INET, type EndpointBytes } from "../tables/endpoint.ts";
import {
  LIMITER_BURST,
  LIMITER_ENTRIES_MAX,
  LIMITER_MESSAGES_PER_SECOND,
  LIMITER_SWEEP_MS,
} from "./constants.ts";

/** Tokens are milliseconds: a message costs as long as it takes to earn it. */
const COST_MS = 1000 / LIMITER_MESSAGES_PER_SECOND;
const TOKENS_MAX_MS = COST_MS * LIMITER_BURST;

interface Bucket {
  tokensMs: number;
  lastMs: number;
}

/** An IPv4 address as a number, the upper half of an IPv6 address as a string. */
function bucketKey(from: EndpointBytes): number | string {
  const view = new DataView(from.buffer, from.byteOffset, from.byteLength);
  if (view.getUint16(0, true) === AF_INET) return view.getUint32(4);
  return `${view.getUint32(8)}:${view.getUint32(12)}`;
}

/** Token buckets by source address. */
export class RateLimiter {
  readonly #buckets = new Map<number | string, Bucket>();
  #sweepMs = Infinity;

  constructor(readonly entriesMax = LIMITER_ENTRIES_MAX) {}

  /** How many addresses are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Whether a message from the endpoint record `from` may be worked on. */
  allow(from: EndpointBytes, nowMs: number): boolean {
    const key = bucketKey(from);
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      if (this.#buckets.size >= this.entriesMax) return false;
      this.#buckets.set(key, { tokensMs: TOKENS_MAX_MS - COST_MS, lastMs: nowMs });
      if (this.#sweepMs === Infinity) this.#sweepMs = nowMs + LIMITER_SWEEP_MS;
      return true;
    }
    bucket.tokensMs = Math.min(TOKENS_MAX_MS, bucket.tokensMs + nowMs - bucket.lastMs);
    bucket.lastMs = nowMs;
    if (bucket.tokensMs < COST_MS) return false;
    bucket.tokensMs -= COST_MS;
    return true;
  }

  /** Forgets addresses that have been quiet. */
  onTimeout(nowMs: number): void {
    if (nowMs < this.#sweepMs) return;
    for (const [key, bucket] of this.#buckets) {
      if (nowMs - bucket.lastMs >= LIMITER_SWEEP_MS) this.#buckets.delete(key);
    }
    this.#sweepMs = this.#buckets.size === 0 ? Infinity : nowMs + LIMITER_SWEEP_MS;
  }

  /** When to call `onTimeout`, Infinity when nothing is remembered. */
  nextTimeoutMs(): number {
    return this.#sweepMs;
  }
}
