/** What a stack is doing, as status shows it: its flows, one by one, and their counters by name. */
import { StackCounter, type StackCounters } from "./counters.ts";
import { tcpStateName } from "./tcp/state.ts";
import type { TcpLayer } from "./tcp/tcp_layer.ts";
import type { UdpLayer } from "./udp.ts";

/** One TCP connection or UDP socket. */
export interface StackFlow {
  readonly protocol: "tcp" | "udp";
  /** Null: all of our addresses. */
  readonly localAddress: Uint8Array | null;
  readonly localPort: number;
  /** Null for a UDP socket that is not bound to a flow. */
  readonly remoteAddress: Uint8Array | null;
  readonly remotePort: number;
  /** Of TCP the name of `TcpState`; of UDP `Bound` or `Flow`. */
  readonly state: string;
  /** TCP: written by our application and not yet acknowledged by the other end. */
  readonly unacknowledgedBytes: number;
}

/** All connections and sockets. */
export function* stackFlows(tcp: TcpLayer, udp: UdpLayer): Generator<StackFlow, void, void> {
  for (const { flow, state, unacknowledgedBytes } of tcp.connections()) {
    yield {
      protocol: "tcp",
      localAddress: flow.localAddress,
      localPort: flow.localPort,
      remoteAddress: flow.remoteAddress,
      remotePort: flow.remotePort,
      state: tcpStateName(state),
      unacknowledgedBytes,
    };
  }
  for (const { flow, localAddress, localPort } of udp.sockets()) {
    yield {
      protocol: "udp",
      localAddress,
      localPort,
      remoteAddress: flow?.remoteAddress ?? null,
      remotePort: flow?.remotePort ?? 0,
      state: flow === null ? "Bound" : "Flow",
      unacknowledgedBytes: 0,
    };
  }
}

/** The stack's counters by the names of `StackCounter`. */
export function stackCounts(counters: StackCounters): Record<keyof typeof StackCounter, number> {
  return Object.fromEntries(
    Object.entries(StackCounter).map(([name, counter]) => [name, counters.value(counter)]),
  ) as Record<keyof typeof StackCounter, number>;
}
