/**
 * Packets and bytes per flow, both directions, counted as they stand on the wire: a super-packet counts
 * as the packets that it becomes. Off, it costs one load per super-packet.
 *
 * A lane writes one of two tables of fixed size. To extract, main turns the lane to the other one, and
 * reads the first when the lane has announced a later epoch. A flow that finds no place is counted in
 * the overflow entry, so that sums are always right.
 *
 * ```
 * region  i32 table in use + 1, 0 for off; 60 bytes zero; two tables
 * table   4,096 entries of 80 bytes; the last one is for the flows that found no place
 * entry   16 bytes local address, 16 bytes remote, u16 local port, u16 remote port, u8 protocol,
 *         u8 IP version (0: free), 2 bytes zero, f64 packets out, bytes out, packets in, bytes in, free
 * ```
 */
import type { Slab } from "../memory/slab.ts";
import type { SuperPacket } from "../offload/super_packet.ts";
import type { RetireEpochs } from "../tables/allowed_ips_pool.ts";
import { addressBytes } from "../wire/ip.ts";

const HEADER_BYTES = 64;
const ENTRY_BYTES = 80;
const ENTRY_COUNT = 4096;
const OVERFLOW_ENTRY = ENTRY_COUNT - 1;
const TABLE_BYTES = ENTRY_COUNT * ENTRY_BYTES;
/** Places looked at for a flow before it counts as overflow. */
const PROBES_MAX = 16;

const REMOTE = 16;
const LOCAL_PORT = 32;
const REMOTE_PORT = 34;
const PROTOCOL = 36;
const VERSION = 37;
const OUT_PACKETS = 40;
const OUT_BYTES = 48;
const IN_PACKETS = 56;
const IN_BYTES = 64;

/** Bytes of slab for the statistics of one lane, at a multiple of 64. */
export const FLOW_STATISTICS_BYTES: number = HEADER_BYTES + 2 * TABLE_BYTES;

/** What one flow has carried since the last extraction. */
export interface FlowCount {
  /** 4 or 16 bytes each, as seen from this host; empty in the overflow entry. */
  readonly localAddress: Uint8Array;
  readonly remoteAddress: Uint8Array;
  /** 0 where the protocol has none, and for later fragments. */
  readonly localPort: number;
  readonly remotePort: number;
  readonly protocol: number;
  readonly packetsOut: number;
  readonly bytesOut: number;
  readonly packetsIn: number;
  readonly bytesIn: number;
}

/** A lane's end. */
export class FlowRecorder {
  readonly #slab: Slab;
  readonly #at: number;

  constructor(slab: Slab, at: number) {
    this.#slab = slab;
    this.#at = at;
  }

  /** Whether main has asked for statistics. */
  get isOn(): boolean {
    return Atomics.load(this.#slab.i32, this.#at >> 2) !== 0;
  }

  /** Counts a super-packet of `packets` packets and `bytes` bytes in all of them. */
  note(packet: SuperPacket, isOutbound: boolean, packets: number, bytes: number): void {
    const table = Atomics.load(this.#slab.i32, this.#at >> 2);
    if (table === 0) return;
    const tableAt = this.#at + HEADER_BYTES + (table - 1) * TABLE_BYTES;
    const entryAt = this.#find(tableAt, packet, isOutbound);
    const word = entryAt >> 3;
    const { f64 } = this.#slab;
    f64[word + ((isOutbound ? OUT_PACKETS : IN_PACKETS) >> 3)] += packets;
    f64[word + ((isOutbound ? OUT_BYTES : IN_BYTES) >> 3)] += bytes;
  }

  /** The entry of the packet's flow, made if there is a place for it. */
  #find(tableAt: number, packet: SuperPacket, isOutbound: boolean): number {
    const { view } = this.#slab;
    const version = packet.ipVersion;
    const length = addressBytes(version);
    const localAt = isOutbound ? packet.sourceAt : packet.destinationAt;
    const remoteAt = isOutbound ? packet.destinationAt : packet.sourceAt;
    let localPort = 0, remotePort = 0;
    if (packet.portsAt !== 0) {
      const source = view.getUint16(packet.portsAt);
      const destination = view.getUint16(packet.portsAt + 2);
      localPort = isOutbound ? source : destination;
      remotePort = isOutbound ? destination : source;
    }
    let slot = hashFlow(view, localAt, remoteAt, length, localPort, remotePort, packet.protocol);
    for (let probe = 0; probe < PROBES_MAX; probe++, slot++) {
      const at = tableAt + (slot % OVERFLOW_ENTRY) * ENTRY_BYTES;
      const present = view.getUint8(at + VERSION);
      if (present === 0) {
        this.#write(at, packet, localAt, remoteAt, length, localPort, remotePort);
        return at;
      }
      const isSame = present === version && view.getUint8(at + PROTOCOL) === packet.protocol &&
        view.getUint16(at + LOCAL_PORT) === localPort &&
        view.getUint16(at + REMOTE_PORT) === remotePort &&
        isEqual(view, at, localAt, length) && isEqual(view, at + REMOTE, remoteAt, length);
      if (isSame) return at;
    }
    return tableAt + OVERFLOW_ENTRY * ENTRY_BYTES;
  }

  #write(
    at: number,
    packet: SuperPacket,
    localAt: number,
    remoteAt: number,
    length: number,
    localPort: number,
    remotePort: number,
  ): void {
    const { u8, view } = this.#slab;
    u8.copyWithin(at, localAt, localAt + length);
    u8.copyWithin(at + REMOTE, remoteAt, remoteAt + length);
    view.setUint16(at + LOCAL_PORT, localPort);
    view.setUint16(at + REMOTE_PORT, remotePort);
    view.setUint8(at + PROTOCOL, packet.protocol);
    view.setUint8(at + VERSION, packet.ipVersion);
  }
}

function isEqual(view: DataView, at: number, otherAt: number, bytes: number): boolean {
  for (let i = 0; i < bytes; i += 4) {
    if (view.getInt32(at + i) !== view.getInt32(otherAt + i)) return false;
  }
  return true;
}

function hashFlow(
  view: DataView,
  localAt: number,
  remoteAt: number,
  addressLength: number,
  localPort: number,
  remotePort: number,
  protocol: number,
): number {
  let hash = Math.imul((localPort << 16) | remotePort, 0x9e3779b1) ^ protocol;
  for (let i = 0; i < addressLength; i += 4) {
    hash = Math.imul(hash ^ (hash >>> 15) ^ view.getInt32(localAt + i), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13) ^ view.getInt32(remoteAt + i), 0xc2b2ae35);
  }
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Main's end of the statistics of one lane. */
export class FlowStatistics {
  readonly #slab: Slab;
  readonly #at: number;
  readonly #epochs: RetireEpochs;
  /** Tables that the lane has been turned away from, and in which epoch. */
  #pending: { readonly table: number; readonly epoch: number }[] = [];
  /** Counting is to begin as soon as there is an empty table. */
  #isWanted = false;

  constructor(slab: Slab, at: number, epochs: RetireEpochs) {
    this.#slab = slab;
    this.#at = at;
    this.#epochs = epochs;
  }

  /** Begins to count; does nothing when it is on. */
  start(): void {
    this.#isWanted = true;
    if (this.#state === 0) this.#turnTo(this.#emptyTable());
  }

  /** Stops counting; what was counted so far can still be extracted. */
  stop(): void {
    this.#isWanted = false;
    this.#turnTo(0);
  }

  /**
   * Takes what was counted since the last extraction, and begins anew. Null while the lane may still
   * be writing it: ask again when it has done its turn.
   */
  extract(): FlowCount[] | null {
    if (this.#pending.length === 0 && this.#state !== 0) this.#turnTo(this.#emptyTable());
    if (this.#pending.some(({ epoch }) => !this.#epochs.hasPassed(epoch))) return null;
    const counts = this.#pending.flatMap(({ table }) => this.#take(table));
    this.#pending = [];
    if (this.#isWanted) this.start();
    return counts;
  }

  get #state(): number {
    return Atomics.load(this.#slab.i32, this.#at >> 2);
  }

  /** A table that nobody uses, 0 when there is none. */
  #emptyTable(): number {
    const isFree = (table: number) =>
      table !== this.#state && this.#pending.every((pending) => pending.table !== table);
    return [1, 2].find(isFree) ?? 0;
  }

  #turnTo(table: number): void {
    const before = this.#state;
    if (before === table) return;
    Atomics.store(this.#slab.i32, this.#at >> 2, table);
    if (before !== 0) this.#pending.push({ table: before, epoch: this.#epochs.advance() });
  }

  #take(table: number): FlowCount[] {
    const { u8, view } = this.#slab;
    const tableAt = this.#at + HEADER_BYTES + (table - 1) * TABLE_BYTES;
    const counts: FlowCount[] = [];
    for (let entry = 0; entry < ENTRY_COUNT; entry++) {
      const at = tableAt + entry * ENTRY_BYTES;
      const count = readEntry(u8, view, at);
      if (count !== null) counts.push(count);
    }
    u8.fill(0, tableAt, tableAt + TABLE_BYTES);
    return counts;
  }
}

function readEntry(u8: Uint8Array, view: DataView, at: number): FlowCount | null {
  const version = view.getUint8(at + VERSION);
  const [packetsOut, bytesOut, packetsIn, bytesIn] = [OUT_PACKETS, OUT_BYTES, IN_PACKETS, IN_BYTES]
    .map((field) => view.getFloat64(at + field, true));
  if (packetsOut === 0 && packetsIn === 0) return null;
  const length = version === 0 ? 0 : addressBytes(version);
  return {
    localAddress: u8.slice(at, at + length),
    remoteAddress: u8.slice(at + REMOTE, at + REMOTE + length),
    localPort: view.getUint16(at + LOCAL_PORT),
    remotePort: view.getUint16(at + REMOTE_PORT),
    protocol: view.getUint8(at + PROTOCOL),
    packetsOut,
    bytesOut,
    packetsIn,
    bytesIn,
  };
}
