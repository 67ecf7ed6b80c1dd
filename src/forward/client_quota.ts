/** Counts what each client has, so that one cannot take all. A client is a peer. */

interface ClientCount {
  flows: number;
  dials: number;
}

/** Flows and dials by client. */
export class ClientQuota {
  readonly #clients = new Map<string, ClientCount>();
  readonly #flowsMax: number;
  readonly #dialsMax: number;

  constructor(flowsMax: number, dialsMax: number) {
    this.#flowsMax = flowsMax;
    this.#dialsMax = dialsMax;
  }

  /** Clients that have something. */
  get size(): number {
    return this.#clients.size;
  }

  /** Takes a flow and a dial for the client, or nothing and returns false. */
  begin(client: string): boolean {
    const count = this.#clients.get(client);
    if (count === undefined) {
      this.#clients.set(client, { flows: 1, dials: 1 });
      return true;
    }
    if (count.flows >= this.#flowsMax || count.dials >= this.#dialsMax) return false;
    count.flows++;
    count.dials++;
    return true;
  }

  /** The dial has come to its end; the flow goes on. */
  endDial(client: string): void {
    const count = this.#clients.get(client);
    if (count !== undefined) count.dials--;
  }

  /** The flow is over. */
  endFlow(client: string): void {
    const count = this.#clients.get(client);
    if (count !== undefined && --count.flows === 0) this.#clients.delete(client);
  }
}
