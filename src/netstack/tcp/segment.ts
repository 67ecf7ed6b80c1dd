/**
 * A TCP segment, or a GRO run that looks like one, as the connection sees it: header fields and
 * options read once into a record that is used again, and the places of the payload.
 */
import type { InboundDatagram } from "../inbound.ts";
import { Pieces } from "../inbound.ts";
import {
  TCP_HEADER_BYTES,
  tcpAcknowledgment,
  tcpDestinationPort,
  TcpFlag,
  tcpFlags,
  tcpHeaderBytes,
  TcpOption,
  tcpSequence,
  tcpSourcePort,
  tcpWindow,
} from "../../wire/tcp.ts";
import { dropFront } from "./pieces.ts";
import { SACK_BLOCKS_MAX } from "./reassembly.ts";

/** The record; a layer has one instance. Valid while the datagram that it was read from is. */
export class TcpSegment {
  sourcePort = 0;
  destinationPort = 0;
  seq = 0;
  ack = 0;
  flags = 0;
  /** As it stands in the header, not scaled. */
  window = 0;
  /** Payload bytes; SYN and FIN not counted. */
  payloadBytes = 0;
  /** The MSS option, 0 when there is none. */
  mss = 0;
  /** The window scale option, -1 when there is none. */
  windowScale = -1;
  hasSackPermitted = false;
  hasTimestamps = false;
  tsVal = 0;
  tsEcr = 0;
  /** SACK blocks in `sack`, start and end of each. */
  sackCount = 0;
  readonly sack = new Int32Array(SACK_BLOCKS_MAX * 2);
  /** Packets that were merged into this. */
  packetCount = 1;
  /** Whether congestion was marked on the way (IP's CE). */
  isCongestionMarked = false;
  readonly payload = new Pieces();

  /** The length in sequence space: payload, SYN and FIN (RFC 9293: SEG.LEN). */
  get length(): number {
    return this.payloadBytes + ((this.flags >>> 1) & 1) + (this.flags & 1);
  }

  /** Whether all of the given `TcpFlag` bits are set. */
  has(flags: number): boolean {
    return (this.flags & flags) === flags;
  }

  /** Takes `bytes` payload bytes away in front: they came before. */
  trimFront(bytes: number): void {
    this.seq = (this.seq + bytes) | 0;
    this.payloadBytes -= bytes;
    dropFront(this.payload, bytes);
  }
}

/** Reads the segment in `datagram`; false when it is shorter than its header. */
export function readSegment(
  view: DataView,
  datagram: InboundDatagram,
  into: TcpSegment,
): boolean {
  const { pieces } = datagram;
  if (pieces.count === 0 || pieces.bytes[0] < TCP_HEADER_BYTES) return false;
  const at = pieces.at[0];
  const headerBytes = tcpHeaderBytes(view, at);
  if (headerBytes < TCP_HEADER_BYTES || headerBytes > pieces.bytes[0]) return false;
  into.sourcePort = tcpSourcePort(view, at);
  into.destinationPort = tcpDestinationPort(view, at);
  into.seq = tcpSequence(view, at);
  into.ack = tcpAcknowledgment(view, at);
  into.flags = tcpFlags(view, at);
  into.window = tcpWindow(view, at);
  into.packetCount = datagram.packetCount;
  into.isCongestionMarked = (datagram.tos & 3) === 3;
  readPayload(datagram, headerBytes, into);
  readOptions(view, at + TCP_HEADER_BYTES, at + headerBytes, into);
  return true;
}

function readPayload(datagram: InboundDatagram, headerBytes: number, into: TcpSegment): void {
  const { payload } = into;
  const { pieces } = datagram;
  payload.clear();
  if (pieces.bytes[0] > headerBytes) {
    payload.add(pieces.at[0] + headerBytes, pieces.bytes[0] - headerBytes);
  }
  for (let i = 1; i < pieces.count; i++) payload.add(pieces.at[i], pieces.bytes[i]);
  into.payloadBytes = payload.totalBytes;
}

/**
 * RFC 9293 MUST-4 to MUST-7: options in any segment, unknown ones passed over, and a length that is
 * impossible ends the list.
 */
function readOptions(view: DataView, from: number, end: number, into: TcpSegment): void {
  into.mss = 0;
  into.windowScale = -1;
  into.hasSackPermitted = false;
  into.hasTimestamps = false;
  into.sackCount = 0;
  for (let at = from; at < end;) {
    const kind = view.getUint8(at);
    if (kind === TcpOption.End) return;
    if (kind === TcpOption.NoOperation) {
      at++;
      continue;
    }
    if (at + 1 >= end) return;
    const length = view.getUint8(at + 1);
    if (length < 2 || at + length > end) return;
    readOption(view, at, kind, length, into);
    at += length;
  }
}

function readOption(
  view: DataView,
  at: number,
  kind: number,
  length: number,
  into: TcpSegment,
): void {
  const isSyn = (into.flags & TcpFlag.Syn) !== 0;
  if (kind === TcpOption.Timestamps && length === 10) {
    into.hasTimestamps = true;
    into.tsVal = view.getInt32(at + 2);
    into.tsEcr = view.getInt32(at + 6);
  } else if (kind === TcpOption.Sack && length >= 10 && (length - 2) % 8 === 0) {
    const count = Math.min((length - 2) >>> 3, SACK_BLOCKS_MAX);
    for (let i = 0; i < 2 * count; i++) into.sack[i] = view.getInt32(at + 2 + 4 * i);
    into.sackCount = count;
  } else if (!isSyn) {
    return;
  } else if (kind === TcpOption.MaximumSegmentSize && length === 4) {
    into.mss = view.getUint16(at + 2);
  } else if (kind === TcpOption.WindowScale && length === 3) {
    into.windowScale = view.getUint8(at + 2);
  } else if (kind === TcpOption.SackPermitted && length === 2) {
    into.hasSackPermitted = true;
  }
}
