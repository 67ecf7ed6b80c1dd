/**
 * What is decided or noted for each super-packet beside its route: the filter, translation of our own
 * address, statistics of flows and activity of addresses. A lane looks once per turn whether main has
 * switched any of them on or off, so what is off costs nothing.
 */
import { DropReason } from "../base/drop_reason.ts";
import { FilterDirection, FilterView } from "../nat/filter.ts";
import { NatFamily, NatTable } from "../nat/nat_table.ts";
import { translateInbound, translateOutbound } from "../nat/translate.ts";
import type { SuperPacket } from "../offload/super_packet.ts";
import { ActivityRecorder } from "./activity.ts";
import { FlowRecorder } from "./flow_statistics.ts";
import type { LaneContext } from "./lane_context.ts";
import { LaneNotice } from "./shared_state.ts";

/** The policy of one lane. */
export class PacketPolicy {
  readonly #context: LaneContext;
  readonly #filter: FilterView;
  readonly #nat: NatTable;
  readonly #natAt: number;
  readonly #flows: FlowRecorder;
  readonly #activity: ActivityRecorder;
  readonly #versionWord: number;
  /** What main had counted when the following was looked up. */
  #version = -1;
  #hasFilter = false;
  #hasNat = false;
  #countsFlows = false;
  #notesActivity = false;
  /** Whether anything wants to look at what leaves, beside the filter; and at what comes in. */
  #looksOutbound = false;
  #looksInbound = false;

  constructor(context: LaneContext) {
    const { slab, tables, channels } = context;
    const { filterAt, natAt, watchListAt, policyVersionAt } = tables.plan;
    this.#context = context;
    this.#versionWord = policyVersionAt >> 2;
    this.#filter = new FilterView(slab, filterAt);
    this.#nat = new NatTable(slab, natAt);
    this.#natAt = channels.plan.natCopyAt;
    this.#flows = new FlowRecorder(slab, channels.plan.flowStatisticsAt);
    this.#activity = new ActivityRecorder(slab, watchListAt, channels.plan.activityAt);
  }

  /** Looks at what main has switched on; call it at the start of a turn. */
  beginTurn(): void {
    const version = Atomics.load(this.#context.slab.i32, this.#versionWord);
    if (version === this.#version) return;
    this.#version = version;
    this.#hasFilter = this.#filter.isActive;
    this.#hasNat = this.#nat.isActive;
    this.#countsFlows = this.#flows.isOn;
    this.#notesActivity = this.#activity.isOn;
    this.#looksOutbound = this.#hasNat || this.#countsFlows || this.#notesActivity;
    this.#looksInbound = this.#hasFilter || this.#looksOutbound;
  }

  /** Whether a packet of this host may leave; counts it when it may not. */
  mayLeave(packet: SuperPacket): boolean {
    if (!this.#hasFilter || this.#filter.allows(packet, FilterDirection.Out)) return true;
    this.#context.channels.counters.drop(DropReason.FilterDenied, packet.segmentCount);
    return false;
  }

  /** Notes and translates a packet that is about to be cut for `peer`. */
  leaves(packet: SuperPacket, peer: number): void {
    if (this.#looksOutbound) this.#noteAndTranslate(packet, peer);
  }

  #noteAndTranslate(packet: SuperPacket, peer: number): void {
    if (this.#countsFlows) {
      const { segmentCount, headerBytes, bytes } = packet;
      this.#flows.note(packet, true, segmentCount, bytes + (segmentCount - 1) * headerBytes);
    }
    if (this.#notesActivity) this.#noteActivity(packet.destinationAt, packet.ipVersion);
    if (!this.#hasNat) return;
    const families = this.#nat.read(peer, this.#natAt);
    if (families === NatFamily.None) return;
    const { needsCsum, csumStart } = packet.gso;
    const isPartial = needsCsum && csumStart === packet.transportOffset;
    translateOutbound(this.#context.slab, packet, this.#natAt, families, isPartial);
  }

  /** Whether anything wants to look at what comes in. */
  get looksInbound(): boolean {
    return this.#looksInbound;
  }

  /** Whether what comes in may be refused. */
  get judgesInbound(): boolean {
    return this.#hasFilter;
  }

  /**
   * Judges, notes and translates an item of `packets` packets from `peer`, with `headerBytes` bytes of
   * headers each (0 for a single one); false when it must not go on. The transport checksum of several
   * packets is partial.
   */
  comesIn(packet: SuperPacket, peer: number, packets: number, headerBytes: number): boolean {
    if (this.#hasFilter && !this.#filter.allows(packet, FilterDirection.In)) {
      this.#context.channels.counters.drop(DropReason.FilterDenied, packets);
      return false;
    }
    if (this.#hasNat) {
      const families = peer < 0 ? NatFamily.None : this.#nat.read(peer, this.#natAt);
      if (families !== NatFamily.None) {
        translateInbound(this.#context.slab, packet, this.#natAt, families, packets > 1);
      }
    }
    if (this.#countsFlows) {
      this.#flows.note(packet, false, packets, packet.bytes + (packets - 1) * headerBytes);
    }
    if (this.#notesActivity) this.#noteActivity(packet.sourceAt, packet.ipVersion);
    return true;
  }

  #noteActivity(at: number, ipVersion: number): void {
    const context = this.#context;
    if (this.#activity.note(at, ipVersion, context.nowMs)) {
      context.post(context.channels.laneSubject, LaneNotice.Activity);
    }
  }
}
