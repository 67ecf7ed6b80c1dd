/**
 * ICMP errors that the stack sends (RFC 1122 section 3.2.2, RFC 4443 section 2.4): about packets that
 * nobody takes. Never about an ICMP error, a later fragment, a packet to or from anything but one
 * host, and at most so many per second.
 */
import { DropReason } from "../base/drop_reason.ts";
import type { RandomSource } from "../base/random.ts";
import type { Slab } from "../memory/slab.ts";
import { StackGsoType } from "../offload/gso_options.ts";
import { checksumOf, pseudoHeaderSum } from "../wire/checksum.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";
import {
  ICMP_ERROR_BYTES_MAX,
  ICMP_HEADER_BYTES,
  icmpErrorAllowed,
  IcmpType,
  IcmpUnreachable,
  Icmpv6Type,
  Icmpv6Unreachable,
  writeIcmpv4Error,
  writeIcmpv6Error,
} from "../wire/icmp.ts";
import { addressBytes, destinationOffset, IpProtocol, ipVersion } from "../wire/ip.ts";
import { IPV4_HEADER_BYTES, setIpv4Checksum, setIpv4TotalBytes } from "../wire/ipv4.ts";
import { IPV6_HEADER_BYTES, setIpv6PayloadBytes } from "../wire/ipv6.ts";
import { TCP_CHECKSUM } from "../wire/tcp.ts";
import { UDP_CHECKSUM, UDP_LENGTH } from "../wire/udp.ts";
import type { AddressList } from "./addresses.ts";
import type { DropCounters } from "./counters.ts";
import type { InboundDatagram } from "./inbound.ts";
import type { BlockPool, LinkEndpoint } from "./link_endpoint.ts";
import { Unreachable } from "./output.ts";
import { TokenBucket } from "./token_bucket.ts";

/** Errors per second, and how many may come at once. */
const PER_SECOND = 100;
const BURST = 50;
/**
 * The burst changes by up to so many at random: with a constant one, an attacker could count what we
 * send to others by what is left for him (CVE-2020-25705).
 */
const BURST_SPREAD = 16;

/** Codes of "unreachable" by `Unreachable`. */
const V4_CODE = [
  IcmpUnreachable.Network,
  IcmpUnreachable.Host,
  IcmpUnreachable.Port,
  IcmpUnreachable.AdministrativelyProhibited,
] as const;
const V6_CODE = [
  Icmpv6Unreachable.NoRoute,
  Icmpv6Unreachable.Address,
  Icmpv6Unreachable.Port,
  Icmpv6Unreachable.AdministrativelyProhibited,
] as const;

/** Layout of the block that an error is made in: the source address, the packet. */
const PACKET_OFFSET = 64;
const BLOCK_BYTES = PACKET_OFFSET + ICMP_ERROR_BYTES_MAX;

/** What the errors are made with. */
export interface IcmpErrorOptions {
  readonly slab: Slab;
  readonly kernel: ChecksumKernel;
  readonly pool: BlockPool;
  readonly link: LinkEndpoint;
  readonly addresses: AddressList;
  readonly counters: DropCounters;
  readonly random: RandomSource;
}

/** Sends the errors. */
export class IcmpErrors {
  readonly #options: IcmpErrorOptions;
  readonly #bucket: TokenBucket;
  /** Errors sent so far. */
  sentCount = 0;

  constructor(options: IcmpErrorOptions) {
    this.#options = options;
    this.#bucket = new TokenBucket(PER_SECOND, BURST, BURST_SPREAD, options.random);
  }

  /** Says why the destination of `datagram`, which may be a merged one, cannot be reached. */
  unreachable(datagram: InboundDatagram, reason: Unreachable, nowMs: number): void {
    const type = datagram.ipVersion === 4
      ? IcmpType.DestinationUnreachable
      : Icmpv6Type.DestinationUnreachable;
    const code = datagram.ipVersion === 4 ? V4_CODE[reason] : V6_CODE[reason];
    this.about(datagram, type, code, nowMs, reason === Unreachable.Port);
  }

  /** Sends an error about `datagram`; of a merged one its first packet is quoted. */
  about(
    datagram: InboundDatagram,
    type: number,
    code: number,
    nowMs: number,
    fromDestination = false,
  ): void {
    const { ipAt, ipHeaderBytes, pieces } = datagram;
    const bytes = ipHeaderBytes + (pieces.count > 0 ? pieces.bytes[0] : 0);
    const block = this.#begin(ipAt, bytes, nowMs);
    if (block === 0) return;
    const sent = this.#write(block, ipAt, bytes, type, code, 0, fromDestination);
    if (datagram.gsoSize > 0) this.#quoteFirst(block + PACKET_OFFSET, sent, datagram);
    this.#publish(block, sent);
  }

  /**
   * Sends an error of any kind about the packet of `bytes` contiguous bytes at `packetAt`; `rest` is
   * the word behind the checksum. It comes from `from` (4 or 16 bytes, of the packet's version), or
   * from ourselves.
   */
  send(
    packetAt: number,
    bytes: number,
    type: number,
    code: number,
    rest: number,
    nowMs: number,
    from: Uint8Array | null = null,
  ): void {
    const block = this.#begin(packetAt, bytes, nowMs);
    if (block === 0) return;
    if (from !== null) {
      const { slab, kernel } = this.#options;
      const write = from.length === 4 ? writeIcmpv4Error : writeIcmpv6Error;
      slab.u8.set(from, block);
      const at = block + PACKET_OFFSET;
      this.#publish(block, write(slab, kernel, at, packetAt, bytes, type, code, rest, block));
      return;
    }
    const sent = this.#write(block, packetAt, bytes, type, code, rest, false);
    this.#publish(block, sent);
  }

  /** A block for an error about this packet, or 0 when none may or can be sent. */
  #begin(packetAt: number, bytes: number, nowMs: number): number {
    const { slab, pool, link, counters } = this.#options;
    if (!icmpErrorAllowed(slab.view, packetAt, bytes)) return 0;
    if (link.freeSlots === 0) {
      counters.drop(DropReason.LinkFull);
      return 0;
    }
    if (!this.#bucket.take(nowMs)) {
      counters.drop(DropReason.IcmpRateLimited);
      return 0;
    }
    const block = pool.allocate(BLOCK_BYTES);
    if (block === 0) counters.drop(DropReason.NoBuffer);
    return block;
  }

  /** Writes the packet into the block and returns its length. */
  #write(
    block: number,
    packetAt: number,
    bytes: number,
    type: number,
    code: number,
    rest: number,
    fromDestination: boolean,
  ): number {
    const { slab, kernel, addresses } = this.#options;
    const version = ipVersion(slab.view, packetAt);
    const destinationAt = packetAt + destinationOffset(version);
    const isOurs = addresses.has(slab.view, destinationAt, version);
    const own = isOurs || fromDestination ? null : addresses.first(version);
    if (own !== null) slab.u8.set(own, block);
    else slab.u8.copyWithin(block, destinationAt, destinationAt + addressBytes(version));
    const write = version === 4 ? writeIcmpv4Error : writeIcmpv6Error;
    return write(slab, kernel, block + PACKET_OFFSET, packetAt, bytes, type, code, rest, block);
  }

  /** Makes of the merged packet that is quoted at `at` the first one that was merged into it. */
  #quoteFirst(at: number, bytes: number, datagram: InboundDatagram): void {
    const { slab, kernel } = this.#options;
    const { view } = slab;
    const isV4 = datagram.ipVersion === 4;
    const icmpAt = at + (isV4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES);
    const quoteAt = icmpAt + ICMP_HEADER_BYTES;
    const transportAt = quoteAt + datagram.ipHeaderBytes;
    // The first piece is the transport header and the payload of the first packet.
    const transportBytes = datagram.pieces.bytes[0];
    if (isV4) {
      setIpv4TotalBytes(view, quoteAt, datagram.ipHeaderBytes + transportBytes);
      setIpv4Checksum(view, quoteAt, datagram.ipHeaderBytes);
    } else {
      setIpv6PayloadBytes(view, quoteAt, transportBytes);
    }
    const isUdp = datagram.protocol === IpProtocol.Udp;
    if (isUdp) view.setUint16(transportAt + UDP_LENGTH, transportBytes);
    const checksumAt = transportAt + (isUdp ? UDP_CHECKSUM : TCP_CHECKSUM);
    view.setUint16(checksumAt, 0);
    const originalAt = datagram.pieces.at[0];
    const originalChecksumAt = originalAt + checksumAt - transportAt;
    // Summed where all of it stands, without the words that were changed in merging.
    let sum = pseudoHeaderSum(
      view,
      quoteAt,
      datagram.ipVersion,
      datagram.protocol,
      transportBytes,
    );
    const headerBytes = Math.min(originalChecksumAt + 2 - originalAt, transportBytes);
    sum = kernel.sum(transportAt, headerBytes, sum);
    sum = kernel.sum(originalAt + headerBytes, transportBytes - headerBytes, sum);
    view.setUint16(checksumAt, checksumOf(sum), true);
    view.setUint16(icmpAt + 2, 0);
    const icmpBytes = bytes - (icmpAt - at);
    const pseudo = isV4 ? 0 : pseudoHeaderSum(view, at, 6, IpProtocol.Icmpv6, icmpBytes);
    view.setUint16(icmpAt + 2, checksumOf(kernel.sum(icmpAt, icmpBytes, pseudo)), true);
  }

  #publish(block: number, bytes: number): void {
    const { slab, pool, link } = this.#options;
    const packetAt = block + PACKET_OFFSET;
    const version = ipVersion(slab.view, packetAt);
    const headerBytes = (version === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES) + ICMP_HEADER_BYTES;
    const headerAt = link.claim();
    slab.u8.copyWithin(headerAt, packetAt, packetAt + headerBytes);
    const payloadAt = packetAt + headerBytes;
    const none = StackGsoType.None;
    link.publish(headerBytes, payloadAt, bytes - headerBytes, block, none, 0, 0, 0, false);
    pool.free(block);
    this.sentCount++;
  }
}
