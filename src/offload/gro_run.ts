/**
 * The common case of coalescing: the next packet continues the item that the last one went to, with
 * the same headers and the same length. Then nearly every header word equals the first packet's, and
 * comparing words replaces classifying, looking the flow up and most of the checksum work.
 *
 * A run only ever says yes to what the general path would append as well; "no" decides nothing.
 */
import { fold16, pseudoHeaderSum } from "../wire/checksum.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";
import { IpProtocol } from "../wire/ip.ts";
import { IPV4_CHECKSUM, IPV4_HEADER_BYTES, IPV4_ID } from "../wire/ipv4.ts";
import { IPV6_HEADER_BYTES } from "../wire/ipv6.ts";
import {
  TCP_ACKNOWLEDGMENT,
  TCP_DATA_OFFSET,
  TCP_HEADER_BYTES,
  TCP_SEQUENCE,
  TcpFlag,
} from "../wire/tcp.ts";
import { UDP_CHECKSUM, UDP_LENGTH } from "../wire/udp.ts";

const ALL_BITS = -1;
/** The place of PSH in the word of data offset, flags and window. */
const PSH_BIT = TcpFlag.Psh << 16;

/** An item that packets are being appended to. */
export class GroRun {
  /** The item, or -1 while there is none. */
  item = -1;
  /** IP length of each packet. */
  bytes = 0;
  /** Payload bytes of each packet. */
  payloadBytes = 0;
  #headAt = 0;
  #transport = 0;
  #headerBytes = 0;
  #isTcp = false;
  /** The pseudo-header sum, which all packets have in common. */
  #pseudo = 0;
  /** IPv4: sum of ID and header checksum, the only words of the header that may differ. */
  #idAndChecksum = 0;
  /** TCP: the bits of data offset, flags and window that have to agree. */
  #agreeing = ALL_BITS;

  /**
   * Begins a run. The item's first packet stands at `headAt` with its own headers still, their
   * checksums found right; all its packets so far have `bytes` bytes. `passesPush`: PSH makes no
   * difference.
   */
  begin(
    view: DataView,
    item: number,
    headAt: number,
    bytes: number,
    transport: number,
    headerBytes: number,
    isTcp: boolean,
    passesPush: boolean,
  ): void {
    const isV4 = transport === IPV4_HEADER_BYTES;
    const protocol = isTcp ? IpProtocol.Tcp : IpProtocol.Udp;
    this.item = item;
    this.bytes = bytes;
    this.payloadBytes = bytes - headerBytes;
    this.#headAt = headAt;
    this.#transport = transport;
    this.#headerBytes = headerBytes;
    this.#isTcp = isTcp;
    this.#agreeing = passesPush ? ~PSH_BIT : ALL_BITS;
    this.#pseudo = pseudoHeaderSum(view, headAt, isV4 ? 4 : 6, protocol, bytes - transport);
    this.#idAndChecksum = isV4 ? idAndChecksum(view, headAt) : 0;
  }

  /** Ends the run. */
  end(): void {
    this.item = -1;
  }

  /**
   * Whether the packet of `bytes` bytes at `at` continues the run and has right checksums.
   * `nextSequence` is the sequence number that is due, for TCP.
   */
  continues(view: DataView, kernel: ChecksumKernel, at: number, nextSequence: number): boolean {
    const headAt = this.#headAt;
    const transport = this.#transport;
    const isContinued = this.#isTcp
      ? continuesTcp(view, at, headAt, transport, this.#headerBytes, nextSequence, this.#agreeing)
      : continuesUdp(view, at + transport, headAt + transport);
    if (!isContinued) return false;
    if (transport === IPV4_HEADER_BYTES) {
      if (!isSameIpv4(view, at, headAt)) return false;
      if (idAndChecksum(view, at) !== this.#idAndChecksum) return false;
    } else if (!isSameIpv6(view, at, headAt)) {
      return false;
    }
    const sum = kernel.sum(at + transport, this.bytes - transport, this.#pseudo);
    return fold16(sum) === 0xffff;
  }
}

function idAndChecksum(view: DataView, at: number): number {
  return fold16(view.getUint16(at + IPV4_ID) + view.getUint16(at + IPV4_CHECKSUM));
}

/** Everything but ID and checksum: the first word, fragment field with TTL and protocol, addresses. */
function isSameIpv4(view: DataView, at: number, headAt: number): boolean {
  return view.getInt32(at) === view.getInt32(headAt) &&
    view.getInt32(at + 6) === view.getInt32(headAt + 6) &&
    view.getInt32(at + 12) === view.getInt32(headAt + 12) &&
    view.getInt32(at + 16) === view.getInt32(headAt + 16);
}

function isSameIpv6(view: DataView, at: number, headAt: number): boolean {
  for (let i = 0; i < IPV6_HEADER_BYTES; i += 4) {
    if (view.getInt32(at + i) !== view.getInt32(headAt + i)) return false;
  }
  return true;
}

function continuesTcp(
  view: DataView,
  at: number,
  headAt: number,
  transport: number,
  headerBytes: number,
  nextSequence: number,
  agreeing: number,
): boolean {
  const tcp = at + transport;
  const headTcp = headAt + transport;
  const offsetFlagsWindow = view.getInt32(tcp + TCP_DATA_OFFSET);
  // Ports; acknowledgment; the rest. Where PSH counts the head has none, or it were closed.
  if (
    view.getInt32(tcp + TCP_SEQUENCE) !== nextSequence ||
    view.getInt32(tcp) !== view.getInt32(headTcp) ||
    view.getInt32(tcp + TCP_ACKNOWLEDGMENT) !== view.getInt32(headTcp + TCP_ACKNOWLEDGMENT) ||
    ((offsetFlagsWindow ^ view.getInt32(headTcp + TCP_DATA_OFFSET)) & agreeing) !== 0
  ) return false;
  for (let i = transport + TCP_HEADER_BYTES; i < headerBytes; i += 4) {
    if (view.getInt32(at + i) !== view.getInt32(headAt + i)) return false;
  }
  return true;
}

/** The same ports and length, and a checksum. */
function continuesUdp(view: DataView, udp: number, headUdp: number): boolean {
  return view.getInt32(udp) === view.getInt32(headUdp) &&
    view.getUint16(udp + UDP_LENGTH) === view.getUint16(headUdp + UDP_LENGTH) &&
    view.getUint16(udp + UDP_CHECKSUM) !== 0;
}
