/**
 * A lane of `allowed_ips_test.ts`: looks one address up again and again while main moves it, and
 * counts answers that are not one of the two owners.
 */
import { attachSlab } from "../../src/memory/slab.ts";
import { lookupV4, lookupV6 } from "../../src/tables/allowed_ips.ts";
import { EpochTable } from "../../src/tables/epoch.ts";

/** What the test posts to the worker. */
export interface ReaderTask {
  readonly memory: WebAssembly.Memory;
  readonly tableAt: number;
  readonly epochsAt: number;
  readonly v4At: number;
  readonly v6At: number;
  /** i32: 0 until the reader runs, then 1; the test sets 2 to end it. */
  readonly stateAt: number;
}

const scope = self as unknown as {
  onmessage: (event: MessageEvent<ReaderTask>) => void;
  postMessage(message: unknown): void;
};

scope.onmessage = ({ data: task }) => {
  const slab = attachSlab(task.memory);
  const epochs = new EpochTable(slab, task.epochsAt, 1);
  const seen = new Map<string, number>();
  let turns = 0;
  Atomics.store(slab.i32, task.stateAt >> 2, 1);
  while (Atomics.load(slab.i32, task.stateAt >> 2) !== 2) {
    epochs.announce(0, epochs.current());
    for (let i = 0; i < 64; i++) {
      const v4 = lookupV4(slab, task.tableAt, task.v4At);
      const v6 = lookupV6(slab, task.tableAt, task.v6At);
      if (v4 !== 1 && v4 !== 2) seen.set(`v4 ${v4}`, (seen.get(`v4 ${v4}`) ?? 0) + 1);
      if (v6 !== 1 && v6 !== 2) seen.set(`v6 ${v6}`, (seen.get(`v6 ${v6}`) ?? 0) + 1);
    }
    epochs.announce(0, 0);
    turns++;
  }
  scope.postMessage({ turns, wrong: [...seen] });
};
