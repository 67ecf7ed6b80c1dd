/**
 * Guards the stages of a packet's path against regressions: how many times as fast as the plainest way
 * each of them is, in one run of one machine, beside `bench/baseline.json`.
 *
 *     deno run -A scripts/bench_check.ts [--update]
 *
 * A stage that has lost more than its tolerance is measured up to two more times, and the best counts:
 * a busy machine makes figures worse, never better. `--update` writes the medians of three runs as the
 * new baseline; do it on a quiet machine, and say in the commit why figures have changed.
 */
import {
  type Baseline,
  bestOf,
  filesOf,
  isBad,
  judge,
  type Judgement,
  judgementTable,
  makeBaseline,
  type Ratios,
  readRatios,
  Verdict,
} from "./bench_ratios.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const BASELINE = new URL("../bench/baseline.json", import.meta.url);
const STAGES = "bench/stages/";
const REPEATS_MAX = 2;
const UPDATE_RUNS = 3;

async function main(isUpdate: boolean): Promise<number> {
  const baseline: Baseline = await readBaseline();
  if (isUpdate) return await update(baseline);
  const text = await bench([STAGES]);
  let ratios = readRatios(text);
  for (let i = 0; i < REPEATS_MAX; i++) {
    const slow = slowOnes(judge(ratios, baseline));
    if (slow.length === 0) break;
    console.log(`slower, so once more: ${slow.join(", ")}`);
    ratios = bestOf(ratios, readRatios(await bench(filesOf(text, slow))));
  }
  const judgements = judge(ratios, baseline);
  console.log(judgementTable(judgements));
  const bad = judgements.filter(isBad);
  if (bad.length === 0) return 0;
  console.error(
    `\n${bad.length} of ${judgements.length} stages are not as they were. What is meant is ` +
      "written down by: deno task bench:check --update",
  );
  return 1;
}

function slowOnes(judgements: readonly Judgement[]): string[] {
  return judgements.flatMap(({ group, verdict }) => verdict === Verdict.Slower ? [group] : []);
}

async function update(before: Baseline): Promise<number> {
  const runs: Ratios[] = [];
  for (let i = 0; i < UPDATE_RUNS; i++) runs.push(readRatios(await bench([STAGES])));
  const baseline = makeBaseline(runs, before);
  await Deno.writeTextFile(BASELINE, `${JSON.stringify(baseline, null, 2)}\n`);
  console.log(judgementTable(judge(runs[runs.length - 1], baseline)));
  return 0;
}

async function readBaseline(): Promise<Baseline> {
  try {
    return JSON.parse(await Deno.readTextFile(BASELINE));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw error;
  }
}

/** Runs the benches of some files; what `deno bench --json` prints. */
async function bench(files: readonly string[]): Promise<string> {
  const args = ["bench", "--allow-all", "--no-prompt", "--json", ...files];
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  if (!success) throw new Error(`deno ${args.join(" ")} has failed:\n${text.decode(stderr)}`);
  return text.decode(stdout);
}

if (import.meta.main) {
  const unknown = Deno.args.filter((arg) => arg !== "--update");
  if (unknown.length > 0) {
    console.error(`bench_check takes --update or nothing, not ${unknown.join(" ")}`);
    Deno.exit(2);
  }
  Deno.exit(await main(Deno.args.includes("--update")));
}
