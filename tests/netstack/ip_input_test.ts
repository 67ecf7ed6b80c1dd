import { assert, assertEquals } from "@std/assert";
import { buildPacket, pattern, transportOffset } from "../offload/packet_builder.ts";
import {
  address,
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
  type V4Fields,
  type V6Fields,
} from "./packets.ts";
import { type SceneOptions, StackScene } from "./stack_scene.ts";

/** A scene with a UDP socket on port 53 that remembers what it got. */
function listening(options: SceneOptions = {}): StackScene & { got: Uint8Array[] } {
  const scene = new StackScene(options);
  const got: Uint8Array[] = [];
  scene.stack.udp.bind(null, 53, {
    onDatagram: (_socket, { at, bytes }) => got.push(scene.slab.u8.slice(at, at + bytes)),
  });
  return Object.assign(scene, { got });
}

const PAYLOAD = pattern(40);
const V4 = udp({ payload: PAYLOAD });
const V6 = udp({ payload: PAYLOAD, source: PEER6, destination: OWN6 });

function assertDelivered(scene: StackScene & { got: Uint8Array[] }, message?: string): void {
  assertEquals(scene.got.splice(0), [PAYLOAD], message);
  assertEquals(scene.takeDrops(), {}, message);
  assertEquals(scene.sent().length, 0, message);
}

Deno.test("whole packets of both versions reach their socket, padding cut off", () => {
  const scene = listening();
  for (const packet of [ip4({}, V4), ip6({}, V6)]) {
    scene.receive(packet);
    assertDelivered(scene);
    scene.receive(new Uint8Array([...packet, 1, 2, 3, 4, 5]));
    assertDelivered(scene, "with padding");
  }
});

Deno.test("row 41: an IHL below 5, a length beyond the bytes, any truncation is dropped", () => {
  const scene = listening();
  for (let words = 0; words < 5; words++) {
    scene.receive(ip4({ headerWords: words }, V4));
    scene.assertDropped({ IpTruncated: 1 }, `IHL ${words}`);
  }
  scene.receive(ip4({ headerWords: 15 }, new Uint8Array(8)));
  scene.assertDropped({ IpTruncated: 1 }, "IHL beyond the packet");
  for (const totalBytes of [0, 19, 69, 65_535]) {
    scene.receive(ip4({ totalBytes }, V4));
    scene.assertDropped({ IpTruncated: 1 }, `total length ${totalBytes}`);
  }
  scene.receive(ip6({ payloadBytes: 49 }, V6));
  scene.assertDropped({ IpTruncated: 1 }, "IPv6 payload length");
  for (const packet of [ip4({}, V4), ip6({}, V6)]) {
    for (let bytes = 0; bytes < packet.length; bytes++) {
      scene.receive(packet.slice(0, bytes));
      scene.assertDropped({ IpTruncated: 1 }, `${bytes} of ${packet.length} bytes`);
    }
  }
  assertEquals(scene.got.length, 0);
});

Deno.test("an unknown IP version is dropped", () => {
  const scene = listening();
  for (const version of [0, 1, 5, 7, 15]) {
    const packet = ip4({}, V4);
    packet[0] = (version << 4) | 5;
    scene.receive(packet);
    scene.assertDropped({ IpVersionUnknown: 1 });
  }
});

Deno.test("a wrong IPv4 header checksum is dropped, unless it was verified before", () => {
  const scene = listening();
  const packet = ip4({}, V4);
  packet[10] ^= 1;
  scene.receive(packet);
  scene.assertDropped({ Ipv4ChecksumInvalid: 1 });
  scene.receive(packet, true);
  assertDelivered(scene);
});

Deno.test("IPv4 options are skipped, wherever they end", () => {
  const scene = listening();
  const fine = {
    "no-operations": [1, 1, 1, 1],
    "end of list": [0, 0, 0, 0],
    "end of list, then garbage": [1, 0, 255, 131],
    "router alert": [148, 4, 0, 0],
    "record route": [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    "timestamp": [68, 8, 5, 0, 0, 0, 0, 0],
    "unknown": [222, 3, 9, 1],
    "40 bytes": Array(40).fill(1),
  };
  for (const [name, options] of Object.entries(fine)) {
    scene.receive(ip4({ options }, V4));
    assertDelivered(scene, name);
  }
});

Deno.test("malformed IPv4 options are dropped and reported with the place of the fault", () => {
  const scene = listening();
  const broken: [number[], number][] = [
    [[7, 0, 0, 0], 21],
    [[7, 1, 0, 0], 21],
    [[7, 5, 0, 0], 21],
    [[1, 1, 1, 7], 23],
    [[1, 222, 4, 0], 22],
    [[148, 4, 0, 0, 68, 255, 0, 0], 25],
  ];
  for (const [options, pointer] of broken) {
    scene.receive(ip4({ options }, V4));
    const { protocol, payload } = scene.sentOne();
    assertEquals([protocol, payload[0], payload[1], payload[4]], [1, 12, 0, pointer]);
    assertEquals(scene.takeDrops(), { Ipv4OptionsRefused: 1 });
  }
  for (const kind of [131, 137]) {
    scene.receive(ip4({ options: [1, kind, 7, 4, 1, 2, 3, 4] }, V4));
    scene.assertDropped({ Ipv4OptionsRefused: 1 }, "source routes are refused silently");
  }
});

Deno.test("row 44: sources that are not one other host are dropped", () => {
  const scene = listening();
  const v4 = ["0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.1", "224.0.0.1", "239.1.1.1"];
  v4.push("240.0.0.1", "255.255.255.255", OWN4, "10.0.0.255");
  for (const source of v4) {
    scene.receive(ip4({ source }, udp({ source, payload: PAYLOAD })));
    scene.assertDropped({ IpSourceInvalid: 1 }, source);
  }
  const v6 = ["::", "::1", "ff02::1", "ff0e::9", OWN6, "::ffff:a00:2", "::a00:2"];
  for (const source of v6) {
    scene.receive(ip6({ source }, udp({ source, destination: OWN6, payload: PAYLOAD })));
    scene.assertDropped({ IpSourceInvalid: 1 }, source);
  }
  scene.stack.acceptsAny = true;
  scene.receive(ip4({ source: "127.0.0.1" }, V4));
  scene.assertDropped({ IpSourceInvalid: 1 }, "in forwarding mode as well");
});

Deno.test("what is for others is dropped silently, and nothing is answered to many", () => {
  const scene = listening();
  for (const destination of ["10.0.0.9", "10.0.0.255", "255.255.255.255", "224.0.0.1", "8.8.8.8"]) {
    scene.receive(ip4({ destination }, udp({ destination, destinationPort: 9 })));
    scene.assertDropped({ IpDestinationForeign: 1 }, destination);
    scene.receive(ip4({ destination, protocol: 1 }, icmp4(8, 0, 1, PAYLOAD)));
    scene.assertDropped({ IpDestinationForeign: 1 }, destination);
    const syn = { source: 2, flags: 2 };
    const packet = buildPacket(syn);
    packet.set(address(destination), 16);
    scene.receive(packet, true);
    scene.assertDropped({ IpDestinationForeign: 1 }, destination);
  }
  for (const destination of ["fd00::9", "ff02::1", "fe80::1", "2001:db8::1"]) {
    scene.receive(ip6({ destination, protocol: ICMPV6 }, icmp6(128, 0, 1, PAYLOAD)));
    scene.assertDropped({ IpDestinationForeign: 1 }, destination);
  }
});

Deno.test("addresses may come and go", () => {
  const scene = listening();
  const destination = "10.9.9.9";
  const packet = ip4({ destination }, udp({ destination, payload: PAYLOAD }));
  scene.stack.addAddress({ address: address(destination), bits: 32 });
  scene.receive(packet);
  assertDelivered(scene);
  assert(scene.stack.removeAddress(address(destination)));
  assert(!scene.stack.removeAddress(address(destination)));
  scene.receive(packet);
  scene.assertDropped({ IpDestinationForeign: 1 });
  scene.stack.setAddresses([{ address: address(destination), bits: 32 }]);
  scene.receive(packet);
  assertDelivered(scene);
  scene.receive(ip4({}, V4));
  scene.assertDropped({ IpDestinationForeign: 1 });
});

// IPv6 extension headers.

const options8 = (...bytes: number[]) => {
  const length = Math.ceil((2 + bytes.length) / 8) * 8;
  const header = [0, length / 8 - 1, ...bytes];
  const padding = length - header.length;
  if (padding === 1) header.push(0);
  if (padding > 1) header.push(1, padding - 2, ...Array(padding - 2).fill(0));
  return header;
};
const HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, AUTHENTICATION = 51, DESTINATION = 60;

Deno.test("IPv6 extension headers that ask for nothing are skipped", () => {
  const scene = listening();
  const fine: Record<string, [number, number[]][]> = {
    "hop-by-hop with padding": [[HOP_BY_HOP, options8()]],
    "router alert": [[HOP_BY_HOP, options8(5, 2, 0, 0)]],
    "an option to skip": [[DESTINATION, options8(0x1e, 3, 1, 2, 3)]],
    "destination options": [[DESTINATION, options8()]],
    "both": [[HOP_BY_HOP, options8()], [DESTINATION, options8(1, 10, ...Array(10).fill(0))]],
    "any order": [[DESTINATION, options8()], [ROUTING, [0, 0, 2, 0, 0, 0, 0, 0]]],
    "routing type 0 without segments left": [[ROUTING, [0, 0, 0, 0, 0, 0, 0, 0]]],
    "as many as are allowed": Array(8).fill([DESTINATION, options8()]),
  };
  for (const [name, extensions] of Object.entries(fine)) {
    scene.receive(ip6({ extensions }, V6));
    assertDelivered(scene, name);
  }
});

Deno.test("RFC 6946: an atomic fragment is a whole packet, beside fragments of the same ID", () => {
  const scene = listening();
  const id = [0, 0, 0, 9];
  scene.receive(ip6({ extensions: [[FRAGMENT, [0, 0, 0, 1, ...id]]] }, V6.slice(0, 16)));
  assertEquals(scene.takeDrops(), {});
  for (let i = 0; i < 3; i++) {
    scene.receive(ip6({ extensions: [[FRAGMENT, [0, 0, 0, 0, ...id]]] }, V6));
    assertDelivered(scene);
  }
  scene.receive(ip6({ extensions: [[FRAGMENT, [0, 0, 0, 16, ...id]]] }, V6.slice(16)));
  assertDelivered(scene, "the fragments are still put together");
});

/** A refused chain: its headers, and code and pointer of the answer, if there is one. */
const REFUSED_CHAINS: Record<string, [V6Fields, ...([number, number] | [])]> = {
  "row 43: routing type 0": [
    { extensions: [[ROUTING, [0, 2, 0, 1, ...Array(20).fill(0)]]] },
    0,
    42,
  ],
  "an unknown routing type": [{ extensions: [[ROUTING, [0, 0, 99, 1, 0, 0, 0, 0]]] }, 0, 42],
  "row 43: a jumbo payload": [
    { extensions: [[HOP_BY_HOP, [0, 0, 0xc2, 4, 0, 1, 0, 0]]] },
    2,
    42,
  ],
  "hop-by-hop not in front": [
    { extensions: [[DESTINATION, options8()], [HOP_BY_HOP, options8()]] },
    1,
    40,
  ],
  "hop-by-hop twice": [
    { extensions: [[HOP_BY_HOP, options8()], [HOP_BY_HOP, options8()]] },
    1,
    40,
  ],
  "an option to discard": [{ extensions: [[DESTINATION, options8(0x5e, 0)]] }],
  "an option to report": [{ extensions: [[DESTINATION, options8(1, 0, 0x9e, 0)]] }, 2, 44],
  "an option to report, but not to many": [
    { extensions: [[DESTINATION, options8(0xde, 0)]] },
    2,
    42,
  ],
  "an option longer than its header": [{ extensions: [[DESTINATION, [0, 0, 5, 5, 0, 0, 0, 0]]] }],
  "an option without length": [{ extensions: [[DESTINATION, [0, 0, 1, 3, 0, 0, 0, 5]]] }],
  "row 43: 100 headers": [{ extensions: Array(100).fill([DESTINATION, options8()]) }],
  "nine headers": [{ extensions: Array(9).fill([DESTINATION, options8()]) }],
  "2,046 one-byte options": [{ extensions: [[DESTINATION, [0, 255, ...Array(2046).fill(0)]]] }],
  "a header longer than the packet": [{ extensions: [[DESTINATION, [0, 9, 1, 4, 0, 0, 0, 0]]] }],
  "two fragment headers": [{
    extensions: [[FRAGMENT, [0, 0, 0, 1, 0, 0, 0, 1]], [FRAGMENT, [0, 0, 0, 1, 0, 0, 0, 2]]],
  }],
};

for (const [name, [fields, code, pointer]] of Object.entries(REFUSED_CHAINS)) {
  Deno.test(`an IPv6 packet is refused: ${name}`, () => {
    const scene = listening();
    scene.receive(ip6(fields, V6));
    const answers = scene.sentParsed();
    assertEquals(scene.takeDrops(), { Ipv6ExtensionsRefused: 1 });
    assertEquals(scene.got.length, 0);
    if (code === undefined) return assertEquals(answers.length, 0);
    const [{ protocol, payload, source, destination }] = answers;
    assertEquals([source, destination], [OWN6, PEER6]);
    const view = new DataView(payload.buffer);
    assertEquals([protocol, payload[0], payload[1], view.getUint32(4)], [ICMPV6, 4, code, pointer]);
  });
}

Deno.test("every truncation of a chain of headers is dropped", () => {
  const scene = listening();
  const extensions: [number, number[]][] = [[HOP_BY_HOP, options8()], [DESTINATION, options8()]];
  const whole = ip6({ extensions }, V6);
  for (let bytes = 40; bytes < whole.length; bytes++) {
    const cut = whole.slice(0, bytes);
    new DataView(cut.buffer).setUint16(4, bytes - 40);
    scene.receive(cut);
    const reason = bytes < 56 ? "Ipv6ExtensionsRefused" : "TransportTruncated";
    scene.assertDropped({ [reason]: 1 }, `${bytes} bytes`);
  }
});

/** What can be taken for an extension header with nothing behind it. */
const UNKNOWN = new Uint8Array([59, 0, ...Array(62).fill(7)]);

Deno.test("protocols that nobody speaks are answered with their name, and never crash", () => {
  for (let protocol = 0; protocol < 256; protocol++) {
    const scene = listening();
    const isSpoken4 = [1, TCP, UDP].includes(protocol);
    if (!isSpoken4) {
      scene.receive(ip4({ protocol }, pattern(64)));
      const answer = scene.sentOne();
      assertEquals([...answer.payload.subarray(0, 2)], [3, 2], `${protocol}`);
      assertEquals([answer.source, answer.destination], [OWN4, PEER4]);
      assertEquals(scene.takeDrops(), { ProtocolUnknown: 1 });
    }
    const isWalked = [HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION].includes(protocol);
    if (isWalked || [TCP, UDP, ICMPV6].includes(protocol)) continue;
    scene.receive(ip6({ protocol, extensions: [[DESTINATION, options8()]] }, UNKNOWN));
    assertEquals(scene.takeDrops(), { ProtocolUnknown: 1 });
    // "No next header" is not an error.
    if (protocol === 59) assertEquals(scene.sent().length, 0);
    else {
      const { payload } = scene.sentOne();
      assertEquals([payload[0], payload[1], payload[7]], [4, 1, 40], `${protocol}`);
    }
  }
});

Deno.test("an authentication header is an unknown protocol, as no security association exists", () => {
  const scene = listening();
  scene.receive(ip6({ protocol: AUTHENTICATION }, UNKNOWN));
  assertEquals([...scene.sentOne().payload.subarray(0, 2)], [4, 1]);
  assertEquals(scene.takeDrops(), { ProtocolUnknown: 1 });
});

// Forwarding mode.

Deno.test("row 45: TTL 1 to be forwarded gets one Time Exceeded, from our own address", () => {
  const scene = listening();
  scene.stack.acceptsAny = true;
  for (const [ip, own] of [[forward4, OWN4], [forward6, OWN6]] as const) {
    for (const ttl of [0, 1]) {
      const packet = ip(ttl);
      scene.receive(packet);
      const answer = scene.sentOne();
      assertEquals(answer.source, own);
      assertEquals(answer.payload[0], own === OWN4 ? 11 : 3);
      assertEquals(answer.payload[1], 0);
      assertEquals(answer.payload.slice(8), packet, "the packet is quoted");
      assertEquals(scene.takeDrops(), { HopLimitExceeded: 1 });
    }
    scene.receive(ip(2));
    assertEquals(scene.takeDrops(), { PortUnreachable: 1 });
    assertEquals(scene.sentOne().payload[0], own === OWN4 ? 3 : 1);
  }
});

const forward4 = (ttl: number) =>
  ip4({ destination: "192.168.7.7", ttl }, udp({ destination: "192.168.7.7", payload: PAYLOAD }));
const forward6 = (hopLimit: number) => {
  const destination = "2001:db8::7";
  const part = udp({ source: PEER6, destination, payload: PAYLOAD });
  return ip6({ destination, hopLimit }, part);
};

Deno.test("row 45: a flood of TTL 1 is answered within the limit, and the rest counted", () => {
  const scene = listening();
  scene.stack.acceptsAny = true;
  let answers = 0;
  for (let i = 0; i < 10_000; i++) {
    scene.receive(forward4(1));
    answers += scene.sent().length;
    scene.advance(0.1);
  }
  assert(answers >= 100 && answers <= 50 + 16 + 100, `${answers} answers in a second`);
  assertEquals(scene.takeDrops(), { HopLimitExceeded: 10_000, IcmpRateLimited: 10_000 - answers });
});

Deno.test("a packet for ourselves is taken with any TTL", () => {
  const scene = listening();
  scene.stack.acceptsAny = true;
  for (const ttl of [0, 1, 255]) {
    scene.receive(ip4({ ttl }, V4));
    assertDelivered(scene);
    scene.receive(ip6({ hopLimit: ttl }, V6));
    assertDelivered(scene);
  }
});

Deno.test("forwarding does not reach loopback, multicast, link-local or broadcast addresses", () => {
  const scene = listening();
  scene.stack.acceptsAny = true;
  const v4 = ["127.0.0.1", "0.0.0.0", "224.0.0.5", "255.255.255.255", "169.254.1.1", "10.0.0.255"];
  for (const destination of v4) {
    scene.receive(ip4({ destination }, V4));
    scene.assertDropped({ IpDestinationForeign: 1 }, destination);
  }
  for (const destination of ["::1", "::", "ff02::1", "fe80::1", "::ffff:7f00:1"]) {
    scene.receive(ip6({ destination }, V6));
    scene.assertDropped({ IpDestinationForeign: 1 }, destination);
  }
});

// Runs.

function udpRun(fields: V4Fields & V6Fields, version: 4 | 6): [Uint8Array[], number] {
  const [source, destination] = version === 4 ? [PEER4, OWN4] : [PEER6, OWN6];
  const packets = [100, 100, 60].map((length, i) =>
    udpPacket({ source, destination, payload: pattern(length, i + 1) }, fields)
  );
  return [packets, version === 4 ? 28 : 48];
}

Deno.test("a run of UDP datagrams is delivered one by one", () => {
  for (const version of [4, 6] as const) {
    const scene = listening();
    scene.receiveRun(...udpRun({}, version));
    assertEquals(scene.got, [pattern(100, 1), pattern(100, 2), pattern(60, 3)]);
    assertEquals(scene.takeDrops(), {});
  }
});

Deno.test("a run to a foreign or from an impossible address is dropped, each packet counted", () => {
  const scene = listening();
  const [packets, headerBytes] = udpRun({}, 4);
  packets[0].set(address("10.0.0.77"), 16);
  scene.receiveRun(packets, headerBytes);
  scene.assertDropped({ IpDestinationForeign: 3 });
  packets[0].set(address(OWN4), 16);
  packets[0].set(address("127.0.0.1"), 12);
  scene.receiveRun(packets, headerBytes);
  scene.assertDropped({ IpSourceInvalid: 3 });
});

Deno.test("an error about a run quotes its first packet as it was sent", () => {
  for (const version of [4, 6] as const) {
    const scene = new StackScene();
    const [packets, headerBytes] = udpRun({}, version);
    scene.receiveRun(packets, headerBytes);
    const { payload } = scene.sentOne();
    assertEquals([payload[0], payload[1]], version === 4 ? [3, 3] : [1, 4]);
    assertEquals(payload.slice(8), packets[0]);
    assertEquals(scene.takeDrops(), { PortUnreachable: 3 });
  }
});

Deno.test("TTL 1 on a run of TCP gets one Time Exceeded that quotes its first packet", () => {
  for (const version of [4, 6] as const) {
    const scene = new StackScene();
    scene.stack.acceptsAny = true;
    const fields = { version, ttl: 1, source: 2, tcpOptions: new Uint8Array([1, 1, 1, 1]) };
    const packets = [1300, 1300, 1300].map((length, i) =>
      buildPacket({ ...fields, sequence: 1000 + i * 1300, payload: pattern(length, i) })
    );
    scene.receiveRun(packets, transportOffset(fields) + 24);
    const { payload } = scene.sentOne();
    assertEquals(payload[0], version === 4 ? 11 : 3);
    const quoted = payload.slice(8);
    assertEquals(quoted, packets[0].slice(0, quoted.length));
    assertEquals(scene.takeDrops(), { HopLimitExceeded: 3 });
  }
});
