/** `bench` without a peer: what this machine does with a packet, with 64 KB, and with a tunnel. */
import type { Log } from "../base/log.ts";
import { CryptoBed } from "./crypto_work.ts";
import { measureRoundTrips } from "./echo_bed.ts";
import { measure, summarize, type Work } from "./measure.ts";
import { type BenchRow, makeRow } from "./report.ts";
import { STACK_STEPS, StackBed, type StackStep } from "./stack_bed.ts";
import { measureTunnel } from "./tunnel_bed.ts";

const SEALED_BYTES = [64, 1420, 16_384] as const;
const PACKET_BYTES = 1420;
const SEGMENT_BYTES = 65_536;
/** One round of the stacks. */
const STREAM_BYTES = 16 << 20;
const STREAM_ROUNDS_MIN = 5;

// How the time is divided.
const PACKET_PART = 0.4 / 8;
const STREAM_PART = 0.1;
const TUNNEL_PART = 0.4;
const ECHO_PART = 0.1;

const STREAM_IDS: Readonly<Record<StackStep, string>> = {
  send: "stack-send",
  split: "split",
  coalesce: "coalesce",
  receive: "stack-receive",
};

/** How to run. */
export interface LocalBenchOptions {
  readonly bed: CryptoBed;
  /** About how long all of it takes. */
  readonly budgetMs: number;
  readonly encryptors: number;
  readonly log: Log;
  /** Told what is being measured next. */
  readonly onBegin: (what: string) => void;
  /** Told each figure, in the order of `BENCH_TITLES`. */
  readonly onRow: (row: BenchRow) => void;
}

/** Runs everything. Throws `SetupError` when the tunnel does not work. */
export async function runLocalBench(options: LocalBenchOptions): Promise<void> {
  const { budgetMs, encryptors, log, onBegin, onRow } = options;
  onBegin("packets");
  benchPackets(options);
  onBegin("the userspace stack");
  for (const row of benchStream(budgetMs * STREAM_PART)) onRow(row);
  onBegin("a tunnel over loopback");
  const tunnel = await measureTunnel(budgetMs * TUNNEL_PART, encryptors, log);
  onRow(makeRow("tunnel-throughput", "Gbit/s", "median", tunnel.gigabitsPerSecond));
  onRow(makeRow("tunnel-cpu", "CPU s/GB", "median", tunnel.cpuSecondsPerGigabyte));
  onBegin("round trips through it");
  const trips = await measureRoundTrips(budgetMs * ECHO_PART, log);
  onRow(makeRow("tunnel-rtt-p50", "us", "median", trips.p50Us));
  onRow(makeRow("tunnel-rtt-p99", "us", "median", trips.p99Us));
}

function benchPackets({ bed, budgetMs, onRow }: LocalBenchOptions): void {
  const bench = (id: string, work: Work, bytes: number) =>
    onRow(makeRow(id, "ns", "best", measure(work, budgetMs * PACKET_PART), bytes));
  for (const bytes of SEALED_BYTES) bench(`seal-${bytes}`, bed.seal(bytes), bytes);
  for (const bytes of SEALED_BYTES) bench(`open-${bytes}`, bed.open(bytes), bytes);
  bench(`checksum-${PACKET_BYTES}`, bed.sum(PACKET_BYTES), PACKET_BYTES);
  bench(`copy-checksum-${PACKET_BYTES}`, bed.copySum(PACKET_BYTES), PACKET_BYTES);
}

function benchStream(budgetMs: number): BenchRow[] {
  const bed = new StackBed();
  const rounds: Record<StackStep, number>[] = [];
  for (let spentMs = 0; rounds.length < STREAM_ROUNDS_MIN || spentMs < budgetMs;) {
    const round = bed.transfer(STREAM_BYTES);
    rounds.push(round);
    const each = STACK_STEPS.reduce((sum, step) => sum + round[step], 0);
    spentMs += each / 1e6 * (STREAM_BYTES / SEGMENT_BYTES);
  }
  return STACK_STEPS.map((step) =>
    makeRow(
      STREAM_IDS[step],
      "ns",
      "best",
      summarize(rounds.map((round) => round[step]), "less"),
      SEGMENT_BYTES,
    )
  );
}
