/**
 * Where items go that came from peers, decided once for each after coalescing: to the TUN, as the
 * iovecs that the coalescer has made, or to the stack, as a list of places. Neither copies anything.
 *
 * Without a TUN the stack gets everything, without a stack the TUN does. With both, the divert table
 * names the prefixes that the stack serves; it is a table of allowed IPs with `Divert` values in the
 * place of peers, so the longest prefix decides, and a part of what is diverted can be excepted.
 */
import { DOUBLE_ZERO } from "../base/double_zero.ts";
import { DropReason } from "../base/drop_reason.ts";
import { InboundItem } from "../netstack/inbound.ts";
import type { GroCoalescer, GroSink } from "../offload/gro_coalesce.ts";
import { describeSuperPacket, SuperPacket } from "../offload/super_packet.ts";
import { lookupV4, lookupV6 } from "../tables/allowed_ips.ts";
import { IPV4_DESTINATION } from "../wire/ipv4.ts";
import { IPV6_DESTINATION } from "../wire/ipv6.ts";
import { LaneCounter } from "./counters.ts";
import type { LaneContext } from "./lane_context.ts";
import type { PacketPolicy } from "./packet_policy.ts";
import type { StackPort } from "./ports.ts";
import type { TunOutput } from "./tun_output.ts";

/** What the divert table says about a destination; -1, no entry, means the TUN too. */
export const Divert = { Tun: 0, Stack: 1 } as const;

/** The sink of one lane's coalescer; see the module's text. */
export class InboundSink implements GroSink {
  /** When the batch that is being delivered was received. */
  arrivedMs = DOUBLE_ZERO;
  readonly #context: LaneContext;
  readonly #gro: GroCoalescer;
  readonly #tun: TunOutput | null;
  readonly #stack: StackPort | null;
  readonly #policy: PacketPolicy;
  readonly #divertAt: number;
  readonly #allowedIpsAt: number;
  /** The item's headers; a plain packet, whatever it is merged from. */
  readonly #packet = new SuperPacket();
  readonly #item = new InboundItem();

  constructor(
    context: LaneContext,
    gro: GroCoalescer,
    tun: TunOutput | null,
    stack: StackPort | null,
    policy: PacketPolicy,
  ) {
    this.#context = context;
    this.#gro = gro;
    this.#tun = tun;
    this.#stack = stack;
    this.#policy = policy;
    this.#divertAt = context.tables.plan.divertAt;
    this.#allowedIpsAt = context.tables.plan.allowedIpsAt;
  }

  write(iovecAt: number, iovecCount: number, totalBytes: number): void {
    if (this.#policy.looksInbound && !this.#mayComeIn()) return;
    if (this.#isForStack(this.#gro.item.at)) this.#toStack();
    else this.#tun?.write(iovecAt, iovecCount, totalBytes);
  }

  /** Asks the policy about the item that the coalescer delivers. */
  #mayComeIn(): boolean {
    const { slab, channels } = this.#context;
    const { at, bytes, packetCount, headerBytes } = this.#gro.item;
    const packet = this.#packet;
    const reason = describeSuperPacket(slab, at, bytes, packet);
    if (reason !== DropReason.None) {
      // What cannot be read can only be passed on as it is, unless somebody has to judge it.
      if (!this.#policy.judgesInbound) return true;
      channels.counters.drop(reason, packetCount);
      return false;
    }
    const peer = packet.ipVersion === 4
      ? lookupV4(slab, this.#allowedIpsAt, packet.sourceAt)
      : lookupV6(slab, this.#allowedIpsAt, packet.sourceAt);
    return this.#policy.comesIn(packet, peer, packetCount, headerBytes);
  }

  /**
   * Delivers one packet of our own making, such as an ICMP error about a packet of this host, which
   * has `VNET_HEADER_BYTES` free before it.
   */
  deliverSingle(at: number, bytes: number): void {
    if (!this.#isForStack(at)) {
      this.#tun?.writeSingle(at, bytes);
      return;
    }
    const item = this.#item;
    item.takeSingle(at, bytes);
    this.#stack!.onItem(item, this.#context.nowMs);
  }

  /** Whether the packet at `at` goes to the stack. */
  #isForStack(at: number): boolean {
    if (this.#stack === null) return false;
    if (this.#tun === null) return true;
    const { slab } = this.#context;
    const divert = slab.u8[at] >> 4 === 4
      ? lookupV4(slab, this.#divertAt, at + IPV4_DESTINATION)
      : lookupV6(slab, this.#divertAt, at + IPV6_DESTINATION);
    return divert === Divert.Stack;
  }

  #toStack(): void {
    const item = this.#item;
    item.takeDelivered(this.#gro);
    const counters = this.#context.channels.counters;
    counters.add(LaneCounter.StackItems, 1);
    counters.add(LaneCounter.StackPackets, item.packetCount);
    counters.add(LaneCounter.StackBytes, item.bytes);
    this.#stack!.onItem(item, this.arrivedMs);
  }
}
