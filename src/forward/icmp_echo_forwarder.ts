/**
 * Forwards echo requests of peers by ping sockets of the host, which any user of the groups in
 * `net.ipv4.ping_group_range` may open. A flow is what one program at a peer sends to one destination:
 * its address, its identifier, and the destination. The kernel puts an identifier of its own in the
 * place of the peer's, and finds the answers by it.
 */
import { DropReason } from "../base/drop_reason.ts";
import { Errno } from "../base/errno.ts";
import type { DropCounters } from "../netstack/counters.ts";
import type { FlowErrors } from "../netstack/flow_errors.ts";
import {
  type EchoForwarder,
  type EchoMessage,
  EchoVerdict,
  type IcmpLayer,
} from "../netstack/icmp.ts";
import { ICMP_HEADER_BYTES, ICMP_REST, IcmpType, Icmpv6Type } from "../wire/icmp.ts";
import { addressBytes } from "../wire/ip.ts";
import type { ClientRate } from "./client_rate.ts";
import { type FlowFacts, FlowKind, FlowState } from "./flow_snapshot.ts";
import type { FlowSlots, HostFlow } from "./flow_slots.ts";
import type { FlowTargets } from "./flow_targets.ts";
import { HostError, HostEvent, type HostSockets } from "./host_sockets.ts";
import { ECHO_IDLE_MS, type ForwardLimits } from "./limits.ts";
import { passedError, tooBig } from "./passed_errors.ts";
import type { TurnTime } from "./tcp_forwarder.ts";

/** What it is made of. */
export interface IcmpEchoOptions {
  readonly host: HostSockets;
  readonly time: TurnTime;
  readonly slots: FlowSlots;
  readonly limits: ForwardLimits;
  readonly counters: DropCounters;
  readonly rate: ClientRate;
  readonly errors: FlowErrors;
  readonly icmp: Pick<IcmpLayer, "sendEchoReply">;
  /** The bytes of the slab, and where messages of the host are read to: 65,535 bytes. */
  readonly u8: Uint8Array;
  readonly datagramAt: number;
  readonly wantSweep: (atMs: number) => void;
}

const DATAGRAM_BYTES_MAX = 65_535;
/** Answers that one flow gives in a turn; the kernel keeps the rest. */
const TURN_MESSAGES = 64;
const FAILED_EVENTS = HostEvent.Readable | HostEvent.Error | HostEvent.HungUp;

/** See the module's text. */
export class IcmpEchoForwarder implements EchoForwarder {
  targets: FlowTargets;
  readonly options: IcmpEchoOptions;
  /** The flows, the longest idle first. */
  readonly #flows = new Map<string, EchoFlow>();
  /** How many flows each client has. */
  readonly #clients = new Map<string, number>();
  /** Flows that have something to read. */
  readonly #ready = new Set<EchoFlow>();

  constructor(options: IcmpEchoOptions, targets: FlowTargets) {
    this.options = options;
    this.targets = targets;
  }

  /** Flows that exist. */
  get flowCount(): number {
    return this.#flows.size;
  }

  onEcho(request: EchoMessage): EchoVerdict {
    const { u8, counters } = this.options;
    const length = addressBytes(request.ipVersion);
    const destination = u8.slice(request.destinationAt, request.destinationAt + length);
    const source = u8.slice(request.sourceAt, request.sourceAt + length);
    const key = `${source} ${request.identifier} ${destination}`;
    let flow = this.#flows.get(key);
    if (flow === undefined) {
      if (!this.targets.mayReach(destination)) {
        counters.drop(DropReason.DestinationProhibited);
        return EchoVerdict.Prohibited;
      }
      const opened = this.#open(key, source, destination, request.identifier);
      if (typeof opened === "number") return opened;
      flow = opened;
    }
    this.#flows.delete(key);
    this.#flows.set(key, flow);
    flow.forward(request);
    return EchoVerdict.Taken;
  }

  /** Reads answers of the flows that have some; whether there may be more at once. */
  turn(): boolean {
    const ready = [...this.#ready];
    this.#ready.clear();
    for (const flow of ready) if (flow.readHost(TURN_MESSAGES)) this.#ready.add(flow);
    return this.#ready.size > 0;
  }

  /** A flow has something to read. */
  enqueue(flow: EchoFlow): void {
    this.#ready.add(flow);
  }

  /** A flow is over, its socket closed. */
  onFlowEnd(flow: EchoFlow): void {
    this.#flows.delete(flow.key);
    this.#ready.delete(flow);
    this.options.slots.remove(flow.slot);
    const left = this.#clients.get(flow.client)! - 1;
    if (left === 0) this.#clients.delete(flow.client);
    else this.#clients.set(flow.client, left);
  }

  /** The flows as status shows them. */
  *facts(): Generator<FlowFacts> {
    for (const flow of this.#flows.values()) yield flow.facts(this.options.time.nowMs);
  }

  /** Ends every flow. */
  close(): void {
    for (const flow of [...this.#flows.values()]) flow.end();
  }

  #open(
    key: string,
    source: Uint8Array,
    destination: Uint8Array,
    identifier: number,
  ): EchoFlow | EchoVerdict {
    const { host, slots, wantSweep, counters, rate, time } = this.options;
    const client = this.targets.clientOf(source);
    if (!rate.take(client, time.nowMs) || !this.#makeRoom(client)) {
      counters.drop(DropReason.FlowLimit);
      return EchoVerdict.Drop;
    }
    const slot = slots.add(nobody);
    const socket = host.connectEcho(destination, slot);
    if (socket < 0) {
      slots.remove(slot);
      return verdictOf(-socket);
    }
    const flow = new EchoFlow(this, { key, client, slot, socket, source, destination, identifier });
    slots.replace(slot, flow);
    this.#flows.set(key, flow);
    this.#clients.set(client, (this.#clients.get(client) ?? 0) + 1);
    wantSweep(flow.onSweep(time.nowMs));
    return flow;
  }

  /** Whether there may be another flow of the client, after its oldest has ended if need be. */
  #makeRoom(client: string): boolean {
    const { echoFlowsMax, echoFlowsPerClientMax } = this.options.limits;
    const own = this.#clients.get(client) ?? 0;
    if (this.#flows.size < echoFlowsMax && own < echoFlowsPerClientMax) return true;
    if (own === 0) return false;
    for (const flow of this.#flows.values()) {
      if (flow.client !== client) continue;
      flow.end();
      return true;
    }
    return false;
  }
}

/** Holds a number until the flow that it is for exists. */
const nobody: HostFlow = { onHostEvents: () => {}, onSweep: () => Infinity };

function verdictOf(errno: number): EchoVerdict {
  const hasNoWay = errno === Errno.ENETUNREACH || errno === Errno.EHOSTUNREACH ||
    errno === Errno.EADDRNOTAVAIL;
  return hasNoWay ? EchoVerdict.Unreachable : EchoVerdict.Drop;
}

/** What a flow is. */
interface EchoFlowParts {
  readonly key: string;
  /** The peer. */
  readonly client: string;
  readonly slot: number;
  readonly socket: number;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly identifier: number;
}

/** One flow; see the module's text. */
export class EchoFlow implements HostFlow {
  readonly key: string;
  readonly client: string;
  readonly slot: number;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly #owner: IcmpEchoForwarder;
  readonly #socket: number;
  readonly #identifier: number;
  readonly #error = new HostError();
  #hopLimit = -1;
  readonly #startedMs: number;
  #activeMs: number;
  #toHostBytes = 0;
  #toPeerBytes = 0;
  #isOver = false;

  constructor(owner: IcmpEchoForwarder, parts: EchoFlowParts) {
    this.key = parts.key;
    this.client = parts.client;
    this.slot = parts.slot;
    this.source = parts.source;
    this.destination = parts.destination;
    this.#owner = owner;
    this.#socket = parts.socket;
    this.#identifier = parts.identifier;
    this.#activeMs = this.#startedMs = owner.options.time.nowMs;
  }

  /** The flow as status shows it. */
  facts(nowMs: number): FlowFacts {
    return {
      kind: FlowKind.Echo,
      state: FlowState.Open,
      client: this.source,
      clientPort: this.#identifier,
      destination: this.destination,
      destinationPort: 0,
      target: { address: this.destination, port: 0 },
      ageMs: nowMs - this.#startedMs,
      toHostBytes: this.#toHostBytes,
      toPeerBytes: this.#toPeerBytes,
    };
  }

  get #ipVersion(): 4 | 6 {
    return this.destination.length === 4 ? 4 : 6;
  }

  /** Carries a request on. */
  forward(request: EchoMessage): void {
    const { host, time } = this.#owner.options;
    this.#activeMs = time.nowMs;
    if (request.hopLimit - 1 !== this.#hopLimit) {
      this.#hopLimit = request.hopLimit - 1;
      host.setHopLimit(this.#socket, this.#ipVersion, this.#hopLimit);
    }
    // The request's own header stands before its payload; the kernel exchanges the identifier.
    const at = request.at - ICMP_HEADER_BYTES;
    const bytes = request.bytes + ICMP_HEADER_BYTES;
    let result = host.write(this.#socket, at, bytes);
    if (result < 0 && result !== -Errno.EAGAIN && result !== -Errno.EMSGSIZE) {
      this.#passErrors();
      result = host.write(this.#socket, at, bytes);
    }
    if (result === -Errno.EMSGSIZE) result = this.#sendLong(request, at, bytes);
    if (result < 0) this.#owner.options.counters.drop(DropReason.HostSocketFull);
    else this.#toHostBytes += bytes;
  }

  onHostEvents(events: number): void {
    if ((events & FAILED_EVENTS) !== 0) this.#owner.enqueue(this);
  }

  /** Gives the peer what has come back; whether there may be more. */
  readHost(messagesMax: number): boolean {
    const { host, datagramAt, time } = this.#owner.options;
    for (let i = 0; i < messagesMax && !this.#isOver; i++) {
      const bytes = host.read(this.#socket, datagramAt, DATAGRAM_BYTES_MAX);
      if (bytes === -Errno.EAGAIN) return false;
      this.#activeMs = time.nowMs;
      if (bytes < 0) this.#passErrors();
      else this.#answer(bytes);
    }
    return !this.#isOver;
  }

  onSweep(nowMs: number): number {
    const dueMs = this.#activeMs + ECHO_IDLE_MS;
    if (nowMs < dueMs) return dueMs;
    this.end();
    return Infinity;
  }

  /** Ends the flow. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#owner.options.host.close(this.#socket);
    this.#owner.onFlowEnd(this);
  }

  #answer(bytes: number): void {
    const { icmp, datagramAt, u8 } = this.#owner.options;
    const type = this.#ipVersion === 4 ? IcmpType.EchoReply : Icmpv6Type.EchoReply;
    if (bytes < ICMP_HEADER_BYTES || u8[datagramAt] !== type) return;
    this.#toPeerBytes += bytes;
    const sequenceAt = datagramAt + ICMP_REST + 2;
    icmp.sendEchoReply(
      this.destination,
      this.source,
      this.#identifier,
      u8[sequenceAt] << 8 | u8[sequenceAt + 1],
      datagramAt + ICMP_HEADER_BYTES,
      bytes - ICMP_HEADER_BYTES,
    );
  }

  /** A request longer than the path's MTU: cut, unless it may not be. */
  #sendLong(request: EchoMessage, at: number, bytes: number): number {
    const { host } = this.#owner.options;
    if (request.mayBeFragmented) {
      return host.writeFragmenting(this.#socket, this.#ipVersion, at, bytes);
    }
    const mtu = host.pathMtu(this.#socket, this.#ipVersion);
    if (mtu > 0) this.#sendError(request.sequence, { ...tooBig(this.#ipVersion, mtu), from: null });
    return -Errno.EMSGSIZE;
  }

  #passErrors(): void {
    const error = this.#error;
    while (this.#owner.options.host.readError(this.#socket, error)) {
      const told = passedError(this.#ipVersion, error);
      if (told !== null) this.#sendError(error.sequence, told);
    }
  }

  #sendError(sequence: number, error: Parameters<FlowErrors["sendAboutEcho"]>[3]): void {
    const flow = { localAddress: this.destination, remoteAddress: this.source };
    this.#owner.options.errors.sendAboutEcho(flow, this.#identifier, sequence, error);
  }
}
