/** Runs workloads: every contestant in turns, there and back, and keeps what each turn has found. */
import { parseContestant } from "./programs/spec.ts";
import { figure } from "./report/text.ts";
import { FORMAT, type Result, type WorkloadResult } from "./result.ts";
import { turnOrder } from "./statistics.ts";
import type { TurnSettings, Workload } from "./workloads/workload.ts";

/** What to run. */
export interface RunSettings extends TurnSettings {
  readonly rounds: number;
  /** Labels in the place of each workload's own; those that cannot do a work are left out of it. */
  readonly contestants?: readonly string[];
}

/** What the runner asks of its surroundings. */
export interface RunHooks {
  /** Why a program cannot be had here, or null. Asked once for each label. */
  readonly reasonMissing: (label: string) => Promise<string | null>;
  /** Lines about the machine and the programs that take part. */
  readonly surroundings: (labels: readonly string[]) => Promise<string[]>;
  readonly progress: (line: string) => void;
  /** Called after each turn: what is measured is kept when the run is ended from outside. */
  readonly keep: (result: Result) => void;
}

/** Runs `workloads` one after the other. A turn that fails is told and counted, and the run goes on. */
export async function runWorkloads(
  workloads: readonly Workload[],
  settings: RunSettings,
  hooks: RunHooks,
): Promise<Result> {
  const plans = workloads.map((workload) => ({ workload, labels: labelsFor(workload, settings) }));
  const labels = [
    ...new Set(plans.flatMap(({ workload, labels }) => [...labels, ...workload.others ?? []])),
  ];
  const missing = new Map<string, string | null>();
  for (const label of labels) missing.set(label, await hooks.reasonMissing(label));
  const result: Result = {
    format: FORMAT,
    surroundings: await hooks.surroundings(labels.filter((label) => missing.get(label) === null)),
    workloads: [],
  };
  for (const { workload, labels } of plans) {
    if (labels.length === 0) {
      hooks.progress(`${workload.name}: none of the programs can do this`);
      continue;
    }
    const present = startResult(workload, labels, settings, missing);
    result.workloads.push(present);
    await runOne(workload, present, settings, hooks, () => hooks.keep(result));
  }
  return result;
}

/** Those of the wanted contestants that can do the work. */
function labelsFor(workload: Workload, { contestants }: RunSettings): readonly string[] {
  return (contestants ?? workload.contestants).filter((label) => {
    const { a, b } = parseContestant(label);
    return workload.accepts(a) && workload.accepts(b);
  });
}

function startResult(
  workload: Workload,
  labels: readonly string[],
  { seconds }: RunSettings,
  missing: ReadonlyMap<string, string | null>,
): WorkloadResult {
  const { name, title, metrics, others = [] } = workload;
  return {
    name,
    title,
    metrics,
    seconds,
    turns: Object.fromEntries(labels.map((label) => [label, []])),
    failures: labels.flatMap((contestant) => {
      const reasons = [contestant, ...others].map((label) => missing.get(label));
      const reason = reasons.find((each) => each);
      return reason ? [{ contestant, reason }] : [];
    }),
  };
}

async function runOne(
  workload: Workload,
  result: WorkloadResult,
  { rounds, seconds }: RunSettings,
  { progress }: RunHooks,
  keep: () => void,
): Promise<void> {
  const absent = result.failures.map(({ contestant }) => contestant);
  const labels = Object.keys(result.turns).filter((label) => !absent.includes(label));
  for (let round = 0; round < rounds; round++) {
    for (const label of turnOrder(labels, round)) {
      const where = `${workload.name} ${round + 1}/${rounds} ${label}`;
      const beginMs = performance.now();
      try {
        const sample = await workload.turn(parseContestant(label), { seconds });
        result.turns[label].push(sample);
        const tookSeconds = ((performance.now() - beginMs) / 1000).toFixed(0);
        const figures = workload.metrics.map(({ key }) => short(sample[key])).join(" ");
        progress(`${where}, ${tookSeconds} s: ${figures}`);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        result.failures.push({ contestant: label, reason });
        progress(`${where} failed: ${describe(error)}`);
      }
      keep();
    }
  }
}

function short(value: number | undefined): string {
  return value === undefined ? "-" : figure(value);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}\n${describe(error.cause)}`;
}
