/**
 * What a run has found: every turn of every contestant, as it is kept in JSON. Medians, ratios and
 * judgements are worked out from it, so that files of several runs make one report.
 */
import { median } from "./statistics.ts";
import type { Metric, Sample } from "./workloads/workload.ts";

/** A turn of a contestant that gave no figures. */
export interface Failure {
  readonly contestant: string;
  readonly reason: string;
}

/** All turns of one workload. */
export interface WorkloadResult {
  readonly name: string;
  readonly title: string;
  readonly metrics: readonly Metric[];
  readonly seconds: number;
  /** By the contestant's label; the first is the baseline. Empty: not measured. */
  readonly turns: Record<string, Sample[]>;
  readonly failures: Failure[];
}

/** One or several runs. */
export interface Result {
  readonly format: typeof FORMAT;
  /** Machine, kernel and versions of the programs, each a line. */
  readonly surroundings: string[];
  readonly workloads: WorkloadResult[];
}

/** Of the JSON file; another number means other fields. */
export const FORMAT = 1;

/** The median of a metric over the contestant's turns; NaN when it was not measured. */
export function medianOf(result: WorkloadResult, contestant: string, metric: string): number {
  return median(valuesOf(result, contestant, metric));
}

/** The metric in each turn of the contestant that has it. */
export function valuesOf(result: WorkloadResult, contestant: string, metric: string): number[] {
  return (result.turns[contestant] ?? []).map((sample) => sample[metric])
    .filter((value) => typeof value === "number" && Number.isFinite(value));
}

/** Reads a file's text. Throws `Error` when it is not of this format. */
export function parseResult(text: string): Result {
  const value = JSON.parse(text) as Result;
  if (value?.format !== FORMAT) throw new Error("not a result of this program's format");
  return value;
}

/** Joins runs: turns of the same workload and contestant stand together, the rest side by side. */
export function mergeResults(results: readonly Result[]): Result {
  const merged: Result = { format: FORMAT, surroundings: [], workloads: [] };
  for (const result of results) {
    for (const line of result.surroundings) {
      if (!merged.surroundings.includes(line)) merged.surroundings.push(line);
    }
    for (const workload of result.workloads) addWorkload(merged.workloads, workload);
  }
  return merged;
}

function addWorkload(workloads: WorkloadResult[], added: WorkloadResult): void {
  const present = workloads.find((each) => each.name === added.name);
  if (present === undefined) {
    workloads.push(structuredClone(added));
    return;
  }
  for (const [contestant, samples] of Object.entries(added.turns)) {
    (present.turns[contestant] ??= []).push(...samples);
  }
  present.failures.push(...added.failures);
}
