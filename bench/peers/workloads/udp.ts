/** Datagrams through the tunnel: the highest rate at which less than one in a hundred is lost. */
import { TunnelBed } from "../bed.ts";
import { highestRate } from "../loss_search.ts";
import { tryRate } from "../programs/load.ts";
import type { Contestant } from "../programs/spec.ts";
import { isTunnelProgram } from "../programs/tunnel_node.ts";
import { warmUp } from "./streams.ts";
import { more, type Sample, type TurnSettings, type Workload } from "./workload.ts";

const SMALL_BYTES = 64;
const LARGE_BYTES = 1300;
const FIRST_PER_SECOND = 70_000;
const LOSS_LIMIT = 0.01;
const TRIALS_MAX = 7;
/** A trial takes this share of a load's length, so that a search takes some two loads. */
const TRIAL_SHARE = 0.25;

export const UDP: Workload = {
  name: "udp",
  title: "UDP at under 1 % loss: the highest rate that is found, of payloads of 64 and 1300 bytes",
  contestants: ["wireguard-go", "boringtun", "longhaul"],
  metrics: [
    more("smallPerSecond", "64 bytes, datagrams/s"),
    more("largePerSecond", "1300 bytes, datagrams/s"),
    more("largeGbit", "1300 bytes, Gbit/s"),
  ],
  accepts: isTunnelProgram,
  turn,
};

async function turn(contestant: Contestant, { seconds }: TurnSettings): Promise<Sample> {
  await using bed = await TunnelBed.start(contestant);
  const { client, server, address } = bed.ends;
  const search = {
    firstPerSecond: FIRST_PER_SECOND,
    lossLimit: LOSS_LIMIT,
    trialsMax: TRIALS_MAX,
  };
  const highest = (bytes: number) =>
    highestRate(search, (perSecond) =>
      tryRate(
        { sender: client, receiver: server, address },
        bytes,
        perSecond,
        seconds * TRIAL_SHARE,
      ));
  await warmUp(bed.ends);
  const smallPerSecond = await highest(SMALL_BYTES);
  const largePerSecond = await highest(LARGE_BYTES);
  return { smallPerSecond, largePerSecond, largeGbit: largePerSecond * LARGE_BYTES * 8 / 1e9 };
}
