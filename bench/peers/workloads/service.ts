/**
 * A port inside the tunnel that leads to a service on the host's loopback: bulk both ways, new
 * connections, requests on kept connections, and the memory of idle ones. The other end is the same
 * for all: an interface driven by wireguard-go. CPU time and memory are the forwarding program's.
 */
import { pause } from "../../../tests/netns/command.ts";
import { type Spaces, StackBed } from "../bed.ts";
import { cpuSeconds, megabytes } from "../meter.ts";
import { holdIdle, requestLoad, serveHttp } from "../programs/load.ts";
import { type Contestant, parseContestant } from "../programs/spec.ts";
import { thereAndBack } from "./streams.ts";
import { less, more, type Sample, type TurnSettings, type Workload } from "./workload.ts";

const OTHER_END = "wireguard-go";
const IPERF_PORT = 5201;
const HTTP_PORT = 8080;
const AT_A_TIME = 32;
const IDLE_CONNECTIONS = 2000;
const WARM_SECONDS = 1;
/** What is freed with a connection is given back within so long, or it counts. */
const SETTLE_MS = 500;

export const SERVICE: Workload = {
  name: "service",
  title: "a port inside the tunnel leads to a local service; the other end is wireguard-go's TUN",
  contestants: ["wireproxy", "longhaul"],
  others: [OTHER_END],
  metrics: [
    more("sendsGbit", "service sends, Gbit/s"),
    less("sendsCpu", "sends, CPU s/GB"),
    more("receivesGbit", "service receives, Gbit/s"),
    less("receivesCpu", "receives, CPU s/GB"),
    more("newPerSecond", "new connections/s, 32 at a time"),
    less("newP50Ms", "new connection with its request, p50 ms"),
    less("newP99Ms", "new connection with its request, p99 ms"),
    less("newCpuUs", "CPU us per connection"),
    more("keptPerSecond", "keep-alive requests/s, 32 at a time"),
    less("keptP50Ms", "keep-alive request, p50 ms"),
    less("keptP99Ms", "keep-alive request, p99 ms"),
    less("keptCpuUs", "CPU us per request"),
    less("aloneP50Ms", "request, one at a time, p50 ms"),
    less("idleKb", "memory per idle connection, kB"),
    less("restMb", "memory before, MB"),
    less("peakMb", "memory peak, MB"),
    less("errors", "failed connections and requests"),
  ],
  accepts: ({ name }) => name === "longhaul" || name === "wireproxy",
  turn,
};

async function turn(contestant: Contestant, { seconds }: TurnSettings): Promise<Sample> {
  const programs = { tun: parseContestant(OTHER_END).a, stack: contestant.b };
  const prepare = allowManyConnections;
  await using bed = await StackBed.start(programs, [IPERF_PORT, HTTP_PORT], { prepare });
  await serveHttp(bed.net, bed.ends.server, HTTP_PORT);
  // In this order: what traffic leaves behind in memory would hide what idle connections take.
  const idle = await idleConnections(bed);
  const requests = await requestsAndConnections(bed, seconds);
  const { forward, reverse } = await thereAndBack(bed.ends, [bed.pid], seconds, IPERF_PORT);
  return {
    sendsGbit: reverse.gbit,
    sendsCpu: reverse.cpuPerGb[0],
    receivesGbit: forward.gbit,
    receivesCpu: forward.cpuPerGb[0],
    ...requests,
    ...idle,
    peakMb: megabytes(bed.pid, "peak"),
  };
}

function targetOf({ ends }: StackBed): string {
  return `${ends.address}:${HTTP_PORT}`;
}

async function idleConnections(bed: StackBed): Promise<Sample> {
  const { net, ends, pid } = bed;
  const target = targetOf(bed);
  const alone = await requestLoad("requests", ends.client, target, 1, WARM_SECONDS);
  const restMb = megabytes(pid, "now");
  const idle = await holdIdle(net, ends.client, target, IDLE_CONNECTIONS);
  await pause(SETTLE_MS);
  const idleKb = (megabytes(pid, "now") - restMb) * 1000 / IDLE_CONNECTIONS;
  idle.kill("SIGKILL");
  await idle.ended();
  return { aloneP50Ms: alone.p50Ms, restMb, idleKb };
}

async function requestsAndConnections(bed: StackBed, seconds: number): Promise<Sample> {
  const { ends, pid } = bed;
  const load = (kind: "connections" | "requests", length: number) =>
    requestLoad(kind, ends.client, targetOf(bed), AT_A_TIME, length);
  const metered = async (kind: "connections" | "requests") => {
    await load(kind, WARM_SECONDS);
    const before = cpuSeconds(pid);
    const found = await load(kind, seconds);
    return { ...found, cpuUs: (cpuSeconds(pid) - before) / (found.perSecond * seconds) * 1e6 };
  };
  const created = await metered("connections");
  const kept = await metered("requests");
  return {
    newPerSecond: created.perSecond,
    newP50Ms: created.p50Ms,
    newP99Ms: created.p99Ms,
    newCpuUs: created.cpuUs,
    keptPerSecond: kept.perSecond,
    keptP50Ms: kept.p50Ms,
    keptP99Ms: kept.p99Ms,
    keptCpuUs: kept.cpuUs,
    errors: created.errors + kept.errors,
  };
}

/** Tens of thousands of short connections need as many ports. */
async function allowManyConnections({ net, a, b }: Spaces): Promise<void> {
  for (const space of [a, b]) {
    await net.sysctl(space, "ipv4/ip_local_port_range", "10100 65000");
    await net.sysctl(space, "ipv4/tcp_tw_reuse", 1);
  }
}
