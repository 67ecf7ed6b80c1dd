/**
 * Longhaul beside wireguard-go, TUN to TUN: two namespaces joined by a veth pair, a pair of nodes
 * of each program, measured in turns (A B B A) so that the machine's drift falls on both.
 *
 *     deno run --allow-all bench/peers/tun_to_tun.ts [--quick] [--json] [--rounds N] [--seconds N]
 *         [--programs longhaul,longhaul-encryptor,wireguard-go,boringtun]
 *
 * Needs root, ip, nsenter, wg, iperf3, ping and the programs. Both ends and the load run on the same
 * machine: compare the ratios, not the figures. CPU seconds are those of the two node processes.
 */
import { parseArgs } from "@std/cli/parse-args";
import { run } from "../../tests/netns/command.ts";
import { Net } from "../../tests/netns/net.ts";
import {
  cpuSecondsOf,
  memoryOf,
  type NodeProcess,
  processTree,
} from "../../tests/netns/node_process.ts";
import { connectUp, type Kinds, type Pair } from "../../tests/netns/pair.ts";
import { iperf3, ping, pingUntilAnswered } from "../../tests/netns/traffic.ts";
import { median, percentile, table } from "./table.ts";

/** Everything measured in one turn of one program; NaN where not measured. */
interface Turn {
  forwardGbit: number;
  reverseGbit: number;
  /** Of both node processes together, per GB (10^9 bytes) of inner payload. */
  forwardCpuPerGb: number;
  reverseCpuPerGb: number;
  parallelGbit: number;
  parallelCpuPerGb: number;
  bidirGbit: number;
  idlePingMs: number;
  loadedPingMs: number;
  loadedPingP99Ms: number;
  /** Of the larger of the two processes. */
  idleMb: number;
  peakMb: number;
  afterMb: number;
}

interface Settings {
  readonly rounds: number;
  readonly seconds: number;
  readonly programs: string[];
}

const PROGRAMS: Record<string, Kinds> = {
  "longhaul": ["longhaul", "longhaul"],
  "longhaul-encryptor": ["longhaul with an encryptor", "longhaul with an encryptor"],
  "wireguard-go": ["wireguard-go", "wireguard-go"],
  "boringtun": ["boringtun", "boringtun"],
};

const ROWS: readonly [key: keyof Turn, label: string, higherIsBetter: boolean][] = [
  ["forwardGbit", "1 stream A>B, Gbit/s", true],
  ["reverseGbit", "1 stream B>A, Gbit/s", true],
  ["forwardCpuPerGb", "A>B, CPU s/GB, both ends", false],
  ["reverseCpuPerGb", "B>A, CPU s/GB, both ends", false],
  ["parallelGbit", "8 streams, Gbit/s", true],
  ["parallelCpuPerGb", "8 streams, CPU s/GB", false],
  ["bidirGbit", "both ways at once, Gbit/s", true],
  ["idlePingMs", "ping idle, median ms", false],
  ["loadedPingMs", "ping under load, median ms", false],
  ["loadedPingP99Ms", "ping under load, p99 ms", false],
  ["idleMb", "memory idle, MB", false],
  ["peakMb", "memory peak, MB", false],
  ["afterMb", "memory after load, MB", false],
];

/** Runs `load` and adds the CPU time that the nodes took for it. */
async function withCpu(
  nodes: NodeProcess[],
  load: () => Promise<{ bitsPerSecond: number; bytes: number }>,
): Promise<{ gbit: number; cpuPerGb: number }> {
  const before = cpuOf(nodes);
  const { bitsPerSecond, bytes } = await load();
  return { gbit: bitsPerSecond / 1e9, cpuPerGb: (cpuOf(nodes) - before) / (bytes / 1e9) };
}

function cpuOf(nodes: NodeProcess[]): number {
  return nodes.flatMap((node) => processTree(node.pid)).reduce(
    (sum, pid) => sum + cpuSecondsOf(pid),
    0,
  );
}

function megabytes(nodes: NodeProcess[], field: "VmRSS" | "VmHWM"): number {
  const each = nodes.map((node) =>
    processTree(node.pid).reduce((sum, pid) => sum + memoryOf(pid, field), 0)
  );
  return Math.max(...each) / 1e6;
}

/** One turn: a fresh pair of nodes lives through all measurements. */
async function measure(kinds: Kinds, seconds: number): Promise<Turn> {
  await using net = new Net();
  const pair = await connectUp(net, kinds, { env: { LOG_LEVEL: "error" } });
  const { a, b } = pair;
  const nodes = [a.node, b.node];
  const ends = { client: a.namespace, server: b.namespace, address: b.inner4, seconds };
  const idle = await ping(a.namespace, b.inner4, { count: 100, intervalMs: 10 });
  const idleMb = megabytes(nodes, "VmRSS");
  await iperf3({ ...ends, seconds: 1 });
  const forward = await withCpu(nodes, () => iperf3(ends));
  const reverse = await withCpu(nodes, () => iperf3({ ...ends, args: ["-R"] }));
  const parallel = await withCpu(nodes, () => iperf3({ ...ends, args: ["-P", "8"] }));
  const bidir = await iperf3({ ...ends, args: ["--bidir"] });
  const loaded = await pingLoaded(pair, seconds);
  const peakMb = megabytes(nodes, "VmHWM");
  await pingUntilAnswered(a.namespace, b.inner4);
  return {
    forwardGbit: forward.gbit,
    reverseGbit: reverse.gbit,
    forwardCpuPerGb: forward.cpuPerGb,
    reverseCpuPerGb: reverse.cpuPerGb,
    parallelGbit: parallel.gbit,
    parallelCpuPerGb: parallel.cpuPerGb,
    bidirGbit: bidir.bitsPerSecond / 1e9,
    idlePingMs: median(idle.rttMs),
    loadedPingMs: median(loaded),
    loadedPingP99Ms: percentile(loaded, 99),
    idleMb,
    peakMb,
    afterMb: megabytes(nodes, "VmRSS"),
  };
}

/** Round trip times while one TCP stream runs. */
async function pingLoaded({ a, b }: Pair, seconds: number): Promise<number[]> {
  const load = iperf3({
    client: a.namespace,
    server: b.namespace,
    address: b.inner4,
    seconds: seconds + 1,
  });
  const count = Math.round(seconds * 50);
  const { rttMs } = await ping(a.namespace, b.inner4, { count, intervalMs: 20 });
  await load;
  return rttMs;
}

/** A B B A for two programs; there and back in general. */
function turnOrder(programs: string[], round: number): string[] {
  return round % 2 === 0 ? programs : programs.toReversed();
}

function summary(turns: Turn[]): Turn {
  const entries = ROWS.map(([key]) => [key, median(turns.map((turn) => turn[key]))]);
  return Object.fromEntries(entries) as unknown as Turn;
}

function report(medians: Map<string, Turn>, baseline: string): string {
  const base = medians.get(baseline);
  const others = [...medians.keys()].filter((name) => name !== baseline);
  const header = ["", ...medians.keys(), ...others.map((name) => `${name} / ${baseline}`)];
  const rows = ROWS.map(([key, label, higherIsBetter]) => [
    `${label} (${higherIsBetter ? "more" : "less"} is better)`,
    ...[...medians.values()].map((turn) => turn[key].toFixed(2)),
    ...others.map((name) => base ? (medians.get(name)![key] / base[key]).toFixed(2) : "-"),
  ]);
  return table([header, ...rows]);
}

const USAGE = "options: --quick --json --rounds N --seconds N --programs NAME,NAME\n" +
  `programs: ${Object.keys(PROGRAMS).join(" ")}; the first one named is the baseline`;

function parseSettings(): Settings & { json: boolean } {
  const args = parseArgs(Deno.args, {
    boolean: ["quick", "json"],
    string: ["rounds", "seconds", "programs"],
    unknown: (argument: string) => {
      console.error(argument === "--help" ? USAGE : `no such option: ${argument}\n${USAGE}`);
      Deno.exit(argument === "--help" ? 0 : 2);
    },
  });
  const programs = (args.programs ?? "wireguard-go,longhaul").split(",");
  for (const name of programs) {
    if (!(name in PROGRAMS)) throw new Error(`no such program: ${name}`);
  }
  return {
    rounds: Number(args.rounds ?? (args.quick ? 2 : 6)),
    seconds: Number(args.seconds ?? (args.quick ? 3 : 5)),
    programs,
    json: args.json,
  };
}

async function machine(): Promise<string> {
  const kernel = (await run(["uname", "-r"])).stdout.trim();
  return `${navigator.hardwareConcurrency} cores, Linux ${kernel}, Deno ${Deno.version.deno}`;
}

if (import.meta.main) {
  const { rounds, seconds, programs, json } = parseSettings();
  const turns = new Map<string, Turn[]>(programs.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of turnOrder(programs, round)) {
      const turn = await measure(PROGRAMS[name], seconds);
      turns.get(name)!.push(turn);
      console.error(
        `${round + 1}/${rounds} ${name}: ${turn.forwardGbit.toFixed(2)} / ` +
          `${turn.reverseGbit.toFixed(2)} Gbit/s, ${turn.forwardCpuPerGb.toFixed(2)} CPU s/GB`,
      );
    }
  }
  const medians = new Map([...turns].map(([name, list]) => [name, summary(list)]));
  if (json) {
    const result = { machine: await machine(), rounds, seconds, medians, turns };
    const plain = (_: string, value: unknown) =>
      value instanceof Map ? Object.fromEntries(value) : value;
    console.log(JSON.stringify(result, plain, 2));
  } else {
    console.log(`${await machine()}; medians of ${rounds} turns of ${seconds} s\n`);
    console.log(report(medians, programs[0]));
  }
}
