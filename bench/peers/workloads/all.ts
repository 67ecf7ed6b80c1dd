/** All workloads, in the order in which they are run and reported. */
import { PING } from "./ping.ts";
import { TCP } from "./tcp.ts";
import type { Workload } from "./workload.ts";

export const WORKLOADS: readonly Workload[] = [TCP, PING];
