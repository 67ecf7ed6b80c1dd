/** Time as the protocol cores see it: injected, never read from a global. */

/** A source of the two clocks that WireGuard needs. */
export interface Clock {
  /** Milliseconds on CLOCK_BOOTTIME: monotonic, and it goes on while the machine sleeps. */
  nowMs(): number;
  /** Nanoseconds since 1970 on CLOCK_REALTIME, for TAI64N stamps only: it may jump. */
  wallNs(): bigint;
}

/** A clock that moves only when told to; for simulations and tests. */
export class VirtualClock implements Clock {
  #nowMs: number;
  #wallOffsetNs: bigint;

  constructor(nowMs = 1000, wallNs = 1_700_000_000_000_000_000n) {
    this.#nowMs = nowMs;
    this.#wallOffsetNs = wallNs - BigInt(Math.floor(nowMs * 1e6));
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallNs(): bigint {
    return this.#wallOffsetNs + BigInt(Math.floor(this.#nowMs * 1e6));
  }

  /** Moves both clocks forward. */
  advance(byMs: number): void {
    this.#nowMs += byMs;
  }

  /** Makes the wall clock jump by `byMs` (may be negative) without moving the monotonic one. */
  jumpWall(byMs: number): void {
    this.#wallOffsetNs += BigInt(Math.floor(byMs * 1e6));
  }
}
