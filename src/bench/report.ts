/**
 * The figures of one run of `bench`, as `--json` writes them and `--compare` reads them. Fields may be
 * added; when the work behind a row changes, `BENCH_SCHEMA` is raised, since figures of different work
 * cannot be compared.
 */
import { SetupError } from "../daemon/setup_error.ts";
import type { Machine } from "./machine.ts";
import type { Better, Sample } from "./measure.ts";

/** The number of the work that is measured. */
export const BENCH_SCHEMA = 1;

/** One figure. */
export interface BenchRow {
  /** The same in every release that measures the same work. */
  readonly id: string;
  readonly unit: "ns" | "Gbit/s" | "CPU s/GB" | "us";
  readonly better: Better;
  /** Which of the rounds the value is. */
  readonly statistic: "best" | "median";
  readonly value: number;
  /** The middle half of the rounds lies within this part of their median. */
  readonly spread: number;
  readonly rounds: number;
  /** Bytes that one operation works on; null where the unit says all. */
  readonly bytes: number | null;
}

/** One run. */
export interface BenchReport {
  readonly schema: number;
  readonly program: "longhaul bench";
  readonly version: string;
  /** When it began, ISO 8601. */
  readonly startedAt: string;
  readonly machine: Machine;
  /** The packet AEAD in use, and why it is this one. */
  readonly aead: { readonly name: string; readonly reason: string };
  readonly rows: readonly BenchRow[];
}

/** Makes a row of a sample. */
export function makeRow(
  id: string,
  unit: BenchRow["unit"],
  statistic: BenchRow["statistic"],
  sample: Sample,
  bytes: number | null = null,
): BenchRow {
  const better = unit === "Gbit/s" ? "more" : "less";
  const { spread, rounds } = sample;
  return { id, unit, better, statistic, value: sample[statistic], spread, rounds, bytes };
}

/** 10^9 bytes per second of a row that has bytes, else null. */
export function gigabytesPerSecond({ bytes, unit, value }: BenchRow): number | null {
  return bytes === null || unit !== "ns" ? null : bytes / value;
}

/** Reads what `--json` has written. Throws `SetupError` for anything else, and for other work. */
export function parseReport(text: string, path: string): BenchReport {
  let report: Partial<BenchReport> | null;
  try {
    report = JSON.parse(text);
  } catch {
    report = null;
  }
  if (typeof report !== "object" || report?.program !== "longhaul bench") {
    throw new SetupError(`${path} is not what longhaul bench --json writes`);
  }
  if (report.schema !== BENCH_SCHEMA) {
    throw new SetupError(
      `${path} has the work of schema ${report.schema}, this version measures that of schema ` +
        `${BENCH_SCHEMA}: their figures cannot be compared`,
    );
  }
  if (!Array.isArray(report.rows) || !report.rows.every(isRow)) {
    throw new SetupError(`${path} has rows that cannot be read`);
  }
  return report as BenchReport;
}

function isRow(row: Partial<BenchRow> | null): boolean {
  return typeof row === "object" && typeof row?.id === "string" &&
    typeof row.value === "number" && row.value > 0;
}

/** How many times as good a row is as the one of that name in an earlier run; null without one. */
export function ratioTo(row: BenchRow, earlier: BenchReport): number | null {
  const before = earlier.rows.find(({ id }) => id === row.id);
  if (before === undefined) return null;
  return row.better === "more" ? row.value / before.value : before.value / row.value;
}

/** What differs between the machines of two runs, so that ratios may say more than the programs. */
export function machineDifferences(now: Machine, before: Partial<Machine> | undefined): string[] {
  const names: (keyof Machine)[] = ["processor", "architecture", "cores", "kernel", "deno"];
  return [...names, "openssl" as const]
    .filter((name) => (before?.[name] ?? null) !== now[name])
    .map((name) => `${name}: ${before?.[name] ?? "unknown"} then, ${now[name] ?? "unknown"} here`);
}
