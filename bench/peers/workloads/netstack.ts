/**
 * A node without an interface serves an iperf3 of its own loopback to a node with one, both of the
 * same program. "Sends" and "receives" are the stack's, and so are CPU time and memory.
 */
import { pingUntilAnswered } from "../../../tests/netns/traffic.ts";
import { OUTER } from "../../../tests/netns/pair.ts";
import { type Ends, makeSpaces, orDispose, StackBed } from "../bed.ts";
import { megabytes } from "../meter.ts";
import type { Contestant } from "../programs/spec.ts";
import { startTailscale } from "../programs/tailscale.ts";
import { thereAndBack } from "./streams.ts";
import { less, more, type Sample, type TurnSettings, type Workload } from "./workload.ts";

const MTU = 1280;
const PORT = 5201;

export const NETSTACK: Workload = {
  name: "netstack",
  title:
    `a userspace stack and a TUN, MTU ${MTU}, one stream; CPU and memory of the stack's process`,
  contestants: ["tailscaled", "longhaul"],
  metrics: [
    more("sendsGbit", "stack sends, Gbit/s"),
    less("sendsCpu", "sends, CPU s/GB"),
    more("receivesGbit", "stack receives, Gbit/s"),
    less("receivesCpu", "receives, CPU s/GB"),
    less("peakMb", "memory peak, MB"),
  ],
  accepts: ({ name }) => name === "longhaul" || name === "tailscaled",
  turn,
};

async function turn({ a, b }: Contestant, { seconds }: TurnSettings): Promise<Sample> {
  await using bed = a.name === "tailscaled" && b.name === "tailscaled"
    ? await startTailscaleBed()
    : await StackBed.start({ tun: a, stack: b }, [PORT], { mtu: MTU });
  const { forward, reverse } = await thereAndBack(bed.ends, [bed.pid], seconds, PORT);
  return {
    sendsGbit: reverse.gbit,
    sendsCpu: reverse.cpuPerGb[0],
    receivesGbit: forward.gbit,
    receivesCpu: forward.cpuPerGb[0],
    peakMb: megabytes(bed.pid, "peak"),
  };
}

/** tailscaled's interface has the MTU that is asked of others here. */
async function startTailscaleBed(): Promise<StackBed> {
  const { net, a, b } = await makeSpaces();
  return await orDispose(net, async () => {
    const spaces = { tunSpace: a, userSpace: b, underlay: OUTER.a4 };
    const { user } = await startTailscale(net, spaces);
    await pingUntilAnswered(a, user.address);
    const ends: Ends = { client: a, server: b, address: user.address };
    return new StackBed(net, ends, user.pid);
  });
}
