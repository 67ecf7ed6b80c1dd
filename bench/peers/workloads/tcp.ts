/** Bulk transfers of TCP from interface to interface, and the memory that they take. */
import { iperf3, ping, pingUntilAnswered } from "../../../tests/netns/traffic.ts";
import { TunnelBed } from "../bed.ts";
import { megabytes, metered } from "../meter.ts";
import type { Contestant } from "../programs/spec.ts";
import { isTunnelProgram } from "../programs/tunnel_node.ts";
import { less, more, type Sample, type TurnSettings, type Workload } from "./workload.ts";

const WARM_SECONDS = 1;

export const TCP: Workload = {
  name: "tcp",
  title: "TUN to TUN: one stream each way, 8 streams, both ways at once; memory",
  contestants: ["wireguard-go", "longhaul"],
  metrics: [
    more("forwardGbit", "1 stream A>B, Gbit/s"),
    more("reverseGbit", "1 stream B>A, Gbit/s"),
    less("forwardSendCpu", "A>B, CPU s/GB, sending end"),
    less("forwardReceiveCpu", "A>B, CPU s/GB, receiving end"),
    less("reverseSendCpu", "B>A, CPU s/GB, sending end"),
    less("reverseReceiveCpu", "B>A, CPU s/GB, receiving end"),
    less("bothEndsCpu", "1 stream, CPU s/GB, both ends"),
    more("parallelGbit", "8 streams, Gbit/s"),
    less("parallelCpu", "8 streams, CPU s/GB, both ends"),
    more("bidirGbit", "both ways at once, Gbit/s"),
    less("bidirCpu", "both ways, CPU s/GB, both ends"),
    less("idleMb", "memory idle, MB"),
    less("peakMb", "memory peak, MB"),
    less("afterMb", "memory after load, MB"),
  ],
  accepts: isTunnelProgram,
  turn,
};

async function turn(contestant: Contestant, { seconds }: TurnSettings): Promise<Sample> {
  await using bed = await TunnelBed.start(contestant);
  const { pids } = bed;
  /** Of the larger of the two processes. */
  const memory = (when: "now" | "peak") => Math.max(...pids.map((pid) => megabytes(pid, when)));
  const transfer = (...args: string[]) =>
    metered(pids, () => iperf3({ ...bed.ends, seconds, args }));
  await ping(bed.a.namespace, bed.b.inner4, { count: 20, intervalMs: 10 });
  const idleMb = memory("now");
  for (const args of [[], ["-R"]]) await iperf3({ ...bed.ends, seconds: WARM_SECONDS, args });
  const forward = await transfer();
  const reverse = await transfer("-R");
  const parallel = await transfer("-P", "8");
  const bidir = await transfer("--bidir");
  const peakMb = memory("peak");
  await pingUntilAnswered(bed.a.namespace, bed.b.inner4);
  return {
    forwardGbit: forward.gbit,
    reverseGbit: reverse.gbit,
    forwardSendCpu: forward.cpuPerGb[0],
    forwardReceiveCpu: forward.cpuPerGb[1],
    reverseSendCpu: reverse.cpuPerGb[1],
    reverseReceiveCpu: reverse.cpuPerGb[0],
    bothEndsCpu: (sum(forward.cpuPerGb) + sum(reverse.cpuPerGb)) / 2,
    parallelGbit: parallel.gbit,
    parallelCpu: sum(parallel.cpuPerGb),
    bidirGbit: bidir.gbit,
    bidirCpu: sum(bidir.cpuPerGb),
    idleMb,
    peakMb,
    afterMb: memory("now"),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
