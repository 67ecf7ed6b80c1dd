/**
 * What a transport protocol asks of the IP layer below it. A segment is written straight into a slot
 * of the link endpoint: claim the slot, write the transport header, commit.
 */
import type { InboundDatagram } from "./inbound.ts";

/** Where the packets of one flow go; kept by the flow. */
export interface IpPath {
  readonly ipVersion: 4 | 6;
  /** Our address and the other end's, 4 or 16 bytes. */
  readonly local: Uint8Array;
  readonly remote: Uint8Array;
  /** TTL or hop limit. */
  hopLimit: number;
  /** DSCP and ECN. */
  tos: number;
  /** The largest IP packet, by the link and by what ICMP has told. */
  mtu: number;
}

/** Why an ICMP "destination unreachable" is sent; IPv4 and IPv6 codes follow from it. */
export const Unreachable = { Network: 0, Host: 1, Port: 2, Prohibited: 3 } as const;
/** One of the values of `Unreachable`. */
export type Unreachable = (typeof Unreachable)[keyof typeof Unreachable];

/** The IP layer as transports see it. */
export interface IpOutput {
  /** Whether segments of up to 65,535 bytes may be handed down; false: at most `path.mtu`. */
  readonly gso: boolean;
  /** Whether the next `begin` would fail: the link endpoint is full. */
  readonly isFull: boolean;
  /** A path to `remote` (4 or 16 bytes), from `local` or from our first address of that family. */
  makePath(remote: Uint8Array, local?: Uint8Array): IpPath | null;
  /** A path for answers to a datagram. */
  answerPath(datagram: InboundDatagram): IpPath;
  /**
   * Claims the next slot of the link endpoint and returns the place of the transport header (64 bytes
   * are free there), or -1 when the link endpoint is full or closed. Nothing is sent until one of the
   * calls below; a claim without one is forgotten by the next.
   */
  begin(path: IpPath): number;
  /**
   * Sends the segment whose TCP header of `headerBytes` bytes stands where `begin` said, its checksum
   * field ignored, followed by `payloadBytes` bytes at `payloadAt`. With GSO on it may be longer than
   * `mss` and is cut later; the checksum is completed later too. The payload is only referenced:
   * `block`, the pool block that it lies in (0 for none), is pinned until the segment has left.
   */
  commitTcp(
    path: IpPath,
    headerBytes: number,
    payloadAt: number,
    payloadBytes: number,
    mss: number,
    block: number,
  ): void;
  /** Answers a datagram with an ICMP error, rate-limited, never about an error or to a multicast. */
  sendUnreachable(datagram: InboundDatagram, reason: Unreachable): void;
}
