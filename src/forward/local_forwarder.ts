/**
 * Everything of a lane that leads from the stack to this host: the flows to local services, the
 * events of their sockets, and their timeouts. The driver of the lane calls `turn` once per turn,
 * after what has come in has gone through the stack and before the stack's output leaves.
 */
import type { DropCounters } from "../netstack/counters.ts";
import { FlowSlots } from "./flow_slots.ts";
import type { HostSockets } from "./host_sockets.ts";
import { DEFAULT_FORWARD_LIMITS, type ForwardLimits, SWEEP_INTERVAL_MS } from "./limits.ts";
import { type LocalService, ServiceTable } from "./local_services.ts";
import { TcpForwarder, type TurnTime } from "./tcp_forwarder.ts";
import { LocalUdp } from "./udp_forwarder.ts";

/** What a forwarder is made of. */
export interface LocalForwarderOptions {
  readonly host: HostSockets;
  readonly time: TurnTime;
  readonly counters: DropCounters;
  readonly services: readonly LocalService[];
  /** Where datagrams of the host are read to, 65,535 bytes. */
  readonly datagramAt: number;
  readonly limits?: ForwardLimits;
}

/** One lane's forwarding; see the module's text. */
export class LocalForwarder {
  /** To be made the acceptor of the stack's TCP layer. */
  readonly tcp: TcpForwarder;
  /** To be made the forwarder of the stack's UDP layer. */
  readonly udp: LocalUdp;
  readonly #host: HostSockets;
  readonly #slots = new FlowSlots();
  #sweepAtMs = Infinity;
  #sweptMs = -Infinity;

  constructor(options: LocalForwarderOptions) {
    this.#host = options.host;
    const parts = {
      ...options,
      slots: this.#slots,
      limits: options.limits ?? DEFAULT_FORWARD_LIMITS,
      wantSweep: (atMs: number) => this.#sweepAtMs = Math.min(this.#sweepAtMs, atMs),
    };
    const services = new ServiceTable(options.services);
    this.tcp = new TcpForwarder(parts, services);
    this.udp = new LocalUdp(parts, services);
  }

  /** Flows that exist, those that are being dialled included. */
  get flowCount(): number {
    return this.#slots.size;
  }

  /** Offers other services from now on; flows that exist go on. */
  setServices(services: readonly LocalService[]): void {
    this.tcp.services = this.udp.services = new ServiceTable(services);
  }

  /**
   * Takes events of the host's sockets, if `hasEvents`, and moves bytes from the host to the stack.
   * Returns whether there is more to do at once.
   */
  turn(hasEvents: boolean): boolean {
    if (hasEvents) this.#takeEvents();
    const hasBytes = this.tcp.turn();
    return this.udp.turn() || hasBytes;
  }

  /** When `onTimeout` is due; Infinity for never. */
  nextTimeoutMs(): number {
    return Math.max(this.#sweepAtMs, this.#sweptMs + SWEEP_INTERVAL_MS);
  }

  /** Ends what has waited for too long, if it is time. */
  onTimeout(nowMs: number): void {
    if (nowMs < this.nextTimeoutMs()) return;
    this.#sweptMs = nowMs;
    this.#sweepAtMs = Infinity;
    const nextMs = this.#slots.sweep(nowMs);
    this.#sweepAtMs = Math.min(this.#sweepAtMs, nextMs);
  }

  /** Ends every flow. */
  close(): void {
    this.tcp.close();
    this.udp.close();
  }

  #takeEvents(): void {
    const host = this.#host;
    const count = host.poll();
    for (let i = 0; i < count; i++) {
      this.#slots.get(host.tokenAt(i))?.onHostEvents(host.eventsAt(i));
    }
  }
}
