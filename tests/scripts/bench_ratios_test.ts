import { assertEquals, assertThrows } from "@std/assert";
import {
  bestOf,
  filesOf,
  isBad,
  judge,
  judgementTable,
  makeBaseline,
  readRatios,
  TOLERANCE,
  Verdict,
} from "../../scripts/bench_ratios.ts";

const bench = (group: string | null, name: string, min: number) => ({
  origin: "file:///bench/stages/a_bench.ts",
  group,
  name,
  baseline: name === "naive",
  results: [{ ok: { n: 10, min, max: 2 * min, avg: 1.5 * min } }],
});
const textOf = (...benches: unknown[]) => JSON.stringify({ version: 1, benches });

Deno.test("a ratio is the plain way's shortest time divided by ours", () => {
  const text = textOf(
    bench("split", "naive", 900),
    bench("split", "ours", 300),
    bench("parse", "ours", 2),
    bench("parse", "naive", 1),
    bench(null, "alone", 1),
  );
  assertEquals([...readRatios(text)], [["split", 3], ["parse", 0.5]]);
});

Deno.test("a bench that has failed, a group without both and other texts are refused", () => {
  const failed = { ...bench("split", "ours", 1), results: [{ failed: "it threw" }] };
  assertThrows(() => readRatios(textOf(bench("split", "naive", 1), failed)), Error, "has failed");
  assertThrows(() => readRatios(textOf(bench("split", "naive", 1))), Error, '"ours"');
  assertThrows(() => readRatios("{}"), Error, "Not what deno bench");
  assertThrows(() => readRatios("benches"), SyntaxError);
});

Deno.test("only the files of some groups are named, each once", () => {
  const at = (origin: string, group: string) => ({ ...bench(group, "ours", 1), origin });
  const text = textOf(at("a.ts", "split"), at("b.ts", "seal"), at("a.ts", "parse"));
  assertEquals(filesOf(text, ["split", "parse"]), ["a.ts"]);
  assertEquals(filesOf(text, ["seal", "none"]), ["b.ts"]);
});

Deno.test("what has lost more than its tolerance is slower, each stage by its own", () => {
  const baseline = { a: { ratio: 10 }, b: { ratio: 10, tolerance: 0.5 }, c: { ratio: 10 } };
  const verdicts = (a: number, b: number, c: number) =>
    judge(new Map([["a", a], ["b", b], ["c", c]]), baseline).map(({ verdict }) => verdict);
  const { Right, Slower, Faster } = Verdict;
  const limit = 10 * (1 - TOLERANCE);
  assertEquals(verdicts(10, 10, limit), [Right, Right, Right]);
  assertEquals(verdicts(limit - 0.1, limit - 0.1, 9), [Slower, Right, Right]);
  assertEquals(verdicts(10, 4.9, 12.6), [Right, Slower, Faster]);
});

Deno.test("a stage that only one side knows is bad, a faster one is not", () => {
  const judgements = judge(new Map([["new", 2], ["fast", 9]]), {
    gone: { ratio: 3 },
    fast: { ratio: 3 },
  });
  assertEquals(judgements.map(({ group, verdict }) => [group, verdict]), [
    ["gone", Verdict.Missing],
    ["fast", Verdict.Faster],
    ["new", Verdict.Unknown],
  ]);
  assertEquals(judgements.map(isBad), [true, false, true]);
});

Deno.test("a name of Object's own is no entry of the baseline", () => {
  assertEquals(judge(new Map([["toString", 2]]), {})[0].verdict, Verdict.Unknown);
});

Deno.test("the better of two measurements counts", () => {
  const best = bestOf(new Map([["a", 1], ["b", 5]]), new Map([["a", 3], ["b", 4], ["c", 2]]));
  assertEquals([...best], [["a", 3], ["b", 5], ["c", 2]]);
});

Deno.test("a new baseline has the medians of its runs, rounded, and keeps tolerances", () => {
  const runs = [7.123456, 9, 5].map((ratio) => new Map([["a", ratio], ["b", 2 * ratio]]));
  assertEquals(makeBaseline(runs, { b: { ratio: 1, tolerance: 0.4 }, gone: { ratio: 1 } }), {
    a: { ratio: 7.12 },
    b: { ratio: 14.2, tolerance: 0.4 },
  });
});

Deno.test("the table has a line for each stage, and a dash for what is not known", () => {
  const lines = judgementTable(judge(new Map([["split", 120]]), { split: { ratio: 100 } }))
    .split("\n");
  assertEquals(lines.length, 2);
  assertEquals(lines[1].split(/ {2,}/), ["split", "120", "100", "1.20", "ok"]);
  const missing = judgementTable(judge(new Map(), { split: { ratio: 9 } })).split("\n")[1];
  assertEquals(missing.split(/ {2,}/), ["split", "-", "9.0", "-", "NOT MEASURED"]);
});
