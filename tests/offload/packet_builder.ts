/** Builds packets for the offload tests, field by field, and puts super-packets into a slab. */
import { createSlab, type Slab } from "../../src/memory/slab.ts";
import { instantiateKernels } from "../../src/kernels/kernels.ts";
import { ScalarChecksumKernel } from "../../src/wire/checksum.ts";
import type { ChecksumKernel } from "../../src/wire/checksum_kernel.ts";
import { internetChecksum, networkSum, pseudoHeader } from "../reference/checksum_reference.ts";

export const TCP = 6;
export const UDP = 17;
export const ACK = 0x10;
export const PSH = 0x08;
export const FIN = 0x01;
export const CWR = 0x80;

/** Everything that a test may want to choose about a packet. */
export interface PacketFields {
  version: 4 | 6;
  protocol: number;
  source: number;
  destination: number;
  sourcePort: number;
  destinationPort: number;
  tos: number;
  flowLabel: number;
  ttl: number;
  id: number;
  fragmentField: number;
  /** A multiple of 4 bytes. */
  ipOptions: Uint8Array;
  /** Whole extension headers; the first byte of each is overwritten with what follows. */
  extensions: { type: number; bytes: Uint8Array }[];
  sequence: number;
  acknowledgment: number;
  flags: number;
  window: number;
  urgent: number;
  /** A multiple of 4 bytes. */
  tcpOptions: Uint8Array;
  payload: Uint8Array;
  /** Put the pseudo-header sum in the checksum field, as with VNET_NEEDS_CSUM. */
  isPartial: boolean;
}

const defaults: PacketFields = {
  version: 4,
  protocol: TCP,
  source: 1,
  destination: 2,
  sourcePort: 40_000,
  destinationPort: 443,
  tos: 0,
  flowLabel: 0,
  ttl: 64,
  id: 0x1234,
  fragmentField: 0x4000,
  ipOptions: new Uint8Array(),
  extensions: [],
  sequence: 1000,
  acknowledgment: 77,
  flags: ACK,
  window: 501,
  urgent: 0,
  tcpOptions: new Uint8Array(),
  payload: new Uint8Array(),
  isPartial: false,
};

/** `length` bytes that depend on `seed`. */
export function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed | 1;
  for (let i = 0; i < length; i++) {
    state = Math.imul(state, 1_103_515_245) + 12_345;
    bytes[i] = state >>> 16;
  }
  return bytes;
}

/** TCP options as real stacks send them: two no-operations and timestamps. */
export const TIMESTAMPS = new Uint8Array([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);

/** A whole IP packet with right checksums, unless `isPartial`. */
export function buildPacket(fields: Partial<PacketFields>): Uint8Array {
  const all = { ...defaults, ...fields };
  const transport = transportOffset(fields);
  const part = all.protocol === TCP ? tcpPart(all) : udpPart(all);
  const packet = new Uint8Array(transport + part.length);
  packet.set(part, transport);
  if (all.version === 4) writeIpv4(packet, all);
  else writeIpv6(packet, all);
  const pseudo = pseudoHeader(packet, all.protocol, part.length);
  const view = new DataView(packet.buffer);
  const checksumAt = transport + (all.protocol === TCP ? 16 : 6);
  const checksum = all.isPartial ? networkSum(pseudo) : internetChecksum(pseudo, part);
  const isUdpZero = all.protocol === UDP && checksum === 0;
  view.setUint16(checksumAt, isUdpZero ? 0xffff : checksum);
  return packet;
}

/** Length of the IP header of a packet with these fields. */
export function transportOffset(fields: Partial<PacketFields>): number {
  const all = { ...defaults, ...fields };
  if (all.version === 4) return 20 + all.ipOptions.length;
  return 40 + all.extensions.reduce((sum, header) => sum + header.bytes.length, 0);
}

function writeIpv4(packet: Uint8Array, fields: PacketFields): void {
  const view = new DataView(packet.buffer);
  const headerBytes = 20 + fields.ipOptions.length;
  packet[0] = 0x40 | (headerBytes / 4);
  packet[1] = fields.tos;
  view.setUint16(2, packet.length);
  view.setUint16(4, fields.id);
  view.setUint16(6, fields.fragmentField);
  packet[8] = fields.ttl;
  packet[9] = fields.protocol;
  view.setUint32(12, 0x0a000000 | fields.source);
  view.setUint32(16, 0xc0a80000 | fields.destination);
  packet.set(fields.ipOptions, 20);
  view.setUint16(10, internetChecksum(packet.subarray(0, headerBytes)));
}

function writeIpv6(packet: Uint8Array, fields: PacketFields): void {
  const view = new DataView(packet.buffer);
  view.setUint32(0, 0x60000000 + fields.tos * 2 ** 20 + fields.flowLabel);
  view.setUint16(4, packet.length - 40);
  packet[7] = fields.ttl;
  view.setUint32(8, 0xfd001122);
  view.setUint32(12, 0x33445566);
  view.setUint32(20, fields.source);
  view.setUint32(24, 0xfd00aabb);
  view.setUint32(28, 0xccddeeff);
  view.setUint32(36, fields.destination);
  let nextHeaderAt = 6;
  let at = 40;
  for (const header of fields.extensions) {
    packet[nextHeaderAt] = header.type;
    packet.set(header.bytes, at);
    nextHeaderAt = at;
    at += header.bytes.length;
  }
  packet[nextHeaderAt] = fields.protocol;
}

function tcpPart(fields: PacketFields): Uint8Array {
  const headerBytes = 20 + fields.tcpOptions.length;
  const part = new Uint8Array(headerBytes + fields.payload.length);
  const view = new DataView(part.buffer);
  view.setUint16(0, fields.sourcePort);
  view.setUint16(2, fields.destinationPort);
  view.setUint32(4, fields.sequence);
  view.setUint32(8, fields.acknowledgment);
  part[12] = (headerBytes / 4) << 4;
  part[13] = fields.flags;
  view.setUint16(14, fields.window);
  view.setUint16(18, fields.urgent);
  part.set(fields.tcpOptions, 20);
  part.set(fields.payload, headerBytes);
  return part;
}

function udpPart(fields: PacketFields): Uint8Array {
  const part = new Uint8Array(8 + fields.payload.length);
  const view = new DataView(part.buffer);
  view.setUint16(0, fields.sourcePort);
  view.setUint16(2, fields.destinationPort);
  view.setUint16(4, part.length);
  part.set(fields.payload, 8);
  return part;
}

/** The fields of a virtio header. */
export interface VnetFields {
  flags: number;
  gsoType: number;
  hdrLen: number;
  gsoSize: number;
  csumStart: number;
  csumOffset: number;
}

/** Ten bytes. */
export function buildVnet(fields: Partial<VnetFields>): Uint8Array {
  const view = new DataView(new ArrayBuffer(10));
  view.setUint8(0, fields.flags ?? 0);
  view.setUint8(1, fields.gsoType ?? 0);
  view.setUint16(2, fields.hdrLen ?? 0, true);
  view.setUint16(4, fields.gsoSize ?? 0, true);
  view.setUint16(6, fields.csumStart ?? 0, true);
  view.setUint16(8, fields.csumOffset ?? 0, true);
  return new Uint8Array(view.buffer);
}

/** A super-packet as the kernel hands it over, and what its virtio header says. */
export function buildSuperPacket(
  fields: Partial<PacketFields>,
  gsoSize: number,
): { vnet: VnetFields; packet: Uint8Array } {
  const { version, protocol, tcpOptions } = { ...defaults, ...fields };
  const packet = buildPacket({ ...fields, isPartial: true });
  const transport = transportOffset(fields);
  const isTcp = protocol === TCP;
  const vnet = {
    flags: 1,
    gsoType: isTcp ? (version === 4 ? 1 : 4) : 5,
    hdrLen: transport + (isTcp ? 20 + tcpOptions.length : 8),
    gsoSize,
    csumStart: transport,
    csumOffset: isTcp ? 16 : 6,
  };
  return { vnet, packet };
}

/** A slab of its own, and every checksum kernel over it by name. */
export function slabWithKernels(
  byteLength: number,
): { slab: Slab; kernels: Record<string, ChecksumKernel> } {
  const slab = createSlab(byteLength);
  const scalar = new ScalarChecksumKernel(slab);
  return { slab, kernels: { scalar, wasm: instantiateKernels(slab.memory) } };
}
