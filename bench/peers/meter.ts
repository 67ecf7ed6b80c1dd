/** What a program has cost: the CPU time and the memory of a process and all its children. */
import { cpuSecondsOf, memoryOf, processTree } from "../../tests/netns/node_process.ts";

/** CPU seconds so far, user and system. */
export function cpuSeconds(pid: number): number {
  return processTree(pid).reduce((sum, each) => sum + cpuSecondsOf(each), 0);
}

/** Resident memory in MB (10^6 bytes): now, or the most there ever was. */
export function megabytes(pid: number, when: "now" | "peak"): number {
  const field = when === "now" ? "VmRSS" : "VmHWM";
  return processTree(pid).reduce((sum, each) => sum + memoryOf(each, field), 0) / 1e6;
}

/** Of one transfer: its rate, and what each watched process took for a GB (10^9 bytes) of payload. */
export interface Transfer {
  readonly gbit: number;
  readonly cpuPerGb: readonly number[];
}

/** Runs `load` and reads before and after it what the processes `pids` have used. */
export async function metered(
  pids: readonly number[],
  load: () => Promise<{ bitsPerSecond: number; bytes: number }>,
): Promise<Transfer> {
  const before = pids.map(cpuSeconds);
  const { bitsPerSecond, bytes } = await load();
  return {
    gbit: bitsPerSecond / 1e9,
    cpuPerGb: pids.map((pid, i) => (cpuSeconds(pid) - before[i]) / (bytes / 1e9)),
  };
}
