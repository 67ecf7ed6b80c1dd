/**
 * One stage of a packet's path beside the plainest way to do the same, in one group: what
 * `deno task bench:check` compares with `bench/baseline.json`.
 */
import { NAIVE, OURS } from "./names.ts";

/** A stage; both functions do the same amount of the same work in one call. */
export function stage(group: string, naive: () => void, ours: () => void): void {
  Deno.bench(NAIVE, { group, baseline: true }, naive);
  Deno.bench(OURS, { group }, ours);
}

/** Keeps results in use, so that no work is optimised away. */
export const results = { sum: 0 };

addEventListener("unload", () => {
  if (results.sum === 0.5) throw new Error("unreachable");
});
