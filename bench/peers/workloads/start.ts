/**
 * From nothing to the first packet, and the memory of a node that has nothing to do, beside an empty
 * Deno with as many workers.
 */
import { pause } from "../../../tests/netns/command.ts";
import { Net } from "../../../tests/netns/net.ts";
import { configureSide, OUTER, peerOf } from "../../../tests/netns/pair.ts";
import { ping } from "../../../tests/netns/traffic.ts";
import { makeSpaces } from "../bed.ts";
import { megabytes } from "../meter.ts";
import { startFloor, workersOf } from "../programs/floor.ts";
import { type Contestant, parseContestant, type ProgramSpec } from "../programs/spec.ts";
import { isTunnelProgram, startTunnelSide } from "../programs/tunnel_node.ts";
import { less, type Sample, type Workload } from "./workload.ts";

/** A program that has just started still compiles, and gives back later what that took. */
const SETTLE_MS = 5000;
/** How long a program that is ready may wait for its configuration. */
const LOOK_EVERY_MS = 2;

export const START: Workload = {
  name: "start",
  title:
    "from the start of a program to its first answer through the tunnel; memory of an idle node",
  contestants: ["deno", "wireguard-go", "boringtun", "longhaul"],
  others: ["longhaul"],
  metrics: [
    less("firstPacketMs", "start to first packet, ms"),
    less("idleMb", "memory idle, MB"),
  ],
  accepts: (spec) => isTunnelProgram(spec) || spec.name === "deno",
  turn: (contestant) => contestant.a.name === "deno" ? floorTurn() : nodeTurn(contestant),
};

/** Its other end stands ready; the clock runs from before the program's start. */
async function nodeTurn({ a: spec, b: other }: Contestant): Promise<Sample> {
  const spaces = await makeSpaces();
  await using net = spaces.net;
  const b = await startTunnelSide(net, other, spaces.b, { number: 2, port: 10_002 });
  const beginMs = performance.now();
  const options = { number: 1, port: 10_001, lookEveryMs: LOOK_EVERY_MS };
  const a = await startTunnelSide(net, spec, spaces.a, options);
  await Promise.all([
    configureSide(b, [peerOf(a)]),
    configureSide(a, [peerOf(b, { endpoint: `${OUTER.b4}:${b.port}` })]),
  ]);
  const { received } = await ping(a.namespace, b.inner4, { count: 1, waitMs: 6000 });
  const firstPacketMs = performance.now() - beginMs;
  if (received === 0) throw new Error("no answer to the first packet");
  await pause(SETTLE_MS);
  return { firstPacketMs, idleMb: megabytes(a.node.pid, "now") };
}

async function floorTurn(): Promise<Sample> {
  await using net = new Net();
  const space = await net.namespace("a");
  const { pid } = await startFloor(net, space, await workersOfNode(net, space));
  await pause(SETTLE_MS);
  return { idleMb: megabytes(pid, "now") };
}

let workers: number | undefined;

/** How many workers a node of ours has on this machine, from the threads of one. */
async function workersOfNode(net: Net, space: string): Promise<number> {
  if (workers === undefined) {
    const spec: ProgramSpec = parseContestant("longhaul").a;
    const { node } = await startTunnelSide(net, spec, space, { number: 1, port: 10_001 });
    // They come up after the control socket.
    await pause(SETTLE_MS);
    workers = workersOf(node.pid);
    await node.stop();
  }
  return workers;
}
