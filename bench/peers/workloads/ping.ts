/** Round trips through the tunnel: at rest, and beside a bulk transfer. */
import { iperf3, ping } from "../../../tests/netns/traffic.ts";
import { TunnelBed } from "../bed.ts";
import type { Contestant } from "../programs/spec.ts";
import { isTunnelProgram } from "../programs/tunnel_node.ts";
import { median, percentile } from "../statistics.ts";
import { warmUp } from "./streams.ts";
import { less, more, type Sample, type TurnSettings, type Workload } from "./workload.ts";

const IDLE_COUNT = 200;
const IDLE_INTERVAL_MS = 5;
const LOADED_INTERVAL_MS = 10;

export const PING: Workload = {
  name: "ping",
  title: "round trips at rest, and beside one stream of TCP",
  contestants: ["wireguard-go", "boringtun", "longhaul"],
  metrics: [
    less("freshMs", "ping before any load, p50 ms"),
    less("idleMs", "ping idle, p50 ms"),
    less("idleP99Ms", "ping idle, p99 ms"),
    less("loadedMs", "ping under load, p50 ms"),
    less("loadedP99Ms", "ping under load, p99 ms"),
    more("loadedGbit", "the load meanwhile, Gbit/s"),
  ],
  accepts: isTunnelProgram,
  turn,
};

async function turn(contestant: Contestant, { seconds }: TurnSettings): Promise<Sample> {
  await using bed = await TunnelBed.start(contestant);
  const pings = async (count: number, intervalMs: number) =>
    (await ping(bed.a.namespace, bed.b.inner4, { count, intervalMs })).rttMs;
  const fresh = await pings(IDLE_COUNT, IDLE_INTERVAL_MS);
  await warmUp(bed.ends);
  const idle = await pings(IDLE_COUNT, IDLE_INTERVAL_MS);
  const load = iperf3({ ...bed.ends, seconds: seconds + 1 });
  const loaded = await pings(seconds * 1000 / LOADED_INTERVAL_MS, LOADED_INTERVAL_MS);
  return {
    freshMs: median(fresh),
    idleMs: median(idle),
    idleP99Ms: percentile(idle, 99),
    loadedMs: median(loaded),
    loadedP99Ms: percentile(loaded, 99),
    loadedGbit: (await load).bitsPerSecond / 1e9,
  };
}
