/** One stream of TCP there and one back, each after a second of the same: what several works share. */
import { iperf3 } from "../../../tests/netns/traffic.ts";
import type { Ends } from "../bed.ts";
import { metered, type Transfer } from "../meter.ts";

const WARM_SECONDS = 1;

/** One stream of TCP from client to server, or with more arguments of iperf3; all ends metered. */
export function stream(
  ends: Ends,
  pids: readonly number[],
  seconds: number,
  args: string[] = [],
  port?: number,
): Promise<Transfer> {
  return metered(pids, () => iperf3({ ...ends, seconds, args, port }));
}

/** Runs both directions unmeasured: code is compiled and buffers are there afterwards. */
export async function warmUp(ends: Ends, port?: number): Promise<void> {
  for (const args of [[], ["-R"]]) await iperf3({ ...ends, seconds: WARM_SECONDS, args, port });
}

/** Both directions, after a warm-up of both. */
export async function thereAndBack(
  ends: Ends,
  pids: readonly number[],
  seconds: number,
  port?: number,
): Promise<{ forward: Transfer; reverse: Transfer }> {
  await warmUp(ends, port);
  return {
    forward: await stream(ends, pids, seconds, [], port),
    reverse: await stream(ends, pids, seconds, ["-R"], port),
  };
}

/** Of both ends together. */
export function bothEnds({ cpuPerGb }: Transfer): number {
  return cpuPerGb.reduce((total, value) => total + value, 0);
}
