/** `bench` as the documented command runs it, by any user, without a network. */
import { assert, assertEquals } from "@std/assert";
import { BENCH_SCHEMA, type BenchReport, parseReport } from "../../src/bench/report.ts";
import { BENCH_TITLES } from "../../src/bench/table.ts";
import { requires } from "../requires.ts";
import { run } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { asNobody, makeSandbox, ROOTLESS_NEEDS } from "../netns/rootless.ts";
import { command, Foreground, longhaul } from "./longhaul.ts";

const SHORT = ["bench", "--seconds", "1"];
const IDS = BENCH_TITLES.flatMap(({ rows }) => Object.keys(rows));

function assertReport(text: string): BenchReport {
  const report = parseReport(text, "standard output");
  assertEquals(report.rows.map(({ id }) => id), IDS);
  for (const { value, rounds, id } of report.rows) assert(value > 0 && rounds >= 5, id);
  assert(report.machine.cores >= 1 && report.machine.kernel !== null, text);
  return report;
}

Deno.test("bench measures every row, and a later run is compared with it", async () => {
  const { code, stdout, stderr } = await longhaul([...SHORT, "--json"], { timeoutMs: 90_000 });
  assertEquals([code, stderr], [0, ""]);
  assertReport(stdout);
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, stdout);
    const again = await longhaul([...SHORT, "--compare", path], { timeoutMs: 90_000 });
    assertEquals([again.code, again.stderr], [0, ""]);
    const lines = again.stdout.trimEnd().split("\n");
    const ratios = lines.filter((line) => line.startsWith("  ")).map((line) => line.slice(-8));
    assertEquals(ratios.length, IDS.length + 1, again.stdout);
    assert(ratios.slice(1).every((text) => /^ +\d+\.\d\d$/.test(text)), again.stdout);
    assert(!again.stdout.includes("\x1b"), "no colours where there is no terminal");
  } finally {
    await Deno.remove(path);
  }
});

Deno.test({
  name: "bench runs as nobody, in a namespace that has only its loopback",
  ...requires(...ROOTLESS_NEEDS),
  async fn() {
    await using net = new Net();
    const namespace = await net.namespace("bench");
    const argv = asNobody(makeSandbox(net), command(...SHORT, "--json"));
    const { stdout } = await run(argv, { namespace, timeoutMs: 90_000 });
    assertReport(stdout);
  },
});

Deno.test({
  name: "Ctrl-C ends bench at once, and nothing of it is left",
  ...requires("root", "ip"),
  async fn() {
    await using net = new Net();
    const namespace = await net.namespace("bench");
    const started = Foreground.start(net, namespace, command("bench"));
    await started.says(/seal 64 bytes/);
    started.kill("SIGINT");
    assertEquals(await started.ended(), 130);
    const { stdout } = await run(["ip", "netns", "pids", namespace]);
    assertEquals(stdout, "");
  },
});

Deno.test("bench refuses what it cannot mean", async () => {
  for (const args of [["--seconds", "0.5"], ["--seconds", "601"], ["--seconds", "x"]]) {
    const { code, stderr } = await longhaul(["bench", ...args]);
    assertEquals(code, 2, stderr);
  }
  const { code, stderr } = await longhaul(["bench", "--compare", "/nowhere/old.json"]);
  assertEquals(code, 1, stderr);
  assert(stderr.includes("/nowhere/old.json"), stderr);
});

Deno.test("bench refuses to compare with figures of other work", async () => {
  const path = await Deno.makeTempFile();
  try {
    const other = { program: "longhaul bench", schema: BENCH_SCHEMA + 1, rows: [] };
    await Deno.writeTextFile(path, JSON.stringify(other));
    const { code, stdout, stderr } = await longhaul(["bench", "--compare", path]);
    assertEquals([code, stdout], [1, ""]);
    assert(stderr.includes("cannot be compared"), stderr);
  } finally {
    await Deno.remove(path);
  }
});
