/**
 * Checksums as RFC 1071, RFC 9293, RFC 768 and RFC 8200 define them, byte by byte and in network
 * order. Slow, and independent of everything in `src/`.
 */

/** The folded one's-complement sum of big-endian words; an odd last byte is the high one. */
export function networkSum(...parts: Uint8Array[]): number {
  let sum = 0;
  for (const bytes of parts) {
    for (let i = 0; i < bytes.length; i++) {
      sum += i % 2 === 0 ? bytes[i] * 256 : bytes[i];
      if (sum > 0xffff) sum -= 0xffff;
    }
  }
  return sum;
}

/** The internet checksum of some bytes, in network order. */
export function internetChecksum(...parts: Uint8Array[]): number {
  return 0xffff - networkSum(...parts);
}

/** The pseudo-header of an IPv4 or IPv6 packet for a transport part of `length` bytes. */
export function pseudoHeader(packet: Uint8Array, protocol: number, length: number): Uint8Array {
  return packet[0] >> 4 === 4
    ? new Uint8Array([...packet.subarray(12, 20), 0, protocol, length >> 8, length & 255])
    : new Uint8Array([
      ...packet.subarray(8, 40),
      0,
      0,
      length >> 8,
      length & 255,
      0,
      0,
      0,
      protocol,
    ]);
}

/** Whether the transport checksum of a packet is right, given where the transport part begins. */
export function isTransportValid(
  packet: Uint8Array,
  transport: number,
  protocol: number,
): boolean {
  const part = packet.subarray(transport);
  return networkSum(pseudoHeader(packet, protocol, part.length), part) === 0xffff;
}

/** Whether the IPv4 header checksum of a packet is right. */
export function isIpv4HeaderValid(packet: Uint8Array): boolean {
  return networkSum(packet.subarray(0, (packet[0] & 15) * 4)) === 0xffff;
}
