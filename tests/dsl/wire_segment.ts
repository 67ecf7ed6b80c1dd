/** TCP segments between text and bytes: what tests send into a layer, and what they see of it. */
import { TCP_CHECKSUM, TCP_URGENT, tcpHeaderBytes, writeTcpHeader } from "../../src/wire/tcp.ts";
import { flagBits, type OptionSpec, type SegmentSpec } from "./segment_text.ts";

/** The first sequence numbers and timestamps of both ends; texts count from them. */
export interface FlowBases {
  /** Of what the test sends. */
  readonly irs: number;
  readonly peerTs: number;
  /** Of what the layer sends; unknown before its SYN. */
  iss: number | null;
  ourTs: number | null;
}

/** Byte `offset` of the stream in one direction; a byte in the wrong place is nearly always seen. */
export function streamByte(offset: number, fromPeer: boolean): number {
  const mixed = Math.imul(offset + (fromPeer ? 77 : 0), 0x9e3779b1);
  return (mixed ^ (mixed >>> 15)) & 0xff;
}

/** The TCP header and payload of a segment that the test sends; checksum zero. */
export function segmentBytes(
  spec: SegmentSpec,
  bases: FlowBases,
  sourcePort: number,
  destinationPort: number,
): Uint8Array {
  const options = optionBytes(spec.options ?? [], bases);
  const headerBytes = 20 + options.length;
  const bytes = new Uint8Array(headerBytes + spec.payloadBytes);
  const view = new DataView(bytes.buffer);
  const seq = (bases.irs + spec.seq) | 0;
  const ack = spec.ack === null ? 0 : ((bases.iss ?? 0) + spec.ack) | 0;
  const flags = flagBits(spec.flags);
  const window = spec.window?.value ?? 0;
  writeTcpHeader(view, 0, sourcePort, destinationPort, seq, ack, headerBytes, flags, window);
  view.setUint16(TCP_URGENT, spec.urgent);
  if (spec.headerBytes !== null) view.setUint8(12, spec.headerBytes << 2);
  bytes.set(options, 20);
  // The SYN takes the first number: the stream begins at 1.
  const first = spec.seq - 1 + ((flags & 2) !== 0 ? 1 : 0);
  for (let i = 0; i < spec.payloadBytes; i++) bytes[headerBytes + i] = streamByte(first + i, true);
  return bytes;
}

function optionBytes(options: readonly OptionSpec[], bases: FlowBases): Uint8Array {
  const bytes: number[] = [];
  const word = (value: number) => bytes.push(value >>> 24, value >>> 16, value >>> 8, value);
  for (const { kind, values } of options) {
    if (kind === "nop") bytes.push(1);
    else if (kind === "eol") bytes.push(0);
    else if (kind === "mss") bytes.push(2, 4, values[0] >>> 8, values[0]);
    else if (kind === "wscale") bytes.push(3, 3, values[0]);
    else if (kind === "sackOK") bytes.push(4, 2);
    else if (kind === "raw") bytes.push(...values);
    else if (kind === "sack") {
      bytes.push(5, 2 + 4 * values.length);
      for (const value of values) word(((bases.iss ?? 0) + value) | 0);
    } else if (kind === "TS") {
      bytes.push(8, 10);
      word((bases.peerTs + values[0]) | 0);
      word(values[1] === 0 && bases.ourTs === null ? 0 : ((bases.ourTs ?? 0) + values[1]) | 0);
    }
  }
  while (bytes.length % 4 !== 0) bytes.push(0);
  return Uint8Array.from(bytes);
}

/** The options of the header at `at`, numbers relative to `bases`. */
export function readOptionSpecs(view: DataView, at: number, bases: FlowBases): OptionSpec[] {
  const end = at + tcpHeaderBytes(view, at);
  const options: OptionSpec[] = [];
  for (let i = at + 20; i < end;) {
    const kind = view.getUint8(i);
    if (kind === 0) break;
    if (kind === 1) {
      i++;
      continue;
    }
    const length = view.getUint8(i + 1);
    if (length < 2 || i + length > end) throw new Error("an option of impossible length was sent");
    options.push(readOne(view, i, kind, length, bases));
    i += length;
  }
  return options;
}

function readOne(
  view: DataView,
  at: number,
  kind: number,
  length: number,
  bases: FlowBases,
): OptionSpec {
  switch (kind) {
    case 2:
      return { kind: "mss", values: [view.getUint16(at + 2)] };
    case 3:
      return { kind: "wscale", values: [view.getUint8(at + 2)] };
    case 4:
      return { kind: "sackOK", values: [] };
    case 5: {
      const values = [];
      for (let i = 2; i < length; i += 4) values.push((view.getInt32(at + i) - bases.irs) | 0);
      return { kind: "sack", values };
    }
    case 8: {
      const ecr = view.getInt32(at + 6);
      return {
        kind: "TS",
        values: [
          (view.getInt32(at + 2) - (bases.ourTs ?? view.getInt32(at + 2))) | 0,
          ecr === 0 ? 0 : (ecr - bases.peerTs) | 0,
        ],
      };
    }
  }
  return { kind: "raw", values: Array.from({ length }, (_, i) => view.getUint8(at + i)) };
}

/** Writes the checksum of the segment of `bytes` bytes whose pseudo-header sums up to `pseudo`. */
export function finishChecksum(view: DataView, at: number, bytes: number, pseudo: number): void {
  view.setUint16(at + TCP_CHECKSUM, 0);
  let sum = pseudo;
  for (let i = 0; i < bytes; i += 2) {
    sum += view.getUint8(at + i) | (i + 1 < bytes ? view.getUint8(at + i + 1) << 8 : 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(at + TCP_CHECKSUM, ~sum & 0xffff, true);
}
