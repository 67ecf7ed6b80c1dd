/**
 * Longhaul beside its peers on the same work, in the same minutes, on the same machine.
 *
 *     deno task bench:peers --help
 *
 * Needs root, ip, nsenter, ping, wg, iperf3 and Go, and for boringtun Cargo. Both ends and the load
 * share the machine: compare the ratios, not the figures.
 */
import { run } from "../../tests/netns/command.ts";
import { removeOwnNamespaces } from "../../tests/netns/net.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { ensureProgram, versionOf } from "./programs/install.ts";
import { checkBundle } from "./programs/longhaul.ts";
import { parseContestant } from "./programs/spec.ts";
import { chart } from "./report/chart.ts";
import { textReport } from "./report/text.ts";
import { mergeResults, parseResult, type Result } from "./result.ts";
import { runWorkloads } from "./runner.ts";
import { judgeAll } from "./targets.ts";
import { WORKLOADS } from "./workloads/all.ts";
import type { Workload } from "./workloads/workload.ts";

function chosen(only: readonly string[] | undefined): readonly Workload[] {
  if (only === undefined) return WORKLOADS;
  return only.map((wanted) => {
    const found = WORKLOADS.find(({ name }) => name === wanted);
    if (found === undefined) {
      throw new Error(`no such workload: ${wanted} (there are ${names(WORKLOADS)})`);
    }
    return found;
  });
}

function names(workloads: readonly Workload[]): string {
  return workloads.map(({ name }) => name).join(", ");
}

async function reasonMissing(label: string): Promise<string | null> {
  const { a, b } = parseContestant(label);
  return await ensureProgram(a.name) ?? await ensureProgram(b.name);
}

/** The machine, the peers' versions, and what is unusual about a checkout of ours. */
async function surroundings(labels: readonly string[]): Promise<string[]> {
  const kernel = (await run(["uname", "-r"])).stdout.trim();
  const cpu = /^model name\s*: (.*)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ?? "CPU";
  const cores = navigator.hardwareConcurrency;
  const lines = [`${cores} cores (${cpu}), Linux ${kernel}, Deno ${Deno.version.deno}`];
  const specs = labels.map(parseContestant).flatMap(({ a, b }) => [a, b]);
  for (const name of new Set(specs.map((spec) => spec.name))) {
    if (name !== "longhaul" && name !== "deno") lines.push(`${name}: ${await versionOf(name)}`);
  }
  const ours = specs.filter(({ name }) => name === "longhaul" || name === "deno");
  for (const spec of new Map(ours.map((spec) => [spec.checkout, spec])).values()) {
    const line = await checkBundle(spec);
    if (line !== null) lines.push(line);
  }
  return lines;
}

async function measure(options: Options): Promise<Result> {
  return await runWorkloads(chosen(options.only), options, {
    reasonMissing,
    surroundings,
    progress: (line) => console.error(line),
    keep: (result) => writeJson(options.json, result),
  });
}

function writeJson(file: string | undefined, result: Result): void {
  if (file !== undefined) Deno.writeTextFileSync(file, JSON.stringify(result, null, 1) + "\n");
}

/** The machine, and what the figures are made of. */
function chartNotes({ surroundings, workloads }: Result): string[] {
  const counts = workloads.flatMap(({ turns }) => Object.values(turns).map((list) => list.length))
    .filter((count) => count > 0);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  const turns = least === most ? `${most}` : `${least} to ${most}`;
  return [surroundings[0], `medians of ${turns} turns`];
}

async function main(options: Options): Promise<void> {
  if (options.help) return console.log(USAGE);
  if (options.list) {
    for (const { name, title, contestants } of WORKLOADS) {
      console.log(`${name.padEnd(12)} ${title}\n${" ".repeat(13)}${contestants.join(", ")}`);
    }
    return;
  }
  const result = options.merge === undefined
    ? await measure(options)
    : mergeResults(options.merge.map((file) => parseResult(Deno.readTextFileSync(file))));
  writeJson(options.json, result);
  if (options.svg !== undefined) {
    Deno.writeTextFileSync(options.svg, chart(judgeAll(result), chartNotes(result)));
  }
  console.log(textReport(result));
}

/** What was measured is in the file of `--json` by then. */
function endOn(signal: Deno.Signal): void {
  Deno.addSignalListener(signal, async () => {
    await removeOwnNamespaces();
    Deno.exit(1);
  });
}

if (import.meta.main) {
  endOn("SIGINT");
  endOn("SIGTERM");
  try {
    await main(parseOptions(Deno.args));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(2);
  }
}
