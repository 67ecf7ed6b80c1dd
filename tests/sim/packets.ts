/** Packets for the simulator: plain and slow builders of what a host puts into its TUN. */
import { VNET_HEADER_BYTES } from "../../src/wire/virtio_net.ts";

function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i] << 8 | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An IPv4 UDP packet with an all-zero vnet header before it. */
export function udpPacket4(
  source: number,
  destination: number,
  payload: Uint8Array,
  tos = 0,
): Uint8Array {
  const bytes = new Uint8Array(VNET_HEADER_BYTES + 28 + payload.length);
  const ip = new DataView(bytes.buffer, VNET_HEADER_BYTES);
  ip.setUint8(0, 0x45);
  ip.setUint8(1, tos);
  ip.setUint16(2, 28 + payload.length);
  ip.setUint8(8, 64);
  ip.setUint8(9, 17);
  ip.setUint32(12, source);
  ip.setUint32(16, destination);
  ip.setUint16(10, checksum(bytes.subarray(VNET_HEADER_BYTES, VNET_HEADER_BYTES + 20)));
  ip.setUint16(20, 1000);
  ip.setUint16(22, 2000);
  ip.setUint16(24, 8 + payload.length);
  bytes.set(payload, VNET_HEADER_BYTES + 28);
  return bytes;
}

/**
 * An IPv4 TCP super-packet as the kernel hands it over: partial checksum, `gsoSize` bytes of payload
 * per segment (0: a single packet with its checksum complete is not needed, NEEDS_CSUM is set).
 */
export function tcpSuperPacket4(
  source: number,
  destination: number,
  payload: Uint8Array,
  gsoSize: number,
): Uint8Array {
  const headerBytes = 40;
  const bytes = new Uint8Array(VNET_HEADER_BYTES + headerBytes + payload.length);
  const vnet = new DataView(bytes.buffer);
  vnet.setUint8(0, 1);
  if (payload.length > gsoSize) {
    vnet.setUint8(1, 1);
    vnet.setUint16(2, headerBytes, true);
    vnet.setUint16(4, gsoSize, true);
  }
  vnet.setUint16(6, 20, true);
  vnet.setUint16(8, 16, true);
  const ip = new DataView(bytes.buffer, VNET_HEADER_BYTES);
  ip.setUint8(0, 0x45);
  ip.setUint16(2, headerBytes + payload.length);
  ip.setUint16(4, 0xfff0);
  ip.setUint16(6, 0x4000);
  ip.setUint8(8, 64);
  ip.setUint8(9, 6);
  ip.setUint32(12, source);
  ip.setUint32(16, destination);
  ip.setUint16(10, checksum(bytes.subarray(VNET_HEADER_BYTES, VNET_HEADER_BYTES + 20)));
  ip.setUint16(20, 1000);
  ip.setUint16(22, 2000);
  ip.setUint32(24, 0xfffffff0);
  ip.setUint32(28, 77);
  ip.setUint8(32, 0x50);
  ip.setUint8(33, 0x10);
  ip.setUint16(34, 512);
  ip.setUint16(36, pseudoSum(source, destination, 6, 20 + payload.length));
  bytes.set(payload, VNET_HEADER_BYTES + headerBytes);
  return bytes;
}

function pseudoSum(source: number, destination: number, protocol: number, length: number): number {
  let sum = (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) +
    protocol + length;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** The IP packet behind the vnet header. */
export function ipPart(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(VNET_HEADER_BYTES);
}
