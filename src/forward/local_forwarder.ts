/**
 * Everything of a lane that leads from the stack to this host: the flows to local services, the
 * events of their sockets, and their timeouts. The driver of the lane calls `turn` once per turn,
 * after what has come in has gone through the stack and before the stack's output leaves.
 */
import type { DropCounters } from "../netstack/counters.ts";
import type { FlowErrors } from "../netstack/flow_errors.ts";
import type { FlowFacts } from "./flow_snapshot.ts";
import { FlowSlots } from "./flow_slots.ts";
import { IcmpEchoForwarder, type IcmpEchoOptions } from "./icmp_echo_forwarder.ts";
import type { HostSockets } from "./host_sockets.ts";
import { DEFAULT_FORWARD_LIMITS, type ForwardLimits, SWEEP_INTERVAL_MS } from "./limits.ts";
import { ClientRate } from "./client_rate.ts";
import { FlowTargets, type Reachable, type Surroundings } from "./flow_targets.ts";
import { TcpForwarder, type TurnTime } from "./tcp_forwarder.ts";
import { LocalUdp } from "./udp_forwarder.ts";

/** What a forwarder is made of. */
export interface LocalForwarderOptions extends Reachable {
  readonly host: HostSockets;
  readonly time: TurnTime;
  readonly counters: DropCounters;
  /** Asked about destinations that are not our own; without it, all of `served` may be reached. */
  readonly surroundings?: Surroundings;
  /** Where datagrams of the host are read to, 65,535 bytes. */
  readonly datagramAt: number;
  readonly limits?: ForwardLimits;
  /** Tells peers what has become of what they have sent. */
  readonly errors?: FlowErrors;
  /** For echo requests to others than this host. */
  readonly echo?: Pick<IcmpEchoOptions, "icmp" | "u8" | "errors">;
}

/** One lane's forwarding; see the module's text. */
export class LocalForwarder {
  /** To be made the acceptor of the stack's TCP layer. */
  readonly tcp: TcpForwarder;
  /** To be made the forwarder of the stack's UDP layer. */
  readonly udp: LocalUdp;
  /** To be made the forwarder of the stack's ICMP layer; null without a stack to answer by. */
  readonly echo: IcmpEchoForwarder | null;
  readonly #host: HostSockets;
  readonly #slots = new FlowSlots();
  readonly #surroundings: Surroundings | null;
  #targets: FlowTargets;
  #sweepAtMs = Infinity;
  #sweptMs = -Infinity;

  constructor(options: LocalForwarderOptions) {
    this.#host = options.host;
    const limits = options.limits ?? DEFAULT_FORWARD_LIMITS;
    const parts = {
      ...options,
      slots: this.#slots,
      limits,
      rate: new ClientRate(limits.newFlowsPerSecond, limits.newFlowsBurst),
      wantSweep: (atMs: number) => this.#sweepAtMs = Math.min(this.#sweepAtMs, atMs),
    };
    this.#surroundings = options.surroundings ?? null;
    const targets = this.#targets = new FlowTargets(options, this.#surroundings);
    this.tcp = new TcpForwarder(parts, targets);
    this.udp = new LocalUdp(parts, targets);
    const { echo } = options;
    this.echo = echo === undefined ? null : new IcmpEchoForwarder({ ...parts, ...echo }, targets);
  }

  /** Flows that exist, those that are being dialled included. */
  get flowCount(): number {
    return this.#slots.size;
  }

  /** What may be reached; its policy is to be made the stack's. */
  get targets(): FlowTargets {
    return this.#targets;
  }

  /** Offers something else from now on; flows that exist go on. */
  setReachable(reachable: Reachable): void {
    this.#targets = new FlowTargets(reachable, this.#surroundings);
    this.tcp.targets = this.udp.targets = this.#targets;
    if (this.echo !== null) this.echo.targets = this.#targets;
  }

  /**
   * Takes events of the host's sockets, if `hasEvents`, and moves bytes from the host to the stack.
   * Returns whether there is more to do at once.
   */
  turn(hasEvents: boolean): boolean {
    if (hasEvents) this.#takeEvents();
    const hasBytes = this.tcp.turn();
    const hasDatagrams = this.udp.turn();
    return (this.echo?.turn() ?? false) || hasDatagrams || hasBytes;
  }

  /**
   * When another turn is due; Infinity for never. At once when flows wait: the stack may have made
   * room for them after the last turn.
   */
  nextTimeoutMs(): number {
    return this.tcp.hasWork || this.udp.hasWork ? -Infinity : this.#sweepDueMs;
  }

  get #sweepDueMs(): number {
    return Math.max(this.#sweepAtMs, this.#sweptMs + SWEEP_INTERVAL_MS);
  }

  /** Ends what has waited for too long, if it is time. */
  onTimeout(nowMs: number): void {
    if (nowMs < this.#sweepDueMs) return;
    this.#sweptMs = nowMs;
    this.#sweepAtMs = Infinity;
    const nextMs = this.#slots.sweep(nowMs);
    this.#sweepAtMs = Math.min(this.#sweepAtMs, nextMs);
  }

  /** The flows as status shows them. */
  *facts(): Generator<FlowFacts> {
    yield* this.tcp.facts();
    yield* this.udp.facts();
    if (this.echo !== null) yield* this.echo.facts();
  }

  /** Ends every flow. */
  close(): void {
    this.tcp.close();
    this.udp.close();
    this.echo?.close();
  }

  #takeEvents(): void {
    const host = this.#host;
    const count = host.poll();
    for (let i = 0; i < count; i++) {
      this.#slots.get(host.tokenAt(i))?.onHostEvents(host.eventsAt(i));
    }
  }
}
