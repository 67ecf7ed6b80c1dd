import { assertEquals, assertThrows } from "@std/assert";
import {
  BENCH_SCHEMA,
  type BenchReport,
  gigabytesPerSecond,
  machineDifferences,
  makeRow,
  parseReport,
  ratioTo,
} from "../../src/bench/report.ts";
import { BENCH_TITLES, digits, headingOf, headLine, rowLine } from "../../src/bench/table.ts";
import { SetupError } from "../../src/daemon/setup_error.ts";

const SAMPLE = { best: 500, median: 600, spread: 0.1, rounds: 9 };
const SEAL = makeRow("seal-1420", "ns", "best", SAMPLE, 1420);
const TUNNEL = makeRow("tunnel-throughput", "Gbit/s", "median", { ...SAMPLE, median: 8 });

const REPORT: BenchReport = {
  schema: BENCH_SCHEMA,
  program: "longhaul bench",
  version: "0.1.0",
  startedAt: "2026-01-01T00:00:00.000Z",
  machine: {
    processor: null,
    architecture: "x86_64",
    cores: 2,
    kernel: "6.18",
    deno: "2.9.6",
    v8: "14",
    openssl: null,
  },
  aead: { name: "noble", reason: "no usable libcrypto" },
  rows: [SEAL, TUNNEL],
};

const plain = (_style: unknown, text: string) => text;

Deno.test("a row takes the statistic that it names and knows which way is better", () => {
  assertEquals([SEAL.value, SEAL.better], [500, "less"]);
  assertEquals([TUNNEL.value, TUNNEL.better], [8, "more"]);
  assertEquals(gigabytesPerSecond(SEAL), 2.84);
  assertEquals(gigabytesPerSecond(TUNNEL), null);
});

Deno.test("what was written is read again", () => {
  assertEquals(parseReport(JSON.stringify(REPORT), "old.json"), REPORT);
});

Deno.test("what is no report, or has other work, is refused with its path", () => {
  const texts = {
    "not JSON": "is not what longhaul bench --json writes",
    "null": "is not what longhaul bench --json writes",
    "[]": "is not what longhaul bench --json writes",
    [JSON.stringify({ ...REPORT, schema: BENCH_SCHEMA + 1 })]: "cannot be compared",
    [JSON.stringify({ ...REPORT, rows: [{ id: "seal-64" }] })]: "rows that cannot be read",
    [JSON.stringify({ ...REPORT, rows: [null] })]: "rows that cannot be read",
    [JSON.stringify({ ...REPORT, rows: [{ ...SEAL, value: 0 }] })]: "rows that cannot be read",
  };
  for (const [text, message] of Object.entries(texts)) {
    const error = assertThrows(() => parseReport(text, "old.json"), SetupError, message);
    assertEquals(error.message.startsWith("old.json "), true);
  }
});

Deno.test("a ratio above 1 is better, whether less or more is", () => {
  assertEquals(ratioTo({ ...SEAL, value: 250 }, REPORT), 2);
  assertEquals(ratioTo({ ...TUNNEL, value: 4 }, REPORT), 0.5);
  assertEquals(ratioTo({ ...SEAL, id: "new" }, REPORT), null);
});

Deno.test("machines that differ are told of, what is the same is not", () => {
  const { machine } = REPORT;
  assertEquals(machineDifferences(machine, machine), []);
  assertEquals(machineDifferences(machine, { ...machine, cores: 4 }), [
    "cores: 4 then, 2 here",
  ]);
  assertEquals(machineDifferences(machine, undefined).length, 4);
});

Deno.test("a line has its figure, and beside an earlier run that one's and the ratio", () => {
  assertEquals(
    rowLine(SEAL, null, plain),
    "  seal 1,420 bytes                  500 ns   2.84 GB/s   10 %",
  );
  const line = rowLine({ ...SEAL, value: 1000 }, REPORT, plain);
  assertEquals(line.endsWith("500 ns    0.50"), true, line);
  const unknown = rowLine({ ...SEAL, id: "split" }, REPORT, plain);
  assertEquals(unknown.endsWith("-       -"), true, unknown);
  assertEquals(headLine(true, plain).length, line.length);
});

Deno.test("each heading stands above its first row only", () => {
  const ids = BENCH_TITLES.flatMap(({ rows }) => Object.keys(rows));
  assertEquals(ids.flatMap((id) => headingOf(id) ?? []), BENCH_TITLES.map((each) => each.heading));
});

Deno.test("three digits count", () => {
  assertEquals([1.234, 12.34, 123.4, 1234.4, 99.96, 9.996].map(digits), [
    ...["1.23", "12.3", "123", "1,234", "100", "10.0"],
  ]);
});
