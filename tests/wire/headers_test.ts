import { assert, assertEquals } from "@std/assert";
import { createSlab } from "../../src/memory/slab.ts";
import { addressBytes, destinationOffset, ipPacketBytes, sourceOffset } from "../../src/wire/ip.ts";
import {
  ipv4ChecksumValid,
  ipv4FragmentField,
  ipv4HeaderBytes,
  ipv4Id,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4Tos,
  ipv4TotalBytes,
  ipv4Ttl,
  setIpv4Checksum,
  setIpv4TotalBytes,
  writeIpv4Header,
} from "../../src/wire/ipv4.ts";
import {
  IPV6_TRANSPORT_FRAGMENT,
  IPV6_TRANSPORT_LATER_FRAGMENT,
  IPV6_TRANSPORT_ROUTED,
  ipv6HopLimit,
  ipv6NextHeader,
  ipv6PayloadBytes,
  ipv6TrafficClass,
  ipv6Transport,
  setIpv6PayloadBytes,
  writeIpv6Header,
} from "../../src/wire/ipv6.ts";
import {
  tcpAcknowledgment,
  tcpDestinationPort,
  tcpFlags,
  tcpHeaderBytes,
  tcpSequence,
  tcpSourcePort,
  tcpWindow,
  writeTcpHeader,
} from "../../src/wire/tcp.ts";
import {
  udpChecksum,
  udpDestinationPort,
  udpLength,
  udpSourcePort,
  writeUdpHeader,
} from "../../src/wire/udp.ts";
import { isIpv4HeaderValid } from "../reference/checksum_reference.ts";
import { buildPacket, pattern, TCP, TIMESTAMPS, UDP } from "../offload/packet_builder.ts";

const slab = createSlab(1 << 17);
const { u8, view } = slab;
const AT = 1001;

function put(packet: Uint8Array): number {
  u8.fill(0, AT, AT + 4096);
  u8.set(packet, AT);
  return AT;
}

Deno.test("the IPv4 accessors read every field", () => {
  const fields = { tos: 0xb9, id: 0xbeef, ttl: 61, fragmentField: 0x4000, ipOptions: pattern(8) };
  const packet = buildPacket({ ...fields, payload: pattern(10) });
  const at = put(packet);
  assertEquals(ipv4HeaderBytes(view, at), 28);
  assertEquals(ipv4TotalBytes(view, at), packet.length);
  assertEquals(
    [ipv4Tos(view, at), ipv4Id(view, at), ipv4FragmentField(view, at), ipv4Ttl(view, at)],
    [0xb9, 0xbeef, 0x4000, 61],
  );
  assertEquals(ipv4Protocol(view, at), TCP);
  assert(ipv4ChecksumValid(view, at, 28));
  u8[at + 25] ^= 1;
  assert(!ipv4ChecksumValid(view, at, 28));
});

Deno.test("writeIpv4Header() and setIpv4Checksum() write a valid header", () => {
  u8.fill(0xff, AT, AT + 20);
  writeIpv4Header(view, AT, 1234, 0x88, 7, 0x4000, 64, UDP);
  u8.set([10, 0, 0, 1, 192, 168, 1, 2], AT + 12);
  setIpv4Checksum(view, AT, 20);
  assert(isIpv4HeaderValid(u8.slice(AT, AT + 20)));
  assertEquals([ipv4TotalBytes(view, AT), ipv4Tos(view, AT)], [1234, 0x88]);
  setIpv4TotalBytes(view, AT, 99);
  assertEquals(ipv4TotalBytes(view, AT), 99);
});

Deno.test("ipv4IsFragment() is true for first, middle and last fragments only", () => {
  const cases: [number, boolean][] = [
    [0, false],
    [0x4000, false],
    [0x8000, false],
    [0x2000, true],
    [
      0x2001,
      true,
    ],
    [1, true],
  ];
  for (const [field, expected] of cases) {
    view.setUint16(AT + 6, field);
    assertEquals(ipv4IsFragment(view, AT), expected);
  }
});

Deno.test("writeIpv6Header() writes what the accessors read", () => {
  u8.fill(0xff, AT, AT + 8);
  writeIpv6Header(view, AT, 4321, 0xb9, UDP, 63);
  assertEquals(u8[AT] >> 4, 6);
  assertEquals(
    [ipv6PayloadBytes(view, AT), ipv6TrafficClass(view, AT), ipv6NextHeader(view, AT)],
    [4321, 0xb9, UDP],
  );
  assertEquals(ipv6HopLimit(view, AT), 63);
  assertEquals(view.getUint32(AT) & 0xfffff, 0);
  setIpv6PayloadBytes(view, AT, 5);
  assertEquals(ipv6PayloadBytes(view, AT), 5);
});

/** Where the transport header is found behind these extension headers. */
function walk(extensions: { type: number; bytes: Uint8Array }[], cut = 0): number {
  const packet = buildPacket({ version: 6, protocol: UDP, extensions, payload: pattern(4) });
  const at = put(packet);
  return ipv6Transport(view, at, packet.length - cut);
}

const extension = (type: number, length: number, ...head: number[]) => {
  const bytes = new Uint8Array(length);
  bytes.set(head);
  return { type, bytes };
};

Deno.test("ipv6Transport() walks over every kind of extension header", () => {
  assertEquals(walk([]), 40 | (UDP << 16));
  assertEquals(walk([extension(0, 16, 0, 1)]), 56 | (UDP << 16));
  assertEquals(walk([extension(60, 8), extension(135, 24, 0, 2)]), 72 | (UDP << 16));
  assertEquals(walk([extension(51, 24, 0, 4)]), 64 | (UDP << 16));
  assertEquals(walk([extension(43, 8, 0, 0, 0, 0)]), 48 | (UDP << 16));
});

Deno.test("ipv6Transport() tells fragments and routing headers", () => {
  assertEquals(walk([extension(44, 8, 0, 0, 0, 1)]), 48 | (UDP << 16) | IPV6_TRANSPORT_FRAGMENT);
  const later = IPV6_TRANSPORT_FRAGMENT | IPV6_TRANSPORT_LATER_FRAGMENT;
  assertEquals(walk([extension(44, 8, 0, 0, 1, 0)]), 48 | (UDP << 16) | later);
  assertEquals(walk([extension(44, 8, 0, 0, 0, 0)]), 48 | (UDP << 16));
  // Reserved bits do not make a fragment.
  assertEquals(walk([extension(44, 8, 0, 0xff, 0, 6)]), 48 | (UDP << 16));
  assertEquals(walk([extension(43, 8, 0, 0, 0, 1)]), 48 | (UDP << 16) | IPV6_TRANSPORT_ROUTED);
});

Deno.test("ipv6Transport() refuses truncated and over-long chains (hazard 43)", () => {
  assertEquals(walk([extension(0, 8, 0, 200)]), -1);
  assertEquals(walk([extension(60, 8)], 13), -1);
  assertEquals(walk(Array.from({ length: 8 }, () => extension(60, 8))), 104 | (UDP << 16));
  assertEquals(walk(Array.from({ length: 9 }, () => extension(60, 8))), -1);
  assertEquals(walk(Array.from({ length: 100 }, () => extension(0, 8))), -1);
});

Deno.test("the TCP accessors read every field, and writeTcpHeader() writes them", () => {
  const fields = { sequence: 0xfedcba98, acknowledgment: 0x87654321, flags: 0xd9, window: 0xabcd };
  const packet = buildPacket({ ...fields, tcpOptions: TIMESTAMPS });
  const at = put(packet) + 20;
  const read = () => [
    tcpSourcePort(view, at),
    tcpDestinationPort(view, at),
    tcpSequence(view, at),
    tcpAcknowledgment(view, at),
    tcpHeaderBytes(view, at),
    tcpFlags(view, at),
    tcpWindow(view, at),
  ];
  const expected = [40_000, 443, 0xfedcba98 | 0, 0x87654321 | 0, 32, 0xd9, 0xabcd];
  assertEquals(read(), expected);
  u8.fill(0xff, at, at + 20);
  writeTcpHeader(view, at, 40_000, 443, 0xfedcba98 | 0, 0x87654321 | 0, 32, 0xd9, 0xabcd);
  assertEquals(read(), expected);
  assertEquals(view.getUint32(at + 16), 0);
});

Deno.test("the UDP accessors read every field, and writeUdpHeader() writes them", () => {
  const packet = buildPacket({ protocol: UDP, payload: pattern(13) });
  const at = put(packet) + 20;
  const read = () => [udpSourcePort(view, at), udpDestinationPort(view, at), udpLength(view, at)];
  assertEquals(read(), [40_000, 443, 21]);
  assertEquals(udpChecksum(view, at), view.getUint16(at + 6));
  u8.fill(0xff, at, at + 8);
  writeUdpHeader(view, at, 40_000, 443, 21);
  assertEquals([...read(), udpChecksum(view, at)], [40_000, 443, 21, 0]);
});

Deno.test("ipPacketBytes() cuts off padding and refuses what does not fit (hazard 41)", () => {
  for (const version of [4, 6] as const) {
    const packet = buildPacket({ version, payload: pattern(20) });
    const at = put(packet);
    for (let available = 0; available < packet.length + 20; available++) {
      const expected = available < packet.length ? 0 : packet.length;
      assertEquals(ipPacketBytes(view, at, available), expected, `${available}`);
    }
  }
  const at = put(buildPacket({ payload: pattern(20) }));
  for (let ihl = 0; ihl < 5; ihl++) {
    u8[at] = 0x40 | ihl;
    assertEquals(ipPacketBytes(view, at, 100), 0);
  }
  for (const version of [0, 1, 5, 7, 15]) {
    u8[at] = (version << 4) | 5;
    assertEquals(ipPacketBytes(view, at, 100), 0);
  }
  u8[at] = 0x45;
  view.setUint16(at + 2, 19);
  assertEquals(ipPacketBytes(view, at, 100), 0);
});

Deno.test("places and sizes of addresses", () => {
  assertEquals([sourceOffset(4), destinationOffset(4), addressBytes(4)], [12, 16, 4]);
  assertEquals([sourceOffset(6), destinationOffset(6), addressBytes(6)], [8, 24, 16]);
});
