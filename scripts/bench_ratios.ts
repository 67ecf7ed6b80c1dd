/**
 * The pure half of `bench_check.ts`: from what `deno bench --json` prints to ratios, and from ratios and
 * a baseline to a verdict.
 */
import { NAIVE, OURS } from "../bench/stages/names.ts";

/** How many times as fast as the plain way each stage is, by its group. */
export type Ratios = ReadonlyMap<string, number>;

/** One stage of `bench/baseline.json`. */
export interface BaselineEntry {
  /** The plain way's time divided by ours. */
  readonly ratio: number;
  /** The part of it that may be lost, where it is not the usual one. */
  readonly tolerance?: number;
}

/** Stages by group. */
export type Baseline = Readonly<Record<string, BaselineEntry>>;

/** What a ratio may lose before it counts as a regression. */
export const TOLERANCE = 0.25;

/** What becomes of one stage. */
export const Verdict = {
  Right: "ok",
  Faster: "faster",
  Slower: "SLOWER",
  /** Measured, but not in the baseline. */
  Unknown: "NOT IN THE BASELINE",
  /** In the baseline, but not measured. */
  Missing: "NOT MEASURED",
} as const;
/** One of the values of `Verdict`. */
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** One line of the answer. */
export interface Judgement {
  readonly group: string;
  readonly ratio: number | null;
  readonly baseline: number | null;
  readonly verdict: Verdict;
}

interface BenchJson {
  readonly benches?: readonly {
    readonly origin?: string;
    readonly group?: string | null;
    readonly name?: string;
    readonly results?: readonly {
      readonly ok?: { readonly min: number };
      readonly failed?: unknown;
    }[];
  }[];
}

/**
 * The ratios in a JSON text of `deno bench`: of the shortest times, which other work on the machine
 * disturbs least. Throws for a bench that has failed, and for a group without its two benches.
 */
export function readRatios(text: string): Ratios {
  const { benches }: BenchJson = JSON.parse(text);
  if (benches === undefined) throw new Error("Not what deno bench --json prints");
  const times = new Map<string, Map<string, number>>();
  for (const { group, name, results } of benches) {
    if (typeof group !== "string" || name === undefined) continue;
    const ok = results?.[0]?.ok;
    if (ok === undefined) throw new Error(`${group}, ${name}: the bench has failed`);
    const ofGroup = times.get(group) ?? new Map<string, number>();
    times.set(group, ofGroup.set(name, ok.min));
  }
  return new Map([...times].map(([group, ofGroup]) => {
    const naive = ofGroup.get(NAIVE), ours = ofGroup.get(OURS);
    if (naive === undefined || ours === undefined) {
      throw new Error(`${group}: it takes a bench "${NAIVE}" and a bench "${OURS}"`);
    }
    return [group, naive / ours];
  }));
}

/** The files, as URLs, that have the benches of some groups. */
export function filesOf(text: string, groups: readonly string[]): string[] {
  const { benches = [] }: BenchJson = JSON.parse(text);
  const files = benches.flatMap(({ origin, group }) =>
    typeof group === "string" && origin !== undefined && groups.includes(group) ? [origin] : []
  );
  return [...new Set(files)];
}

/** Takes the better of two measurements of each stage. */
export function bestOf(first: Ratios, second: Ratios): Ratios {
  const best = new Map(first);
  for (const [group, ratio] of second) best.set(group, Math.max(ratio, best.get(group) ?? 0));
  return best;
}

/** Judges each stage that was measured or is in the baseline. */
export function judge(ratios: Ratios, baseline: Baseline): Judgement[] {
  const groups = new Set([...Object.keys(baseline), ...ratios.keys()]);
  return [...groups].map((group) => {
    const ratio = ratios.get(group) ?? null;
    const entry = Object.hasOwn(baseline, group) ? baseline[group] : null;
    return { group, ratio, baseline: entry?.ratio ?? null, verdict: verdictOf(ratio, entry) };
  });
}

function verdictOf(ratio: number | null, entry: BaselineEntry | null): Verdict {
  if (entry === null) return Verdict.Unknown;
  if (ratio === null) return Verdict.Missing;
  const tolerance = entry.tolerance ?? TOLERANCE;
  if (ratio < entry.ratio * (1 - tolerance)) return Verdict.Slower;
  return ratio > entry.ratio * (1 + tolerance) ? Verdict.Faster : Verdict.Right;
}

/** Whether a stage needs another look or makes the check fail. */
export function isBad({ verdict }: Judgement): boolean {
  return verdict !== Verdict.Right && verdict !== Verdict.Faster;
}

/** The answer as a table. */
export function judgementTable(judgements: readonly Judgement[]): string {
  const cells = judgements.map(({ group, ratio, baseline, verdict }) => [
    group,
    figure(ratio),
    figure(baseline),
    ratio === null || baseline === null ? "-" : (ratio / baseline).toFixed(2),
    verdict,
  ]);
  const rows = [["stage", "naive / ours", "baseline", "now / baseline", "verdict"], ...cells];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row.map((cell, column) => {
      const isText = column === 0 || column === row.length - 1;
      return isText ? cell.padEnd(widths[column]) : cell.padStart(widths[column]);
    }).join("  ").trimEnd()
  ).join("\n");
}

function figure(value: number | null): string {
  return value === null ? "-" : value.toFixed(value < 100 ? 1 : 0);
}

/** The middle of what several runs have shown, with the tolerances that a baseline had before. */
export function makeBaseline(runs: readonly Ratios[], before: Baseline): Baseline {
  const groups = [...new Set(runs.flatMap((run) => [...run.keys()]))];
  return Object.fromEntries(groups.map((group) => {
    const sorted = runs.flatMap((run) => run.get(group) ?? []).sort((a, b) => a - b);
    const median = sorted[Math.floor((sorted.length - 1) / 2)];
    const ratio = Number(median.toPrecision(3));
    const tolerance = Object.hasOwn(before, group) ? before[group].tolerance : undefined;
    return [group, tolerance === undefined ? { ratio } : { ratio, tolerance }];
  }));
}
