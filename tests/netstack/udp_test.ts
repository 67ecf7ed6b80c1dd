import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { InvariantError } from "../../src/base/invariant.ts";
import type { Pieces } from "../../src/netstack/inbound.ts";
import {
  type UdpDatagram,
  type UdpFlow,
  type UdpHandler,
  type UdpSocket,
  UdpVerdict,
} from "../../src/netstack/udp_socket.ts";
import { pattern } from "../offload/packet_builder.ts";
import { address, addressText, ip4, ip6, OWN4, OWN6, PEER4, PEER6, udpPacket } from "./packets.ts";
import { type SceneOptions, StackScene } from "./stack_scene.ts";

/** What a handler has got: from where, to where, what. */
type Got = [string, number, string, number, Uint8Array];

/** A scene and a handler that writes down what it gets. */
function recording(options: SceneOptions = {}): {
  scene: StackScene;
  got: Got[];
  handler: UdpHandler;
} {
  const scene = new StackScene(options);
  const got: Got[] = [];
  const text = (datagram: UdpDatagram, at: number) =>
    addressText(scene.slab.u8.slice(at, at + (datagram.ipVersion === 4 ? 4 : 16)));
  const handler: UdpHandler = {
    onDatagram(_socket, datagram) {
      const { sourceAt, sourcePort, destinationAt, destinationPort, at, bytes } = datagram;
      const payload = scene.slab.u8.slice(at, at + bytes);
      got.push([
        text(datagram, sourceAt),
        sourcePort,
        text(datagram, destinationAt),
        destinationPort,
        payload,
      ]);
    },
  };
  return { scene, got, handler };
}

const deaf: UdpHandler = { onDatagram: () => {} };

Deno.test("a datagram of any length reaches the socket of its port, over both versions", () => {
  const { scene, got, handler } = recording();
  scene.stack.udp.bind(null, 53, handler);
  for (const [source, destination] of [[PEER4, OWN4], [PEER6, OWN6]]) {
    for (const length of [0, 1, 2, 777, 1372, 9000]) {
      const payload = pattern(length, length);
      scene.receive(udpPacket({ source, destination, sourcePort: 999, payload }));
      assertEquals(got.splice(0), [[source, 999, destination, 53, payload]]);
    }
  }
  assertEquals(scene.takeDrops(), {});
  assertEquals(scene.sent().length, 0);
});

Deno.test("a wrong UDP checksum is dropped, unless it was verified before", () => {
  const { scene, got, handler } = recording();
  scene.stack.udp.bind(null, 53, handler);
  for (const [source, destination] of [[PEER4, OWN4], [PEER6, OWN6]]) {
    const packet = udpPacket({ source, destination, payload: pattern(99) });
    packet[packet.length - 1] ^= 1;
    scene.receive(packet);
    scene.assertDropped({ TransportChecksumInvalid: 1 });
    scene.receive(packet, true);
    assertEquals(got.splice(0).length, 1);
  }
});

Deno.test("row 48: UDP over IPv6 with checksum 0 is dropped, over IPv4 it means none", () => {
  const { scene, got, handler } = recording();
  scene.stack.udp.bind(null, 53, handler);
  scene.receive(udpPacket({ checksum: 0, payload: pattern(9) }));
  assertEquals(got.splice(0).length, 1);
  const v6 = udpPacket({ source: PEER6, destination: OWN6, checksum: 0, payload: pattern(9) });
  scene.receive(v6);
  scene.assertDropped({ TransportChecksumInvalid: 1 });
  scene.receive(v6, true);
  scene.assertDropped({ TransportChecksumInvalid: 1 }, "whoever says that it was verified");
  assertEquals(got.length, 0);
});

Deno.test("row 49: a computed checksum of 0 is sent as 0xFFFF, and one received is right", () => {
  const { scene, got, handler } = recording();
  scene.stack.udp.bind(null, 53, handler);
  for (const [own, peer] of [[OWN4, PEER4], [OWN6, PEER6]]) {
    const socket = scene.stack.udp.bind(address(own), 9, deaf)!;
    // The word that makes the sum of everything 0xFFFF is found from what it is without it.
    socket.sendBytesTo(address(peer), 7, new Uint8Array(2));
    const without = scene.sentOne().payload;
    const word = new DataView(without.buffer).getUint16(6);
    const payload = new Uint8Array([word >> 8, word & 255]);
    socket.sendBytesTo(address(peer), 7, payload);
    const { payload: sent } = scene.sentOne();
    assertEquals([...sent.slice(6)], [0xff, 0xff, ...payload]);
    socket.close();
  }
  let isSeen = false;
  for (let i = 0; i < 65_536 && !isSeen; i++) {
    const payload = new Uint8Array([i >> 8, i & 255]);
    const packet = udpPacket({ payload });
    isSeen = packet[26] === 0xff && packet[27] === 0xff;
    if (isSeen) scene.receive(packet);
  }
  assert(isSeen);
  assertEquals(got.length, 1);
});

Deno.test("a length field beyond the packet or below the header is dropped, a shorter one counts", () => {
  const { scene, got, handler } = recording();
  scene.stack.udp.bind(null, 53, handler);
  for (const length of [0, 7, 109, 65_535]) {
    scene.receive(udpPacket({ length, checksum: 0, payload: pattern(100) }));
    scene.assertDropped({ TransportTruncated: 1 }, `length ${length}`);
  }
  for (let bytes = 0; bytes < 8; bytes++) {
    scene.receive(ip4({}, new Uint8Array(bytes)));
    scene.receive(ip6({}, new Uint8Array(bytes)));
    scene.assertDropped({ TransportTruncated: 2 });
  }
  scene.receive(udpPacket({ length: 58, checksum: 0, payload: pattern(100) }));
  assertEquals(got[0][4], pattern(100).slice(0, 50));
});

Deno.test("a flow's socket comes before one of the address, and that before one of the port", () => {
  const { scene, got } = recording();
  const named = (name: string): UdpHandler => ({
    onDatagram: () => got.push([name, 0, "", 0, new Uint8Array()]),
  });
  const { udp } = scene.stack;
  const packet = (sourcePort: number, destination = OWN4) =>
    udpPacket({ sourcePort, destination, destinationPort: 53 });
  scene.stack.addAddress({ address: address("10.0.0.9"), bits: 24 });
  const sockets = [
    udp.bind(null, 53, named("port")),
    udp.bind(address(OWN4), 53, named("address")),
    udp.connect(address(PEER4), 4000, named("flow"), address(OWN4), 53),
  ];
  const receiver = (...args: Parameters<typeof packet>) => {
    scene.receive(packet(...args));
    return got.pop()?.[0];
  };
  assertEquals(receiver(4000), "flow");
  assertEquals(receiver(4001), "address");
  assertEquals(receiver(4000, "10.0.0.9"), "port");
  sockets[2]!.close();
  assertEquals(receiver(4000), "address");
  sockets[1]!.close();
  assertEquals(receiver(4000), "port");
  sockets[0]!.close();
  assertEquals(receiver(4000), undefined);
  assertEquals(scene.takeDrops(), { PortUnreachable: 1 });
  assertEquals([...udp.sockets()].length, 0);
});

Deno.test("a port of an address is bound once, and free again after close", () => {
  const { udp } = new StackScene().stack;
  const first = udp.bind(null, 53, deaf)!;
  assertEquals(udp.bind(null, 53, deaf), null);
  assert(udp.bind(address(OWN4), 53, deaf) !== null);
  assertEquals(udp.bind(address(OWN4), 53, deaf), null);
  assert(udp.bind(address(OWN6), 53, deaf) !== null);
  first.close();
  first.close();
  assert(udp.bind(null, 53, deaf) !== null);
  assert(udp.connect(address(PEER4), 1, deaf, address(OWN4), 53) !== null);
  assertEquals(udp.connect(address(PEER4), 1, deaf, address(OWN4), 53), null);
  assert(udp.connect(address(PEER4), 2, deaf, address(OWN4), 53) !== null);
});

Deno.test("ports that nobody chose differ and cannot be foreseen", () => {
  const { udp } = new StackScene().stack;
  const ports = Array.from({ length: 200 }, () => udp.bind(null, 0, deaf)!.localPort);
  assertEquals(new Set(ports).size, 200);
  assert(ports.every((port) => port >= 32_768 && port < 61_000));
  const steps = ports.slice(1).map((port, i) => port - ports[i]);
  assert(new Set(steps).size > 150, "they do not count up");
});

Deno.test("what is sent has our address and port, and the socket's TOS and hop limit", () => {
  const { scene } = recording();
  const socket = scene.stack.udp.bind(null, 4000, deaf)!;
  socket.tos = 0xb8;
  socket.hopLimit = 3;
  for (const [own, peer] of [[OWN4, PEER4], [OWN6, PEER6]]) {
    for (const length of [0, 1, 79, 80, 81, 1000, 1372]) {
      assert(socket.sendTo(address(peer), 53, scene.place(pattern(length)), length));
      const sent = scene.sentOne();
      assertEquals([sent.source, sent.destination], [own, peer]);
      assertEquals([sent.tos, sent.ttl, sent.dontFragment], [0xb8, 3, true]);
      const view = new DataView(sent.payload.buffer);
      assertEquals([view.getUint16(0), view.getUint16(2), view.getUint16(4)], [
        4000,
        53,
        length + 8,
      ]);
      assertEquals(sent.payload.slice(8), pattern(length));
    }
  }
  assertEquals(scene.pool.usedBytes, 0);
});

Deno.test("a bound address is the source, and replies come from where the question went", () => {
  const { scene } = recording();
  scene.stack.addAddress({ address: address("10.0.0.9"), bits: 24 });
  const echo: UdpHandler = {
    onDatagram: (socket, datagram) => socket.reply(datagram, datagram.at, datagram.bytes),
  };
  scene.stack.udp.bind(null, 7, echo);
  for (const destination of [OWN4, "10.0.0.9"]) {
    scene.receive(udpPacket({ destination, sourcePort: 1234, destinationPort: 7 }));
    const { source, payload } = scene.sentOne();
    assertEquals([source, payload[1], payload[3]], [destination, 7, 1234 & 255]);
  }
  const bound = scene.stack.udp.bind(address("10.0.0.9"), 8, deaf)!;
  bound.sendBytesTo(address(PEER4), 1, pattern(3));
  assertEquals(scene.sentOne().source, "10.0.0.9");
  assert(!bound.sendBytesTo(address(PEER6), 1, pattern(3)), "no address of that family");
});

Deno.test("datagrams of up to 65,507 bytes are sent, longer ones refused", () => {
  const { scene } = recording();
  const socket = scene.stack.udp.bind(null, 4000, deaf)!;
  for (const [peer, most] of [[PEER4, 65_507], [PEER6, 65_527]] as const) {
    assert(socket.sendBytesTo(address(peer), 53, pattern(most)));
    const fragments = scene.sentParsed();
    const whole = fragments.reduce((sum, { payload }) => sum + payload.length, 0);
    assertEquals(whole, most + 8);
    assert(!socket.sendBytesTo(address(peer), 53, pattern(most + 1)));
    scene.assertDropped({ PacketTooLong: 1 });
  }
  assertEquals(scene.pool.usedBytes, 0);
});

Deno.test("what finds no room in the link is dropped whole, and counted", () => {
  const { scene } = recording();
  const socket = scene.stack.udp.bind(null, 4000, deaf)!;
  const send = (length: number) => socket.sendBytesTo(address(PEER4), 53, pattern(length));
  for (let i = 0; i < 500; i++) assert(send(10));
  assert(!send(60_000), "fragments need more than the 12 slots that are left");
  for (let i = 0; i < 12; i++) assert(send(1000));
  assert(!send(10));
  assertEquals(scene.takeDrops(), { LinkFull: 2 });
  assertEquals(scene.sent().length, 512);
  assertEquals(scene.pool.usedBytes, 0);
  assert(send(10));
  scene.link.close();
  assert(!send(10));
  assertEquals(scene.takeDrops(), { LinkClosed: 1 });
});

Deno.test("without memory a datagram is dropped, and counted", () => {
  const { scene } = recording({ poolBytes: 8192 });
  const socket = scene.stack.udp.bind(null, 4000, deaf)!;
  const send = (length: number) => socket.sendBytesTo(address(PEER4), 53, pattern(length));
  assert(send(1000) && send(1000));
  assert(!send(1000));
  assert(send(10), "a short one needs none");
  assertEquals(scene.takeDrops(), { NoBuffer: 1 });
});

// Flows.

Deno.test("a connected socket hears its peer alone, and sends to it", () => {
  const { scene, got, handler } = recording();
  const socket = scene.stack.udp.connect(address(PEER4), 53, handler)!;
  socket.send(scene.place(pattern(10)), 10);
  const { payload } = scene.sentOne();
  const port = new DataView(payload.buffer).getUint16(0);
  assertEquals(port, socket.localPort);
  scene.receive(udpPacket({ sourcePort: 53, destinationPort: port, payload: pattern(4) }));
  assertEquals(got.splice(0), [[PEER4, 53, OWN4, port, pattern(4)]]);
  scene.receive(udpPacket({ sourcePort: 54, destinationPort: port }));
  scene.receive(udpPacket({ source: "10.0.0.3", sourcePort: 53, destinationPort: port }));
  assertEquals(got.length, 0);
  assertEquals(scene.takeDrops(), { PortUnreachable: 2 });
  const bound = scene.stack.udp.bind(null, 99, deaf)!;
  assertThrows(() => bound.send(0, 0), InvariantError);
});

/** A forwarder that does with every flow what `verdict` says. */
function forwarding(scene: StackScene, verdict: UdpHandler | UdpVerdict): UdpFlow[] {
  const flows: UdpFlow[] = [];
  scene.stack.udp.forwarder = {
    onFlow(flow) {
      flows.push(flow);
      return verdict;
    },
  };
  return flows;
}

Deno.test("the forwarder is asked once per flow, and its socket answers as the destination", () => {
  for (const [source, destination] of [[PEER4, "192.168.1.1"], [PEER6, "2001:db8::1"]]) {
    const scene = new StackScene();
    scene.stack.acceptsAny = true;
    const echo: UdpHandler = {
      onDatagram: (socket, { at, bytes }) => socket.send(at, bytes),
    };
    const flows = forwarding(scene, echo);
    for (let i = 0; i < 3; i++) {
      for (const sourcePort of [1000, 1001]) {
        const payload = pattern(100 + i);
        scene.receive(
          udpPacket({ source, destination, sourcePort, destinationPort: 53, payload }),
        );
        const answer = scene.sentOne();
        assertEquals([answer.source, answer.destination], [destination, source]);
        assertEquals(answer.payload.slice(8), payload);
      }
    }
    assertEquals(flows.map(({ remotePort }) => remotePort), [1000, 1001]);
    assertEquals(addressText(flows[0].localAddress), destination);
    assertEquals(addressText(flows[0].remoteAddress), source);
    assertEquals([flows[0].localPort, flows[0].ipVersion], [53, source === PEER4 ? 4 : 6]);
    const sockets = [...scene.stack.udp.sockets()];
    assertEquals(scene.stack.udp.flowCount, 2);
    for (const socket of sockets) socket.close();
    assertEquals(scene.stack.udp.flowCount, 0);
    scene.receive(udpPacket({ source, destination, sourcePort: 1000, destinationPort: 53 }));
    assertEquals(flows.length, 3, "a closed flow is a new one");
  }
});

Deno.test("a refused flow gets port unreachable from its destination, a dropped one silence", () => {
  const scene = new StackScene();
  scene.stack.acceptsAny = true;
  const destination = "192.168.1.1";
  const packet = udpPacket({ destination });
  forwarding(scene, UdpVerdict.Refuse);
  scene.receive(packet);
  const refused = scene.sentOne();
  assertEquals([refused.source, refused.payload[0], refused.payload[1]], [destination, 3, 3]);
  forwarding(scene, UdpVerdict.Prohibit);
  scene.receive(packet);
  assertEquals([...scene.sentOne().payload.slice(0, 2)], [3, 13]);
  assertEquals(scene.takeDrops(), { PortUnreachable: 2 });
  forwarding(scene, UdpVerdict.Drop);
  scene.receive(packet);
  scene.assertDropped({ PortUnreachable: 1 });
  assertEquals(scene.stack.udp.flowCount, 0);
});

Deno.test("sockets on our own address do not take what is meant for others", () => {
  const { scene, got, handler } = recording();
  scene.stack.acceptsAny = true;
  scene.stack.udp.bind(null, 53, handler);
  const flows = forwarding(scene, UdpVerdict.Drop);
  scene.receive(udpPacket({ destination: "192.168.1.1" }));
  assertEquals([got.length, flows.length], [0, 1]);
  scene.stack.udp.bind(address("192.168.1.1"), 53, handler);
  scene.receive(udpPacket({ destination: "192.168.1.1" }));
  assertEquals([got.length, flows.length], [1, 1], "unless bound to just that address");
});

Deno.test("flows are bounded: what comes beyond is dropped and counted, and room is used again", () => {
  const scene = new StackScene({ udpFlowsMax: 100 });
  scene.stack.acceptsAny = true;
  const flows = forwarding(scene, deaf);
  const packet = (i: number) =>
    udpPacket({ source: `10.8.${i >> 8}.${i & 255 || 1}`, destination: "192.168.1.1" });
  for (let i = 1; i <= 1000; i++) scene.receive(packet(i));
  assertEquals([flows.length, scene.stack.udp.flowCount], [100, 100]);
  scene.assertDropped({ UdpFlowsFull: 900 });
  assertEquals(scene.stack.udp.connect(address(PEER4), 1, deaf), null);
  const [first] = scene.stack.udp.sockets();
  first.close();
  scene.receive(packet(1000));
  assertEquals([flows.length, scene.stack.udp.flowCount], [101, 100]);
});

Deno.test("a forwarder may close the socket in its first call, and others in any", () => {
  const scene = new StackScene();
  scene.stack.acceptsAny = true;
  let calls = 0;
  forwarding(scene, {
    onDatagram(socket) {
      calls++;
      socket.close();
      assert(!socket.send(0, 0));
    },
  });
  const packet = udpPacket({ destination: "192.168.1.1" });
  scene.receive(packet);
  scene.receive(packet);
  assertEquals([calls, scene.stack.udp.flowCount], [2, 0]);
});

Deno.test("a run goes whole to a handler that takes runs, else datagram by datagram", () => {
  for (
    const [source, destination, headerBytes] of [[PEER4, OWN4, 28], [PEER6, OWN6, 48]] as const
  ) {
    const { scene, got, handler } = recording();
    const packets = [900, 900, 17].map((length) =>
      udpPacket({ source, destination, payload: pattern(length, length) })
    );
    const socket = scene.stack.udp.bind(null, 53, handler)!;
    scene.receiveRun(packets, headerBytes);
    assertEquals(got.map(([, , , , payload]) => payload), [900, 900, 17].map((n) => pattern(n, n)));
    socket.close();
    const runs: Uint8Array[][] = [];
    scene.stack.udp.bind(null, 53, {
      onDatagram: () => assert(false),
      onRun(_socket: UdpSocket, datagram: UdpDatagram, payloads: Pieces) {
        assertEquals([datagram.at, datagram.bytes], [payloads.at[0], 900]);
        const { at, bytes, count } = payloads;
        runs.push(
          Array.from({ length: count }, (_, i) => scene.slab.u8.slice(at[i], at[i] + bytes[i])),
        );
      },
    });
    scene.receiveRun(packets, headerBytes);
    assertEquals(runs, [[900, 900, 17].map((n) => pattern(n, n))]);
    assertEquals(scene.takeDrops(), {});
  }
});

Deno.test("a handler that closes its socket within a run gets no more of it", () => {
  const scene = new StackScene();
  let calls = 0;
  scene.stack.udp.bind(null, 53, {
    onDatagram(socket) {
      calls++;
      socket.close();
    },
  });
  scene.receiveRun([udpPacket({ payload: pattern(9) }), udpPacket({ payload: pattern(9) })], 28);
  assertEquals(calls, 1);
});

Deno.test("datagrams survive the way from one stack to another, whatever they are", () => {
  const a = new StackScene({ mtu: 1280 });
  const b = new StackScene();
  b.stack.setAddresses([
    { address: address(PEER4), bits: 24 },
    { address: address(PEER6), bits: 64 },
  ]);
  const got: Uint8Array[] = [];
  b.stack.udp.bind(null, 53, {
    onDatagram: (_socket, { at, bytes }) => got.push(b.slab.u8.slice(at, at + bytes)),
  });
  const socket = a.stack.udp.bind(null, 9, deaf)!;
  const lengths = fc.oneof(fc.nat({ max: 100 }), fc.nat({ max: 3000 }), fc.nat({ max: 65_507 }));
  fc.assert(
    fc.property(fc.boolean(), lengths, fc.nat(), (isV4, length, seed) => {
      const payload = pattern(length, seed);
      assert(socket.sendBytesTo(address(isV4 ? PEER4 : PEER6), 53, payload));
      for (const packet of a.sent()) b.receive(packet);
      assertEquals(got.splice(0), [payload]);
      assertEquals([a.pool.usedBytes, b.pool.usedBytes], [0, 0]);
    }),
  );
});
