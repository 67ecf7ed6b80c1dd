/** Flows that have something to read, each of which gets its turn. */

/** A flow that knows whether it waits. */
export interface Queued {
  isQueued: boolean;
}

/** A queue of flows with a budget per turn; a flow stands in it once. */
export class TurnQueue<Flow extends Queued> {
  readonly #visit: (flow: Flow, budget: number) => number;
  #now: Flow[] = [];
  #later: Flow[] = [];

  /** `visit` lets a flow work within a budget, and returns what it has used of it. */
  constructor(visit: (flow: Flow, budget: number) => number) {
    this.#visit = visit;
  }

  /** Whether no flow waits. */
  get isEmpty(): boolean {
    return this.#later.length === 0;
  }

  /** Puts a flow behind the others, unless it waits already. */
  add(flow: Flow): void {
    if (flow.isQueued) return;
    flow.isQueued = true;
    this.#later.push(flow);
  }

  /** Visits the flows in order until the budgets are used up; whether flows are left. */
  run(turnBudget: number, flowBudget: number): boolean {
    const queue = this.#later;
    this.#later = this.#now;
    this.#now = queue;
    let left = turnBudget;
    let next = 0;
    while (next < queue.length && left > 0) {
      const flow = queue[next++];
      flow.isQueued = false;
      left -= this.#visit(flow, Math.min(flowBudget, left));
    }
    // Those that had no turn stand before those that want another one.
    if (next < queue.length) this.#later = queue.slice(next).concat(this.#later);
    queue.length = 0;
    return this.#later.length > 0;
  }
}
