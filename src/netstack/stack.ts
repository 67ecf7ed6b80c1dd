/**
 * A TCP/IP stack without I/O, clock or randomness of its own. Packets from peers go in by `onItem`,
 * what it sends is fetched from its link endpoint, and whoever drives it calls `onTimeout` when
 * `nextTimeoutMs` has come and `flush` at the end of a turn:
 *
 * ```
 *  onItem ─▶ IpInput ─┬─▶ TcpLayer ─┐
 *                     ├─▶ UdpLayer ─┼─▶ IpSender ─▶ LinkEndpoint ─▶ lane or embedder
 *                     └─▶ IcmpLayer ┘
 * ```
 *
 * It answers on its own addresses. With `acceptsAny` it takes flows to other destinations too, those
 * that `destinations` lets pass, and asks the forwarders of the three protocols about each
 * (`tcp.forwarder`, `udp.forwarder`, `icmp.forwarder`).
 */
import { DropReason } from "../base/drop_reason.ts";
import type { RandomSource } from "../base/random.ts";
import type { Slab } from "../memory/slab.ts";
import type { AddressPrefix } from "../tables/allowed_ips_node.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";
import { IcmpType, IcmpUnreachable, Icmpv6ParameterProblem, Icmpv6Type } from "../wire/icmp.ts";
import { IpProtocol } from "../wire/ip.ts";

import { AddressList } from "./addresses.ts";
import type { BufferPool } from "./buffer_pool.ts";
import { type DropCounters, StackCounters } from "./counters.ts";
import { FlowErrors } from "./flow_errors.ts";
import { type FragmentLimits, Reassembly } from "./fragments.ts";
import { IcmpLayer } from "./icmp.ts";
import type { InboundDatagram, InboundItem } from "./inbound.ts";
import { type DatagramSink, type DestinationPolicy, IpInput } from "./ip_input.ts";
import { IpSender } from "./ip_output.ts";
import type { LinkEndpoint, LinkSink } from "./link_endpoint.ts";
import { type StackFlow, stackFlows } from "./stack_flows.ts";
import type { TcpLimits } from "./tcp/limits.ts";
import { TcpLayer } from "./tcp/tcp_layer.ts";
import { UdpLayer } from "./udp.ts";

/** What a stack is made of. */
export interface StackOptions {
  readonly slab: Slab;
  readonly kernel: ChecksumKernel;
  readonly pool: BufferPool;
  readonly link: LinkEndpoint;
  readonly random: RandomSource;
  readonly counters: DropCounters;
  /** The stack's own addresses, with the length of their networks. */
  readonly addresses: readonly AddressPrefix[];
  /** Whether TCP may hand down segments longer than the MTU; true unless the link cannot. */
  readonly gso?: boolean;
  /** Limits of TCP, of reassembly, and of UDP flows; defaults for what is left out. */
  readonly tcp?: Partial<TcpLimits>;
  readonly fragments?: Partial<FragmentLimits>;
  readonly udpFlowsMax?: number;
  /** Where the stack counts; memory of its own if left out. */
  readonly stackCounters?: StackCounters;
}

/** See the module's text. */
export class Stack implements DatagramSink, LinkSink {
  readonly tcp: TcpLayer;
  readonly udp: UdpLayer;
  readonly icmp: IcmpLayer;
  readonly output: IpSender;
  /** ICMP errors to peers about what was forwarded for them. */
  readonly flowErrors: FlowErrors;
  readonly counters: StackCounters;
  readonly link: LinkEndpoint;

  readonly #drops: DropCounters;
  readonly #addresses: AddressList;
  readonly #input: IpInput;
  readonly #reassembly: Reassembly;

  constructor(options: StackOptions) {
    const { slab, link, pool, counters } = options;
    this.link = link;
    this.#drops = counters;
    this.counters = options.stackCounters ?? new StackCounters();
    this.#addresses = new AddressList(options.addresses);
    const shared = {
      slab,
      kernel: options.kernel,
      pool,
      link,
      random: options.random,
      counters,
      stackCounters: this.counters,
      addresses: this.#addresses,
    };
    this.output = new IpSender({ ...shared, gso: options.gso ?? true });
    this.flowErrors = new FlowErrors(slab, pool, this.output);
    this.tcp = new TcpLayer({ ...shared, output: this.output, limits: options.tcp });
    this.udp = new UdpLayer({ ...shared, output: this.output, flowsMax: options.udpFlowsMax });
    this.icmp = new IcmpLayer({ ...shared, output: this.output, tcp: this.tcp, udp: this.udp });
    this.#reassembly = new Reassembly(slab, pool, counters, options.fragments);
    this.#input = new IpInput({
      ...shared,
      reassembly: this.#reassembly,
      errors: this.output.errors,
      sink: this,
    });
    link.attach(this);
  }

  /** The time that everything in the stack goes by; every call that takes `nowMs` sets it. */
  get nowMs(): number {
    return this.output.nowMs;
  }

  set nowMs(nowMs: number) {
    this.output.nowMs = nowMs;
  }

  /** Forwarding mode: whether packets for any destination are taken. */
  get acceptsAny(): boolean {
    return this.#input.acceptsAny;
  }

  set acceptsAny(acceptsAny: boolean) {
    this.#input.acceptsAny = acceptsAny;
  }

  /** In forwarding mode: which destinations are taken; null for all that are not special. */
  get destinations(): DestinationPolicy | null {
    return this.#input.destinations;
  }

  set destinations(destinations: DestinationPolicy | null) {
    this.#input.destinations = destinations;
  }

  /** The stack's own addresses. */
  get addresses(): readonly AddressPrefix[] {
    return this.#addresses.list;
  }

  /** Exchanges the addresses; flows that exist keep theirs. */
  setAddresses(addresses: readonly AddressPrefix[]): void {
    this.#addresses.set(addresses);
  }

  /** Adds an address, behind the others. */
  addAddress(prefix: AddressPrefix): void {
    this.#addresses.add(prefix);
  }

  /** Takes an address away; whether it was there. */
  removeAddress(address: Uint8Array): boolean {
    return this.#addresses.remove(address);
  }

  /** Whether `flush` would have something to send, unless the link endpoint is full. */
  get hasOutput(): boolean {
    return this.tcp.hasOutput;
  }

  /** Takes a packet or a run of packets from a peer, whose bytes are read during the call only. */
  onItem(item: InboundItem, nowMs: number): void {
    this.nowMs = nowMs;
    this.#input.onItem(item, nowMs);
  }

  /** Takes what an embedder injects into the link endpoint. */
  onInbound(item: InboundItem): void {
    this.#input.onItem(item, this.nowMs);
  }

  /** When `onTimeout` has something to do; Infinity for never. */
  nextTimeoutMs(): number {
    return Math.min(this.tcp.nextTimeoutMs(), this.#reassembly.nextTimeoutMs());
  }

  /** Does what is due. */
  onTimeout(nowMs: number): void {
    this.nowMs = nowMs;
    this.tcp.onTimeout(nowMs);
    this.#input.onTimer(nowMs);
  }

  /** Sends what a turn has gathered: acknowledgments, and data of connections that may send. */
  flush(nowMs: number): void {
    this.nowMs = nowMs;
    this.tcp.flush(nowMs);
  }

  /** All TCP connections and UDP sockets, for status. */
  flows(): Iterable<StackFlow> {
    return stackFlows(this.tcp, this.udp);
  }

  /**
   * Ends everything at once: what is queued is discarded, connections are aborted and sockets closed
   * without a word to the other ends. Whoever wants those to hear of it aborts connections, flushes
   * and drains the link endpoint first.
   */
  close(): void {
    const queued = this.link.numQueued;
    if (queued > 0) this.#drops.drop(DropReason.LinkClosed, queued);
    this.link.close();
    for (const connection of [...this.tcp.connections()]) connection.abort();
    for (const socket of [...this.udp.sockets()]) socket.close();
    this.#reassembly.clear();
  }

  /** The switch between transport protocols. */
  onDatagram(datagram: InboundDatagram, nowMs: number): void {
    const { protocol, ipVersion } = datagram;
    if (protocol === IpProtocol.Tcp) this.tcp.onDatagram(datagram, nowMs);
    else if (protocol === IpProtocol.Udp) this.udp.onDatagram(datagram, nowMs);
    else if (protocol === (ipVersion === 4 ? IpProtocol.Icmp : IpProtocol.Icmpv6)) {
      this.icmp.onDatagram(datagram, nowMs);
    } else this.#onUnknown(datagram, nowMs);
  }

  /** RFC 1122 section 3.2.2.1; RFC 4443 section 3.4, with the place of the byte that names it. */
  #onUnknown(datagram: InboundDatagram, nowMs: number): void {
    this.#drops.drop(DropReason.ProtocolUnknown);
    const { errors } = this.output;
    const { ipAt, ipHeaderBytes, bytes } = datagram;
    if (datagram.ipVersion === 4) {
      const type = IcmpType.DestinationUnreachable;
      errors.send(ipAt, ipHeaderBytes + bytes, type, IcmpUnreachable.Protocol, 0, nowMs);
      return;
    }
    const code = Icmpv6ParameterProblem.UnrecognizedNextHeader;
    const type = Icmpv6Type.ParameterProblem;
    const pointer = this.#input.protocolOffset;
    errors.send(ipAt, ipHeaderBytes + bytes, type, code, pointer, nowMs);
  }
}
