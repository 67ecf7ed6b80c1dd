/**
 * Forwards UDP flows of peers to services of this host. A lane has one; it is the forwarder of the
 * stack's UDP layer. Where a client has as many flows as it may have, its longest idle one makes room;
 * where all together have, one of the client that has the most.
 */
import { DropReason } from "../base/drop_reason.ts";
import { Errno } from "../base/errno.ts";
import type { DropCounters } from "../netstack/counters.ts";
import type { FlowError, FlowErrors } from "../netstack/flow_errors.ts";
import type { UdpDatagram, UdpFlow, UdpForwarder } from "../netstack/udp_socket.ts";
import { UdpVerdict } from "../netstack/udp_socket.ts";
import type { ClientRate } from "./client_rate.ts";
import type { FlowFacts } from "./flow_snapshot.ts";
import type { FlowSlots, HostFlow } from "./flow_slots.ts";
import type { HostSockets } from "./host_sockets.ts";
import type { ForwardLimits } from "./limits.ts";
import { type FlowTargets, NoTarget } from "./flow_targets.ts";
import type { TurnTime } from "./tcp_forwarder.ts";
import { TurnQueue } from "./turn_queue.ts";
import { type UdpFlowOwner, UdpForward } from "./udp_flow.ts";
import { type UdpMapping, UdpMappings } from "./udp_mapping.ts";

/** Datagrams that one flow, and all of them, may read from the host in a turn. */
const FLOW_DATAGRAMS = 64;
const TURN_DATAGRAMS = 256;
/** A flow that moves something goes to the end of its client's list, at most so often. */
const RELIST_MS = 1000;

/** What a forwarder is made of. */
export interface LocalUdpOptions {
  readonly host: HostSockets;
  readonly time: TurnTime;
  readonly slots: FlowSlots;
  readonly limits: ForwardLimits;
  readonly counters: DropCounters;
  readonly rate: ClientRate;
  /** Where datagrams of the host are read to, 65,535 bytes. */
  readonly datagramAt: number;
  /** Tells peers what has become of what they have sent. */
  readonly errors?: FlowErrors;
  readonly wantSweep: (atMs: number) => void;
}

/** One address of a target. */
interface OpenTarget {
  readonly address: Uint8Array;
  readonly port: number;
  readonly isRouted: boolean;
  readonly isResolver?: boolean;
}

/** Holds a number until the flow that it is for exists. */
const nobody: HostFlow = { onHostEvents: () => {}, onSweep: () => Infinity };

/** The UDP flows of a lane. */
export class LocalUdp implements UdpForwarder, UdpFlowOwner {
  readonly host: HostSockets;
  readonly datagramAt: number;
  /** What peers may reach. */
  targets: FlowTargets;
  readonly #options: LocalUdpOptions;
  /** The flows of each client, the longest idle first. */
  readonly #clients = new Map<string, Set<UdpForward>>();
  readonly #mappings = new UdpMappings();
  #flowCount = 0;
  readonly #queue = new TurnQueue<UdpForward>((flow, budget) => flow.readHost(budget));

  constructor(options: LocalUdpOptions, targets: FlowTargets) {
    this.host = options.host;
    this.datagramAt = options.datagramAt;
    this.targets = targets;
    this.#options = options;
  }

  get nowMs(): number {
    return this.#options.time.nowMs;
  }

  /** Flows that exist. */
  get flowCount(): number {
    return this.#flowCount;
  }

  onFlow(flow: UdpFlow, datagram: UdpDatagram): UdpForward | UdpVerdict {
    const { counters, rate } = this.#options;
    const target = this.targets.find("udp", flow);
    if (target === NoTarget.NotOffered) {
      counters.drop(DropReason.NotOffered);
      return UdpVerdict.Refuse;
    }
    if (target === NoTarget.Prohibited) {
      counters.drop(DropReason.DestinationProhibited);
      return UdpVerdict.Prohibit;
    }
    const client = this.targets.clientOf(flow.remoteAddress);
    if (!rate.take(client, this.nowMs) || !this.#makeRoom(client)) {
      counters.drop(DropReason.FlowLimit);
      return UdpVerdict.Drop;
    }
    let verdict: UdpForward | UdpVerdict = UdpVerdict.Refuse;
    for (const address of target.addresses) {
      verdict = this.#open(client, flow, { ...target, address }, datagram);
      if (verdict !== UdpVerdict.Refuse) break;
    }
    return verdict;
  }

  sendError(flow: UdpFlow, payloadBytes: number, error: FlowError): void {
    this.#options.errors?.sendAboutUdp(flow, payloadBytes, error);
  }

  enqueue(flow: UdpForward): void {
    this.#queue.add(flow);
  }

  onDropped(datagrams: number): void {
    this.#options.counters.drop(DropReason.HostSocketFull, datagrams);
  }

  onSilent(flow: UdpForward): void {
    this.targets.demoteResolver(flow.target.address);
  }

  onActive(flow: UdpForward): void {
    if (this.nowMs - flow.listedMs < RELIST_MS) return;
    flow.listedMs = this.nowMs;
    const flows = this.#clients.get(flow.client);
    if (flows?.delete(flow)) flows.add(flow);
  }

  onFlowEnd(flow: UdpForward): void {
    this.#flowCount--;
    if (flow.mapping !== null) this.#mappings.release(flow.mapping);
    this.#options.slots.remove(flow.slot);
    const flows = this.#clients.get(flow.client);
    flows?.delete(flow);
    if (flows?.size === 0) this.#clients.delete(flow.client);
  }

  /** Whether some flow waits for its turn. */
  get hasWork(): boolean {
    return !this.#queue.isEmpty;
  }

  /** Reads from the host for the flows whose turn it is; whether there is more to read at once. */
  turn(): boolean {
    return this.#queue.run(TURN_DATAGRAMS, FLOW_DATAGRAMS);
  }

  /** The flows as status shows them. */
  *facts(): Generator<FlowFacts> {
    for (const flows of this.#clients.values()) {
      for (const flow of flows) yield flow.facts(this.nowMs);
    }
  }

  /** Ends every flow. */
  close(): void {
    for (const flows of [...this.#clients.values()]) {
      for (const flow of [...flows]) flow.end();
    }
  }

  /**
   * Whether the client may have another flow, after the longest idle one has made room if need be: its
   * own, or where all have too many, one of whoever has the most.
   */
  #makeRoom(client: string): boolean {
    const { udpFlowsMax, udpFlowsPerClientMax } = this.#options.limits;
    const own = this.#clients.get(client);
    const isFull = this.#flowCount >= udpFlowsMax;
    if (!isFull && (own?.size ?? 0) < udpFlowsPerClientMax) return true;
    const flows = isFull ? this.#largest(own) : own;
    const oldest = flows?.values().next().value;
    oldest?.end();
    return oldest !== undefined;
  }

  /** The flows of the client that has the most; `own` if none has more than that. */
  #largest(own: Set<UdpForward> | undefined): Set<UdpForward> | undefined {
    let largest = own;
    for (const flows of this.#clients.values()) {
      if (flows.size > (largest?.size ?? 0)) largest = flows;
    }
    return largest;
  }

  /**
   * Sends the first datagram to the host at once: over loopback a port that nobody listens at is
   * known before the call returns.
   */
  #open(
    client: string,
    flow: UdpFlow,
    target: OpenTarget,
    datagram: UdpDatagram,
  ): UdpForward | UdpVerdict {
    const { slots, counters, wantSweep } = this.#options;
    const { isRouted } = target;
    const slot = slots.add(nobody);
    const mapping = isRouted ? this.#mappings.of(flow) : null;
    const socket = mapping === null
      ? this.host.connectUdp(target.address, target.port, slot)
      : this.#connectRouted(mapping, target, slot);
    if (socket >= 0) {
      const forward = new UdpForward(this, slot, client, flow, socket, isRouted, target);
      forward.mapping = mapping;
      slots.replace(slot, forward);
      this.#enlist(forward);
      forward.begin(datagram);
      const isRefused = !isRouted && this.host.connectResult(socket) === -Errno.ECONNREFUSED;
      if (isRefused) forward.end();
      if (forward.isOver) return isRouted ? UdpVerdict.Drop : UdpVerdict.Refuse;
      wantSweep(forward.onSweep(this.nowMs));
      return forward;
    }
    if (mapping !== null) this.#mappings.release(mapping);
    slots.remove(slot);
    if (!isExhausted(-socket)) return verdictOf(-socket, isRouted);
    counters.drop(DropReason.FlowLimit);
    return UdpVerdict.Drop;
  }

  /** A socket at the port that the client's other flows from the same port have. */
  #connectRouted(mapping: UdpMapping, { address, port }: OpenTarget, slot: number): number {
    const known = mapping.hostPort;
    let socket = this.host.connectRouted(address, port, slot, known);
    if (socket === -Errno.EADDRINUSE && known !== 0) {
      socket = this.host.connectRouted(address, port, slot, 0);
    } else if (socket >= 0 && known === 0) mapping.hostPort = this.host.localPort(socket);
    return socket;
  }

  #enlist(flow: UdpForward): void {
    this.#flowCount++;
    const flows = this.#clients.get(flow.client);
    if (flows === undefined) this.#clients.set(flow.client, new Set([flow]));
    else flows.add(flow);
  }
}

/** Whether descriptors or memory have run out, which says nothing about the service. */
function isExhausted(errno: number): boolean {
  return errno === Errno.EMFILE || errno === Errno.ENFILE || errno === Errno.ENOMEM ||
    errno === Errno.ENOBUFS;
}

/** What a peer is told when no socket can be connected to where it wants to. */
function verdictOf(errno: number, isRouted: boolean): UdpVerdict {
  if (!isRouted) return UdpVerdict.Refuse;
  const isForbidden = errno === Errno.EACCES || errno === Errno.EPERM;
  return isForbidden ? UdpVerdict.Prohibit : UdpVerdict.Unreachable;
}
