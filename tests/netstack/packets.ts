/** Builds and takes apart IP packets for the netstack's tests, byte by byte and without `src/`. */
import { internetChecksum, networkSum } from "../reference/checksum_reference.ts";

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;

/** Fields of an IPv4 header; what is left out is ordinary. */
export interface V4Fields {
  source?: string;
  destination?: string;
  protocol?: number;
  tos?: number;
  id?: number;
  /** Flags and offset, as they stand in the header. */
  fragment?: number;
  ttl?: number;
  /** A multiple of 4 bytes. */
  options?: number[];
  /** Instead of the true ones. */
  totalBytes?: number;
  headerWords?: number;
  checksum?: number;
}

/** Fields of an IPv6 header. */
export interface V6Fields {
  source?: string;
  destination?: string;
  /** Protocol of the payload. */
  protocol?: number;
  trafficClass?: number;
  hopLimit?: number;
  /** Extension headers: number, and bytes whose first is overwritten with what follows. */
  extensions?: [number, number[]][];
  payloadBytes?: number;
}

/** The peer's and the stack's addresses, where a test does not care. */
export const PEER4 = "10.0.0.2";
export const OWN4 = "10.0.0.1";
export const PEER6 = "fd00::2";
export const OWN6 = "fd00::1";

/** The bytes of an address in text; of IPv6 at most one `::` and no dotted part. */
export function address(text: string): Uint8Array {
  if (!text.includes(":")) return new Uint8Array(text.split(".").map(Number));
  const [head, tail] = text.split("::").map((part) => part === "" ? [] : part.split(":"));
  const zeros = tail === undefined ? 0 : 8 - head.length - tail.length;
  const groups = [...head, ...Array(zeros).fill("0"), ...(tail ?? [])];
  return new Uint8Array(groups.flatMap((group) => {
    const value = parseInt(group, 16);
    return [value >> 8, value & 255];
  }));
}

/** An IPv4 packet. */
export function ip4(fields: V4Fields, payload: Uint8Array): Uint8Array {
  const options = fields.options ?? [];
  const headerBytes = 20 + options.length;
  const packet = new Uint8Array(headerBytes + payload.length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x40 | (fields.headerWords ?? headerBytes / 4);
  packet[1] = fields.tos ?? 0;
  view.setUint16(2, fields.totalBytes ?? packet.length);
  view.setUint16(4, fields.id ?? 0x1234);
  view.setUint16(6, fields.fragment ?? 0);
  packet[8] = fields.ttl ?? 64;
  packet[9] = fields.protocol ?? UDP;
  packet.set(address(fields.source ?? PEER4), 12);
  packet.set(address(fields.destination ?? OWN4), 16);
  packet.set(options, 20);
  packet.set(payload, headerBytes);
  view.setUint16(10, fields.checksum ?? internetChecksum(packet.subarray(0, headerBytes)));
  return packet;
}

/** An IPv6 packet. */
export function ip6(fields: V6Fields, payload: Uint8Array): Uint8Array {
  const extensions = fields.extensions ?? [];
  const extensionBytes = extensions.reduce((sum, [, bytes]) => sum + bytes.length, 0);
  const packet = new Uint8Array(40 + extensionBytes + payload.length);
  const view = new DataView(packet.buffer);
  view.setUint32(0, 0x60000000 | ((fields.trafficClass ?? 0) << 20));
  view.setUint16(4, fields.payloadBytes ?? packet.length - 40);
  packet[7] = fields.hopLimit ?? 64;
  packet.set(address(fields.source ?? PEER6), 8);
  packet.set(address(fields.destination ?? OWN6), 24);
  let nameAt = 6;
  let at = 40;
  for (const [number, bytes] of extensions) {
    packet[nameAt] = number;
    packet.set(bytes, at);
    nameAt = at;
    at += bytes.length;
  }
  packet[nameAt] = fields.protocol ?? UDP;
  packet.set(payload, at);
  return packet;
}

function pseudo(source: string, destination: string, protocol: number, length: number): Uint8Array {
  const addresses = [...address(source), ...address(destination)];
  return new Uint8Array([...addresses, 0, protocol, length >> 8, length & 255]);
}

/** What a UDP datagram is made of. */
export interface UdpFields {
  source?: string;
  destination?: string;
  sourcePort?: number;
  destinationPort?: number;
  payload?: Uint8Array;
  /** Instead of the true ones. */
  checksum?: number;
  length?: number;
}

/** UDP header and payload; addresses default to IPv4. */
export function udp(fields: UdpFields): Uint8Array {
  const payload = fields.payload ?? new Uint8Array();
  const part = new Uint8Array(8 + payload.length);
  const view = new DataView(part.buffer);
  view.setUint16(0, fields.sourcePort ?? 5000);
  view.setUint16(2, fields.destinationPort ?? 53);
  view.setUint16(4, fields.length ?? part.length);
  part.set(payload, 8);
  const front = pseudo(fields.source ?? PEER4, fields.destination ?? OWN4, UDP, part.length);
  const checksum = internetChecksum(front, part);
  view.setUint16(6, fields.checksum ?? (checksum === 0 ? 0xffff : checksum));
  return part;
}

/** A whole UDP packet, of the addresses' IP version. */
export function udpPacket(fields: UdpFields, ip: V4Fields & V6Fields = {}): Uint8Array {
  const isV6 = (fields.source ?? PEER4).includes(":");
  const { source = isV6 ? PEER6 : PEER4, destination = isV6 ? OWN6 : OWN4 } = fields;
  const both = { source, destination };
  const part = udp({ ...fields, ...both });
  return isV6 ? ip6({ ...ip, ...both }, part) : ip4({ ...ip, ...both }, part);
}

/** An ICMP message for IPv4. */
export function icmp4(type: number, code: number, rest: number, payload: Uint8Array): Uint8Array {
  return icmp(type, code, rest, payload, new Uint8Array());
}

/** An ICMPv6 message. */
export function icmp6(
  type: number,
  code: number,
  rest: number,
  payload: Uint8Array,
  source = PEER6,
  destination = OWN6,
): Uint8Array {
  const front = pseudo(source, destination, ICMPV6, 8 + payload.length);
  return icmp(type, code, rest, payload, front);
}

function icmp(
  type: number,
  code: number,
  rest: number,
  payload: Uint8Array,
  front: Uint8Array,
): Uint8Array {
  const part = new Uint8Array(8 + payload.length);
  const view = new DataView(part.buffer);
  part[0] = type;
  part[1] = code;
  view.setUint32(4, rest);
  part.set(payload, 8);
  view.setUint16(2, internetChecksum(front, part));
  return part;
}

/** A packet taken apart. */
export interface Parsed {
  version: number;
  source: string;
  destination: string;
  /** Of IPv6: the next header behind a fragment header, if there is one. */
  protocol: number;
  ttl: number;
  tos: number;
  id: number;
  dontFragment: boolean;
  hasMore: boolean;
  /** In bytes. */
  offset: number;
  /** What follows the IP headers. */
  payload: Uint8Array;
  headerBytes: number;
}

/** An address in text: IPv4 dotted, IPv6 as eight groups with `::` for the longest zeros. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i).toString(16)).join(":");
  return groups.replace(/(^|:)0(:0)+(:|$)/, "::");
}

/** Takes a packet apart; throws when its lengths or its IPv4 header checksum are wrong. */
export function parse(packet: Uint8Array): Parsed {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  return packet[0] >> 4 === 4 ? parse4(packet, view) : parse6(packet, view);
}

function parse4(packet: Uint8Array, view: DataView): Parsed {
  const headerBytes = (packet[0] & 15) * 4;
  if (view.getUint16(2) !== packet.length) throw new Error("total length is wrong");
  if (networkSum(packet.subarray(0, headerBytes)) !== 0xffff) throw new Error("header checksum");
  const field = view.getUint16(6);
  return {
    version: 4,
    source: addressText(packet.subarray(12, 16)),
    destination: addressText(packet.subarray(16, 20)),
    protocol: packet[9],
    ttl: packet[8],
    tos: packet[1],
    id: view.getUint16(4),
    dontFragment: (field & 0x4000) !== 0,
    hasMore: (field & 0x2000) !== 0,
    offset: (field & 0x1fff) * 8,
    payload: packet.slice(headerBytes),
    headerBytes,
  };
}

function parse6(packet: Uint8Array, view: DataView): Parsed {
  if (view.getUint16(4) + 40 !== packet.length) throw new Error("payload length is wrong");
  const isFragment = packet[6] === 44;
  const field = isFragment ? view.getUint16(42) : 0;
  const headerBytes = isFragment ? 48 : 40;
  return {
    version: 6,
    source: addressText(packet.subarray(8, 24)),
    destination: addressText(packet.subarray(24, 40)),
    protocol: isFragment ? packet[40] : packet[6],
    ttl: packet[7],
    tos: (view.getUint16(0) >> 4) & 255,
    id: isFragment ? view.getUint32(44) : 0,
    dontFragment: !isFragment,
    hasMore: (field & 1) !== 0,
    offset: field & 0xfff8,
    payload: packet.slice(headerBytes),
    headerBytes,
  };
}

/** Whether the checksum of a whole ICMP, UDP or TCP message in a parsed packet is right. */
export function isMessageValid({ source, destination, protocol, payload }: Parsed): boolean {
  const front = protocol === ICMP
    ? new Uint8Array()
    : pseudo(source, destination, protocol, payload.length);
  return networkSum(front, payload) === 0xffff;
}
