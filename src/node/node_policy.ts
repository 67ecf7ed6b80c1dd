/**
 * Main's side of everything that lanes decide or note per packet beside cryptokey routing: the filter,
 * translation of addresses per peer, what the stack serves beside a TUN, statistics and activity.
 */
import { type FlowCount, FlowStatistics } from "../lane/flow_statistics.ts";
import { ActivityWatch } from "../lane/activity.ts";
import { Divert } from "../lane/inbound_sink.ts";
import {
  DIVERT_NODES,
  type LaneChannels,
  LaneField,
  type SharedTables,
} from "../lane/shared_state.ts";
import { type FilterRule, FilterTable } from "../nat/filter.ts";
import { type NatPair, NatTable } from "../nat/nat_table.ts";
import { AllowedIps } from "../tables/allowed_ips.ts";
import { toHex } from "../wireguard/bytes.ts";
import type { Prefix } from "../wireguard/configuration.ts";

interface NatEntry {
  readonly publicKey: Uint8Array;
  readonly pairs: readonly NatPair[];
  /** The peer's slot that has the record, -1 while there is no such peer. */
  slot: number;
}

/** What main can set and ask; see the module's text. */
export class NodePolicy {
  readonly #channels: readonly LaneChannels[];
  readonly #filter: FilterTable;
  readonly #nat: NatTable;
  readonly #divert: AllowedIps;
  readonly #flows: readonly FlowStatistics[];
  readonly #activity: ActivityWatch;
  readonly #i32: Int32Array;
  readonly #versionWord: number;
  readonly #slotOf: (publicKey: Uint8Array) => number;
  #natEntries: NatEntry[] = [];
  /** Lanes whose share of the extraction under way is still missing. */
  #missing: FlowStatistics[] = [];
  #extracted: FlowCount[] = [];

  /** `slotOf` tells the slot of a peer by its public key, -1 for none. */
  constructor(
    tables: SharedTables,
    channels: readonly LaneChannels[],
    slotOf: (publicKey: Uint8Array) => number,
  ) {
    const { slab, plan, epochs } = tables;
    this.#channels = channels;
    this.#slotOf = slotOf;
    this.#i32 = slab.i32;
    this.#versionWord = plan.policyVersionAt >> 2;
    this.#filter = new FilterTable(slab, plan.filterAt, epochs);
    this.#nat = new NatTable(slab, plan.natAt);
    this.#divert = new AllowedIps(slab, plan.divertAt, DIVERT_NODES, epochs);
    this.#flows = plan.lanes.map((lane) => new FlowStatistics(slab, lane.flowStatisticsAt, epochs));
    const timesAt = plan.lanes.map((lane) => lane.activityAt);
    this.#activity = new ActivityWatch(slab, plan.watchListAt, timesAt, epochs);
  }

  /** Replaces the filter's rules. Throws RangeError when there are too many. */
  setFilter(rules: readonly FilterRule[]): void {
    this.#filter.set(rules);
    this.#changed();
  }

  /**
   * Sets by which addresses a peer knows us: one pair of each family at most, none to end it. It may
   * be set before the peer exists, and outlives it.
   */
  setNat(publicKey: Uint8Array, pairs: readonly NatPair[]): void {
    const isSame = (entry: NatEntry) => isEqual(entry.publicKey, publicKey);
    for (const entry of this.#natEntries.filter(isSame)) this.#clear(entry);
    this.#natEntries = this.#natEntries.filter((entry) => !isSame(entry));
    if (pairs.length > 0) this.#natEntries.push({ publicKey, pairs, slot: -1 });
    this.onPeersChanged();
  }

  /** Sets the addresses for all peers at once, as `setNat` does for one; those left out have none. */
  replaceNat(
    nats: readonly { readonly publicKey: Uint8Array; readonly pairs: readonly NatPair[] }[],
  ): void {
    const before = new Map(this.#natEntries.map((entry) => [toHex(entry.publicKey), entry]));
    this.#natEntries = nats.filter(({ pairs }) => pairs.length > 0).map(({ publicKey, pairs }) => {
      const key = toHex(publicKey);
      // A record that stays is never empty meanwhile: a lane would let packets by as they are.
      const slot = before.get(key)?.slot ?? -1;
      before.delete(key);
      return { publicKey, pairs, slot };
    });
    for (const entry of before.values()) this.#clear(entry);
    this.onPeersChanged();
  }

  /** Peers were added or removed: records follow them to their slots. */
  onPeersChanged(): void {
    for (const entry of this.#natEntries) {
      const slot = this.#slotOf(entry.publicKey);
      if (slot === entry.slot) continue;
      this.#clear(entry);
      entry.slot = slot;
    }
    // A slot may have gone from one entry to another, so all are cleared before any is written.
    for (const { slot, pairs } of this.#natEntries) if (slot >= 0) this.#nat.set(slot, pairs);
    this.#changed();
  }

  #clear(entry: NatEntry): void {
    if (entry.slot >= 0) this.#nat.set(entry.slot, []);
    entry.slot = -1;
  }

  /**
   * Replaces the prefixes that the stack serves in a node that has a TUN too; within them, `excepted`
   * ones stay with the TUN. The longest prefix decides. Throws AllowedIpsFullError.
   */
  setDivert(served: readonly Prefix[], excepted: readonly Prefix[] = []): void {
    this.#divert.removePeer(Divert.Stack);
    this.#divert.removePeer(Divert.Tun);
    for (const prefix of served) this.#divert.insert(prefix, Divert.Stack);
    for (const prefix of excepted) this.#divert.insert(prefix, Divert.Tun);
    this.#divert.commit();
  }

  /** Begins to count packets and bytes per flow. */
  startFlowStatistics(): void {
    for (const flows of this.#flows) flows.start();
    this.#changed();
  }

  /** Ends it; what was counted can still be extracted once. */
  stopFlowStatistics(): void {
    for (const flows of this.#flows) flows.stop();
    this.#changed();
  }

  /**
   * Takes the counts since the last extraction, of all lanes. Null while lanes are in the middle of a
   * turn: ask again within milliseconds.
   */
  extractFlows(): FlowCount[] | null {
    if (this.#missing.length === 0) this.#missing = [...this.#flows];
    this.#missing = this.#missing.filter((flows) => {
      const counts = flows.extract();
      if (counts !== null) this.#extracted.push(...counts);
      return counts === null;
    });
    if (this.#missing.length > 0) return null;
    const extracted = this.#extracted;
    this.#extracted = [];
    this.#changed();
    return extracted;
  }

  /**
   * Calls `onActivity` with the time (CLOCK_BOOTTIME) of packets from or to an address, about once a
   * second while there are any. The result ends it. Throws RangeError beyond `WATCHED_MAX`.
   */
  watchActivity(address: Uint8Array, onActivity: (lastMs: number) => void): () => void {
    const stop = this.#activity.watch(address, onActivity);
    this.#changed();
    return () => {
      stop();
      this.#changed();
    };
  }

  /** When any packet last went in or out; 0 for never. */
  get lastActivityMs(): number {
    return Math.max(...this.#channels.map((lane) => lane.field(LaneField.LastActivityMs)));
  }

  /** A lane has noted activity: tells those who asked. */
  onActivityNotice(): void {
    this.#activity.deliver();
  }

  /** Publishes what had to wait for lanes; cheap when nothing does. */
  retry(): void {
    if (!this.#filter.isPending && !this.#activity.isPending) return;
    this.#filter.retry();
    this.#activity.retry();
    this.#changed();
  }

  /** Lanes look again what is switched on, at the start of their next turn. */
  #changed(): void {
    Atomics.add(this.#i32, this.#versionWord, 1);
  }
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
