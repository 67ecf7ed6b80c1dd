/**
 * What ICMP has told about path MTUs (RFC 1191, RFC 8201), by destination. Whoever enters something
 * here has made sure that the ICMP message answers a packet of a flow that exists.
 *
 * Entries end after ten minutes, so that a path that has become wider is found (RFC 8201 section 4),
 * and beyond 256 destinations the oldest gives way.
 */

/** Smaller values that ICMP tells for IPv4 are not believed; Linux's min_pmtu. */
export const PATH_MTU_MIN_V4 = 552;
/** The minimum MTU of IPv6 (RFC 8200 section 5). */
export const PATH_MTU_MIN_V6 = 1280;

const LIFETIME_MS = 600_000;
const ENTRIES_MAX = 256;

interface Entry {
  readonly mtu: number;
  readonly deadlineMs: number;
}

/** The cache. */
export class PathMtuCache {
  readonly #entries = new Map<string, Entry>();

  /** Destinations in it, some perhaps out of date. */
  get count(): number {
    return this.#entries.size;
  }

  /** The MTU towards `remote`, at most `linkMtu`. */
  mtuTo(remote: Uint8Array, linkMtu: number, nowMs: number): number {
    if (this.#entries.size === 0) return linkMtu;
    const key = remote.join();
    const entry = this.#entries.get(key);
    if (entry === undefined) return linkMtu;
    if (entry.deadlineMs > nowMs) return Math.min(entry.mtu, linkMtu);
    this.#entries.delete(key);
    return linkMtu;
  }

  /** Enters that packets of at most `mtu` bytes reach `remote`; never raises what is there. */
  learn(remote: Uint8Array, mtu: number, nowMs: number): void {
    const key = remote.join();
    const known = this.#entries.get(key);
    if (known !== undefined && known.deadlineMs > nowMs && known.mtu <= mtu) return;
    // Deleted first, so that the order of insertion is the order of age.
    this.#entries.delete(key);
    this.#entries.set(key, { mtu, deadlineMs: nowMs + LIFETIME_MS });
    if (this.#entries.size <= ENTRIES_MAX) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }
}
