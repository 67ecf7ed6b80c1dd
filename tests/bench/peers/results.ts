/** Results made by hand for the tests of what is done with them. */
import { FORMAT, type Result, type WorkloadResult } from "../../../bench/peers/result.ts";
import type { Sample } from "../../../bench/peers/workloads/workload.ts";

/** One workload with these turns; its metrics are those of the first turn, more being better. */
export function workloadResult(
  name: string,
  turns: Record<string, Sample[]>,
  more: Partial<WorkloadResult> = {},
): WorkloadResult {
  const keys = Object.keys(Object.values(turns)[0][0] ?? {});
  const metrics = keys.map((key) => ({ key, label: key, better: "more" as const }));
  return { name, title: `title of ${name}`, metrics, seconds: 3, turns, failures: [], ...more };
}

/** A result of these workloads. */
export function resultOf(...workloads: WorkloadResult[]): Result {
  return { format: FORMAT, surroundings: ["2 cores"], workloads };
}
