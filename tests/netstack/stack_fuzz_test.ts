import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { SeededRandom } from "../../src/base/random.ts";
import { StackCounter } from "../../src/netstack/counters.ts";
import { EchoVerdict } from "../../src/netstack/icmp.ts";
import type { TcpAcceptor, TcpHandler } from "../../src/netstack/tcp/tcp_socket.ts";
import type { UdpHandler } from "../../src/netstack/udp_socket.ts";
import { buildPacket, pattern, TIMESTAMPS } from "../offload/packet_builder.ts";
import {
  internetChecksum,
  isTransportValid,
  pseudoHeader,
} from "../reference/checksum_reference.ts";
import {
  address,
  ICMP,
  icmp4,
  icmp6,
  ICMPV6,
  ip4,
  ip6,
  OWN4,
  OWN6,
  PEER4,
  PEER6,
  TCP,
  UDP,
  udp,
  udpPacket,
} from "./packets.ts";
import { StackScene } from "./stack_scene.ts";

/** A stack with something behind everything: echo services, forwarders, a connection of its own. */
function busyScene(): StackScene {
  const scene = new StackScene();
  const { stack } = scene;
  const echo: TcpHandler = {
    onReadable(connection) {
      for (let bytes = connection.readSpan(); bytes > 0; bytes = connection.readSpan()) {
        const from = connection.spanAt;
        const room = connection.writeSpan(bytes);
        if (room === 0) break;
        scene.slab.u8.copyWithin(connection.spanAt, from, from + room);
        connection.commitWrite(room);
        connection.consume(room);
      }
      if (connection.isReadFinished) connection.close();
    },
    onWritable: () => {},
    onEnd: () => {},
  };
  const acceptor: TcpAcceptor = {
    onSyn: (pending) => void pending.accept(echo),
    onPendingGone: () => {},
  };
  const udpEcho: UdpHandler = {
    onDatagram: (socket, datagram) => socket.reply(datagram, datagram.at, datagram.bytes),
    onError: () => {},
  };
  stack.tcp.listen(null, 443, acceptor);
  stack.tcp.forwarder = acceptor;
  stack.udp.bind(null, 53, udpEcho);
  stack.udp.forwarder = { onFlow: () => udpEcho };
  stack.icmp.forwarder = { onEcho: () => EchoVerdict.Reply };
  stack.tcp.connect(address(PEER4), 80, echo, scene.nowMs, { port: 40_000 });
  stack.udp.connect(address(PEER6), 53, udpEcho, undefined, 4000);
  stack.flush(scene.nowMs);
  return scene;
}

/** Packets of every kind, whole and right. */
function corpus(): Uint8Array[] {
  const v4 = (flags: number, more: object = {}) => {
    const packet = buildPacket({ flags, source: 2, destination: 1, ...more });
    packet.set(address(OWN4), 16);
    return packet;
  };
  const v6 = (flags: number, more: object = {}) => {
    const packet = buildPacket({ version: 6, flags, ...more });
    packet.set(address(PEER6), 8);
    packet.set(address(OWN6), 24);
    return packet;
  };
  const payload = pattern(120);
  const synOptions = new Uint8Array([
    2,
    4,
    5,
    180,
    4,
    2,
    8,
    10,
    0,
    0,
    0,
    1,
    0,
    0,
    0,
    0,
    3,
    3,
    7,
    1,
  ]);
  const sack = new Uint8Array([1, 1, 5, 18, ...pattern(16)]);
  const quote4 = udpPacket({ source: OWN4, destination: PEER4, payload });
  const quoteTcp = buildPacket({ flags: 16, payload });
  const quote6 = udpPacket({ source: OWN6, destination: PEER6, sourcePort: 4000 });
  const options = [0, 0, 1, 4, 0, 0, 0, 0];
  const fragment = (more: number) => [0, 0, 0, more, 0, 0, 0, 7];
  return [
    v4(2, { tcpOptions: synOptions }),
    v4(16, { payload, tcpOptions: TIMESTAMPS }),
    v4(16, { tcpOptions: sack }),
    v4(17, { payload }),
    v4(4),
    v4(18, { sourcePort: 80, destinationPort: 40_000, tcpOptions: synOptions }),
    v6(2, { tcpOptions: synOptions }),
    v6(24, { payload }),
    udpPacket({ payload }),
    udpPacket({ destination: "192.168.1.1", payload }),
    udpPacket({ source: PEER6, destination: OWN6, payload }),
    ip4({ protocol: ICMP }, icmp4(8, 0, 1, payload)),
    ip6({ protocol: ICMPV6 }, icmp6(128, 0, 1, payload)),
    ip4({ protocol: ICMP }, icmp4(3, 3, 0, quote4)),
    ip4({ protocol: ICMP }, icmp4(3, 4, 1000, quoteTcp)),
    ip6({ protocol: ICMPV6 }, icmp6(2, 0, 1300, quote6)),
    ip6({ protocol: ICMPV6 }, icmp6(1, 4, 0, quote6)),
    ip4({ fragment: 0x2000 }, udp({ payload })),
    ip4({ fragment: 16 }, payload.slice(0, 8)),
    ip4({ options: [148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0] }, udp({ payload })),
    ip6(
      { extensions: [[0, options], [60, options], [44, fragment(1)]] },
      udp({ payload, source: PEER6, destination: OWN6 }),
    ),
    ip6({ extensions: [[44, fragment(128)]] }, payload.slice(0, 8)),
    ip6({ extensions: [[43, [0, 0, 0, 1, 0, 0, 0, 0]]] }, payload),
    ip4({ protocol: 132 }, payload),
  ];
}

/** Puts right the checksums that a mutation has broken, so that it gets past them. */
function repair(packet: Uint8Array): void {
  if (packet.length < 20) return;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const isV4 = packet[0] >> 4 === 4;
  const header = isV4 ? (packet[0] & 15) * 4 : 40;
  if (header > packet.length || header < 20) return;
  if (isV4) {
    view.setUint16(10, 0);
    view.setUint16(10, internetChecksum(packet.subarray(0, header)));
  }
  const protocol = packet[isV4 ? 9 : 6];
  const field = { [TCP]: 16, [UDP]: 6, [ICMP]: 2, [ICMPV6]: 2 }[protocol];
  if (field === undefined || header + field + 2 > packet.length) return;
  const part = packet.subarray(header);
  view.setUint16(header + field, 0);
  const front = protocol === ICMP ? new Uint8Array() : pseudoHeader(packet, protocol, part.length);
  view.setUint16(header + field, internetChecksum(front, part));
  assert(protocol === ICMP || isTransportValid(packet, header, protocol));
}

function mutate(packet: Uint8Array, random: SeededRandom): Uint8Array {
  let bytes = packet.slice();
  for (let count = random.below(4); count >= 0; count--) {
    const at = random.below(bytes.length);
    switch (random.below(6)) {
      case 0:
        bytes[at] ^= 1 << random.below(8);
        break;
      case 1:
        bytes[at] = [0, 1, 127, 128, 255][random.below(5)];
        break;
      case 2:
        // Headers are hit more often than payloads.
        bytes[random.below(Math.min(bytes.length, 64))] = random.below(256);
        break;
      case 3:
        bytes = bytes.slice(0, at + 1);
        break;
      case 4:
        bytes = new Uint8Array([...bytes.subarray(0, at), ...bytes.subarray(at >> 1)]);
        break;
      default:
        bytes.set(pattern(Math.min(4, bytes.length - at), random.below(1000)), at);
    }
  }
  if (random.below(4) > 0 && bytes.length >= 20) {
    const view = new DataView(bytes.buffer);
    if (bytes[0] >> 4 === 4) view.setUint16(2, bytes.length);
    else if (bytes.length >= 40) view.setUint16(4, bytes.length - 40);
    repair(bytes);
  }
  return bytes;
}

/** Gives a packet to the stack and returns whether something became of it that one can see. */
function leavesATrace(scene: StackScene, packet: Uint8Array): boolean {
  const { counters } = scene.stack;
  const { UdpIn, EchoAnswered, FragmentsIn, IcmpErrorsIn } = StackCounter;
  const watched = [UdpIn, EchoAnswered, FragmentsIn, IcmpErrorsIn];
  const before = watched.map((counter) => counters.value(counter));
  const packetsBefore = counters.value(StackCounter.PacketsIn);
  scene.receive(packet);
  assertEquals(counters.value(StackCounter.PacketsIn), packetsBefore + 1);
  const isWatched = watched.some((counter, i) => counters.value(counter) > before[i]);
  const isDropped = Object.keys(scene.takeDrops()).length > 0;
  return isWatched || isDropped || scene.link.numQueued > 0 || mayBeTcp(packet);
}

/** Whether this could reach TCP, which takes what fits a connection, or a RST, without a word. */
function mayBeTcp(packet: Uint8Array): boolean {
  if (packet[0] >> 4 === 4) return packet[9] === TCP;
  return packet[6] === TCP || ([0, 43, 44, 60].includes(packet[6]) && packet.includes(TCP, 40));
}

Deno.test("100,000 mutated packets: nothing throws, all are counted, and all memory comes back", () => {
  const seed = 20_260_101;
  const random = new SeededRandom(seed);
  const scene = busyScene();
  const packets = corpus();
  for (let i = 0; i < 100_000; i++) {
    const packet = mutate(packets[random.below(packets.length)], random);
    scene.stack.acceptsAny = (i & 64) !== 0;
    assert(leavesATrace(scene, packet), `packet ${i} of seed ${seed}: ${packet}`);
    if (random.below(8) === 0) scene.stack.flush(scene.nowMs);
    if (random.below(16) === 0) scene.advance(random.below(200));
    // Now and then the link is left to fill.
    if ((i & 4096) === 0 || scene.link.numQueued > 500) scene.link.drain();
    if (i % 1000 === 0) {
      for (const socket of scene.stack.udp.sockets()) if (socket.flow) socket.close();
    }
  }
  for (const connection of scene.stack.tcp.connections()) connection.abort();
  for (const socket of scene.stack.udp.sockets()) socket.close();
  for (let i = 0; i < 300; i++) {
    scene.stack.flush(scene.nowMs);
    scene.link.drain();
    scene.advance(1000);
  }
  assertEquals(scene.pool.usedBytes, 0);
  assertEquals(scene.stack.udp.flowCount, 0);
});

Deno.test("random bytes never throw and are always counted", () => {
  const scene = busyScene();
  const bytes = fc.uint8Array({ maxLength: 200 });
  const versioned = fc.tuple(fc.constantFrom(0x45, 0x46, 0x4f, 0x60), bytes).map(([first, rest]) =>
    new Uint8Array([first, ...rest])
  );
  fc.assert(
    fc.property(
      fc.oneof(bytes, versioned),
      fc.boolean(),
      fc.boolean(),
      (packet, isAny, isFixed) => {
        if (isFixed) {
          const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
          if (packet.length >= 20 && packet[0] >> 4 === 4) view.setUint16(2, packet.length);
          if (packet.length >= 40 && packet[0] >> 4 === 6) view.setUint16(4, packet.length - 40);
          repair(packet);
        }
        scene.stack.acceptsAny = isAny;
        assert(leavesATrace(scene, packet));
        scene.link.drain();
      },
    ),
    { numRuns: 3000 },
  );
});

Deno.test("mutated runs never throw, whatever their headers say", () => {
  const random = new SeededRandom(99);
  const scene = busyScene();
  const payload = pattern(100);
  const tcp = (i: number) => {
    const packet = buildPacket({ source: 2, sequence: 1000 + 100 * i, payload });
    packet.set(address(OWN4), 16);
    return packet;
  };
  for (let i = 0; i < 5000; i++) {
    const isTcp = (i & 1) === 0;
    const packets = [0, 1, 2, 3].map((k) =>
      isTcp ? tcp(k) : udpPacket({ payload: pattern(100, k) })
    );
    // GRO has looked at lengths, protocol and header length; the rest may be anything.
    const first = packets[0];
    for (let count = random.below(3); count >= 0; count--) {
      const at = [1, 4, 6, 8, 12, 15, 16, 19, 20, 22, 24, 28, 33, 35, 38][random.below(15)];
      if (!isTcp && at > 24) continue;
      first[at] = random.below(256);
    }
    scene.stack.acceptsAny = (i & 2) !== 0;
    scene.receiveRun(packets, isTcp ? 40 : 28);
    scene.stack.flush(scene.nowMs);
    scene.link.drain();
    if (i % 50 === 0) scene.advance(random.below(1000));
  }
});

Deno.test("a hostile peer's sources and destinations cost no memory that does not come back", () => {
  const scene = busyScene();
  for (let i = 0; i < 3000; i++) {
    const source = `10.${i & 15}.${i >> 8}.${(i & 255) || 1}`;
    scene.receive(udpPacket({ source, destination: "192.168.1.1", payload: pattern(10) }));
    scene.receive(ip4({ source, protocol: ICMP }, icmp4(8, 0, i, pattern(900))));
    scene.receive(ip4({ source, protocol: 200, fragment: 0x2000 | (i & 7) }, pattern(512)));
    scene.link.drain();
  }
  scene.takeDrops();
  assert(scene.pool.usedBytes < 8 << 20);
  for (const socket of scene.stack.udp.sockets()) socket.close();
  scene.advance(120_000);
  scene.link.drain();
  for (const connection of scene.stack.tcp.connections()) connection.abort();
  scene.stack.flush(scene.nowMs);
  scene.link.drain();
  assertEquals(scene.pool.usedBytes, 0);
});
