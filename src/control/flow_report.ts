/**
 * The flows that a node forwards between its peers and its host's network: the answer to the request
 * `flows`. Fields as on the wire:
 *
 * ```text
 * flow=tcp open 10.0.0.2 40000 192.168.1.9 80 192.168.1.9 80 61234 1000 250000
 *      protocol, state, client and port, destination and port, target and port (`-` for none yet),
 *      age in ms, bytes to the host, bytes to the peer; of icmp the client's port is the identifier
 * missing=3            flows that found no room in the answer
 * ```
 */
import { type FlowFacts, FlowKind, FlowState } from "../forward/flow_snapshot.ts";
import type { PeerStatus } from "../wireguard/configuration.ts";
import { formatAddress } from "./address_text.ts";
import type { RequestField } from "./request.ts";

/** The name of the request. */
export const FLOWS_REQUEST = "flows";

/** One flow, in words. */
export interface FlowReport {
  /** `tcp`, `udp` or `icmp`. */
  readonly protocol: string;
  /** `dialling`, `opening`, `open`, `host-ended`, `peer-ended` or `ending`. */
  readonly state: string;
  readonly client: string;
  readonly clientPort: number;
  readonly destination: string;
  readonly destinationPort: number;
  /** Null while nothing has answered there. */
  readonly target: string | null;
  readonly targetPort: number;
  readonly ageMs: number;
  readonly toHostBytes: number;
  readonly toPeerBytes: number;
}

/** All that a node tells. */
export interface FlowsReport {
  readonly flows: readonly FlowReport[];
  readonly missing: number;
}

const PROTOCOLS: Record<FlowKind, string> = {
  [FlowKind.Tcp]: "tcp",
  [FlowKind.Udp]: "udp",
  [FlowKind.Echo]: "icmp",
};
const STATES: Record<FlowState, string> = {
  [FlowState.Dialling]: "dialling",
  [FlowState.Opening]: "opening",
  [FlowState.Open]: "open",
  [FlowState.HostEnded]: "host-ended",
  [FlowState.PeerEnded]: "peer-ended",
  [FlowState.Ending]: "ending",
};

/** The lines of an answer. */
export function* flowFields(flows: Iterable<FlowFacts>, missing: number): Generator<RequestField> {
  for (const flow of flows) {
    const { target } = flow;
    yield [
      "flow",
      [
        PROTOCOLS[flow.kind],
        STATES[flow.state],
        formatAddress(flow.client),
        flow.clientPort,
        formatAddress(flow.destination),
        flow.destinationPort,
        target === null ? "-" : formatAddress(target.address),
        target?.port ?? 0,
        Math.round(flow.ageMs),
        flow.toHostBytes,
        flow.toPeerBytes,
      ].join(" "),
    ];
  }
  if (missing > 0) yield ["missing", missing];
}

/** The flows that lines tell; what is not known here is skipped. */
export function parseFlows(fields: Iterable<readonly [string, string]>): FlowsReport {
  const flows: FlowReport[] = [];
  let missing = 0;
  for (const [key, value] of fields) {
    if (key === "missing") missing = Number(value) || 0;
    if (key !== "flow") continue;
    const words = value.split(" ");
    if (words.length < 11) continue;
    const [protocol, state, client, clientPort, destination, destinationPort, target] = words;
    const [targetPort, ageMs, toHostBytes, toPeerBytes] = words.slice(7).map(Number);
    flows.push({
      protocol,
      state,
      client,
      clientPort: Number(clientPort),
      destination,
      destinationPort: Number(destinationPort),
      target: target === "-" ? null : target,
      targetPort,
      ageMs,
      toHostBytes,
      toPeerBytes,
    });
  }
  return { flows, missing };
}

/** The peer whose allowed IPs hold an address most exactly; null for none. */
export function peerOfAddress<Peer extends Pick<PeerStatus, "allowedIps">>(
  peers: Iterable<Peer>,
  address: Uint8Array,
): Peer | null {
  let best: Peer | null = null;
  let bestBits = -1;
  for (const peer of peers) {
    for (const prefix of peer.allowedIps) {
      if (prefix.bits <= bestBits || prefix.address.length !== address.length) continue;
      if (!holds(prefix.address, prefix.bits, address)) continue;
      [best, bestBits] = [peer, prefix.bits];
    }
  }
  return best;
}

function holds(prefix: Uint8Array, bits: number, address: Uint8Array): boolean {
  return prefix.every((byte, i) => {
    const covered = Math.min(8, Math.max(0, bits - 8 * i));
    return (byte ^ address[i]) >> (8 - covered) === 0;
  });
}
