/**
 * The nodes of the allowed-IPs table that are not in use, and those that wait until no lane can be
 * reading them any more. A node made by the transaction that is open is *fresh*: no reader has seen
 * it, so it may be changed in place and be free again at once.
 */
import type { EpochTable } from "./epoch.ts";

/** No node is left for a change to the allowed-IPs table. */
export class AllowedIpsFullError extends Error {
  override name = "AllowedIpsFullError";

  constructor(readonly nodeCapacity: number) {
    super(`Cannot add the allowed IP: the table is full (${nodeCapacity} nodes)`);
  }
}

/** The part of `EpochTable` that main uses. */
export type RetireEpochs = Pick<EpochTable, "advance" | "hasPassed">;

interface RetiredNodes {
  readonly epoch: number;
  readonly nodes: readonly number[];
}

/** Hands out node numbers from 1 to the capacity; main alone has one. */
export class NodePool {
  readonly #epochs: RetireEpochs;
  readonly #free: number[] = [];
  readonly #retired: RetiredNodes[] = [];
  /** For each node the transaction that made it, 0 when free. */
  readonly #madeIn: Uint32Array;
  #transaction = 1;
  #replaced: number[] = [];
  #neverUsed = 1;

  constructor(readonly capacity: number, epochs: RetireEpochs) {
    this.#epochs = epochs;
    this.#madeIn = new Uint32Array(capacity + 1);
  }

  /** A fresh node; throws `AllowedIpsFullError` when there is none. */
  make(): number {
    if (this.#free.length === 0 && this.#neverUsed > this.capacity) this.#reclaim();
    const node = this.#free.pop() ?? this.#neverUsed++;
    if (node > this.capacity) {
      this.#neverUsed--;
      throw new AllowedIpsFullError(this.capacity);
    }
    this.#madeIn[node] = this.#transaction;
    return node;
  }

  /** Whether the transaction that is open has made the node. */
  isFresh(node: number): boolean {
    return this.#madeIn[node] === this.#transaction;
  }

  /** Takes a node out of the version that is being made. */
  drop(node: number): void {
    if (this.isFresh(node)) {
      this.#madeIn[node] = 0;
      this.#free.push(node);
    } else {
      this.#replaced.push(node);
    }
  }

  /** Ends the transaction after its version was published. */
  commit(): void {
    const epoch = this.#epochs.advance();
    if (this.#replaced.length > 0) this.#retired.push({ epoch, nodes: this.#replaced });
    this.#replaced = [];
    this.#transaction++;
    this.#reclaim();
  }

  /** Ends the transaction and takes back every node that it made. */
  rollback(): void {
    this.#replaced = [];
    for (let node = 1; node < this.#neverUsed; node++) {
      if (this.isFresh(node)) this.drop(node);
    }
    this.#transaction++;
  }

  #reclaim(): void {
    while (this.#retired.length > 0 && this.#epochs.hasPassed(this.#retired[0].epoch)) {
      for (const node of this.#retired.shift()!.nodes) {
        this.#madeIn[node] = 0;
        this.#free.push(node);
      }
    }
  }
}
