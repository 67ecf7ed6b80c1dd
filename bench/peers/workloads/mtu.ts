/** One stream of TCP with other MTUs inside the tunnel. */
import { TunnelBed } from "../bed.ts";
import type { Contestant } from "../programs/spec.ts";
import { isTunnelProgram } from "../programs/tunnel_node.ts";
import { bothEnds, thereAndBack } from "./streams.ts";
import { less, more, type TurnSettings, type Workload } from "./workload.ts";

const MTUS = [1280, 1420, 8920] as const;

export const MTU: Workload = {
  name: "mtu",
  title: "TUN to TUN, one stream, by the MTU of the interfaces; the veth pair's is 80 bytes larger",
  contestants: ["wireguard-go", "longhaul"],
  metrics: MTUS.flatMap((mtu) => [
    more(`forward${mtu}Gbit`, `MTU ${mtu} A>B, Gbit/s`),
    more(`reverse${mtu}Gbit`, `MTU ${mtu} B>A, Gbit/s`),
    less(`cpu${mtu}`, `MTU ${mtu}, CPU s/GB, both ends`),
  ]),
  accepts: isTunnelProgram,
  turn,
};

async function turn(contestant: Contestant, { seconds }: TurnSettings) {
  const sample: Record<string, number> = {};
  for (const mtu of MTUS) {
    await using bed = await TunnelBed.start(contestant, { mtu });
    const { forward, reverse } = await thereAndBack(bed.ends, bed.pids, seconds);
    sample[`forward${mtu}Gbit`] = forward.gbit;
    sample[`reverse${mtu}Gbit`] = reverse.gbit;
    sample[`cpu${mtu}`] = (bothEnds(forward) + bothEnds(reverse)) / 2;
  }
  return sample;
}
