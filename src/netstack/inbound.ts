/**
 * What goes into the stack. Its unit is the GRO item: one packet, or the headers of the first packet
 * and the payloads of a whole run, which stay where they were decrypted. Nothing here owns memory:
 * places are valid during the call that is given them.
 */

import type { GroCoalescer } from "../offload/gro_coalesce.ts";

/** Payloads that one item can have. */
export const PIECES_MAX = 256;

/** Bytes that follow each other in a stream but stand in several places of the slab. */
export class Pieces {
  count = 0;
  /** All bytes of all pieces. */
  totalBytes = 0;
  readonly at = new Int32Array(PIECES_MAX);
  readonly bytes = new Int32Array(PIECES_MAX);

  /** Empties the list. */
  clear(): void {
    this.count = 0;
    this.totalBytes = 0;
  }

  /** Puts a piece behind the others. */
  add(at: number, bytes: number): void {
    this.at[this.count] = at;
    this.bytes[this.count++] = bytes;
    this.totalBytes += bytes;
  }
}

/** A packet or a run of packets as it comes from a peer; a lane has one instance. */
export class InboundItem {
  /** Where the IP header of the first packet stands. */
  at = 0;
  /**
   * IP length of the whole item: for a run, what one packet of that much payload would have. A run of
   * TCP may be longer than any packet, and its headers tell the length of the first packet alone.
   */
  bytes = 0;
  /** Packets in it. */
  packetCount = 1;
  /** IP and transport headers of a run; 0 for a single packet, which nobody has looked at. */
  headerBytes = 0;
  /** Payload bytes of each packet of a run of UDP but the last; 0 for a single packet. */
  gsoSize = 0;
  /** Whether IP and transport checksums of all packets were found right. */
  isVerified = false;
  /** A run: the payloads behind `headerBytes`. A single packet: the whole packet, one piece. */
  readonly pieces = new Pieces();

  /** Becomes the item that `gro` delivers, during `GroSink.write`. */
  takeDelivered(gro: GroCoalescer): void {
    const { at, bytes, packetCount, headerBytes, gsoSize, isVerified } = gro.item;
    const isRun = packetCount > 1;
    this.at = at;
    this.bytes = bytes;
    this.packetCount = packetCount;
    this.headerBytes = isRun ? headerBytes : 0;
    this.gsoSize = isRun ? gsoSize : 0;
    this.isVerified = isVerified;
    this.pieces.clear();
    gro.listPieces(this.pieces);
  }

  /** Becomes one packet at `at` that nobody has looked at. */
  takeSingle(at: number, bytes: number): void {
    this.at = at;
    this.bytes = bytes;
    this.packetCount = 1;
    this.headerBytes = 0;
    this.gsoSize = 0;
    this.isVerified = false;
    this.pieces.clear();
    this.pieces.add(at, bytes);
  }
}

/** What the IP layer hands to a transport protocol; the stack has one instance. */
export class InboundDatagram {
  ipVersion = 4;
  /** Where the IP header stands, and its length with options or extension headers. */
  ipAt = 0;
  ipHeaderBytes = 0;
  /** Places of the addresses, 4 or 16 bytes each. */
  sourceAt = 0;
  destinationAt = 0;
  protocol = 0;
  /** TOS or traffic class byte, ECN included. */
  tos = 0;
  hopLimit = 0;
  /** Whether the destination is one of our own addresses; else the stack forwards this flow. */
  isLocal = true;
  /** Transport header and payload, all pieces together. */
  bytes = 0;
  /** Packets that were merged into this, at least 1. */
  packetCount = 1;
  /** Payload bytes of each merged packet but the last; 0 for a single one. */
  gsoSize = 0;
  /** Whether the transport checksum has been verified. */
  isVerified = false;
  /** The first piece begins with the transport header, whole unless the datagram is too short. */
  readonly pieces = new Pieces();
}

/** What an ICMP error means to a transport protocol; v4 and v6 have the same list. */
export const IcmpErrorKind = {
  /** Network or host unreachable, for now: soft. */
  Unreachable: 0,
  /** Nobody listens on that port, or the protocol is not spoken there: hard. */
  PortUnreachable: 1,
  /** Forbidden by a policy on the way. */
  Prohibited: 2,
  /** `mtu` is what fits. */
  TooBig: 3,
  /** The hop limit was used up: soft. */
  TimeExceeded: 4,
  /** A field of the header is not understood: soft. */
  ParameterProblem: 5,
} as const;
/** One of the values of `IcmpErrorKind`. */
export type IcmpErrorKind = (typeof IcmpErrorKind)[keyof typeof IcmpErrorKind];

/**
 * An ICMP error about a packet that we are said to have sent; the stack has one instance. Anybody can
 * make one up, so the flow must exist and the sequence number must be in flight.
 */
export class InboundError {
  kind: IcmpErrorKind = IcmpErrorKind.Unreachable;
  ipVersion = 4;
  /** Places of the quoted packet's source (our address) and destination, 4 or 16 bytes each. */
  localAt = 0;
  remoteAt = 0;
  localPort = 0;
  remotePort = 0;
  /** The quoted TCP sequence number, as a signed integer. */
  sequence = 0;
  /** For `TooBig`: at least 552 or 1,280. */
  mtu = 0;
}
