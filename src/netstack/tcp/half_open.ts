/**
 * The SYN queue (RFC 4987): how many connections are half open, in all and for each remote address,
 * so that neither a flood of SYNs nor the hung dials of one client take all there is.
 */
import type { RandomSource } from "../../base/random.ts";
import { SipHash } from "../../base/siphash.ts";

/** Counts half-open connections. */
export class HalfOpenCount {
  total = 0;
  readonly #byRemote = new Map<number, number>();
  readonly #hash: SipHash;

  constructor(random: RandomSource, readonly max: number, readonly perRemoteMax: number) {
    this.#hash = SipHash.withRandomKey(random);
  }

  /** Whether all places are taken. */
  get isFull(): boolean {
    return this.total >= this.max;
  }

  /** Whether the address has as many as one may have. */
  isFullFor(remote: Uint8Array): boolean {
    return (this.#byRemote.get(this.#key(remote)) ?? 0) >= this.perRemoteMax;
  }

  /** One more. */
  enter(remote: Uint8Array): void {
    const key = this.#key(remote);
    this.#byRemote.set(key, (this.#byRemote.get(key) ?? 0) + 1);
    this.total++;
  }

  /** One less. */
  leave(remote: Uint8Array): void {
    const key = this.#key(remote);
    const count = this.#byRemote.get(key)! - 1;
    if (count > 0) this.#byRemote.set(key, count);
    else this.#byRemote.delete(key);
    this.total--;
  }

  /** Addresses of one key are counted together, which takes luck: it is secret. */
  #key(remote: Uint8Array): number {
    this.#hash.begin();
    this.#hash.addAddress(remote);
    return this.#hash.finish();
  }
}
