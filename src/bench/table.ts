/** The figures of `bench` for people: one line each, so that a line can be printed when it is known. */
import type { Painter } from "../daemon/terminal.ts";
import { type BenchReport, type BenchRow, gigabytesPerSecond, ratioTo } from "./report.ts";

/** What the rows are called, under a heading each; in the order in which they are measured. */
export const BENCH_TITLES: readonly {
  readonly heading: string;
  readonly rows: Readonly<Record<string, string>>;
}[] = [
  {
    heading: "One packet",
    rows: {
      "seal-64": "seal 64 bytes",
      "seal-1420": "seal 1,420 bytes",
      "seal-16384": "seal 16,384 bytes",
      "open-64": "open 64 bytes",
      "open-1420": "open 1,420 bytes",
      "open-16384": "open 16,384 bytes",
      "checksum-1420": "checksum of 1,420 bytes",
      "copy-checksum-1420": "the same while copying",
    },
  },
  {
    heading: "64 KB of a TCP stream",
    rows: {
      "stack-send": "userspace stack, sending",
      "split": "split into packets",
      "coalesce": "coalesce packets",
      "stack-receive": "userspace stack, receiving",
    },
  },
  {
    heading: "The whole tunnel over loopback",
    rows: {
      "tunnel-throughput": "one TCP stream",
      "tunnel-cpu": "CPU time, both ends",
      "tunnel-rtt-p50": "round trip, median",
      "tunnel-rtt-p99": "round trip, p99",
    },
  },
];

const NAME_WIDTH = 28;
const FIGURE_WIDTH = 14;
const RATE_WIDTH = 12;
const SPREAD_WIDTH = 7;
const BEFORE_WIDTH = 14;
const RATIO_WIDTH = 8;
/** A ratio this far from 1 is coloured. */
const REMARKABLE = 0.1;

/** The line above the figures. */
export function headLine(hasEarlier: boolean, paint: Painter): string {
  const cells = [
    "".padEnd(NAME_WIDTH),
    "figure".padStart(FIGURE_WIDTH),
    "rate".padStart(RATE_WIDTH),
  ];
  cells.push("spread".padStart(SPREAD_WIDTH));
  if (hasEarlier) cells.push("before".padStart(BEFORE_WIDTH), "ratio".padStart(RATIO_WIDTH));
  return paint("bold", cells.join("").trimEnd());
}

/** The heading above a row, where it is the first under one. */
export function headingOf(id: string): string | null {
  return BENCH_TITLES.find(({ rows }) => Object.keys(rows)[0] === id)?.heading ?? null;
}

/** One figure. */
export function rowLine(row: BenchRow, earlier: BenchReport | null, paint: Painter): string {
  const rate = gigabytesPerSecond(row);
  const title = BENCH_TITLES.find(({ rows }) => row.id in rows)!.rows[row.id];
  const cells = [
    `  ${title}`.padEnd(NAME_WIDTH),
    figureText(row).padStart(FIGURE_WIDTH),
    (rate === null ? "" : `${digits(rate)} GB/s`).padStart(RATE_WIDTH),
    `${Math.round(row.spread * 100)} %`.padStart(SPREAD_WIDTH),
  ];
  if (earlier === null) return cells.join("");
  const before = earlier.rows.find(({ id }) => id === row.id);
  const ratio = ratioTo(row, earlier);
  const value = before?.value;
  cells.push((value === undefined ? "-" : figureText({ ...row, value })).padStart(BEFORE_WIDTH));
  cells.push(ratioCell(ratio, paint));
  return cells.join("");
}

function ratioCell(ratio: number | null, paint: Painter): string {
  if (ratio === null) return "-".padStart(RATIO_WIDTH);
  const text = ratio.toFixed(2).padStart(RATIO_WIDTH);
  if (Math.abs(ratio - 1) < REMARKABLE) return text;
  return paint(ratio > 1 ? "green" : "red", text);
}

function figureText({ value, unit }: BenchRow): string {
  return `${digits(value)} ${unit}`;
}

/** Three digits that count, and no fewer than there are before the point. */
export function digits(value: number): string {
  if (value >= 999.5) return Math.round(value).toLocaleString("en");
  return value.toFixed(value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2);
}
