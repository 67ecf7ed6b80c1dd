/** The report as text: Markdown tables that also read well in a terminal. */
import { judgeAll, type Judgement } from "../targets.ts";
import { medianOf, type Result, type WorkloadResult } from "../result.ts";

const NOT_MEASURED = "not measured";

/** Surroundings, a table for each workload, and the rows that have a target. */
export function textReport(result: Result): string {
  const parts = [result.surroundings.join("\n")];
  for (const workload of result.workloads) parts.push(workloadSection(workload));
  const judgements = judgeAll(result);
  if (judgements.length > 0) parts.push(`## Targets\n\n${targetTable(judgements)}`);
  return parts.join("\n\n") + "\n";
}

/** Medians of each contestant, and their ratios to the first. */
function workloadSection(result: WorkloadResult): string {
  const labels = Object.keys(result.turns);
  const [baseline, ...others] = labels;
  const header = ["", ...labels, ...others.map((label) => `${label} / ${baseline}`)];
  const rows = result.metrics.map(({ key, label, better }) => [
    `${label} (${better} is better)`,
    ...labels.map((name) => figure(medianOf(result, name, key))),
    ...others.map((name) => ratio(medianOf(result, name, key) / medianOf(result, baseline, key))),
  ]);
  const turns = Math.max(...labels.map((label) => result.turns[label].length));
  const head =
    `## ${result.name}: ${result.title}\n\nMedians of ${turns}, loads of ${result.seconds} s.`;
  const failures = tally(
    result.failures.map(({ contestant, reason }) =>
      `${contestant} ${NOT_MEASURED}: ${reason.trim().split("\n")[0]}`
    ),
  );
  return [head, table([header, ...rows]), ...failures].join("\n\n");
}

/** Each line once, with how often it came. */
function tally(lines: readonly string[]): string[] {
  return [...new Set(lines)].map((line) => {
    const count = lines.filter((other) => other === line).length;
    return count === 1 ? line : `${line} (${count} times)`;
  });
}

/** The rows of the target table, each with what was found. */
function targetTable(judgements: readonly Judgement[]): string {
  const header = ["work", "against", "target", "measured", "lowest to highest", ""];
  return table([header, ...judgements.map(targetRow)]);
}

function targetRow({ target, value, range, peer, verdict }: Judgement): string[] {
  const { work, against, bound, limit, unit } = target;
  const named = against.length === 0 ? "" : peer ?? against.join(", ");
  const times = unit === undefined ? " times" : ` ${unit}`;
  if (verdict === NOT_MEASURED) return [work, named, `${bound} ${limit}${times}`, "", "", verdict];
  const show = unit === undefined ? ratio : figure;
  const spread = `${show(range[0])} to ${show(range[1])}`;
  return [work, named, `${bound} ${limit}${times}`, show(value), spread, verdict];
}

/** A figure with three digits, or what stands for none. */
export function figure(value: number): string {
  if (Number.isNaN(value)) return NOT_MEASURED;
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en");
  return value.toFixed(Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 0.1 ? 2 : 3);
}

function ratio(value: number): string {
  return Number.isFinite(value) ? value.toFixed(2) : "-";
}

/** Markdown for rows of cells, the first row the header; all but the first column to the right. */
export function table(rows: readonly string[][]): string {
  const widths = rows[0].map((_, column) => Math.max(3, ...rows.map((row) => row[column].length)));
  const line = (row: string[]) =>
    `| ${
      row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join(" | ")
    } |`;
  const rule = `| ${
    widths.map((width, i) => "-".repeat(width - 1) + (i === 0 ? "-" : ":")).join(" | ")
  } |`;
  return [line(rows[0]), rule, ...rows.slice(1).map(line)].join("\n");
}
