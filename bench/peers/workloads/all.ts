/** All workloads, in the order in which they are run and reported. */
import { HANDSHAKES } from "./handshakes.ts";
import { MTU } from "./mtu.ts";
import { NETSTACK } from "./netstack.ts";
import { PEERS } from "./peers.ts";
import { PING } from "./ping.ts";
import { SERVICE } from "./service.ts";
import { FORWARDED, MIXED, NO_OFFLOADS } from "./single_stream.ts";
import { START } from "./start.ts";
import { TCP } from "./tcp.ts";
import { UDP } from "./udp.ts";
import type { Workload } from "./workload.ts";

export const WORKLOADS: readonly Workload[] = [
  TCP,
  PING,
  UDP,
  NETSTACK,
  SERVICE,
  START,
  HANDSHAKES,
  PEERS,
  MTU,
  NO_OFFLOADS,
  FORWARDED,
  MIXED,
];
