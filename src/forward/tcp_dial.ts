/**
 * The dial of a forwarded TCP connection: while a peer's SYN waits for its answer, the host is
 * connected to. So a port that nobody listens at is refused to the peer as it would be by the host
 * itself, and a peer that only sends SYNs cannot make more than its share of them.
 */
import { Errno } from "../base/errno.ts";
import type { PendingTcp } from "../netstack/tcp/tcp_socket.ts";
import { type FlowFacts, FlowKind, FlowState } from "./flow_snapshot.ts";
import type { HostFlow } from "./flow_slots.ts";
import { HostEvent, type HostSockets } from "./host_sockets.ts";
import { DIAL_TIMEOUT_MS } from "./limits.ts";
import type { ServiceTarget } from "./local_services.ts";

/** How a dial ended without a connection. */
export const DialEnd = {
  /** Nobody listens there: RST. */
  Refused: 0,
  /** No way there, or no answer: ICMP. */
  Unreachable: 1,
  /** Descriptors, memory or local ports have run out: RST, and counted. */
  Exhausted: 2,
  /** The peer has given up. */
  Cancelled: 3,
} as const;
/** One of the values of `DialEnd`. */
export type DialEnd = (typeof DialEnd)[keyof typeof DialEnd];

/** Whom a dial belongs to. */
export interface DialOwner {
  readonly host: HostSockets;
  /** The host is connected; the socket goes over to the owner. */
  onDialled(dial: TcpDial, socket: number): void;
  /** It has failed; everything of it is closed. */
  onDialFailed(dial: TcpDial, end: DialEnd): void;
}

const NO_SOCKET = -1;
/** Each of them means that the dial is over. */
const END_EVENTS = HostEvent.Writable | HostEvent.Error | HostEvent.HungUp;

/** One dial. */
export class TcpDial implements HostFlow {
  /** The number of the flow. */
  slot = -1;
  readonly #owner: DialOwner;
  readonly #target: ServiceTarget;
  readonly #deadlineMs: number;
  #socket = NO_SOCKET;
  #attempt = 0;
  /** What the attempts so far amount to. */
  #end: DialEnd = DialEnd.Unreachable;

  constructor(
    owner: DialOwner,
    readonly pending: PendingTcp,
    readonly client: string,
    target: ServiceTarget,
    nowMs: number,
  ) {
    this.#owner = owner;
    this.#target = target;
    this.#deadlineMs = nowMs + DIAL_TIMEOUT_MS;
  }

  /** The address that is tried first. */
  get firstAddress(): Uint8Array {
    return this.#target.addresses[0];
  }

  /** What is being tried, or what has answered. */
  get target(): { readonly address: Uint8Array; readonly port: number } {
    const { addresses, port } = this.#target;
    return { address: addresses[Math.min(this.#attempt, addresses.length - 1)], port };
  }

  /** The flow as status shows it. */
  facts(nowMs: number): FlowFacts {
    const { flow } = this.pending;
    return {
      kind: FlowKind.Tcp,
      state: FlowState.Dialling,
      client: flow.remoteAddress,
      clientPort: flow.remotePort,
      destination: flow.localAddress,
      destinationPort: flow.localPort,
      target: this.target,
      ageMs: nowMs - (this.#deadlineMs - DIAL_TIMEOUT_MS),
      toHostBytes: 0,
      toPeerBytes: 0,
    };
  }

  /** When the dial is given up. */
  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  /** Begins; `slot` has to be set. */
  start(): void {
    const { addresses, port } = this.#target;
    const result = this.#owner.host.connectTcp(addresses[this.#attempt], port, this.slot);
    if (result < 0) this.#attemptFailed(result);
    else this.#socket = result;
  }

  onHostEvents(events: number): void {
    const socket = this.#socket;
    if (socket === NO_SOCKET || (events & END_EVENTS) === 0) return;
    const result = this.#owner.host.connectResult(socket);
    this.#socket = NO_SOCKET;
    if (result === 0) {
      this.#owner.onDialled(this, socket);
      return;
    }
    this.#owner.host.close(socket);
    this.#attemptFailed(result);
  }

  onSweep(nowMs: number): number {
    if (nowMs < this.#deadlineMs) return this.#deadlineMs;
    this.#stop(DialEnd.Unreachable);
    return Infinity;
  }

  /** Gives up without an answer to the peer. */
  cancel(): void {
    this.#stop(DialEnd.Cancelled);
  }

  #stop(end: DialEnd): void {
    if (this.#socket !== NO_SOCKET) this.#owner.host.close(this.#socket);
    this.#socket = NO_SOCKET;
    this.#owner.onDialFailed(this, end);
  }

  #attemptFailed(result: number): void {
    const end = endOf(-result);
    // An address of a family that this host does not have says nothing about the service.
    if (end !== DialEnd.Unreachable || this.#end !== DialEnd.Refused) this.#end = end;
    if (end !== DialEnd.Exhausted && ++this.#attempt < this.#target.addresses.length) this.start();
    else this.#owner.onDialFailed(this, this.#end);
  }
}

function endOf(errno: number): DialEnd {
  switch (errno) {
    case Errno.ECONNREFUSED:
    case Errno.ECONNRESET:
      return DialEnd.Refused;
    case Errno.EMFILE:
    case Errno.ENFILE:
    case Errno.ENOMEM:
    case Errno.ENOBUFS:
    case Errno.ENOSPC:
      return DialEnd.Exhausted;
    default:
      return DialEnd.Unreachable;
  }
}
