/**
 * The packets of a lane's rehearsal as a TUN would give them: what an idle tunnel carries (echoes,
 * acknowledgments, single datagrams) and short super-packets, of both IP versions. Addresses are
 * those for documentation (RFC 5737, RFC 3849).
 */
import { alignUp, CACHE_LINE_BYTES } from "../base/align.ts";
import { IOVEC_BYTES, IovecWriter } from "../offload/iovec.ts";
import type { Slab } from "../memory/slab.ts";
import { checksumOf, fold16, pseudoHeaderSum, sumWords } from "../wire/checksum.ts";
import { destinationOffset, IpProtocol, sourceOffset } from "../wire/ip.ts";
import { IPV4_HEADER_BYTES, setIpv4Checksum, writeIpv4Header } from "../wire/ipv4.ts";
import { IPV6_HEADER_BYTES, writeIpv6Header } from "../wire/ipv6.ts";
import { TCP_CHECKSUM, TCP_HEADER_BYTES, TcpFlag, writeTcpHeader } from "../wire/tcp.ts";
import { UDP_CHECKSUM, UDP_HEADER_BYTES, writeUdpHeader } from "../wire/udp.ts";
import {
  VNET_HEADER_BYTES,
  VNET_NEEDS_CSUM,
  VnetGsoType,
  writeVnetHeader,
} from "../wire/virtio_net.ts";

/** 192.0.2.1 and 2001:db8::1: both ends of every packet. */
const ADDRESS_4 = new Uint8Array([192, 0, 2, 1]);
const ADDRESS_6 = new Uint8Array([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/** ff02::2, whom a new interface asks for routers. */
const ALL_ROUTERS_6 = new Uint8Array([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);

/** What the peer of the rehearsal may send and gets. */
export const REHEARSAL_PREFIXES = [
  { address: ADDRESS_4, bits: 32 },
  { address: ADDRESS_6, bits: 128 },
] as const;

const SEGMENT_BYTES = 1360;
const ICMP_ECHO_BYTES = 64;
const ICMPV4_ECHO = 8;
const ICMPV6_ECHO = 128;

/** Version, protocol, bytes behind the transport header, and bytes of a segment (0: a plain packet). */
type Shape = readonly [version: 4 | 6, protocol: number, payloadBytes: number, gsoSize: number];

/** The order in which they are played, again and again. */
const SHAPES: readonly Shape[] = [
  [4, IpProtocol.Icmp, ICMP_ECHO_BYTES, 0],
  [4, IpProtocol.Tcp, 0, 0],
  [4, IpProtocol.Tcp, 3 * SEGMENT_BYTES, SEGMENT_BYTES],
  [6, IpProtocol.Icmpv6, ICMP_ECHO_BYTES, 0],
  [4, IpProtocol.Udp, 200, 0],
  [6, IpProtocol.Tcp, 2 * SEGMENT_BYTES + 100, SEGMENT_BYTES],
];

/** Where the iovecs of the packets stand. */
export interface RehearsalPackets {
  /** Those that the peer takes, to be played by turns. */
  readonly routed: readonly number[];
  /** One that no peer takes, and that nobody is told of: it is to a multicast group. */
  readonly stray: number;
}

/** Writes the packets from `at` on. */
export function writeRehearsalPackets(
  slab: Slab,
  at: number,
  slabAddress: number,
): RehearsalPackets {
  const iovecs = new IovecWriter(slab, slabAddress);
  let iovecAt = at;
  let packetAt = at + alignUp((SHAPES.length + 1) * IOVEC_BYTES, CACHE_LINE_BYTES);
  const write = (shape: Shape, destination?: Uint8Array) => {
    const bytes = writePacket(slab, packetAt, shape, destination);
    iovecs.write(iovecAt, packetAt, bytes);
    packetAt += alignUp(bytes, CACHE_LINE_BYTES);
    iovecAt += IOVEC_BYTES;
    return iovecAt - IOVEC_BYTES;
  };
  const routed = SHAPES.map((shape) => write(shape));
  return { routed, stray: write([6, IpProtocol.Icmpv6, ICMP_ECHO_BYTES, 0], ALL_ROUTERS_6) };
}

/** Writes one packet behind its vnet header; the length of both. */
function writePacket(
  { u8, view }: Slab,
  at: number,
  shape: Shape,
  destination?: Uint8Array,
): number {
  const [version, protocol, payloadBytes, gsoSize] = shape;
  const ipAt = at + VNET_HEADER_BYTES;
  const ipBytes = version === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
  const transportBytes = transportHeaderBytes(protocol) + payloadBytes;
  if (version === 4) writeIpv4Header(view, ipAt, ipBytes + transportBytes, 0, 0, 0, 64, protocol);
  else writeIpv6Header(view, ipAt, transportBytes, 0, protocol, 64);
  const address = version === 4 ? ADDRESS_4 : ADDRESS_6;
  u8.set(address, ipAt + sourceOffset(version));
  u8.set(destination ?? address, ipAt + destinationOffset(version));
  if (version === 4) setIpv4Checksum(view, ipAt, ipBytes);
  const transportAt = ipAt + ipBytes;
  const pseudo = pseudoHeaderSum(view, ipAt, version, protocol, transportBytes);
  const checksumOffset = writeTransport(view, transportAt, protocol, transportBytes);
  if (checksumOffset < 0) {
    writeVnetHeader(view, at, 0, VnetGsoType.None, 0, 0, 0, 0);
    const sum = sumWords(view, transportAt, transportBytes) + (version === 6 ? pseudo : 0);
    view.setUint16(transportAt + 2, checksumOf(sum), true);
  } else {
    const type = gsoSize === 0
      ? VnetGsoType.None
      : version === 4
      ? VnetGsoType.TcpV4
      : VnetGsoType.TcpV6;
    const headers = gsoSize === 0 ? 0 : ipBytes + transportHeaderBytes(protocol);
    writeVnetHeader(view, at, VNET_NEEDS_CSUM, type, headers, gsoSize, ipBytes, checksumOffset);
    view.setUint16(transportAt + checksumOffset, fold16(pseudo), true);
  }
  return VNET_HEADER_BYTES + ipBytes + transportBytes;
}

function transportHeaderBytes(protocol: number): number {
  if (protocol === IpProtocol.Tcp) return TCP_HEADER_BYTES;
  return protocol === IpProtocol.Udp ? UDP_HEADER_BYTES : 0;
}

/** Writes the transport header; where its checksum stands if it is to be completed, else -1. */
function writeTransport(view: DataView, at: number, protocol: number, bytes: number): number {
  switch (protocol) {
    case IpProtocol.Tcp:
      writeTcpHeader(view, at, 1, 2, 1, 1, TCP_HEADER_BYTES, TcpFlag.Ack, 1000);
      return TCP_CHECKSUM;
    case IpProtocol.Udp:
      writeUdpHeader(view, at, 1, 2, bytes);
      return UDP_CHECKSUM;
    default:
      view.setUint8(at, protocol === IpProtocol.Icmp ? ICMPV4_ECHO : ICMPV6_ECHO);
      return -1;
  }
}
