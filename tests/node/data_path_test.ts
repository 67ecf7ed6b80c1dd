import { assert, assertEquals } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import { DropReason } from "../../src/base/drop_reason.ts";
import { SimNetwork, type SimNode } from "../sim/node_pair.ts";
import { ipPart, tcpSuperPacket4, udpPacket4 } from "../sim/packets.ts";

const A = 0x0a640001, B = 0x0a640002;
const prefixOf = (address: number) => ({
  address: Uint8Array.of(address >>> 24, address >>> 16, address >>> 8, address),
  bits: 32,
});

function makePair(seed = 1, options = {}): { net: SimNetwork; a: SimNode; b: SimNode } {
  const net = new SimNetwork(seed);
  const a = net.add(options), b = net.add(options);
  net.connect(a, b, { ofA: [prefixOf(A)], ofB: [prefixOf(B)] });
  return { net, a, b };
}

Deno.test("a packet that has to wait for the handshake arrives unchanged", () => {
  const { net, a, b } = makePair();
  const packet = udpPacket4(A, B, Uint8Array.of(1, 2, 3, 4, 5));
  a.tun.fromHost.push(packet);
  net.run();
  assertEquals(b.tun.toHost.map(ipPart), [ipPart(packet)]);
});

Deno.test("answers flow back, and later packets go without a handshake", () => {
  const { net, a, b } = makePair();
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1)));
  net.run();
  const handshakes = net.log.filter(({ bytes }) => bytes[0] < 4).length;
  assertEquals(handshakes, 2);
  b.tun.fromHost.push(udpPacket4(B, A, Uint8Array.of(2)));
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(3)));
  net.run();
  assertEquals([a.tun.toHost.length, b.tun.toHost.length], [1, 2]);
  assertEquals(net.log.filter(({ bytes }) => bytes[0] < 4).length, 2);
});

Deno.test("a 64 KB super-packet crosses as equal datagrams and arrives as one write per receive", () => {
  const { net, a, b } = makePair();
  const payload = net.random.fill(new Uint8Array(46 * 1380));
  a.tun.fromHost.push(tcpSuperPacket4(A, B, payload, 1380));
  net.run();
  const data = net.log.filter(({ bytes }) => bytes[0] === 4 && bytes.length > 32);
  assertEquals(data.length, 46);
  const received = b.tun.toHost.flatMap((item) => [...item.subarray(10 + 40)]);
  assertEquals(received.length, payload.length);
  assert(payload.every((byte, i) => received[i] === byte));
  assert(b.tun.toHost.length <= 2, `${b.tun.toHost.length} writes`);
});

for (const gsoSize of [1, 8, 88, 517, 536, 1380]) {
  Deno.test(`a super-packet of segments of ${gsoSize} bytes is carried whole, in several batches`, () => {
    const { net, a, b } = makePair();
    const payload = net.random.fill(new Uint8Array(Math.min(60_000, gsoSize * 500 + 3)));
    a.tun.fromHost.push(tcpSuperPacket4(A, B, payload, gsoSize));
    net.run();
    const received = b.tun.toHost.flatMap((item) => [...item.subarray(10 + 40)]);
    assertEquals(received.length, payload.length);
    assert(payload.every((byte, i) => received[i] === byte));
  });
}

Deno.test("small packets of several reads share one send", () => {
  const { net, a, b } = makePair();
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(0)));
  net.run();
  const sendsBefore = a.udp.sends;
  for (let i = 0; i < 4; i++) a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(i)));
  net.run();
  assertEquals(a.udp.sends - sendsBefore, 1);
  assertEquals(b.tun.toHost.length, 5);
});

Deno.test("data messages never repeat a counter and headers count up by one", () => {
  const { net, a } = makePair();
  for (let i = 0; i < 300; i++) {
    a.tun.fromHost.push(udpPacket4(A, B, new Uint8Array(net.random.below(1400))));
    if (i % 7 === 0) net.run();
  }
  net.run();
  const counters = net.log.filter(({ bytes, fromAddress }) =>
    bytes[0] === 4 && fromAddress === a.udp.address
  ).map(({ bytes }) => new DataView(bytes.buffer).getUint32(8, true));
  counters.forEach((counter, i) => assertEquals(counter, i));
});

Deno.test("a replayed datagram is delivered once and counted", () => {
  const { net, a, b } = makePair();
  net.fate = (datagram) => datagram.bytes[0] === 4 ? [datagram, datagram, datagram] : [datagram];
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(9)));
  net.run();
  assertEquals(b.tun.toHost.length, 1);
  assert(b.node.lane.channels.counters.dropped(DropReason.Replayed) >= 2);
});

Deno.test("a packet from an address that is not the peer's is dropped, but its endpoint counts", () => {
  const { net, a, b } = makePair();
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1)));
  net.run();
  a.udp.port = 40_000;
  a.tun.fromHost.push(udpPacket4(0x01020304, B, Uint8Array.of(1)));
  net.run();
  assertEquals(b.tun.toHost.length, 1);
  assertEquals(b.node.lane.channels.counters.dropped(DropReason.SourceNotAllowed), 1);
  assertEquals(b.node.control.status().peers[0].endpoint?.port, 40_000);
});

Deno.test("a forged data message changes nothing: no delivery, no roaming", () => {
  const { net, a, b } = makePair();
  net.fate = (datagram) => {
    if (datagram.bytes[0] !== 4 || datagram.bytes.length <= 32) return [datagram];
    const bytes = datagram.bytes.slice();
    bytes[20] ^= 1;
    return [{ ...datagram, bytes, from: 1 }];
  };
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1)));
  net.run();
  assertEquals(b.tun.toHost.length, 0);
  assertEquals(b.node.lane.channels.counters.dropped(DropReason.AuthenticationFailed), 1);
  assertEquals(b.node.control.status().peers[0].endpoint?.port, 51820);
});

Deno.test("a packet that no peer owns is answered by an ICMP unreachable to its sender", () => {
  const { net, a } = makePair();
  a.tun.fromHost.push(udpPacket4(A, 0x08080808, Uint8Array.of(1)));
  net.run();
  assertEquals(a.tun.toHost.length, 1);
  const icmp = ipPart(a.tun.toHost[0]);
  assertEquals([icmp[9], icmp[20], icmp[21]], [1, 3, 1]);
  assertEquals(a.node.lane.channels.counters.dropped(DropReason.NoRoute), 1);
});

Deno.test("hazard 12: a TUN that is gone is told to main once", () => {
  const { net, a, b } = makePair();
  b.tun.writeErrors.push(-Errno.EBADFD);
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1)));
  net.run();
  assertEquals(b.node.lane.channels.counters.dropped(DropReason.TunWriteFailed), 1);
});

Deno.test("hazards 11 and 14: a refused TUN write is counted and the next one goes through", () => {
  const { net, a, b } = makePair();
  b.tun.writeErrors.push(-Errno.EIO, -Errno.EINVAL);
  for (let i = 0; i < 3; i++) {
    a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(i)));
    net.run();
  }
  assertEquals(b.node.lane.channels.counters.dropped(DropReason.TunWriteFailed), 2);
  assertEquals(b.tun.toHost.length, 1);
});
