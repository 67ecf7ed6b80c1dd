/**
 * The UDP header (RFC 768) as functions over a DataView and the byte offset of the header. Whoever
 * calls them has made sure that `UDP_HEADER_BYTES` stand there.
 */

/** Length of the header. */
export const UDP_HEADER_BYTES = 8;

// Places of the fields, counted from the header.
export const UDP_SOURCE_PORT = 0;
export const UDP_DESTINATION_PORT = 2;
export const UDP_LENGTH = 4;
export const UDP_CHECKSUM = 6;

/** Source port. */
export function udpSourcePort(view: DataView, at: number): number {
  return view.getUint16(at + UDP_SOURCE_PORT);
}

/** Destination port. */
export function udpDestinationPort(view: DataView, at: number): number {
  return view.getUint16(at + UDP_DESTINATION_PORT);
}

/** Length of header and payload. */
export function udpLength(view: DataView, at: number): number {
  return view.getUint16(at + UDP_LENGTH);
}

/** The checksum field in network order; 0 means "none" over IPv4 and is invalid over IPv6. */
export function udpChecksum(view: DataView, at: number): number {
  return view.getUint16(at + UDP_CHECKSUM);
}

/** Writes a header with checksum 0. `length` counts header and payload. */
export function writeUdpHeader(
  view: DataView,
  at: number,
  sourcePort: number,
  destinationPort: number,
  length: number,
): void {
  view.setUint16(at + UDP_SOURCE_PORT, sourcePort);
  view.setUint16(at + UDP_DESTINATION_PORT, destinationPort);
  view.setUint16(at + UDP_LENGTH, length);
  view.setUint16(at + UDP_CHECKSUM, 0);
}
