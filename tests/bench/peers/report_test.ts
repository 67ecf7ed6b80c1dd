import { assert, assertEquals, assertThrows } from "@std/assert";
import { chart } from "../../../bench/peers/report/chart.ts";
import { figure, table, textReport } from "../../../bench/peers/report/text.ts";
import { mergeResults, parseResult } from "../../../bench/peers/result.ts";
import { judgeAll } from "../../../bench/peers/targets.ts";
import { resultOf, workloadResult } from "./results.ts";

const TCP = workloadResult("tcp", {
  "wireguard-go": [{ forwardGbit: 2, peakMb: 1200 }, { forwardGbit: 4, peakMb: 1000 }],
  "longhaul": [{ forwardGbit: 6, peakMb: 150 }, { forwardGbit: 5, peakMb: 250 }],
});

Deno.test("a table's columns are as wide as their widest cell, numbers to the right", () => {
  assertEquals(
    table([["", "a", "long name"], ["first", "1", "2"]]),
    [
      "|       |   a | long name |",
      "| ----- | --: | --------: |",
      "| first |   1 |         2 |",
    ].join("\n"),
  );
});

Deno.test("a figure has three digits, whatever its size", () => {
  const values = [0.0712, 0.1234, 3.456, 45.67, 123.4, 65_432.1, NaN];
  assertEquals(
    values.map(figure),
    ["0.071", "0.12", "3.46", "45.7", "123", "65,432", "not measured"],
  );
});

Deno.test("the report has medians, ratios to the first contestant, and judgements", () => {
  const lines = textReport(resultOf(TCP)).split("\n");
  const row = (start: string) => {
    const line = lines.find((each) => each.startsWith(`| ${start}`)) ?? "";
    return line.split("|").map((cell) => cell.trim()).filter((cell) => cell !== "");
  };
  assertEquals(row("forwardGbit").slice(1), ["3.00", "5.50", "1.83"]);
  assertEquals(row("TUN to TUN, one stream A>B").slice(1), [
    "wireguard-go",
    "at least 1.6 times",
    "1.83",
    "1.25 to 3.00",
    "met",
  ]);
  assertEquals(row("memory under load, TUN").slice(1), [
    "at most 200 MB",
    "200",
    "150 to 250",
    "met",
  ]);
});

Deno.test("a peer that was not there has rows that say so, and a reason below them", () => {
  const failures = [1, 2].map(() => ({ contestant: "wireproxy", reason: "cannot be built\nlong" }));
  const turns = { wireproxy: [], longhaul: [{ forwardGbit: 5 }] };
  const metrics = [{ key: "forwardGbit", label: "rate", better: "more" as const }];
  const text = textReport(resultOf(workloadResult("tcp", turns, { failures, metrics })));
  assert(/\| rate \(more is better\) \| not measured \| +5\.00 \| +- \|/.test(text), text);
  assert(text.includes("wireproxy not measured: cannot be built (2 times)"), text);
  assert(/one stream A>B .* not measured \|/.test(text), text);
});

Deno.test("files of several runs make one report: same turns together, others side by side", () => {
  const ping = workloadResult("ping", { longhaul: [{ idleMs: 1 }] });
  const files = [resultOf(TCP), resultOf(TCP, ping)].map((result) => JSON.stringify(result));
  const merged = mergeResults(files.map(parseResult));
  assertEquals(merged.surroundings, ["2 cores"]);
  assertEquals(merged.workloads.map(({ name }) => name), ["tcp", "ping"]);
  assertEquals(merged.workloads[0].turns["longhaul"].length, 4);
  assertEquals(TCP.turns["longhaul"].length, 2);
});

Deno.test("a file of another kind is refused", () => {
  for (const text of ["{}", "[]", '{"format": 0}', "null"]) {
    assertThrows(() => parseResult(text), Error, "not a result");
  }
});

Deno.test("the chart is well-formed, has a row for each judgement, and colours for both schemes", () => {
  const judgements = judgeAll(resultOf(TCP));
  const svg = chart(judgements, ['Linux <6> & "more"']);
  assertEquals(unclosed(svg), []);
  const measured = judgements.filter(({ verdict }) => verdict !== "not measured");
  assertEquals(measured.length, 2);
  assertEquals(svg.match(/class="(met|missed)"/g)?.length, measured.length);
  assertEquals(svg.match(/<line class="target"/g)?.length, measured.length);
  assert(svg.includes("Linux &lt;6&gt; &amp; &quot;more&quot;"));
  assert(svg.includes("prefers-color-scheme: dark"));
  assert(!/NaN|Infinity|undefined/.test(svg), svg);
});

Deno.test("a chart of nothing is well-formed too", () => {
  const svg = chart([], []);
  assertEquals(unclosed(svg), []);
  assert(!/NaN|Infinity/.test(svg), svg);
});

Deno.test("a bar grows to the right of the line where ours is better, else to the left", () => {
  const bars = (longhaul: number) => {
    const samples = { "wireguard-go": [{ forwardGbit: 2 }], longhaul: [{ forwardGbit: longhaul }] };
    const svg = chart(judgeAll(resultOf(workloadResult("tcp", samples))), []);
    const equal = Number(/class="equal" x1="([\d.]+)"/.exec(svg)?.[1]);
    const [, kind, x, width] = /class="(met|missed)" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"/
      .exec(svg)!;
    return [kind, Number(x) - equal, Number(x) + Number(width) - equal].map((value) =>
      typeof value === "number" ? Math.sign(Math.round(value)) : value
    );
  };
  assertEquals(bars(4), ["met", 0, 1]);
  assertEquals(bars(1), ["missed", -1, 0]);
});

/** Tags that are opened and not closed in their order; text must not hold what begins a tag. */
function unclosed(svg: string): string[] {
  const open: string[] = [];
  const content = svg.replaceAll(/<style>[^<]*<\/style>/g, "");
  for (
    const [, close, name, self] of content.matchAll(/<(\/?)(\w+)(?:\s+[\w:-]+="[^"<]*")*\s*(\/?)>/g)
  ) {
    if (close === "/") assertEquals(open.pop(), name);
    else if (self === "") open.push(name);
  }
  assertEquals(content.replaceAll(/<[^<>]*>/g, "").match(/[<>]|&(?!amp;|lt;|gt;|quot;)/), null);
  return open;
}
