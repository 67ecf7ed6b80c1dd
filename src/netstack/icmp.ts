/**
 * ICMP and ICMPv6 as they come in (RFC 792, RFC 4443): echo requests are answered, errors are taken
 * apart and given to the transport whose packet they quote. Redirects, source quench (RFC 6633),
 * timestamps and everything of neighbour discovery are ignored: there are no neighbours on this link.
 *
 * An error is forged easily. It must quote a packet from one of our flows (the transport looks), and
 * an MTU below what every path carries is not believed.
 */
import { DropReason } from "../base/drop_reason.ts";
import type { Slab } from "../memory/slab.ts";
import { checksumOf, pseudoHeaderSum, updateChecksum } from "../wire/checksum.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";
import {
  ICMP_CHECKSUM,
  ICMP_CODE,
  ICMP_HEADER_BYTES,
  ICMP_REST,
  ICMP_TYPE,
  IcmpType,
  Icmpv6Type,
} from "../wire/icmp.ts";
import { addressBytes, IpProtocol } from "../wire/ip.ts";
import { type DropCounters, StackCounter, type StackCounters } from "./counters.ts";
import { IcmpQuote } from "./icmp_quote.ts";
import { IcmpErrorKind, type InboundDatagram, type InboundError } from "./inbound.ts";
import type { IpSender, OutputPath } from "./ip_output.ts";
import { Unreachable } from "./output.ts";
import type { Transport } from "./transport.ts";

/** An echo request or reply; valid during the call that is given it. */
export class EchoMessage {
  ipVersion = 4;
  /** Places of the addresses, 4 or 16 bytes each. */
  sourceAt = 0;
  destinationAt = 0;
  hopLimit = 0;
  /** Whether whoever carries it on may cut it into fragments: it has been, or IPv4's DF is not set. */
  mayBeFragmented = false;
  identifier = 0;
  sequence = 0;
  /** What follows the header of 8 bytes. */
  at = 0;
  bytes = 0;
}

/** What becomes of an echo request to an address that is not ours. */
export const EchoVerdict = {
  /** It is answered here, as if that host had. */
  Reply: 0,
  /** It was taken: `sendEchoReply` may follow. */
  Taken: 1,
  /** It is answered by "host unreachable". */
  Unreachable: 2,
  Drop: 3,
  /** It is answered by "prohibited". */
  Prohibited: 4,
} as const;
/** One of the values of `EchoVerdict`. */
export type EchoVerdict = (typeof EchoVerdict)[keyof typeof EchoVerdict];

/** Decides about echo requests to other addresses, in forwarding mode. */
export interface EchoForwarder {
  /** `request` is valid during the call only. */
  onEcho(request: EchoMessage): EchoVerdict;
}

/** What ICMP works with. */
export interface IcmpOptions {
  readonly slab: Slab;
  readonly kernel: ChecksumKernel;
  readonly output: IpSender;
  readonly counters: DropCounters;
  readonly stackCounters: StackCounters;
  readonly tcp: Transport;
  readonly udp: Transport;
}

/** See the module's text. */
export class IcmpLayer {
  /** Asked about echo requests to addresses that are not ours; without one they are dropped. */
  forwarder: EchoForwarder | null = null;
  /** Told of replies to what `sendEchoRequest` has sent, and of replies that nobody asked for. */
  onEchoReply: ((reply: EchoMessage) => void) | null = null;

  readonly #options: IcmpOptions;
  readonly #view: DataView;
  readonly #echo = new EchoMessage();
  readonly #quote = new IcmpQuote();

  constructor(options: IcmpOptions) {
    this.#options = options;
    this.#view = options.slab.view;
  }

  /** Takes an ICMP message of the datagram's IP version. */
  onDatagram(datagram: InboundDatagram, nowMs: number): void {
    const { counters } = this.#options;
    if (datagram.bytes < ICMP_HEADER_BYTES) return counters.drop(DropReason.TransportTruncated);
    if (!this.#isChecksumRight(datagram)) {
      return counters.drop(DropReason.TransportChecksumInvalid);
    }
    const at = datagram.pieces.at[0];
    const type = this.#view.getUint8(at + ICMP_TYPE);
    const isV4 = datagram.ipVersion === 4;
    if (type === (isV4 ? IcmpType.EchoRequest : Icmpv6Type.EchoRequest)) {
      this.#onEchoRequest(datagram);
    } else if (type === (isV4 ? IcmpType.EchoReply : Icmpv6Type.EchoReply)) {
      this.#onReply(datagram);
    } else {
      this.#onOther(datagram, type, nowMs);
    }
  }

  #isChecksumRight(datagram: InboundDatagram): boolean {
    const { ipVersion, ipAt, bytes, pieces } = datagram;
    const pseudo = ipVersion === 4
      ? 0
      : pseudoHeaderSum(this.#view, ipAt, 6, IpProtocol.Icmpv6, bytes);
    return checksumOf(this.#options.kernel.sum(pieces.at[0], bytes, pseudo)) === 0;
  }

  // Echo.

  #onEchoRequest(datagram: InboundDatagram): void {
    if (datagram.isLocal) return this.#answerEcho(datagram);
    const { counters, output } = this.#options;
    const verdict = this.forwarder === null
      ? EchoVerdict.Drop
      : this.forwarder.onEcho(this.#describeEcho(datagram));
    if (verdict === EchoVerdict.Reply) this.#answerEcho(datagram);
    else if (verdict === EchoVerdict.Unreachable) {
      output.sendUnreachable(datagram, Unreachable.Host);
    } else if (verdict === EchoVerdict.Prohibited) {
      output.sendUnreachable(datagram, Unreachable.Prohibited);
    } else if (verdict === EchoVerdict.Drop) counters.drop(DropReason.IcmpIgnored);
  }

  #describeEcho(datagram: InboundDatagram): EchoMessage {
    const view = this.#view;
    const at = datagram.pieces.at[0];
    const echo = this.#echo;
    echo.ipVersion = datagram.ipVersion;
    echo.sourceAt = datagram.sourceAt;
    echo.destinationAt = datagram.destinationAt;
    echo.hopLimit = datagram.hopLimit;
    echo.mayBeFragmented = this.#options.output.mayBeFragmented(datagram);
    echo.identifier = view.getUint16(at + ICMP_REST);
    echo.sequence = view.getUint16(at + ICMP_REST + 2);
    echo.at = at + ICMP_HEADER_BYTES;
    echo.bytes = datagram.bytes - ICMP_HEADER_BYTES;
    return echo;
  }

  /** Sends the message back with another type, which its checksum follows. */
  #answerEcho(datagram: InboundDatagram): void {
    const { output, stackCounters, slab } = this.#options;
    const { bytes, pieces, ipVersion } = datagram;
    const path = output.answerPath(datagram);
    const at = output.beginMessage(path, bytes);
    if (at === 0) return;
    const view = this.#view;
    slab.u8.copyWithin(at, pieces.at[0], pieces.at[0] + bytes);
    const before = view.getUint16(at + ICMP_TYPE);
    const type = ipVersion === 4 ? IcmpType.EchoReply : Icmpv6Type.EchoReply;
    const after = (type << 8) | (before & 0xff);
    view.setUint16(at + ICMP_TYPE, after);
    // The addresses change places in the pseudo-header, which its sum does not notice.
    const checksum = view.getUint16(at + ICMP_CHECKSUM);
    view.setUint16(at + ICMP_CHECKSUM, updateChecksum(checksum, before, after));
    if (output.commitMessage(path, icmpProtocol(ipVersion), bytes)) {
      stackCounters.add(StackCounter.EchoAnswered, 1);
    }
  }

  #onReply(datagram: InboundDatagram): void {
    if (this.onEchoReply !== null && datagram.isLocal) {
      this.onEchoReply(this.#describeEcho(datagram));
    } else this.#options.counters.drop(DropReason.IcmpIgnored);
  }

  /** Answers for a forwarded host: `bytes` of payload at `at`. False, and counted, when it cannot. */
  sendEchoReply(
    local: Uint8Array,
    remote: Uint8Array,
    identifier: number,
    sequence: number,
    at: number,
    bytes: number,
  ): boolean {
    const type = local.length === 4 ? IcmpType.EchoReply : Icmpv6Type.EchoReply;
    const path = this.#options.output.makePath(remote, local);
    return path !== null && this.#sendEcho(path, type, identifier, sequence, at, bytes);
  }

  /** Asks `remote` for an echo, from our own address. False when it cannot be sent. */
  sendEchoRequest(
    remote: Uint8Array,
    identifier: number,
    sequence: number,
    at: number,
    bytes: number,
  ): boolean {
    const type = remote.length === 4 ? IcmpType.EchoRequest : Icmpv6Type.EchoRequest;
    const path = this.#options.output.makePath(remote);
    return path !== null && this.#sendEcho(path, type, identifier, sequence, at, bytes);
  }

  #sendEcho(
    path: OutputPath,
    type: number,
    identifier: number,
    sequence: number,
    from: number,
    bytes: number,
  ): boolean {
    const { output, kernel } = this.#options;
    const messageBytes = ICMP_HEADER_BYTES + bytes;
    const at = output.beginMessage(path, messageBytes);
    if (at === 0) return false;
    const view = this.#view;
    view.setUint32(at, type << 24);
    view.setUint16(at + ICMP_REST, identifier);
    view.setUint16(at + ICMP_REST + 2, sequence);
    const protocol = icmpProtocol(path.ipVersion);
    let sum = path.ipVersion === 4 ? 0 : output.pseudoSum(path, protocol, messageBytes);
    sum = kernel.sum(at, ICMP_HEADER_BYTES, sum);
    sum = kernel.copySum(at + ICMP_HEADER_BYTES, from, bytes, sum);
    view.setUint16(at + ICMP_CHECKSUM, checksumOf(sum), true);
    return output.commitMessage(path, protocol, messageBytes);
  }

  // Errors.

  #onOther(datagram: InboundDatagram, type: number, nowMs: number): void {
    const { counters, stackCounters } = this.#options;
    const at = datagram.pieces.at[0];
    const code = this.#view.getUint8(at + ICMP_CODE);
    const quote = this.#quote;
    const kind = datagram.ipVersion === 4 ? errorKindV4(type, code) : errorKindV6(type, code);
    if (kind === -1) return counters.drop(DropReason.IcmpIgnored);
    if (
      !quote.read(this.#view, at, datagram.bytes, datagram.ipVersion, kind) ||
      !this.#tellTransport(quote.error, quote.protocol, nowMs)
    ) return counters.drop(DropReason.IcmpErrorUnmatched);
    stackCounters.add(StackCounter.IcmpErrorsIn, 1);
    if (kind === IcmpErrorKind.TooBig) this.#learnMtu(quote.error, nowMs);
  }

  #tellTransport(error: InboundError, protocol: number, nowMs: number): boolean {
    const { tcp, udp } = this.#options;
    if (protocol === IpProtocol.Tcp) return tcp.onIcmpError(error, nowMs);
    return protocol === IpProtocol.Udp && udp.onIcmpError(error, nowMs);
  }

  #learnMtu(error: InboundError, nowMs: number): void {
    const { slab, output } = this.#options;
    const remote = slab.u8.slice(error.remoteAt, error.remoteAt + addressBytes(error.ipVersion));
    output.pathMtus.learn(remote, error.mtu, nowMs);
  }
}

function icmpProtocol(version: number): number {
  return version === 4 ? IpProtocol.Icmp : IpProtocol.Icmpv6;
}

/** What an error of IPv4 means, by code of "unreachable" (RFC 792, RFC 1122, RFC 1812). */
const KIND_OF_UNREACHABLE_V4: readonly IcmpErrorKind[] = [
  IcmpErrorKind.Unreachable, // network
  IcmpErrorKind.Unreachable, // host
  IcmpErrorKind.PortUnreachable, // protocol
  IcmpErrorKind.PortUnreachable, // port
  IcmpErrorKind.TooBig,
  IcmpErrorKind.Unreachable, // source route failed
  IcmpErrorKind.Unreachable, // network unknown
  IcmpErrorKind.Unreachable, // host unknown
  IcmpErrorKind.Unreachable, // source host isolated
  IcmpErrorKind.Prohibited, // network
  IcmpErrorKind.Prohibited, // host
  IcmpErrorKind.Unreachable, // network, for this type of service
  IcmpErrorKind.Unreachable, // host, for this type of service
  IcmpErrorKind.Prohibited,
];

/** The same of IPv6 (RFC 4443 section 3.1). */
const KIND_OF_UNREACHABLE_V6: readonly IcmpErrorKind[] = [
  IcmpErrorKind.Unreachable, // no route
  IcmpErrorKind.Prohibited,
  IcmpErrorKind.Unreachable, // beyond scope
  IcmpErrorKind.Unreachable, // address
  IcmpErrorKind.PortUnreachable,
  IcmpErrorKind.Prohibited, // ingress or egress policy
  IcmpErrorKind.Unreachable, // reject route
];

/** The kind of an error, or -1 for a message that is none, or none to be heeded. */
function errorKindV4(type: number, code: number): IcmpErrorKind | -1 {
  if (type === IcmpType.DestinationUnreachable) return KIND_OF_UNREACHABLE_V4[code] ?? -1;
  if (type === IcmpType.TimeExceeded) return IcmpErrorKind.TimeExceeded;
  return type === IcmpType.ParameterProblem ? IcmpErrorKind.ParameterProblem : -1;
}

function errorKindV6(type: number, code: number): IcmpErrorKind | -1 {
  if (type === Icmpv6Type.DestinationUnreachable) return KIND_OF_UNREACHABLE_V6[code] ?? -1;
  if (type === Icmpv6Type.PacketTooBig) return IcmpErrorKind.TooBig;
  if (type === Icmpv6Type.TimeExceeded) return IcmpErrorKind.TimeExceeded;
  if (type !== Icmpv6Type.ParameterProblem) return -1;
  // Code 1: the protocol is not spoken there.
  return code === 1 ? IcmpErrorKind.PortUnreachable : IcmpErrorKind.ParameterProblem;
}
