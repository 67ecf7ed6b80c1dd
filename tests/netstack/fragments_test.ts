import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { SeededRandom } from "../../src/base/random.ts";
import { FRAGMENT_LIMITS } from "../../src/netstack/fragments.ts";
import { pattern } from "../offload/packet_builder.ts";
import { type PlainFragment, reassemble } from "../reference/ip_reassembly_reference.ts";
import {
  addressText,
  icmp4,
  ip4,
  ip6,
  OWN4,
  OWN6,
  PEER4,
  PEER6,
  UDP,
  udp,
  type V4Fields,
  type V6Fields,
} from "./packets.ts";
import { type SceneOptions, StackScene } from "./stack_scene.ts";

const FRAGMENT = 44;

/** Cuts data into pieces of `pieceBytes`. */
function cut(data: Uint8Array, pieceBytes: number): PlainFragment[] {
  const fragments: PlainFragment[] = [];
  for (let offset = 0; offset < data.length; offset += pieceBytes) {
    const piece = data.slice(offset, offset + pieceBytes);
    fragments.push({ offset, data: piece, hasMore: offset + piece.length < data.length });
  }
  return fragments;
}

/** A fragment as a packet. */
function packet(
  version: 4 | 6,
  { offset, data, hasMore }: PlainFragment,
  id = 7,
  ip: V4Fields & V6Fields = {},
): Uint8Array {
  if (version === 4) {
    return ip4({ ...ip, id, fragment: (hasMore ? 0x2000 : 0) | (offset / 8) }, data);
  }
  const field = offset | (hasMore ? 1 : 0);
  const header = [0, 0, field >> 8, field & 255, 0, 0, id >> 8, id & 255];
  return ip6({ ...ip, extensions: [...(ip.extensions ?? []), [FRAGMENT, header]] }, data);
}

function datagram(version: 4 | 6, payload: Uint8Array): Uint8Array {
  return version === 4 ? udp({ payload }) : udp({ payload, source: PEER6, destination: OWN6 });
}

/** A scene that remembers what UDP port 53 has got. */
function listening(options: SceneOptions = {}): StackScene & { got: Uint8Array[] } {
  const scene = new StackScene(options);
  const got: Uint8Array[] = [];
  scene.stack.udp.bind(null, 53, {
    onDatagram: (_socket, { at, bytes }) => got.push(scene.slab.u8.slice(at, at + bytes)),
  });
  return Object.assign(scene, { got });
}

/** Nothing is left in memory, neither of datagrams nor in the link. */
function assertEmpty(scene: StackScene): void {
  assertEquals(scene.link.numQueued, 0);
  assertEquals(scene.pool.usedBytes, 0);
  assertEquals(scene.stack.nextTimeoutMs(), Infinity);
}

for (const version of [4, 6] as const) {
  const name = (text: string) => `IPv${version} fragments: ${text}`;
  const [reassemblyType, code] = version === 4 ? [11, 1] : [3, 1];

  Deno.test(name("any order gives the datagram back, of any length"), () => {
    const scene = listening();
    const random = new SeededRandom(5722);
    for (const length of [100, 1000, 1472, 5000, 30_000, 65_507]) {
      const payload = pattern(length, length);
      const fragments = cut(datagram(version, payload), 1368);
      for (let round = 0; round < 4; round++) {
        const order = fragments.map((fragment) => [random.nextUint32(), fragment] as const)
          .sort(([a], [b]) => round === 0 ? 0 : a - b);
        for (const [, fragment] of order) scene.receive(packet(version, fragment));
        assertEquals(scene.got.splice(0), [payload], `${length} bytes, round ${round}`);
        assertEquals(scene.takeDrops(), {});
        assertEmpty(scene);
      }
    }
  });

  Deno.test(name("any order, with copies and overlaps, does what the naive twin does"), () => {
    const unit = fc.integer({ min: 0, max: 12 });
    const piece = fc.record({
      from: unit,
      units: fc.integer({ min: 1, max: 6 }),
      tail: fc.integer({ min: 1, max: 8 }),
      hasMore: fc.boolean(),
      isDamaged: fc.integer({ min: 0, max: 30 }),
    });
    fc.assert(fc.property(fc.array(piece, { maxLength: 12 }), unit, (pieces, seed) => {
      const scene = listening();
      const data = pattern(200, seed);
      const fragments = pieces.map(({ from: any, units, tail, hasMore, isDamaged }) => {
        // What begins at 0 and has no more is no fragment.
        const from = hasMore ? any : any + 1;
        const end = from * 8 + units * 8 - (hasMore ? 0 : 8 - tail);
        const bytes = data.slice(from * 8, end);
        if (isDamaged === 0) bytes[bytes.length - 1] ^= 1;
        return { offset: from * 8, data: bytes, hasMore };
      });
      const expected = reassemble(fragments);
      // Not UDP but an unknown protocol: the answer quotes what was put together.
      const ip = { protocol: 200 };
      fragments.forEach((fragment, i) => {
        scene.receive(packet(version, fragment, 7, ip));
        const drops = scene.takeDrops();
        const sent = scene.sent();
        const what = `fragment ${i}`;
        if (expected[i] === null) assertEquals([sent.length, drops], [0, {}], what);
        else if (expected[i] === "poisoned") {
          assertEquals([sent.length, Object.keys(drops)], [0, ["FragmentOverlap"]], what);
        } else {
          assertEquals(drops, { ProtocolUnknown: 1 }, what);
          const header = version === 4 ? 28 + 20 : 48 + 40;
          if (sent.length > 0) assertEquals(sent[0].slice(header), expected[i], what);
        }
      });
    }));
  });

  Deno.test(name("a cut datagram reassembles whatever is repeated and however it is mixed"), () => {
    const property = fc.property(
      fc.integer({ min: 1, max: 4000 }),
      fc.integer({ min: 1, max: 100 }),
      fc.array(fc.nat(), { minLength: 1, maxLength: 60 }),
      (length, units, picks) => {
        const scene = listening();
        const payload = pattern(length, length);
        const pieceBytes = Math.max(8 * units, Math.ceil(length / 40 / 8) * 8);
        const fragments = cut(datagram(version, payload), pieceBytes);
        if (fragments.length === 1) return;
        // Some in any order and more than once, but not all; then all that are missing.
        const seen = new Set<number>();
        for (const pick of picks) {
          const index = pick % fragments.length;
          if (seen.size === fragments.length - 1 && !seen.has(index)) continue;
          seen.add(index);
          scene.receive(packet(version, fragments[index]));
        }
        assertEquals(scene.got.length, 0);
        fragments.forEach((fragment, i) => {
          if (!seen.has(i)) scene.receive(packet(version, fragment));
        });
        assertEquals(scene.got, [payload]);
        assertEquals(scene.takeDrops(), {});
        assertEmpty(scene);
      },
    );
    fc.assert(property);
  });

  Deno.test(
    name("row 42: an overlap forgets the whole datagram, and what comes of it later"),
    () => {
      const scene = listening();
      const data = datagram(version, pattern(100));
      const [first, second, third] = cut(data, 40);
      scene.receive(packet(version, first));
      scene.receive(packet(version, { ...second, offset: 32 }));
      assertEquals(scene.takeDrops(), { FragmentOverlap: 2 });
      assertEquals(scene.pool.usedBytes, 0, "its memory is free at once");
      for (const fragment of [first, second, third]) scene.receive(packet(version, fragment));
      assertEquals(scene.takeDrops(), { FragmentOverlap: 3 });
      assertEquals(scene.got.length, 0);
      scene.advance(FRAGMENT_LIMITS.timeoutMs);
      assertEquals(scene.takeDrops(), {});
      for (const fragment of [first, second, third]) scene.receive(packet(version, fragment));
      assertEquals(scene.got, [pattern(100)], "later the ID may be used again");
      assertEquals(scene.sent().length, 0);
    },
  );

  Deno.test(name("other data in the same place is an overlap, the same data a copy"), () => {
    const scene = listening();
    const fragments = cut(datagram(version, pattern(100)), 40);
    scene.receive(packet(version, fragments[0]));
    scene.receive(packet(version, fragments[0]));
    assertEquals(scene.takeDrops(), {});
    const other = { ...fragments[0], data: fragments[0].data.map((byte) => byte ^ 1) };
    scene.receive(packet(version, other));
    assertEquals(scene.takeDrops(), { FragmentOverlap: 2 });
  });

  Deno.test(name("contradictions about the end forget the datagram"), () => {
    const data = pattern(96);
    const cases: [string, PlainFragment[]][] = [
      ["two ends", [
        { offset: 40, data: data.slice(40, 60), hasMore: false },
        { offset: 48, data: data.slice(48, 64), hasMore: false },
      ]],
      ["data behind the end", [
        { offset: 40, data: data.slice(40, 60), hasMore: false },
        { offset: 64, data: data.slice(64, 72), hasMore: true },
      ]],
      ["the end before data", [
        { offset: 64, data: data.slice(64, 72), hasMore: true },
        { offset: 40, data: data.slice(40, 60), hasMore: false },
      ]],
      ["more at the end", [
        { offset: 40, data: data.slice(40, 64), hasMore: false },
        { offset: 40, data: data.slice(40, 64), hasMore: true },
      ]],
    ];
    for (const [what, fragments] of cases) {
      const scene = listening();
      for (const fragment of fragments) scene.receive(packet(version, fragment));
      scene.assertDropped({ FragmentOverlap: 2 }, what);
      assertEquals(scene.pool.usedBytes, 0);
    }
  });

  Deno.test(name("lengths and places that cannot be are dropped"), () => {
    const scene = listening();
    const data = pattern(64);
    for (const offset of [0, 8]) {
      scene.receive(packet(version, { offset, data: data.slice(0, 15), hasMore: true }));
      assertEquals(scene.takeDrops(), { FragmentInvalid: 1 }, "not a multiple of 8");
      if (version === 6 && offset === 0) assertProblem(scene, 0, 4);
      assertEquals(scene.sent().length, 0, "nothing is sent about a later fragment");
    }
    const beyond = { offset: 65_528, data: data.slice(0, 16), hasMore: false };
    scene.receive(packet(version, beyond));
    scene.assertDropped({ FragmentInvalid: 1 }, "it ends behind 65,535");
    for (const hasMore of [true, false]) {
      scene.receive(packet(version, { offset: 8, data: new Uint8Array(), hasMore }));
      scene.assertDropped({ FragmentInvalid: 1 }, "an empty fragment");
    }
    assertEmpty(scene);
  });

  Deno.test(name("row 42: a first fragment without its transport header is dropped"), () => {
    const scene = listening();
    for (const [protocol, bytes] of [[6, 8], [6, 16]]) {
      const tiny = { offset: 0, data: pattern(bytes), hasMore: true };
      scene.receive(packet(version, tiny, 7, { protocol }));
      assertEquals(scene.takeDrops(), { FragmentInvalid: 1 });
      if (version === 6) assertProblem(scene, 3, 0);
    }
    assertEmpty(scene);
  });

  Deno.test(
    name("row 42: never finished, a datagram is forgotten after a minute, and told"),
    () => {
      const scene = listening();
      const [first, second] = cut(datagram(version, pattern(100)), 40);
      const sent = packet(version, first);
      scene.receive(packet(version, second));
      scene.advance(1000);
      scene.receive(sent);
      scene.advance(FRAGMENT_LIMITS.timeoutMs - 1001);
      assertEquals(scene.takeDrops(), {});
      scene.advance(1);
      assertEquals(scene.takeDrops(), { FragmentTimeout: 2 });
      const { payload, destination } = scene.sentOne();
      assertEquals([payload[0], payload[1]], [reassemblyType, code]);
      assertEquals(destination, version === 4 ? PEER4 : PEER6);
      assertEquals(payload.slice(8), sent, "the first fragment is quoted as it came");
      assertEmpty(scene);
    },
  );

  Deno.test(name("no error is sent when the first fragment never came"), () => {
    const scene = listening();
    const [, second] = cut(datagram(version, pattern(100)), 40);
    scene.receive(packet(version, second));
    scene.advance(FRAGMENT_LIMITS.timeoutMs);
    scene.assertDropped({ FragmentTimeout: 1 });
    assertEmpty(scene);
  });

  Deno.test(
    name("row 42: a flood of unfinished datagrams is bounded, per source and in all"),
    () => {
      const scene = listening();
      const source = (i: number) => version === 4 ? `10.1.${i >> 8}.${i & 255}` : `fd01::${i + 2}`;
      const fragment = { offset: 8000, data: pattern(1000), hasMore: true };
      for (let id = 0; id < 1000; id++) {
        scene.receive(packet(version, fragment, id, { source: source(1) }));
      }
      assertEquals(scene.takeDrops(), {
        FragmentQuota: 1000 - FRAGMENT_LIMITS.datagramsPerSourceMax,
      });
      for (let i = 2; i < 2000; i++) {
        scene.receive(packet(version, fragment, i & 1023, { source: source(i) }));
      }
      assertEquals(scene.takeDrops(), {
        FragmentQuota: 1998 + FRAGMENT_LIMITS.datagramsPerSourceMax - FRAGMENT_LIMITS.datagramsMax,
      });
      assert(scene.pool.usedBytes <= FRAGMENT_LIMITS.bytesMax, `${scene.pool.usedBytes} bytes`);
      // A datagram that is sent now gets through all the same.
      const payload = pattern(3000);
      for (const piece of cut(datagram(version, payload), 1200)) {
        scene.receive(packet(version, piece));
      }
      assertEquals(scene.got, [payload]);
      scene.advance(FRAGMENT_LIMITS.timeoutMs);
      assertEmpty(scene);
    },
  );

  Deno.test(name("row 42: memory is bounded when each fragment demands the most"), () => {
    const scene = listening();
    const far = { offset: 65_400, data: pattern(64), hasMore: true };
    for (let i = 0; i < 500; i++) {
      const source = version === 4 ? `10.1.0.${i & 63}` : `fd01::${(i & 63) + 2}`;
      scene.receive(packet(version, far, i, { source: source.replace(".0.0", ".0.64") }));
      assert(scene.pool.usedBytes <= FRAGMENT_LIMITS.bytesMax, `${scene.pool.usedBytes} bytes`);
    }
    scene.takeDrops();
    for (let i = 0; i < 500; i++) scene.receive(packet(version, far, i));
    const perSource = FRAGMENT_LIMITS.bytesPerSourceMax / (128 << 10);
    assertEquals(scene.takeDrops().FragmentQuota >= 500 - perSource, true);
    assert(scene.pool.usedBytes <= FRAGMENT_LIMITS.bytesMax);
  });

  Deno.test(name("row 42: 8,000 fragments of 8 bytes are too many for a datagram"), () => {
    const scene = listening();
    const data = pattern(64_000);
    for (const fragment of cut(data, 8).reverse()) scene.receive(packet(version, fragment));
    const drops = scene.takeDrops();
    assert(drops.FragmentQuota > 7900, JSON.stringify(drops));
    assertEquals(scene.got.length, 0);
  });

  Deno.test(name("without memory the datagram is dropped, and nothing is lost for ever"), () => {
    const scene = listening({ poolBytes: 64 << 10 });
    const payload = pattern(60_000);
    for (const fragment of cut(datagram(version, payload), 1368)) {
      scene.receive(packet(version, fragment));
    }
    assert(scene.takeDrops().NoBuffer > 0);
    scene.advance(FRAGMENT_LIMITS.timeoutMs);
    scene.sent();
    assertEmpty(scene);
  });

  Deno.test(name("different sources, IDs and destinations are kept apart"), () => {
    const scene = listening();
    const fragments = (i: number) => cut(datagram(version, pattern(300, i)), 104);
    const all = [1, 2, 3].map((id) =>
      fragments(id).map((fragment) => packet(version, fragment, id))
    );
    for (let i = 0; i < all[0].length; i++) for (const packets of all) scene.receive(packets[i]);
    assertEquals(scene.got, [1, 2, 3].map((i) => pattern(300, i)));
    assertEquals(scene.takeDrops(), {});
    assertEmpty(scene);
  });

  Deno.test(name("congestion marks are carried over, and impossible mixtures dropped"), () => {
    const scene = new StackScene();
    const seen: number[] = [];
    scene.stack.udp.bind(null, 53, { onDatagram: (_socket, { tos }) => seen.push(tos) });
    const [first, second] = cut(datagram(version, pattern(100)), 80);
    const send = (a: number, b: number) => {
      const fields = (ecn: number) => ({ tos: 0x28 | ecn, trafficClass: 0x28 | ecn });
      scene.receive(packet(version, first, 7, fields(a)));
      scene.receive(packet(version, second, 7, fields(b)));
      return seen.pop();
    };
    assertEquals(send(0, 0), 0x28);
    assertEquals(send(2, 2), 0x2a);
    assertEquals(send(1, 1), 0x29);
    assertEquals(send(2, 3), 0x2b);
    assertEquals(send(3, 2), 0x2b);
    assertEquals(scene.takeDrops(), {});
    assertEquals(send(0, 3), undefined);
    assertEquals(scene.takeDrops(), { FragmentInvalid: 2 });
    assertEmpty(scene);
  });
}

function assertProblem(scene: StackScene, code: number, pointer: number): void {
  const { payload } = scene.sentOne();
  const view = new DataView(payload.buffer);
  assertEquals([payload[0], payload[1], view.getUint32(4)], [4, code, pointer]);
}

Deno.test("IPv4 fragments of different protocols are different datagrams (RFC 6864)", () => {
  const scene = listening();
  const [a, b] = cut(udp({ payload: pattern(100) }), 80);
  const [c, d] = cut(icmp4(8, 0, 1, pattern(100)), 80);
  scene.receive(packet(4, a, 7, { protocol: UDP }));
  scene.receive(packet(4, c, 7, { protocol: 1 }));
  scene.receive(packet(4, b, 7, { protocol: UDP }));
  scene.receive(packet(4, d, 7, { protocol: 1 }));
  assertEquals(scene.got, [pattern(100)]);
  assertEquals(scene.sentOne().payload.slice(8), pattern(100));
});

Deno.test("IPv4 options of the first fragment survive, those of others do not count", () => {
  const scene = new StackScene();
  const data = pattern(100);
  const [a, b] = cut(data, 80);
  scene.receive(packet(4, b, 7, { protocol: 200, options: [1, 1, 1, 1] }));
  scene.receive(packet(4, a, 7, { protocol: 200, options: [148, 4, 0, 0] }));
  const quoted = scene.sentOne().payload.slice(8);
  assertEquals(quoted[0], 0x46);
  assertEquals([...quoted.slice(20, 24)], [148, 4, 0, 0]);
  assertEquals(quoted.slice(24), data);
});

Deno.test("IPv6 headers before and behind the fragment header take part in the whole", () => {
  const scene = listening();
  const options = [0, 0, 1, 4, 0, 0, 0, 0];
  const part = datagram(6, pattern(100));
  const behind = new Uint8Array([UDP, 0, 1, 4, 0, 0, 0, 0, ...part]);
  for (const fragment of cut(behind, 56)) {
    scene.receive(packet(6, fragment, 7, { protocol: 60, extensions: [[0, options]] }));
  }
  assertEquals(scene.got, [pattern(100)]);
  assertEquals(scene.takeDrops(), {});
  assertEmpty(scene);
});

Deno.test("RFC 7112: a first IPv6 fragment that ends within its header chain is refused", () => {
  const scene = listening();
  const behind = new Uint8Array([60, 0, 1, 4, 0, 0, 0, 0]);
  scene.receive(packet(6, { offset: 0, data: behind, hasMore: true }, 7, { protocol: 60 }));
  scene.assertDropped({ Ipv6ExtensionsRefused: 1 }, "it might be an ICMP error: no answer");
});

Deno.test("a fragment of a fragment is refused, in one packet or after reassembly", () => {
  const scene = listening();
  const inner = new Uint8Array([UDP, 0, 0, 1, 0, 0, 0, 9, ...datagram(6, pattern(100))]);
  for (const fragment of cut(inner, 56).reverse()) {
    scene.receive(packet(6, fragment, 7, { protocol: FRAGMENT }));
  }
  // The first one shows two fragment headers, so the rest waits in vain.
  scene.assertDropped({ Ipv6ExtensionsRefused: 1 });
  const behind = new Uint8Array([FRAGMENT, 0, 1, 4, 0, 0, 0, 0, ...inner]);
  const [first, ...later] = cut(behind, 64);
  scene.receive(packet(6, first, 8, { protocol: 60 }));
  for (const fragment of later) scene.receive(packet(6, fragment, 8, { protocol: 60 }));
  scene.assertDropped({ Ipv6ExtensionsRefused: 1 });
  assertEquals(scene.got.length, 0);
});

Deno.test("headers too long to be kept are refused", () => {
  const scene = listening();
  const options = [0, 39, ...Array(318).fill(0)];
  options.splice(2, 2, 1, 200);
  options.splice(204, 2, 1, 114);
  const fragment = { offset: 0, data: datagram(6, pattern(100)).slice(0, 80), hasMore: true };
  scene.receive(packet(6, fragment, 7, { extensions: [[0, options.slice(0, 320)]] }));
  assertEquals(scene.takeDrops(), { FragmentInvalid: 1 });
  assertEmpty(scene);
});

Deno.test("fragments to be forwarded are put together, and answered for first ones only", () => {
  const scene = new StackScene();
  scene.stack.acceptsAny = true;
  const flows: string[] = [];
  scene.stack.udp.forwarder = {
    onFlow(flow) {
      flows.push(addressText(flow.localAddress));
      return { onDatagram: (_socket, { bytes }) => flows.push(`${bytes}`) };
    },
  };
  const destination = "192.168.9.9";
  const fragments = cut(udp({ destination, payload: pattern(3000) }), 1200);
  for (const fragment of fragments) scene.receive(packet(4, fragment, 7, { destination }));
  assertEquals(flows, [destination, "3000"]);
  const answers = fragments.map((fragment) => {
    scene.receive(packet(4, fragment, 8, { destination, ttl: 1 }));
    return scene.sent().length;
  });
  assertEquals(answers, [1, 0, 0], "never about a later fragment");
  assertEquals(scene.takeDrops(), { HopLimitExceeded: 3 });
});

Deno.test("what the stack sends in fragments, another stack puts together", () => {
  for (const [own, peer] of [[OWN4, PEER4], [OWN6, PEER6]]) {
    const sender = new StackScene({ mtu: 1280 });
    const receiver = new StackScene();
    receiver.stack.setAddresses(sender.stack.addresses.map(({ address, bits }) => ({
      address: address.map((byte, i) => i === address.length - 1 ? 2 : byte),
      bits,
    })));
    const got: Uint8Array[] = [];
    receiver.stack.udp.bind(null, 53, {
      onDatagram: (_socket, { at, bytes }) => got.push(receiver.slab.u8.slice(at, at + bytes)),
    });
    const socket = sender.stack.udp.bind(null, 0, { onDatagram: () => {} })!;
    const remote = receiver.stack.addresses.find(({ address }) =>
      (address.length === 4) === (own === OWN4)
    )!.address;
    assertEquals(addressText(remote), peer);
    for (const length of [0, 1, 1000, 1232, 1252, 1253, 5000, 65_507]) {
      assert(socket.sendBytesTo(remote, 53, pattern(length, length)), `${length} bytes`);
      const packets = sender.sent();
      assert(packets.every((bytes) => bytes.length <= 1280));
      for (const bytes of packets) receiver.receive(bytes);
      assertEquals(got.splice(0), [pattern(length, length)], `${length} bytes`);
    }
    assertEmpty(sender);
    assertEmpty(receiver);
  }
});
