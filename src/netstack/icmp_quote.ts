/**
 * The packet that an ICMP error quotes: its flow, and for TCP its sequence number. Nothing in it is
 * trusted; what is here only says whom it claims to be from.
 */
import { ICMP_HEADER_BYTES, ICMP_REST } from "../wire/icmp.ts";
import { IpProtocol } from "../wire/ip.ts";
import {
  IPV4_DESTINATION,
  IPV4_HEADER_BYTES,
  IPV4_OFFSET_MASK,
  IPV4_SOURCE,
  ipv4FragmentField,
  ipv4HeaderBytes,
  ipv4Protocol,
  ipv4TotalBytes,
} from "../wire/ipv4.ts";
import {
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE,
  IPV6_TRANSPORT_LATER_FRAGMENT,
  ipv6Transport,
} from "../wire/ipv6.ts";
import { TCP_SEQUENCE } from "../wire/tcp.ts";
import { IcmpErrorKind, InboundError } from "./inbound.ts";
import { PATH_MTU_MIN_V4, PATH_MTU_MIN_V6 } from "./path_mtu.ts";

/** Bytes of the transport header that every error must quote (RFC 792): ports and sequence number. */
const QUOTED_TRANSPORT_BYTES = 8;

/** MTUs of usual links, for routers that do not tell theirs (RFC 1191 section 7.1). */
const PLATEAUS = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006] as const;

/** Reads one error after the other. */
export class IcmpQuote {
  readonly error = new InboundError();
  /** Transport protocol of the quoted packet. */
  protocol = 0;

  /**
   * Reads the ICMP error of `bytes` bytes at `at`, which is of `kind`; false when it quotes too little,
   * or tells an MTU that cannot be.
   */
  read(
    view: DataView,
    at: number,
    bytes: number,
    version: number,
    kind: IcmpErrorKind,
  ): boolean {
    const quotedAt = at + ICMP_HEADER_BYTES;
    const quotedBytes = bytes - ICMP_HEADER_BYTES;
    const headerBytes = version === 4
      ? this.#readV4(view, quotedAt, quotedBytes)
      : this.#readV6(view, quotedAt, quotedBytes);
    if (headerBytes === 0 || headerBytes + QUOTED_TRANSPORT_BYTES > quotedBytes) return false;
    const error = this.error;
    error.kind = kind;
    error.ipVersion = version;
    const transportAt = quotedAt + headerBytes;
    error.localPort = view.getUint16(transportAt);
    error.remotePort = view.getUint16(transportAt + 2);
    error.sequence = this.protocol === IpProtocol.Tcp
      ? view.getInt32(transportAt + TCP_SEQUENCE)
      : 0;
    error.mtu = 0;
    return kind !== IcmpErrorKind.TooBig || this.#readMtu(view, at, quotedAt, version);
  }

  /** Length of the quoted IP header, 0 when it is broken or a later fragment's. */
  #readV4(view: DataView, at: number, bytes: number): number {
    if (bytes < IPV4_HEADER_BYTES || view.getUint8(at) >>> 4 !== 4) return 0;
    const headerBytes = ipv4HeaderBytes(view, at);
    const isLater = (ipv4FragmentField(view, at) & IPV4_OFFSET_MASK) !== 0;
    if (headerBytes < IPV4_HEADER_BYTES || isLater) return 0;
    this.protocol = ipv4Protocol(view, at);
    this.error.localAt = at + IPV4_SOURCE;
    this.error.remoteAt = at + IPV4_DESTINATION;
    return headerBytes;
  }

  #readV6(view: DataView, at: number, bytes: number): number {
    if (bytes < IPV6_HEADER_BYTES || view.getUint8(at) >>> 4 !== 6) return 0;
    const transport = ipv6Transport(view, at, bytes);
    if (transport < 0 || (transport & IPV6_TRANSPORT_LATER_FRAGMENT) !== 0) return 0;
    this.protocol = (transport >>> 16) & 0xff;
    this.error.localAt = at + IPV6_SOURCE;
    this.error.remoteAt = at + IPV6_DESTINATION;
    return transport & 0xffff;
  }

  #readMtu(view: DataView, at: number, quotedAt: number, version: number): boolean {
    const error = this.error;
    if (version === 6) {
      error.mtu = view.getUint32(at + ICMP_REST);
      return error.mtu >= PATH_MTU_MIN_V6;
    }
    error.mtu = view.getUint16(at + ICMP_REST + 2);
    if (error.mtu === 0) {
      const sentBytes = ipv4TotalBytes(view, quotedAt);
      error.mtu = PLATEAUS.find((plateau) => plateau < sentBytes) ?? PATH_MTU_MIN_V4;
    }
    return error.mtu >= PATH_MTU_MIN_V4;
  }
}
