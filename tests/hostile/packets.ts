/** IP packets built by hand. */
import { internetChecksum } from "../reference/checksum_reference.ts";
import { address4 } from "./sockets.ts";

/** What to vary of an IPv4 packet. */
export interface Packet4 {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly payload: Uint8Array;
  readonly options?: Uint8Array;
  readonly fragmentField?: number;
  readonly id?: number;
  readonly tos?: number;
  readonly totalBytes?: number;
  readonly headerWords?: number;
}

/** An IPv4 packet with a right header checksum. */
export function packet4(fields: Packet4): Uint8Array {
  const options = fields.options ?? new Uint8Array(0);
  const headerBytes = 20 + options.length;
  const bytes = new Uint8Array(headerBytes + fields.payload.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x40 | (fields.headerWords ?? headerBytes / 4);
  bytes[1] = fields.tos ?? 0;
  view.setUint16(2, fields.totalBytes ?? bytes.length);
  view.setUint16(4, fields.id ?? 1);
  view.setUint16(6, fields.fragmentField ?? 0);
  bytes[8] = 64;
  bytes[9] = fields.protocol;
  bytes.set(address4(fields.source), 12);
  bytes.set(address4(fields.destination), 16);
  bytes.set(options, 20);
  view.setUint16(10, internetChecksum(bytes.subarray(0, headerBytes)));
  bytes.set(fields.payload, headerBytes);
  return bytes;
}

/** An ICMP echo request over IPv4. */
export function echo4(
  source: string,
  destination: string,
  sequence: number,
  payloadBytes = 32,
): Uint8Array {
  const payload = new Uint8Array(8 + payloadBytes);
  const view = new DataView(payload.buffer);
  payload[0] = 8;
  view.setUint16(4, 0x4c48);
  view.setUint16(6, sequence & 0xffff);
  view.setUint16(2, internetChecksum(payload));
  return packet4({ source, destination, protocol: 1, payload });
}

/** An IPv6 packet; addresses are 16 bytes. */
export function packet6(
  source: Uint8Array,
  destination: Uint8Array,
  nextHeader: number,
  payload: Uint8Array,
  payloadLength = payload.length,
): Uint8Array {
  const bytes = new Uint8Array(40 + payload.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x60;
  view.setUint16(4, payloadLength);
  bytes[6] = nextHeader;
  bytes[7] = 64;
  bytes.set(source, 8);
  bytes.set(destination, 24);
  bytes.set(payload, 40);
  return bytes;
}

/** The 16 bytes of an address of the form `fd00:241::n`. */
export function inner6(n: number): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set([0xfd, 0x00, 0x02, 0x41]);
  bytes[15] = n;
  return bytes;
}
