/** What Longhaul has to reach, and the judgement of a result: `met`, `missed` or not measured. */
import { median } from "./statistics.ts";
import { medianOf, type Result, valuesOf } from "./result.ts";

/** The contestant that is judged. */
const OURS = "longhaul";

/** One row: a metric of ours beside that of peers, or beside a fixed limit. */
export interface Target {
  readonly work: string;
  readonly workload: string;
  readonly metric: string;
  /** Peers; of several the best counts. Empty: `limit` is the figure itself. */
  readonly against: readonly string[];
  /** Ours divided by the peer's, or ours alone, has to be at least or at most so much. */
  readonly bound: "at least" | "at most";
  readonly limit: number;
  /** Of a limit without peers. */
  readonly unit?: string;
  /** A further row that has to be met for this one to count. */
  readonly provided?: Omit<Target, "work" | "provided">;
  /** The peer's figure is this other metric. */
  readonly peerMetric?: string;
}

const WIREGUARD_GO = ["wireguard-go"];
const TAILSCALED = ["tailscaled"];
const WIREPROXY = ["wireproxy"];
const BEST = ["wireguard-go", "boringtun"];

const LOAD_KEPT = {
  workload: "ping",
  metric: "loadedGbit",
  against: WIREGUARD_GO,
  bound: "at least",
  limit: 1.4,
} as const;

function row(
  work: string,
  where: `${string}.${string}`,
  against: readonly string[],
  bound: Target["bound"],
  limit: number,
  more: Partial<Target> = {},
): Target {
  const [workload, metric] = where.split(".");
  return { work, workload, metric, against, bound, limit, ...more };
}

/** In the order of the report. */
export const TARGETS: readonly Target[] = [
  row("TUN to TUN, one stream A>B", "tcp.forwardGbit", WIREGUARD_GO, "at least", 1.6),
  row("TUN to TUN, one stream B>A", "tcp.reverseGbit", WIREGUARD_GO, "at least", 1.6),
  row("8 streams", "tcp.parallelGbit", WIREGUARD_GO, "at least", 2),
  row("both ways at once", "tcp.bidirGbit", WIREGUARD_GO, "at least", 1.8),
  row("one stream, CPU s/GB, both ends", "tcp.bothEndsCpu", WIREGUARD_GO, "at most", 0.5),
  row("ping under load, p50", "ping.loadedMs", WIREGUARD_GO, "at most", 0.2, {
    provided: LOAD_KEPT,
  }),
  row("ping under load, p99", "ping.loadedP99Ms", WIREGUARD_GO, "at most", 0.2, {
    provided: LOAD_KEPT,
  }),
  row("ping idle after traffic, p50", "ping.idleMs", BEST, "at most", 1.2),
  row("ping idle, just started, p50", "ping.freshMs", BEST, "at most", 1.2),
  row("64-byte UDP, datagrams/s", "udp.smallPerSecond", BEST, "at least", 1.2),
  row("1300-byte UDP, Gbit/s", "udp.largeGbit", BEST, "at least", 1.5),
  row("netstack sends, Gbit/s", "netstack.sendsGbit", TAILSCALED, "at least", 2.7),
  row("netstack receives, Gbit/s", "netstack.receivesGbit", TAILSCALED, "at least", 2.5),
  row("netstack sends, CPU s/GB", "netstack.sendsCpu", TAILSCALED, "at most", 0.4),
  row("netstack receives, CPU s/GB", "netstack.receivesCpu", TAILSCALED, "at most", 0.3),
  row("local service sends, CPU s/GB", "service.sendsCpu", WIREPROXY, "at most", 0.2),
  row("local service receives, CPU s/GB", "service.receivesCpu", WIREPROXY, "at most", 0.6),
  row("new connections/s, 32 at a time", "service.newPerSecond", WIREPROXY, "at least", 1),
  row("keep-alive requests/s, 32 at a time", "service.keptPerSecond", WIREPROXY, "at least", 1.2),
  row("keep-alive requests, p99", "service.keptP99Ms", WIREPROXY, "at most", 1),
  row("memory under load, TUN", "tcp.peakMb", [], "at most", 200, { unit: "MB" }),
  row("memory under load, netstack", "netstack.peakMb", [], "at most", 200, { unit: "MB" }),
  row("memory per idle connection", "service.idleKb", [], "at most", 20, { unit: "kB" }),
  row("memory idle", "start.idleMb", ["deno"], "at most", 1.5),
  row("start to first packet", "start.firstPacketMs", [], "at most", 200, { unit: "ms" }),
];

/** A row with what was found. */
export interface Judgement {
  readonly target: Target;
  /** The ratio, or the figure itself; NaN when it was not measured. */
  readonly value: number;
  /** The same in each round alone: lowest and highest. */
  readonly range: readonly [lowest: number, highest: number];
  /** The peer that counts; undefined for a limit, and when none was measured. */
  readonly peer?: string;
  readonly verdict: "met" | "missed" | "not measured";
}

/** Judges all rows whose workload is in the result. */
export function judgeAll(result: Result, targets: readonly Target[] = TARGETS): Judgement[] {
  const names = result.workloads.map(({ name }) => name);
  return targets.filter(({ workload }) => names.includes(workload))
    .map((target) => judge(result, target));
}

/** Judges one row by the medians. */
export function judge(result: Result, target: Target): Judgement {
  const { value, range, peer } = compare(result, target);
  if (Number.isNaN(value)) return { target, value, range, peer, verdict: "not measured" };
  const condition = target.provided && compare(result, target.provided).value;
  const isMet = holds(target, value) &&
    (condition === undefined || holds(target.provided!, condition));
  return { target, value, range, peer, verdict: isMet ? "met" : "missed" };
}

type Row = Omit<Target, "work" | "provided">;

function holds({ bound, limit }: Row, value: number): boolean {
  return bound === "at least" ? value >= limit : value <= limit;
}

function compare(result: Result, row: Row): Omit<Judgement, "target" | "verdict"> {
  const workload = result.workloads.find(({ name }) => name === row.workload);
  if (workload === undefined) return { value: NaN, range: [NaN, NaN] };
  const ours = valuesOf(workload, OURS, row.metric);
  if (row.against.length === 0) return { value: median(ours), range: rangeOf(ours) };
  const metric = row.peerMetric ?? row.metric;
  const better = row.bound === "at least" ? Math.max : Math.min;
  const peers = row.against.filter((name) => !Number.isNaN(medianOf(workload, name, metric)));
  const best = better(...peers.map((name) => medianOf(workload, name, metric)));
  const peer = peers.find((name) => medianOf(workload, name, metric) === best);
  if (peer === undefined) return { value: NaN, range: [NaN, NaN] };
  const theirs = valuesOf(workload, peer, metric);
  const rounds = ours.slice(0, theirs.length).map((value, round) => value / theirs[round]);
  return { value: median(ours) / best, range: rangeOf(rounds), peer };
}

function rangeOf(values: readonly number[]): [number, number] {
  return values.length === 0 ? [NaN, NaN] : [Math.min(...values), Math.max(...values)];
}
