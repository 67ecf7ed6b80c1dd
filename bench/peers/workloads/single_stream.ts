/**
 * One stream each way, with the cost of each end apart: between unlike programs, over a network
 * without offloads, and for traffic that the kernel forwards into the tunnel.
 */
import { run } from "../../../tests/netns/command.ts";
import { pingUntilAnswered } from "../../../tests/netns/traffic.ts";
import { type Ends, type Spaces, TunnelBed } from "../bed.ts";
import { switchOffloadsOff } from "../ethtool.ts";
import type { Contestant } from "../programs/spec.ts";
import { isTunnelProgram } from "../programs/tunnel_node.ts";
import { thereAndBack } from "./streams.ts";
import { less, more, type Sample, type Workload } from "./workload.ts";

const METRICS = [
  more("forwardGbit", "A>B, Gbit/s"),
  less("forwardSendCpu", "A>B, CPU s/GB, sending end"),
  less("forwardReceiveCpu", "A>B, CPU s/GB, receiving end"),
  more("reverseGbit", "B>A, Gbit/s"),
  less("reverseSendCpu", "B>A, CPU s/GB, sending end"),
  less("reverseReceiveCpu", "B>A, CPU s/GB, receiving end"),
];

/** Each against each: `longhaul:boringtun` has Longhaul at A and boringtun at B. */
export const MIXED: Workload = {
  name: "mixed",
  title: "TUN to TUN, one stream, A and B being different programs",
  contestants: [
    "wireguard-go",
    "wireguard-go:boringtun",
    "longhaul:wireguard-go",
    "longhaul:boringtun",
    "longhaul",
  ],
  metrics: METRICS,
  accepts: isTunnelProgram,
  turn: async (contestant, { seconds }) => {
    await using bed = await TunnelBed.start(contestant);
    return await measure(bed, bed.ends, seconds);
  },
};

export const NO_OFFLOADS: Workload = {
  name: "no-offloads",
  title: "TUN to TUN, one stream, all offloads of the veth pair off (checksums, TSO, GSO, GRO)",
  contestants: ["wireguard-go", "longhaul"],
  metrics: METRICS,
  accepts: isTunnelProgram,
  turn: async (contestant, { seconds }) => {
    await using bed = await TunnelBed.start(contestant, { prepare: plainNetwork });
    return await measure(bed, bed.ends, seconds);
  },
};

export const FORWARDED: Workload = {
  name: "forwarded",
  title: "one stream between a host behind A, joined by another veth pair, and B",
  contestants: ["wireguard-go", "longhaul"],
  metrics: METRICS,
  accepts: isTunnelProgram,
  turn: async (contestant: Contestant, { seconds }) => {
    await using bed = await TunnelBed.start(contestant);
    return await measure(bed, await hostBehind(bed), seconds);
  },
};

async function measure(bed: TunnelBed, ends: Ends, seconds: number): Promise<Sample> {
  const { forward, reverse } = await thereAndBack(ends, bed.pids, seconds);
  return {
    forwardGbit: forward.gbit,
    forwardSendCpu: forward.cpuPerGb[0],
    forwardReceiveCpu: forward.cpuPerGb[1],
    reverseGbit: reverse.gbit,
    reverseSendCpu: reverse.cpuPerGb[1],
    reverseReceiveCpu: reverse.cpuPerGb[0],
  };
}

function plainNetwork({ a, b }: Spaces): Promise<void> {
  for (const space of [a, b]) switchOffloadsOff(space, "eth0");
  return Promise.resolve();
}

const LAN = { host: "10.50.0.2", router: "10.50.0.1", prefix: "10.50.0.0/24" } as const;

/** A third namespace behind a, with a way through the tunnel; gives the ends from it to b. */
async function hostBehind({ net, a, b, ends }: TunnelBed): Promise<Ends> {
  const lan = await net.namespace("lan");
  await net.veth(
    { namespace: a.namespace, name: "lan0", addresses: [`${LAN.router}/24`] },
    { namespace: lan, name: "eth0", addresses: [`${LAN.host}/24`] },
  );
  await net.forward(a.namespace);
  await net.ip(lan, [`route add default via ${LAN.router}`]);
  await net.ip(b.namespace, [`route add ${LAN.prefix} dev ${b.node.name}`]);
  const allowed = [`${a.inner4}/32`, `${a.inner6}/128`, LAN.prefix].join(",");
  await run(["wg", "set", b.node.name, "peer", a.key.publicKey, "allowed-ips", allowed]);
  await pingUntilAnswered(lan, ends.address);
  return { ...ends, client: lan };
}
