/**
 * The TCP header (RFC 9293) as functions over a DataView and the byte offset of the header. Whoever
 * calls them has made sure that at least `TCP_HEADER_BYTES` stand there.
 */

/** Length of a header without options. */
export const TCP_HEADER_BYTES = 20;
/** Length of a header with as many options as fit. */
export const TCP_HEADER_BYTES_MAX = 60;

// Places of the fields, counted from the header.
export const TCP_SOURCE_PORT = 0;
export const TCP_DESTINATION_PORT = 2;
export const TCP_SEQUENCE = 4;
export const TCP_ACKNOWLEDGMENT = 8;
export const TCP_DATA_OFFSET = 12;
export const TCP_FLAGS = 13;
export const TCP_WINDOW = 14;
export const TCP_CHECKSUM = 16;
export const TCP_URGENT = 18;

/** The flag bits of byte 13. */
export const TcpFlag = {
  Fin: 0x01,
  Syn: 0x02,
  Rst: 0x04,
  Psh: 0x08,
  Ack: 0x10,
  Urg: 0x20,
  Ece: 0x40,
  Cwr: 0x80,
} as const;

/** Option kinds. */
export const TcpOption = {
  End: 0,
  NoOperation: 1,
  MaximumSegmentSize: 2,
  WindowScale: 3,
  SackPermitted: 4,
  Sack: 5,
  Timestamps: 8,
} as const;

/** Header length in bytes, options included; below 20 the header is broken. */
export function tcpHeaderBytes(view: DataView, at: number): number {
  return (view.getUint8(at + TCP_DATA_OFFSET) >>> 4) << 2;
}

/** Source port. */
export function tcpSourcePort(view: DataView, at: number): number {
  return view.getUint16(at + TCP_SOURCE_PORT);
}

/** Destination port. */
export function tcpDestinationPort(view: DataView, at: number): number {
  return view.getUint16(at + TCP_DESTINATION_PORT);
}

/** Sequence number as a signed 32-bit integer: compare by difference. */
export function tcpSequence(view: DataView, at: number): number {
  return view.getInt32(at + TCP_SEQUENCE);
}

/** Acknowledgment number as a signed 32-bit integer: compare by difference. */
export function tcpAcknowledgment(view: DataView, at: number): number {
  return view.getInt32(at + TCP_ACKNOWLEDGMENT);
}

/** The `TcpFlag` bits. */
export function tcpFlags(view: DataView, at: number): number {
  return view.getUint8(at + TCP_FLAGS);
}

/** The window as it stands in the header, not scaled. */
export function tcpWindow(view: DataView, at: number): number {
  return view.getUint16(at + TCP_WINDOW);
}

/** Writes a header, checksum and urgent pointer zero. `headerBytes` includes the options. */
export function writeTcpHeader(
  view: DataView,
  at: number,
  sourcePort: number,
  destinationPort: number,
  sequence: number,
  acknowledgment: number,
  headerBytes: number,
  flags: number,
  window: number,
): void {
  view.setUint16(at + TCP_SOURCE_PORT, sourcePort);
  view.setUint16(at + TCP_DESTINATION_PORT, destinationPort);
  view.setInt32(at + TCP_SEQUENCE, sequence);
  view.setInt32(at + TCP_ACKNOWLEDGMENT, acknowledgment);
  view.setUint8(at + TCP_DATA_OFFSET, headerBytes << 2);
  view.setUint8(at + TCP_FLAGS, flags);
  view.setUint16(at + TCP_WINDOW, window);
  view.setUint32(at + TCP_CHECKSUM, 0);
}
