/**
 * The 10-byte header in front of every packet of a TUN opened with IFF_VNET_HDR: `struct
 * virtio_net_hdr` of include/uapi/linux/virtio_net.h, in the byte order of the host (little-endian).
 */

/** Length of the header. */
export const VNET_HEADER_BYTES = 10;

// Places of the fields, counted from the header.
export const VNET_FLAGS = 0;
export const VNET_GSO_TYPE = 1;
export const VNET_HDR_LEN = 2;
export const VNET_GSO_SIZE = 4;
export const VNET_CSUM_START = 6;
export const VNET_CSUM_OFFSET = 8;

/** In the flags: the checksum field holds the pseudo-header sum and waits to be completed. */
export const VNET_NEEDS_CSUM = 1;

/** Kinds of super-packets (VIRTIO_NET_HDR_GSO_*). */
export const VnetGsoType = {
  None: 0,
  TcpV4: 1,
  /** IP fragmentation of UDP: this program neither asks for it nor accepts it. */
  UdpFragment: 3,
  TcpV6: 4,
  /** UDP segmentation: every piece is a datagram of its own. */
  UdpL4: 5,
} as const;

/** Bit beside a TCP type: the first segment may carry CWR. */
export const VNET_GSO_ECN = 0x80;

/** The flags byte. */
export function vnetFlags(view: DataView, at: number): number {
  return view.getUint8(at + VNET_FLAGS);
}

/** The type byte, ECN bit included. */
export function vnetGsoType(view: DataView, at: number): number {
  return view.getUint8(at + VNET_GSO_TYPE);
}

/** What the kernel says about the length of the headers: a hint that may be wrong. */
export function vnetHdrLen(view: DataView, at: number): number {
  return view.getUint16(at + VNET_HDR_LEN, true);
}

/** Payload bytes of each segment but the last. */
export function vnetGsoSize(view: DataView, at: number): number {
  return view.getUint16(at + VNET_GSO_SIZE, true);
}

/** Where the checksum begins to cover, counted from the IP header. */
export function vnetCsumStart(view: DataView, at: number): number {
  return view.getUint16(at + VNET_CSUM_START, true);
}

/** Where the checksum field stands, counted from `csumStart`. */
export function vnetCsumOffset(view: DataView, at: number): number {
  return view.getUint16(at + VNET_CSUM_OFFSET, true);
}

/** Writes a whole header. */
export function writeVnetHeader(
  view: DataView,
  at: number,
  flags: number,
  gsoType: number,
  hdrLen: number,
  gsoSize: number,
  csumStart: number,
  csumOffset: number,
): void {
  view.setUint16(at, flags | (gsoType << 8), true);
  view.setUint16(at + VNET_HDR_LEN, hdrLen, true);
  view.setUint16(at + VNET_GSO_SIZE, gsoSize, true);
  view.setUint16(at + VNET_CSUM_START, csumStart, true);
  view.setUint16(at + VNET_CSUM_OFFSET, csumOffset, true);
}

/** Writes the header of a plain packet: ten zero bytes. */
export function clearVnetHeader(view: DataView, at: number): void {
  view.setUint32(at, 0);
  view.setUint32(at + 4, 0);
  view.setUint16(at + 8, 0);
}
