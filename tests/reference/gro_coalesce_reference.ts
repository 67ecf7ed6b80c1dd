/**
 * Coalescing the plain way: packets are parsed into objects, items are lists of them, and every
 * question is asked of all packets of an item anew.
 */
import {
  internetChecksum,
  isIpv4HeaderValid,
  isTransportValid,
  networkSum,
  pseudoHeader,
} from "./checksum_reference.ts";

const TCP = 6;
const UDP = 17;
const PSH = 0x08;
const ACK = 0x10;
const EXTENSIONS = [0, 43, 44, 51, 60, 135];
const VNET_BYTES = 10;
const MERGED_BYTES_MAX = 65_535;
const MERGED_DATAGRAMS_MAX = 64;

/** The switches of a coalescer. */
export interface ReferenceGroOptions {
  tcp: boolean;
  udp: boolean;
}

interface Packet {
  bytes: Uint8Array;
  /** Undefined when the packet is of no flow, "any" when it may be of any. */
  flow?: string;
  isMergeable: boolean;
  /** Everything that packets of one item have in common. */
  common: string;
  isValid: boolean;
  protocol: number;
  transport: number;
  headerBytes: number;
  payload: Uint8Array;
  sequence: number;
  isPushed: boolean;
}

/** What is written to the device for a batch of packets, one array per write. */
export function coalesceReference(
  packets: Uint8Array[],
  options: ReferenceGroOptions,
): Uint8Array[] {
  return itemsOf(packets, options, IP_PACKETS).map(render);
}

/** What a reader of streams gets for a batch of packets: the packets of each item, in order. */
export function joinReference(
  packets: Uint8Array[],
  options: ReferenceGroOptions,
): { bytes: Uint8Array; payload: Uint8Array }[][] {
  return itemsOf(packets, options, STREAMS);
}

/** What bounds an item of TCP. */
interface Bounds {
  readonly bytesMax: number;
  /** Whether PSH, a shorter and a longer segment end it. */
  readonly hasEnds: boolean;
}

const IP_PACKETS: Bounds = { bytesMax: MERGED_BYTES_MAX, hasEnds: true };
const STREAMS: Bounds = { bytesMax: Infinity, hasEnds: false };

function itemsOf(
  packets: Uint8Array[],
  options: ReferenceGroOptions,
  tcpBounds: Bounds,
): Packet[][] {
  const items: Packet[][] = [];
  for (const bytes of packets) {
    const packet = parse(bytes, options);
    const bounds = packet.protocol === TCP ? tcpBounds : IP_PACKETS;
    const last = lastItemOfFlow(items, packet.flow);
    const merged = last && (append(last, packet, bounds) ?? prepend(last, packet, bounds));
    if (last && merged) items[items.indexOf(last)] = merged;
    else items.push([packet]);
  }
  return items;
}

function lastItemOfFlow(items: Packet[][], flow?: string): Packet[] | undefined {
  if (flow === undefined || flow === "any") return undefined;
  for (let i = items.length - 1; i >= 0; i--) {
    if (items[i][0].flow === "any") return undefined;
    if (items[i][0].flow === flow) return items[i];
  }
  return undefined;
}

function mayMerge(item: Packet[], packet: Packet, { bytesMax }: Bounds): boolean {
  const bytes = item[0].headerBytes + payloadBytes([...item, packet]);
  if (packet.protocol === UDP && item.length === MERGED_DATAGRAMS_MAX) return false;
  return [...item, packet].every((one) =>
    one.isMergeable && one.isValid && one.common === packet.common
  ) && bytes <= bytesMax;
}

function append(item: Packet[], packet: Packet, bounds: Bounds): Packet[] | undefined {
  const gsoSize = item[0].payload.length;
  const isOpen = packet.payload.length <= gsoSize &&
    item.every((one) => one.payload.length === gsoSize && !one.isPushed);
  if (!mayMerge(item, packet, bounds) || (bounds.hasEnds && !isOpen)) return undefined;
  const expected = (item[0].sequence + payloadBytes(item)) % 2 ** 32;
  if (packet.protocol === TCP && packet.sequence !== expected) return undefined;
  return [...item, packet];
}

function prepend(item: Packet[], packet: Packet, bounds: Bounds): Packet[] | undefined {
  if (packet.protocol !== TCP || !mayMerge(item, packet, bounds) || packet.isPushed) {
    return undefined;
  }
  if ((packet.sequence + packet.payload.length) % 2 ** 32 !== item[0].sequence) return undefined;
  const gsoSize = item[0].payload.length;
  const fits = item.length === 1
    ? packet.payload.length >= gsoSize
    : packet.payload.length === gsoSize;
  return fits ? [packet, ...item] : undefined;
}

function payloadBytes(item: Packet[]): number {
  return item.reduce((sum, packet) => sum + packet.payload.length, 0);
}

function render(item: Packet[]): Uint8Array {
  const head = item[0];
  if (item.length === 1) return new Uint8Array([...new Uint8Array(VNET_BYTES), ...head.bytes]);
  const { protocol, transport, headerBytes } = head;
  const isV4 = transport === 20;
  const out = new Uint8Array(headerBytes + payloadBytes(item));
  out.set(head.bytes.subarray(0, headerBytes));
  let at = headerBytes;
  for (const packet of item) {
    out.set(packet.payload, at);
    at += packet.payload.length;
  }
  const view = new DataView(out.buffer);
  if (isV4) {
    view.setUint16(2, out.length);
    view.setUint16(10, 0);
    view.setUint16(10, internetChecksum(out.subarray(0, 20)));
  } else {
    view.setUint16(4, out.length - 40);
  }
  const length = out.length - transport;
  const csumOffset = protocol === TCP ? 16 : 6;
  view.setUint16(transport + csumOffset, networkSum(pseudoHeader(out, protocol, length)));
  if (protocol === UDP) view.setUint16(transport + 4, length);
  else if (item.some((packet) => packet.isPushed)) out[transport + 13] |= PSH;

  const vnet = new DataView(new ArrayBuffer(VNET_BYTES));
  vnet.setUint8(0, 1);
  vnet.setUint8(1, protocol === UDP ? 5 : isV4 ? 1 : 4);
  vnet.setUint16(2, headerBytes, true);
  vnet.setUint16(4, head.payload.length, true);
  vnet.setUint16(6, transport, true);
  vnet.setUint16(8, csumOffset, true);
  return new Uint8Array([...new Uint8Array(vnet.buffer), ...out]);
}

function parse(bytes: Uint8Array, options: ReferenceGroOptions): Packet {
  const packet: Packet = {
    bytes: bytes.slice(),
    isMergeable: false,
    common: "",
    isValid: false,
    protocol: 0,
    transport: 0,
    headerBytes: 0,
    payload: new Uint8Array(),
    sequence: 0,
    isPushed: false,
  };
  const version = bytes.length < 20 ? 0 : bytes[0] >> 4;
  if (version === 4) parse4(packet);
  else if (version === 6 && bytes.length >= 40) parse6(packet);
  else return packet;
  if (packet.flow === undefined || packet.flow === "any") return packet;
  const { protocol, transport } = packet;
  if (transport + 4 > bytes.length) return { ...packet, flow: "any", isMergeable: false };
  const addresses = version === 4 ? bytes.subarray(12, 20) : bytes.subarray(8, 40);
  packet.flow = `${version} ${protocol} ${addresses} ${bytes.subarray(transport, transport + 4)}`;
  if (packet.isMergeable) parseTransport(packet);
  if (!(protocol === TCP ? options.tcp : options.udp)) packet.isMergeable = false;
  return packet;
}

function parse4(packet: Packet): void {
  const { bytes } = packet;
  packet.protocol = bytes[9];
  packet.transport = (bytes[0] & 15) * 4;
  if (packet.protocol !== TCP && packet.protocol !== UDP) return;
  const isFragment = ((bytes[6] & 0x3f) | bytes[7]) !== 0;
  packet.flow = isFragment || packet.transport < 20 ? "any" : "one";
  packet.isMergeable = packet.transport === 20 && bytes[2] * 256 + bytes[3] === bytes.length;
  // TOS, flags, TTL.
  packet.common = `${bytes[1]} ${bytes[6]} ${bytes[8]}`;
  packet.isValid = isIpv4HeaderValid(bytes);
}

function parse6(packet: Packet): void {
  const { bytes } = packet;
  packet.protocol = bytes[6];
  packet.transport = 40;
  if (EXTENSIONS.includes(packet.protocol)) packet.flow = "any";
  if (packet.protocol !== TCP && packet.protocol !== UDP) return;
  packet.flow = "one";
  packet.isMergeable = bytes[4] * 256 + bytes[5] + 40 === bytes.length;
  // Traffic class and flow label, hop limit.
  packet.common = `${bytes.subarray(0, 4)} ${bytes[7]}`;
  packet.isValid = true;
}

function parseTransport(packet: Packet): void {
  const { bytes, transport, protocol } = packet;
  const view = new DataView(bytes.buffer);
  const needed = transport + (protocol === TCP ? 20 : 8);
  packet.isMergeable = false;
  if (bytes.length < needed) return;
  if (protocol === TCP) {
    const flags = (bytes[transport + 12] & 15) * 256 + bytes[transport + 13];
    packet.headerBytes = transport + (bytes[transport + 12] >> 4) * 4;
    packet.isPushed = (flags & PSH) !== 0;
    packet.sequence = view.getUint32(transport + 4);
    packet.isMergeable = (flags === ACK || flags === (ACK | PSH)) &&
      packet.headerBytes >= needed && packet.headerBytes < bytes.length;
    // Acknowledgment, window, header length and options.
    packet.common += ` ${bytes.subarray(transport + 8, transport + 13)} ${
      bytes.subarray(transport + 14, transport + 16)
    } ${bytes.subarray(needed, packet.headerBytes)}`;
  } else {
    packet.headerBytes = needed;
    packet.isMergeable = view.getUint16(transport + 4) === bytes.length - transport &&
      bytes.length > needed && view.getUint16(transport + 6) !== 0;
  }
  packet.payload = bytes.subarray(packet.headerBytes);
  packet.isValid &&= isTransportValid(bytes, transport, protocol);
}
