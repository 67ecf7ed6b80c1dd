/**
 * Reassembly of IPv4 and IPv6 fragments (RFC 791, RFC 8200 section 4.5), for hostile input:
 *
 * - A datagram whose fragments overlap or contradict each other is forgotten whole, and so is what
 *   comes later of it (RFC 5722). An exact copy of a fragment is ignored.
 * - Datagrams are bounded in number, memory and fragments, per source and in total; the oldest of
 *   the same source gives way first, then the oldest of all.
 * - What is not complete after a minute is forgotten; its sender is told if the first fragment came.
 *
 * Each datagram has one pool block, which grows with it, so the result is contiguous:
 *
 * ```
 * | records: from, to (u16 each), sorted | ... header of the first fragment | data |
 * 0                                   1024                               1344
 * ```
 */
import { DropReason } from "../base/drop_reason.ts";
import type { Slab } from "../memory/slab.ts";
import { IP_BYTES_MAX } from "../wire/ip.ts";
import { IPV4_FRAGMENT, ipv4Tos, setIpv4Checksum, setIpv4TotalBytes } from "../wire/ipv4.ts";
import {
  IPV6_FRAGMENT_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  ipv6TrafficClass,
  setIpv6PayloadBytes,
} from "../wire/ipv6.ts";
import type { DropCounters } from "./counters.ts";
import type { BlockPool } from "./link_endpoint.ts";

/** How much reassembly may hold. */
export interface FragmentLimits {
  readonly datagramsMax: number;
  readonly datagramsPerSourceMax: number;
  readonly bytesMax: number;
  readonly bytesPerSourceMax: number;
  /** RFC 8200 section 4.5: 60 seconds. RFC 1122 section 3.3.2: between 60 and 120. */
  readonly timeoutMs: number;
}

/** What holds unless said otherwise. */
export const FRAGMENT_LIMITS: FragmentLimits = {
  datagramsMax: 256,
  datagramsPerSourceMax: 64,
  bytesMax: 4 << 20,
  bytesPerSourceMax: 1 << 20,
  timeoutMs: 60_000,
};

/** Fragments of one datagram; 64 KB at an MTU of 576 are 119. */
export const FRAGMENTS_PER_DATAGRAM_MAX = 256;
const RECORD_BYTES = 4;
const RECORDS_BYTES = FRAGMENTS_PER_DATAGRAM_MAX * RECORD_BYTES;
/** Room for the headers in front of the data; longer ones are refused. */
const HEADER_ROOM_BYTES = 320;
const DATA_OFFSET = RECORDS_BYTES + HEADER_ROOM_BYTES;
const BLOCK_BYTES_MIN = 4096;
/** Words of a key: source, destination, identification, protocol with version. */
const KEY_WORDS = 10;
const UNKNOWN = -1;

/** One fragment, as the IP layer describes it; the stack has one instance. */
export class Fragment {
  ipVersion = 4;
  /** Where its IP header stands, and all headers before the data, an IPv6 fragment header included. */
  at = 0;
  headerBytes = 0;
  dataBytes = 0;
  /** Place of the data in the datagram, a multiple of 8. */
  offset = 0;
  hasMore = false;
  sourceAt = 0;
  destinationAt = 0;
  id = 0;
  /** IPv4 only; of IPv6 it takes no part in the key. */
  protocol = 0;
  /** IPv6 only: where the byte stands that names the fragment header, counted from `at`. */
  nameOffset = 0;
}

class Datagram {
  readonly key = new Int32Array(KEY_WORDS);
  block = 0;
  blockBytes = 0;
  fragmentCount = 0;
  receivedBytes = 0;
  /** Length of all the data once the last fragment is known. */
  totalBytes = UNKNOWN;
  /** Of the first fragment; 0 until it has come. */
  headerBytes = 0;
  nameOffset = 0;
  isPoisoned = false;
  /** Which ECN values have been seen, one bit each. */
  ecnSeen = 0;
  deadlineMs = 0;

  get ipVersion(): number {
    return this.key[9] >>> 8;
  }
}

/** Told of datagrams that ran out of time. */
export interface FragmentTimeoutSink {
  /** The first fragment, whole as it came, stands at `packetAt` during the call. */
  onTimeout(packetAt: number, bytes: number): void;
}

/** The datagrams that are being put together. */
export class Reassembly {
  /** Length of the packet that `add` has completed. */
  packetBytes = 0;

  readonly #slab: Slab;
  readonly #pool: BlockPool;
  readonly #counters: DropCounters;
  readonly #limits: FragmentLimits;
  /** Oldest first, which is also the order of deadlines. */
  readonly #datagrams: Datagram[] = [];
  readonly #key = new Int32Array(KEY_WORDS);
  #usedBytes = 0;
  #completedBlock = 0;

  constructor(
    slab: Slab,
    pool: BlockPool,
    counters: DropCounters,
    limits: Partial<FragmentLimits> = {},
  ) {
    this.#slab = slab;
    this.#pool = pool;
    this.#counters = counters;
    this.#limits = { ...FRAGMENT_LIMITS, ...limits };
  }

  /** Datagrams that wait for fragments, refused ones included. */
  get count(): number {
    return this.#datagrams.length;
  }

  /** Pool memory in use. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** When `onTimeout` has something to do. */
  nextTimeoutMs(): number {
    return this.#datagrams.length === 0 ? Infinity : this.#datagrams[0].deadlineMs;
  }

  /**
   * Takes a fragment with data that ends at 65,535 at most, all but the last of a multiple of 8 bytes:
   * the caller has seen to that. Returns the place of the whole packet when
   * this was the last one missing, `packetBytes` long and valid until `release`; else 0.
   */
  add(fragment: Fragment, nowMs: number): number {
    this.#loadKey(fragment);
    let datagram = this.#find();
    if (datagram === null) datagram = this.#begin(nowMs);
    if (datagram.isPoisoned) {
      this.#counters.drop(DropReason.FragmentOverlap);
      return 0;
    }
    const reason = this.#store(datagram, fragment);
    if (reason === DropReason.FragmentOverlap) this.#poison(datagram);
    else if (reason !== DropReason.None) this.#forget(datagram, reason, 1);
    else if (datagram.receivedBytes === datagram.totalBytes) return this.#complete(datagram);
    return 0;
  }

  /** Gives back the memory of the packet that `add` returned. */
  release(): void {
    if (this.#completedBlock !== 0) this.#pool.free(this.#completedBlock);
    this.#completedBlock = 0;
  }

  /** Forgets datagrams whose time is over. */
  onTimeout(nowMs: number, sink: FragmentTimeoutSink): void {
    while (this.#datagrams.length > 0 && this.#datagrams[0].deadlineMs <= nowMs) {
      const datagram = this.#datagrams[0];
      if (datagram.headerBytes > 0 && datagram.block !== 0) this.#tell(datagram, sink);
      this.#forget(datagram, DropReason.FragmentTimeout, 0);
    }
  }

  #tell(datagram: Datagram, sink: FragmentTimeoutSink): void {
    const firstBytes = this.#slab.view.getUint16(datagram.block + 2, true);
    const { headerBytes } = datagram;
    sink.onTimeout(datagram.block + DATA_OFFSET - headerBytes, headerBytes + firstBytes);
  }

  /** Forgets everything. */
  clear(): void {
    while (this.#datagrams.length > 0) this.#remove(this.#datagrams[0]);
  }

  /** RFC 6864 section 4: IPv4 by addresses, protocol and ID; RFC 8200: IPv6 by addresses and ID. */
  #loadKey(fragment: Fragment): void {
    const { view } = this.#slab;
    const key = this.#key;
    key.fill(0);
    const words = fragment.ipVersion === 4 ? 1 : 4;
    for (let i = 0; i < words; i++) {
      key[i] = view.getInt32(fragment.sourceAt + 4 * i);
      key[4 + i] = view.getInt32(fragment.destinationAt + 4 * i);
    }
    key[8] = fragment.id;
    key[9] = (fragment.ipVersion << 8) | (fragment.ipVersion === 4 ? fragment.protocol : 0);
  }

  #find(): Datagram | null {
    for (const datagram of this.#datagrams) {
      if (datagram.key[8] === this.#key[8] && this.#isKeyOf(datagram)) return datagram;
    }
    return null;
  }

  #isKeyOf(datagram: Datagram): boolean {
    for (let i = 0; i < KEY_WORDS; i++) {
      if (datagram.key[i] !== this.#key[i]) return false;
    }
    return true;
  }

  #begin(nowMs: number): Datagram {
    const { datagramsMax, datagramsPerSourceMax, timeoutMs } = this.#limits;
    let fromSource = 0;
    for (const other of this.#datagrams) {
      if (this.#isSameSource(other)) fromSource++;
    }
    if (fromSource >= datagramsPerSourceMax) this.#evict(null, true);
    else if (this.#datagrams.length >= datagramsMax) this.#evict(null, false);
    const datagram = new Datagram();
    datagram.key.set(this.#key);
    datagram.deadlineMs = nowMs + timeoutMs;
    this.#datagrams.push(datagram);
    return datagram;
  }

  #isSameSource(datagram: Datagram): boolean {
    const { key } = datagram;
    return key[0] === this.#key[0] && key[1] === this.#key[1] && key[2] === this.#key[2] &&
      key[3] === this.#key[3] && key[9] >>> 8 === this.#key[9] >>> 8;
  }

  /** Forgets the oldest datagram but `keep`, of the key's source only or of all; whether it could. */
  #evict(keep: Datagram | null, ofSource: boolean): boolean {
    const oldest = this.#datagrams.find((datagram) =>
      datagram !== keep && (!ofSource || this.#isSameSource(datagram))
    );
    if (oldest === undefined) return false;
    this.#forget(oldest, DropReason.FragmentQuota, 0);
    return true;
  }

  /** Puts a fragment in its place; anything but `None` ends the datagram. */
  #store(datagram: Datagram, fragment: Fragment): DropReason {
    const { offset, dataBytes, hasMore, headerBytes } = fragment;
    const end = offset + dataBytes;
    if (!this.#agreesOnEnd(datagram, end, hasMore)) return DropReason.FragmentOverlap;
    if (headerBytes > HEADER_ROOM_BYTES) return DropReason.FragmentInvalid;
    const grown = this.#reserve(datagram, DATA_OFFSET + end);
    if (grown !== DropReason.None) return grown;
    const index = this.#indexFor(datagram, offset);
    const isFree = (index === 0 || this.#to(datagram, index - 1) <= offset) &&
      (index === datagram.fragmentCount || end <= this.#from(datagram, index));
    if (!isFree) {
      return this.#isCopy(datagram, index, fragment) ? DropReason.None : DropReason.FragmentOverlap;
    }
    if (datagram.fragmentCount === FRAGMENTS_PER_DATAGRAM_MAX) return DropReason.FragmentQuota;
    this.#insert(datagram, index, fragment);
    return DropReason.None;
  }

  /** Whether the end of a fragment fits to what is known of the end of all, which it may tell. */
  #agreesOnEnd(datagram: Datagram, end: number, hasMore: boolean): boolean {
    const { totalBytes, fragmentCount } = datagram;
    if (totalBytes !== UNKNOWN) return hasMore ? end < totalBytes : end === totalBytes;
    if (hasMore) return true;
    if (fragmentCount > 0 && this.#to(datagram, fragmentCount - 1) > end) return false;
    datagram.totalBytes = end;
    return true;
  }

  #insert(datagram: Datagram, index: number, fragment: Fragment): void {
    const { u8, view } = this.#slab;
    const { at, headerBytes, dataBytes, offset } = fragment;
    const { block, fragmentCount } = datagram;
    const recordAt = block + index * RECORD_BYTES;
    const lastAt = block + fragmentCount * RECORD_BYTES;
    u8.copyWithin(recordAt + RECORD_BYTES, recordAt, lastAt);
    view.setUint16(recordAt, offset, true);
    view.setUint16(recordAt + 2, offset + dataBytes, true);
    datagram.fragmentCount++;
    datagram.receivedBytes += dataBytes;
    const dataAt = block + DATA_OFFSET;
    const from = at + headerBytes;
    u8.copyWithin(dataAt + offset, from, from + dataBytes);
    const tos = fragment.ipVersion === 4 ? ipv4Tos(view, at) : ipv6TrafficClass(view, at);
    datagram.ecnSeen |= 1 << (tos & 3);
    if (offset !== 0) return;
    datagram.headerBytes = headerBytes;
    datagram.nameOffset = fragment.nameOffset;
    u8.copyWithin(dataAt - headerBytes, at, from);
  }

  #from(datagram: Datagram, index: number): number {
    return this.#slab.view.getUint16(datagram.block + index * RECORD_BYTES, true);
  }

  #to(datagram: Datagram, index: number): number {
    return this.#slab.view.getUint16(datagram.block + index * RECORD_BYTES + 2, true);
  }

  /** The first record that does not begin before `offset`; fragments mostly come in order. */
  #indexFor(datagram: Datagram, offset: number): number {
    let index = datagram.fragmentCount;
    while (index > 0 && this.#from(datagram, index - 1) >= offset) index--;
    return index;
  }

  /** Whether the record at `index` is of the same place and its data the same. */
  #isCopy(datagram: Datagram, index: number, fragment: Fragment): boolean {
    const { offset, dataBytes } = fragment;
    const isSamePlace = index < datagram.fragmentCount &&
      this.#from(datagram, index) === offset && this.#to(datagram, index) === offset + dataBytes;
    if (!isSamePlace) return false;
    const { u8 } = this.#slab;
    const from = fragment.at + fragment.headerBytes;
    const stored = datagram.block + DATA_OFFSET + offset;
    for (let i = 0; i < dataBytes; i++) {
      if (u8[from + i] !== u8[stored + i]) return false;
    }
    return true;
  }

  /** Makes the datagram's block at least `bytes` long. */
  #reserve(datagram: Datagram, bytes: number): DropReason {
    if (bytes <= datagram.blockBytes) return DropReason.None;
    let blockBytes = Math.max(BLOCK_BYTES_MIN, datagram.blockBytes);
    while (blockBytes < bytes) blockBytes *= 2;
    if (!this.#makeRoom(datagram, blockBytes - datagram.blockBytes)) {
      return DropReason.FragmentQuota;
    }
    const block = this.#pool.allocate(blockBytes);
    if (block === 0) return DropReason.NoBuffer;
    if (datagram.block !== 0) {
      this.#slab.u8.copyWithin(block, datagram.block, datagram.block + datagram.blockBytes);
      this.#pool.free(datagram.block);
    }
    this.#usedBytes += blockBytes - datagram.blockBytes;
    datagram.block = block;
    datagram.blockBytes = blockBytes;
    return DropReason.None;
  }

  /** Lets others give way until `bytes` more fit; false when even that does not help. */
  #makeRoom(datagram: Datagram, bytes: number): boolean {
    const { bytesMax, bytesPerSourceMax } = this.#limits;
    while (this.#bytesOfSource() + bytes > bytesPerSourceMax) {
      if (!this.#evict(datagram, true)) return false;
    }
    while (this.#usedBytes + bytes > bytesMax) {
      if (!this.#evict(datagram, false)) return false;
    }
    return true;
  }

  #bytesOfSource(): number {
    let bytes = 0;
    for (const datagram of this.#datagrams) {
      if (this.#isSameSource(datagram)) bytes += datagram.blockBytes;
    }
    return bytes;
  }

  /** Frees what came, and refuses what comes, of a datagram that contradicts itself. */
  #poison(datagram: Datagram): void {
    this.#counters.drop(DropReason.FragmentOverlap, datagram.fragmentCount + 1);
    this.#freeBlock(datagram);
    datagram.isPoisoned = true;
    datagram.fragmentCount = 0;
  }

  #forget(datagram: Datagram, reason: DropReason, more: number): void {
    const packets = datagram.fragmentCount + more;
    if (packets > 0) this.#counters.drop(reason, packets);
    this.#remove(datagram);
  }

  #remove(datagram: Datagram): void {
    this.#freeBlock(datagram);
    this.#unlist(datagram);
  }

  #unlist(datagram: Datagram): void {
    this.#datagrams.splice(this.#datagrams.indexOf(datagram), 1);
  }

  #freeBlock(datagram: Datagram): void {
    if (datagram.block === 0) return;
    this.#pool.free(datagram.block);
    this.#usedBytes -= datagram.blockBytes;
    datagram.block = 0;
    datagram.blockBytes = 0;
  }

  /** Makes one packet of all fragments, in place. */
  #complete(datagram: Datagram): number {
    const isV4 = datagram.ipVersion === 4;
    const packetBytes = datagram.headerBytes + datagram.totalBytes -
      (isV4 ? 0 : IPV6_FRAGMENT_HEADER_BYTES);
    const isTooLong = isV4
      ? packetBytes > IP_BYTES_MAX
      : packetBytes - IPV6_HEADER_BYTES > IP_BYTES_MAX;
    const ecn = mergedEcn(datagram.ecnSeen);
    if (isTooLong || ecn === REFUSED) {
      this.#forget(datagram, DropReason.FragmentInvalid, 0);
      return 0;
    }
    this.#unlist(datagram);
    this.#usedBytes -= datagram.blockBytes;
    this.#completedBlock = datagram.block;
    this.packetBytes = packetBytes;
    return isV4 ? this.#finishV4(datagram, ecn) : this.#finishV6(datagram, ecn);
  }

  #finishV4(datagram: Datagram, ecn: number): number {
    const { view } = this.#slab;
    const at = datagram.block + DATA_OFFSET - datagram.headerBytes;
    setIpv4TotalBytes(view, at, this.packetBytes);
    view.setUint16(at + IPV4_FRAGMENT, 0);
    if (ecn !== KEPT) view.setUint8(at + 1, (view.getUint8(at + 1) & ~3) | ecn);
    setIpv4Checksum(view, at, datagram.headerBytes);
    return at;
  }

  /** Takes the fragment header out from between the headers before it and the data. */
  #finishV6(datagram: Datagram, ecn: number): number {
    const { view, u8 } = this.#slab;
    const headersAt = datagram.block + DATA_OFFSET - datagram.headerBytes;
    const keptBytes = datagram.headerBytes - IPV6_FRAGMENT_HEADER_BYTES;
    const next = view.getUint8(headersAt + keptBytes);
    const at = headersAt + IPV6_FRAGMENT_HEADER_BYTES;
    u8.copyWithin(at, headersAt, headersAt + keptBytes);
    view.setUint8(at + datagram.nameOffset, next);
    setIpv6PayloadBytes(view, at, this.packetBytes - IPV6_HEADER_BYTES);
    if (ecn !== KEPT) view.setUint8(at + 1, (view.getUint8(at + 1) & ~0x30) | (ecn << 4));
    return at;
  }
}

const KEPT = -1;
const REFUSED = -2;
const SEEN_NOT_ECT = 1;
const SEEN_CE = 8;

/** RFC 3168 section 5.3: one mark marks the whole, and is impossible beside a packet without ECT. */
function mergedEcn(seen: number): number {
  if ((seen & SEEN_CE) === 0) return KEPT;
  return (seen & SEEN_NOT_ECT) !== 0 ? REFUSED : 3;
}
