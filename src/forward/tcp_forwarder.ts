/**
 * Forwards TCP connections of peers to services of this host. A lane has one; it is the acceptor of
 * the stack's SYNs, owns the flows, and gives each its turn to read.
 */
import { DropReason } from "../base/drop_reason.ts";
import type { DropCounters } from "../netstack/counters.ts";
import { Unreachable } from "../netstack/output.ts";
import type { PendingTcp, TcpAcceptor } from "../netstack/tcp/tcp_socket.ts";
import { AddressCount } from "./address_count.ts";
import type { ClientRate } from "./client_rate.ts";
import { ClientQuota } from "./client_quota.ts";
import type { FlowFacts } from "./flow_snapshot.ts";
import type { FlowSlots } from "./flow_slots.ts";
import type { HostSockets } from "./host_sockets.ts";
import { FLOW_TURN_BYTES, type ForwardLimits, TURN_BYTES } from "./limits.ts";
import { type FlowTargets, NoTarget } from "./flow_targets.ts";
import type { ServiceTarget } from "./local_services.ts";
import { DialEnd, type DialOwner, TcpDial } from "./tcp_dial.ts";
import { type FlowOwner, TcpFlow } from "./tcp_flow.ts";
import { TurnQueue } from "./turn_queue.ts";

/** Tells the time of the lane's turn; the stack does. */
export interface TurnTime {
  readonly nowMs: number;
}

/** What a forwarder is made of. */
export interface TcpForwarderOptions {
  readonly host: HostSockets;
  readonly time: TurnTime;
  readonly slots: FlowSlots;
  readonly limits: ForwardLimits;
  readonly counters: DropCounters;
  readonly rate: ClientRate;
  /** Something has a deadline that was not there before. */
  readonly wantSweep: (atMs: number) => void;
}

/** The TCP flows of a lane. */
export class TcpForwarder implements TcpAcceptor, DialOwner, FlowOwner {
  readonly host: HostSockets;
  /** What peers may reach. */
  targets: FlowTargets;
  readonly #options: TcpForwarderOptions;
  readonly #clients: ClientQuota;
  readonly #dials = new Map<PendingTcp, TcpDial>();
  readonly #dialsTo = new AddressCount();
  readonly #flows = new Set<TcpFlow>();
  readonly #queue = new TurnQueue<TcpFlow>((flow, budget) => flow.readHost(budget));

  constructor(options: TcpForwarderOptions, targets: FlowTargets) {
    const { limits } = options;
    this.host = options.host;
    this.targets = targets;
    this.#options = options;
    this.#clients = new ClientQuota(limits.tcpFlowsPerClientMax, limits.dialsPerClientMax);
  }

  get nowMs(): number {
    return this.#options.time.nowMs;
  }

  /** Flows that exist, without those that are being dialled. */
  get flowCount(): number {
    return this.#flows.size;
  }

  /** Connections to the host that are being made. */
  get dialCount(): number {
    return this.#dials.size;
  }

  onSyn(pending: PendingTcp): void {
    const { flow } = pending;
    const target = this.targets.find("tcp", flow);
    const { limits, slots, counters } = this.#options;
    if (target === NoTarget.NotOffered) {
      counters.drop(DropReason.NotOffered);
      return pending.refuse();
    }
    if (target === NoTarget.Prohibited) {
      counters.drop(DropReason.DestinationProhibited);
      return pending.unreachable(Unreachable.Prohibited);
    }
    const isFull = this.#dials.size >= limits.dialsMax ||
      this.#dials.size + this.#flows.size >= limits.tcpFlowsMax ||
      this.#dialsTo.of(target.addresses[0]) >= limits.dialsPerTargetMax;
    const client = this.targets.clientOf(flow.remoteAddress);
    const isAllowed = !isFull && this.#mayBegin(target, client) && this.#clients.begin(client);
    if (!isAllowed) {
      // Not refused: the peer sends its SYN again, and by then there may be room.
      counters.drop(DropReason.FlowLimit);
      return pending.drop();
    }
    const dial = new TcpDial(this, pending, client, target, this.nowMs);
    dial.slot = slots.add(dial);
    this.#dials.set(pending, dial);
    this.#dialsTo.add(dial.firstAddress);
    this.#options.wantSweep(dial.deadlineMs);
    dial.start();
  }

  /** What leads to others takes their time too, as a scan does; a service of our own is meant to be used. */
  #mayBegin(target: ServiceTarget, client: string): boolean {
    return !target.isRouted || this.#options.rate.take(client, this.nowMs);
  }

  onPendingGone(pending: PendingTcp): void {
    this.#dials.get(pending)?.cancel();
  }

  onDialled(dial: TcpDial, socket: number): void {
    const { slots, wantSweep } = this.#options;
    const { pending, slot, client } = dial;
    this.#dials.delete(pending);
    this.#dialsTo.remove(dial.firstAddress);
    this.#clients.endDial(client);
    const flow = new TcpFlow(this, slot, client, socket, dial.target);
    slots.replace(slot, flow);
    this.#flows.add(flow);
    if (!flow.accept(pending)) return this.onFlowEnd(flow);
    wantSweep(flow.onSweep(this.nowMs));
  }

  onDialFailed(dial: TcpDial, end: DialEnd): void {
    const { pending, slot, client } = dial;
    this.#dials.delete(pending);
    this.#dialsTo.remove(dial.firstAddress);
    this.#options.slots.remove(slot);
    this.#clients.endDial(client);
    this.#clients.endFlow(client);
    if (end === DialEnd.Exhausted) this.#options.counters.drop(DropReason.FlowLimit);
    if (end === DialEnd.Unreachable) {
      this.#options.counters.drop(DropReason.DestinationUnreachable);
      pending.unreachable();
    } else if (end !== DialEnd.Cancelled) pending.refuse();
  }

  onFlowEnd(flow: TcpFlow): void {
    this.#flows.delete(flow);
    this.#clients.endFlow(flow.client);
    this.#options.slots.remove(flow.slot);
  }

  enqueue(flow: TcpFlow): void {
    this.#queue.add(flow);
  }

  /** Whether some flow waits for its turn. */
  get hasWork(): boolean {
    return !this.#queue.isEmpty;
  }

  /** Reads from the host for the flows whose turn it is; whether there is more to read at once. */
  turn(): boolean {
    return this.#queue.run(TURN_BYTES, FLOW_TURN_BYTES);
  }

  /** The flows as status shows them, those that are being dialled included. */
  *facts(): Generator<FlowFacts> {
    for (const dial of this.#dials.values()) yield dial.facts(this.nowMs);
    for (const flow of this.#flows) {
      const facts = flow.facts(this.nowMs);
      if (facts !== null) yield facts;
    }
  }

  /** Ends every flow with RST. */
  close(): void {
    for (const dial of [...this.#dials.values()]) dial.cancel();
    for (const flow of [...this.#flows]) flow.abort();
  }
}
