/** Numbers for flows: the tokens under which their host sockets are watched. */

/** A flow as the events of its host socket find it. */
export interface HostFlow {
  /** Bits of `HostEvent`. */
  onHostEvents(events: number): void;
  /** Does what is due at `nowMs`; when it wants to be asked again, Infinity for never. */
  onSweep(nowMs: number): number;
}

/** Flows by number; a number is used again when its flow is over. */
export class FlowSlots {
  readonly #flows: (HostFlow | null)[] = [];
  readonly #free: number[] = [];

  /** Flows that exist. */
  get size(): number {
    return this.#flows.length - this.#free.length;
  }

  /** Gives a flow its number. */
  add(flow: HostFlow): number {
    const slot = this.#free.pop() ?? this.#flows.length;
    this.#flows[slot] = flow;
    return slot;
  }

  /** Gives the number of a flow to another one. */
  replace(slot: number, flow: HostFlow): void {
    this.#flows[slot] = flow;
  }

  /** Takes a number back. */
  remove(slot: number): void {
    this.#flows[slot] = null;
    this.#free.push(slot);
  }

  /** The flow of a number, null when it is over. */
  get(slot: number): HostFlow | null {
    return this.#flows[slot] ?? null;
  }

  /** Sweeps all flows; when the next sweep is due. */
  sweep(nowMs: number): number {
    let nextMs = Infinity;
    for (let slot = 0; slot < this.#flows.length; slot++) {
      const flow = this.#flows[slot];
      if (flow !== null) nextMs = Math.min(nextMs, flow.onSweep(nowMs));
    }
    return nextMs;
  }
}
