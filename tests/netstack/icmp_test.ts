import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { EchoVerdict } from "../../src/netstack/icmp.ts";
import { IcmpErrorKind } from "../../src/netstack/inbound.ts";
import type { UdpSocket } from "../../src/netstack/udp_socket.ts";
import { pattern } from "../offload/packet_builder.ts";
import {
  address,
  addressText,
  ICMP,
  icmp4,
  icmp6,
  ICMPV6,
  ip4,
  ip6,
  OWN4,
  OWN6,
  type Parsed,
  PEER4,
  PEER6,
  udp,
  udpPacket,
} from "./packets.ts";
import { StackScene } from "./stack_scene.ts";

/** Both versions: their addresses, and how an ICMP message becomes a packet. */
const FAMILIES = {
  IPv4: {
    own: OWN4,
    peer: PEER4,
    request: 8,
    reply: 0,
    wrap: (type: number, code: number, rest: number, payload: Uint8Array, source = PEER4) =>
      ip4({ protocol: ICMP, source }, icmp4(type, code, rest, payload)),
  },
  IPv6: {
    own: OWN6,
    peer: PEER6,
    request: 128,
    reply: 129,
    wrap: (type: number, code: number, rest: number, payload: Uint8Array, source = PEER6) =>
      ip6({ protocol: ICMPV6, source }, icmp6(type, code, rest, payload, source)),
  },
};

/** Puts fragments of one datagram together, in order as they were sent. */
function join(fragments: Parsed[]): Uint8Array {
  const whole = new Uint8Array(fragments.reduce((sum, { payload }) => sum + payload.length, 0));
  fragments.forEach(({ offset, payload, hasMore }, i) => {
    assertEquals(hasMore, i < fragments.length - 1);
    whole.set(payload, offset);
  });
  return whole;
}

for (const [family, { own, peer, request, reply, wrap }] of Object.entries(FAMILIES)) {
  Deno.test(`${family}: an echo request is answered with the same bytes`, () => {
    const scene = new StackScene();
    for (const length of [0, 1, 56, 57, 79, 80, 81, 1000, 1372]) {
      scene.receive(wrap(request, 0, 0x12345678, pattern(length)));
      const { source, destination, payload, ttl } = scene.sentOne();
      assertEquals([source, destination, ttl], [own, peer, 64]);
      const view = new DataView(payload.buffer);
      assertEquals([payload[0], payload[1], view.getUint32(4)], [reply, 0, 0x12345678]);
      assertEquals(payload.slice(8), pattern(length), `${length} bytes`);
      assertEquals(scene.pool.usedBytes, 0);
    }
    assertEquals(scene.takeDrops(), {});
  });

  Deno.test(`${family}: a ping of 65,500 bytes is answered in fragments of the link's MTU`, () => {
    const scene = new StackScene({ mtu: 1280 });
    const message = wrap(request, 0, 7, pattern(65_500)).slice(family === "IPv4" ? 20 : 40);
    for (let offset = 0; offset < message.length; offset += 1200) {
      const data = message.slice(offset, offset + 1200);
      const hasMore = offset + data.length < message.length;
      const field = offset | (hasMore ? 1 : 0);
      const header = [0, 0, field >> 8, field & 255, 0, 0, 0, 1];
      const fragment = (hasMore ? 0x2000 : 0) | (offset / 8);
      scene.receive(
        family === "IPv4"
          ? ip4({ protocol: ICMP, fragment }, data)
          : ip6({ protocol: ICMPV6, extensions: [[44, header]] }, data),
      );
    }
    const fragments = scene.sentParsed();
    assert(fragments.length > 50);
    for (const { payload, headerBytes, dontFragment } of fragments) {
      assert(headerBytes + payload.length <= 1280 && !dontFragment);
    }
    assertEquals(new Set(fragments.map(({ id }) => id)).size, 1, "one identification");
    const answer = join(fragments);
    assertEquals([answer[0], answer.slice(8)], [reply, pattern(65_500)]);
    assertEquals(scene.takeDrops(), {});
    assertEquals(scene.pool.usedBytes, 0);
  });

  Deno.test(`${family}: a wrong checksum, or too few bytes, gets no answer`, () => {
    const scene = new StackScene();
    const packet = wrap(request, 0, 1, pattern(33));
    for (let at = packet.length - 41; at < packet.length; at++) {
      const broken = packet.slice();
      broken[at] ^= 0x10;
      scene.receive(broken);
      scene.assertDropped({ TransportChecksumInvalid: 1 }, `byte ${at}`);
    }
    const header = family === "IPv4" ? 20 : 40;
    for (let bytes = 0; bytes < 8; bytes++) {
      const part = packet.slice(header, header + bytes);
      scene.receive(
        family === "IPv4" ? ip4({ protocol: ICMP }, part) : ip6({ protocol: 58 }, part),
      );
      scene.assertDropped({ TransportTruncated: 1 });
    }
  });

  Deno.test(`${family}: replies that nobody asked for and types that nobody knows are ignored`, () => {
    const scene = new StackScene();
    const errors = family === "IPv4" ? [3, 11, 12] : [1, 2, 3, 4];
    for (let type = 0; type < 256; type++) {
      if (type === request || errors.includes(type)) continue;
      scene.receive(wrap(type, 0, 1, pattern(40)));
      scene.assertDropped({ IcmpIgnored: 1 }, `type ${type}`);
    }
  });

  Deno.test(`${family}: our own pings are told of their replies`, () => {
    const scene = new StackScene();
    const at = scene.place(pattern(500));
    assert(scene.stack.icmp.sendEchoRequest(address(peer), 77, 3, at, 500));
    const sent = scene.sentOne();
    assertEquals([sent.source, sent.destination, sent.payload[0]], [own, peer, request]);
    const heard: unknown[] = [];
    scene.stack.icmp.onEchoReply = ({ identifier, sequence, at, bytes, sourceAt, ipVersion }) => {
      const source = scene.slab.u8.slice(sourceAt, sourceAt + (ipVersion === 4 ? 4 : 16));
      const payload = scene.slab.u8.slice(at, at + bytes);
      heard.push(addressText(source), identifier, sequence, payload);
    };
    scene.receive(wrap(reply, 0, (77 << 16) | 3, pattern(500)));
    assertEquals(heard, [peer, 77, 3, pattern(500)]);
    assertEquals(scene.takeDrops(), {});
  });

  Deno.test(`${family}: a full link drops echo replies, and counts them`, () => {
    const scene = new StackScene();
    for (let i = 0; i < 520; i++) scene.receive(wrap(request, 0, i, pattern(20)));
    assertEquals(scene.takeDrops(), { LinkFull: 8 });
    assertEquals(scene.sent().length, 512);
    scene.receive(wrap(request, 0, 1, pattern(20)));
    assertEquals(scene.sent().length, 1);
  });

  Deno.test(`${family}: echo requests to others are the forwarder's to decide`, () => {
    const scene = new StackScene();
    scene.stack.acceptsAny = true;
    const foreign = family === "IPv4" ? "192.168.3.3" : "2001:db8::3";
    const packet = family === "IPv4"
      ? ip4({ protocol: ICMP, destination: foreign }, icmp4(8, 0, 0x00050006, pattern(99)))
      : ip6(
        { protocol: ICMPV6, destination: foreign },
        icmp6(128, 0, 0x00050006, pattern(99), peer, foreign),
      );
    scene.receive(packet);
    scene.assertDropped({ IcmpIgnored: 1 }, "without a forwarder");
    let verdict: EchoVerdict = EchoVerdict.Reply;
    const asked: number[][] = [];
    scene.stack.icmp.forwarder = {
      onEcho: ({ identifier, sequence, bytes }) => {
        asked.push([identifier, sequence, bytes]);
        return verdict;
      },
    };
    scene.receive(packet);
    assertEquals(asked, [[5, 6, 99]]);
    assertEquals([scene.sentOne()].map(({ source, payload }) => [source, payload[0]]), [
      [foreign, reply],
    ]);
    verdict = EchoVerdict.Unreachable;
    scene.receive(packet);
    const { source, payload } = scene.sentOne();
    assertEquals([source, payload[0], payload[1]], [own, ...(family === "IPv4" ? [3, 1] : [1, 3])]);
    verdict = EchoVerdict.Drop;
    scene.receive(packet);
    scene.assertDropped({ IcmpIgnored: 1 });
    verdict = EchoVerdict.Taken;
    scene.receive(packet);
    scene.assertDropped({});
    const at = scene.place(pattern(99));
    scene.stack.icmp.sendEchoReply(address(foreign), address(peer), 5, 6, at, 99);
    const answer = scene.sentOne();
    assertEquals([answer.source, answer.destination], [foreign, peer]);
    assertEquals(answer.payload.slice(8), pattern(99));
  });
}

// Errors that come in.

interface Heard {
  scene: StackScene;
  socket: UdpSocket;
  errors: [IcmpErrorKind, number][];
  /** What the socket has sent, as a packet. */
  original: Uint8Array;
}

/** A socket with a flow to the peer, port 4000 to 53, that has sent something. */
function sender(peer: string): Heard {
  const scene = new StackScene();
  const errors: [IcmpErrorKind, number][] = [];
  const handler = {
    onDatagram: () => {},
    onError: (_socket: UdpSocket, kind: IcmpErrorKind, mtu: number) => {
      errors.push([kind, mtu]);
    },
  };
  const socket = scene.stack.udp.connect(address(peer), 53, handler, undefined, 4000)!;
  socket.send(scene.place(pattern(1200)), 1200);
  return { scene, socket, errors, original: scene.sent()[0] };
}

/** Router addresses: not the peer's. */
const ROUTER4 = "172.16.0.1";
const ROUTER6 = "2001:db8::99";

const { Unreachable, PortUnreachable, Prohibited, TimeExceeded, ParameterProblem, TooBig } =
  IcmpErrorKind;

const V4_ERRORS: [number, number, IcmpErrorKind][] = [
  [3, 0, Unreachable],
  [3, 1, Unreachable],
  [3, 2, PortUnreachable],
  [3, 3, PortUnreachable],
  [3, 5, Unreachable],
  [3, 9, Prohibited],
  [3, 10, Prohibited],
  [3, 13, Prohibited],
  [11, 0, TimeExceeded],
  [11, 1, TimeExceeded],
  [12, 0, ParameterProblem],
];
const V6_ERRORS: [number, number, IcmpErrorKind][] = [
  [1, 0, Unreachable],
  [1, 1, Prohibited],
  [1, 3, Unreachable],
  [1, 4, PortUnreachable],
  [1, 5, Prohibited],
  [3, 0, TimeExceeded],
  [4, 0, ParameterProblem],
  [4, 1, PortUnreachable],
];

Deno.test("ICMP errors about a flow reach its socket, with what they mean", () => {
  for (const [type, code, kind] of V4_ERRORS) {
    const { scene, errors, original } = sender(PEER4);
    scene.receive(FAMILIES.IPv4.wrap(type, code, 0, original.slice(0, 28), ROUTER4));
    assertEquals(errors, [[kind, 0]], `type ${type} code ${code}`);
    assertEquals(scene.takeDrops(), {});
  }
  for (const [type, code, kind] of V6_ERRORS) {
    const { scene, errors, original } = sender(PEER6);
    scene.receive(FAMILIES.IPv6.wrap(type, code, 0, original, ROUTER6));
    assertEquals(errors, [[kind, 0]], `type ${type} code ${code}`);
    assertEquals(scene.takeDrops(), {});
  }
});

Deno.test("row 46: an ICMP error is never answered, not even a broken one", () => {
  const scene = new StackScene();
  scene.stack.acceptsAny = true;
  for (
    const [{ wrap }, types] of [[FAMILIES.IPv4, [3, 4, 5, 11, 12]], [
      FAMILIES.IPv6,
      [1, 2, 3, 4, 100, 127],
    ]] as const
  ) {
    for (const type of types) {
      for (let code = 0; code < 16; code++) {
        scene.receive(wrap(type, code, 0, pattern(60)));
        assertEquals(scene.sent().length, 0);
      }
    }
  }
  // With the TTL used up, and to an unknown host: still silence.
  const destination = "192.168.1.1";
  const part = icmp4(3, 1, 0, pattern(60));
  scene.receive(ip4({ protocol: ICMP, destination, ttl: 1 }, part));
  scene.receive(ip4({ protocol: ICMP, options: [7, 1, 0, 0] }, part));
  assertEquals(scene.sent().length, 0);
});

Deno.test("errors that quote nothing of ours are counted and change nothing", () => {
  const { scene, errors, original, socket } = sender(PEER4);
  const change = (at: number, value: number) => {
    const changed = original.slice();
    changed[at] = value;
    return changed;
  };
  const quotes: [string, Uint8Array][] = [
    ["another local port", change(21, 1)],
    ["another remote port", change(23, 1)],
    ["another remote address", change(19, 9)],
    ["another local address", change(15, 9)],
    ["another protocol", change(9, 6)],
    ["yet another protocol", change(9, 99)],
    ["a later fragment", change(7, 3)],
    ["a broken IHL", change(0, 0x44)],
    ["another version", change(0, 0x65)],
    ["too little", original.slice(0, 27)],
    ["no transport header", original.slice(0, 20)],
    ["nothing", new Uint8Array()],
  ];
  for (const [what, quote] of quotes) {
    scene.receive(FAMILIES.IPv4.wrap(3, 3, 0, quote, ROUTER4));
    scene.receive(FAMILIES.IPv4.wrap(3, 4, 600, quote, ROUTER4));
    assertEquals(errors, [], what);
    scene.assertDropped({ IcmpErrorUnmatched: 2 }, what);
  }
  assert(socket.send(scene.place(pattern(1300)), 1300));
  assertEquals(scene.sent().length, 1, "the path's MTU is what it was");
});

Deno.test("row 47: Too Big below 552 or 1,280, or for an unknown flow, is ignored", () => {
  for (const mtu of [1, 68, 551]) {
    const { scene, errors, original, socket } = sender(PEER4);
    scene.receive(FAMILIES.IPv4.wrap(3, 4, mtu, original.slice(0, 28), ROUTER4));
    assertEquals([errors, scene.takeDrops()], [[], { IcmpErrorUnmatched: 1 }]);
    assert(socket.send(scene.place(pattern(1300)), 1300));
    assertEquals(scene.sent().length, 1);
  }
  for (const mtu of [0, 68, 1279]) {
    const { scene, errors, original } = sender(PEER6);
    scene.receive(FAMILIES.IPv6.wrap(2, 0, mtu, original, ROUTER6));
    assertEquals([errors, scene.takeDrops()], [[], { IcmpErrorUnmatched: 1 }]);
  }
  const { scene } = sender(PEER4);
  const forged = udpPacket({ source: OWN4, destination: PEER4, sourcePort: 999 });
  scene.receive(FAMILIES.IPv4.wrap(3, 4, 700, forged, ROUTER4));
  assertEquals(scene.takeDrops(), { IcmpErrorUnmatched: 1 });
  assertEquals(scene.stack.output.pathMtus.count, 0);
});

Deno.test("Too Big narrows the path, to all sockets, for ten minutes", () => {
  for (
    const [peer, own, family, mtu] of [[PEER4, OWN4, "IPv4", 600], [
      PEER6,
      OWN6,
      "IPv6",
      1280,
    ]] as const
  ) {
    const { scene, errors, original, socket } = sender(peer);
    const [type, code] = family === "IPv4" ? [3, 4] : [2, 0];
    const router = family === "IPv4" ? ROUTER4 : ROUTER6;
    scene.receive(FAMILIES[family].wrap(type, code, mtu, original, router));
    assertEquals(errors, [[TooBig, mtu]]);
    const lengths = () => scene.sent().map((packet) => packet.length);
    const at = scene.place(pattern(1300));
    socket.send(at, 1300);
    const narrow = lengths();
    assert(narrow.length > 1 && narrow.every((length) => length <= mtu), narrow.join());
    const other = scene.stack.udp.bind(address(own), 777, { onDatagram: () => {} })!;
    other.sendTo(address(peer), 9, at, 1300);
    assertEquals(lengths(), narrow);
    // A wider one does not widen it, nor does it live longer by that.
    scene.receive(FAMILIES[family].wrap(type, code, mtu + 40, original, router));
    scene.advance(599_000);
    socket.send(at, 1300);
    assertEquals(lengths(), narrow);
    scene.advance(1000);
    socket.send(at, 1300);
    other.sendTo(address(peer), 9, at, 1300);
    assertEquals(lengths().length, 2, "both go out whole again");
    assertEquals(scene.stack.output.pathMtus.count, 0);
  }
});

Deno.test("an old router's Too Big without an MTU means the next usual one", () => {
  const { scene, errors, original } = sender(PEER4);
  scene.receive(FAMILIES.IPv4.wrap(3, 4, 0, original.slice(0, 28), ROUTER4));
  assertEquals(errors, [[TooBig, 1006]]);
});

Deno.test("a socket without a flow hears of errors about those only whom it has sent to", () => {
  const scene = new StackScene();
  const errors: number[] = [];
  const handler = {
    onDatagram: () => {},
    onError: (_: UdpSocket, kind: number) => errors.push(kind),
  };
  const socket = scene.stack.udp.bind(null, 4000, handler)!;
  const quote = (destination: string) =>
    udpPacket({ source: OWN4, destination, sourcePort: 4000, destinationPort: 53 });
  scene.receive(FAMILIES.IPv4.wrap(3, 3, 0, quote(PEER4)));
  assertEquals([errors.length, scene.takeDrops()], [0, { IcmpErrorUnmatched: 1 }]);
  socket.sendBytesTo(address(PEER4), 53, pattern(5));
  scene.receive(FAMILIES.IPv4.wrap(3, 3, 0, quote(PEER4)));
  assertEquals(errors, [IcmpErrorKind.PortUnreachable]);
  scene.receive(FAMILIES.IPv4.wrap(3, 3, 0, quote("10.0.0.3")));
  assertEquals(errors.length, 1);
});

// Errors that go out.

Deno.test("port unreachable quotes as much as 576 or 1,280 bytes allow", () => {
  for (const length of [0, 20, 400, 600, 1300]) {
    for (const [source, destination, most] of [[PEER4, OWN4, 576], [PEER6, OWN6, 1280]] as const) {
      const scene = new StackScene();
      const packet = udpPacket({ source, destination, payload: pattern(length) });
      scene.receive(packet);
      const { payload, headerBytes, tos, ttl } = scene.sentOne();
      assertEquals(payload.slice(8), packet.slice(0, most - headerBytes - 8));
      assertEquals([tos, ttl], [0, 64]);
      assertEquals(scene.takeDrops(), { PortUnreachable: 1 });
      assertEquals(scene.pool.usedBytes, 0);
    }
  }
});

Deno.test("errors are limited to 100 a second, after a burst, whoever they go to", () => {
  const scene = new StackScene();
  let sent = 0;
  const flood = (packets: number) => {
    const before = sent;
    for (let i = 0; i < packets; i++) {
      scene.receive(udpPacket({ source: `10.7.${i >> 8}.${i & 255 || 1}`, payload: pattern(9) }));
      sent += scene.sent().length;
    }
    return sent - before;
  };
  const burst = flood(1000);
  assert(burst >= 50 && burst < 70, `${burst} at once`);
  assertEquals(flood(100), 0);
  scene.advance(500);
  const half = flood(1000);
  assert(half >= 49 && half <= 66, `${half} after half a second`);
  const drops = scene.takeDrops();
  assertEquals(drops.PortUnreachable, 2100);
  assertEquals(drops.IcmpRateLimited, 2100 - sent);
});

Deno.test("how many errors are left tells nothing exact about those that others got", () => {
  const bursts = [1, 2, 3, 4, 5, 6].map((round) => {
    const scene = new StackScene();
    for (let i = 0; i < round; i++) {
      scene.advance(100_000);
      for (let j = 0; j < 100; j++) scene.receive(udpPacket({}));
      scene.sent();
    }
    scene.advance(100_000);
    for (let j = 0; j < 100; j++) scene.receive(udpPacket({}));
    return scene.sent().length;
  });
  assert(new Set(bursts).size > 1, bursts.join());
});

Deno.test("an error waits for no room: a full link drops it, counted", () => {
  const scene = new StackScene();
  for (let i = 0; i < 512; i++) scene.receive(FAMILIES.IPv4.wrap(8, 0, i, pattern(10)));
  scene.receive(udpPacket({}));
  assertEquals(scene.takeDrops(), { PortUnreachable: 1, LinkFull: 1 });
});

Deno.test("identifications of fragmented datagrams do not follow each other across peers", () => {
  const scene = new StackScene({ mtu: 600 });
  const socket = scene.stack.udp.bind(null, 9, { onDatagram: () => {} })!;
  const ids = (remote: string) => {
    socket.sendBytesTo(address(remote), 1, pattern(1000));
    return scene.sentParsed()[0].id;
  };
  const first = ids("10.0.0.7");
  assertEquals(ids("10.0.0.7"), (first + 1) & 0xffff);
  assertNotEquals(ids("10.0.0.8"), (first + 2) & 0xffff);
  assertEquals(ids("10.0.0.7"), (first + 2) & 0xffff);
});

Deno.test("udp of the test's builder is what the stack sends", () => {
  const scene = new StackScene();
  const socket = scene.stack.udp.bind(address(OWN4), 4000, { onDatagram: () => {} })!;
  socket.sendBytesTo(address(PEER4), 53, pattern(300));
  const expected = udp({
    source: OWN4,
    destination: PEER4,
    sourcePort: 4000,
    destinationPort: 53,
    payload: pattern(300),
  });
  assertEquals(scene.sentOne().payload, expected);
});
