/** Bulk transfers of TCP from interface to interface, and the memory that they take. */
import { ping, pingUntilAnswered } from "../../../tests/netns/traffic.ts";
import { TunnelBed } from "../bed.ts";
import { megabytes } from "../meter.ts";
import type { Contestant } from "../programs/spec.ts";
import { isTunnelProgram } from "../programs/tunnel_node.ts";
import { bothEnds, stream, thereAndBack } from "./streams.ts";
import { less, more, type Sample, type TurnSettings, type Workload } from "./workload.ts";

export const TCP: Workload = {
  name: "tcp",
  title: "TUN to TUN: one stream each way, 8 streams, both ways at once; memory of the larger node",
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
  const { ends, pids } = bed;
  const memory = (when: "now" | "peak") => Math.max(...pids.map((pid) => megabytes(pid, when)));
  await ping(ends.client, ends.address, { count: 20, intervalMs: 10 });
  const idleMb = memory("now");
  const { forward, reverse } = await thereAndBack(ends, pids, seconds);
  const parallel = await stream(ends, pids, seconds, ["-P", "8"]);
  const bidir = await stream(ends, pids, seconds, ["--bidir"]);
  const peakMb = memory("peak");
  await pingUntilAnswered(ends.client, ends.address);
  return {
    forwardGbit: forward.gbit,
    reverseGbit: reverse.gbit,
    forwardSendCpu: forward.cpuPerGb[0],
    forwardReceiveCpu: forward.cpuPerGb[1],
    reverseSendCpu: reverse.cpuPerGb[1],
    reverseReceiveCpu: reverse.cpuPerGb[0],
    bothEndsCpu: (bothEnds(forward) + bothEnds(reverse)) / 2,
    parallelGbit: parallel.gbit,
    parallelCpu: bothEnds(parallel),
    bidirGbit: bidir.gbit,
    bidirCpu: bothEnds(bidir),
    idleMb,
    peakMb,
    afterMb: memory("now"),
  };
}
