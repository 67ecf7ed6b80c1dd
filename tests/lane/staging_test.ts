import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { STAGED_PACKETS_MAX } from "../../src/lane/limits.ts";
import { STAGING_BYTES, StagingStore } from "../../src/lane/staging.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { PeerCommand } from "../../src/tables/peer_table.ts";
import { udpPacket4 } from "../sim/packets.ts";
import { inner, LaneFixture, OWN } from "./lane_fixture.ts";

const POOL_AT = 64;
const INPUT_AT = POOL_AT + STAGING_BYTES;
const OUTPUT_AT = INPUT_AT + 65_600;
/** Chunks of the pool, and what each holds: see the module. */
const CHUNKS = STAGING_BYTES / 2048, CHUNK_PAYLOAD = 2040;

function makeStore() {
  const slab = createSlab(OUTPUT_AT + 65_600);
  const store = new StagingStore(slab, POOL_AT);
  return {
    store,
    push(peer: number, bytes: Uint8Array): number {
      slab.u8.set(bytes, INPUT_AT);
      return store.push(peer, INPUT_AT, bytes.length);
    },
    shift(peer: number): Uint8Array | null {
      const bytes = store.shift(peer, OUTPUT_AT);
      return bytes < 0 ? null : slab.u8.slice(OUTPUT_AT, OUTPUT_AT + bytes);
    },
  };
}

Deno.test("packets of every size come back as they were, first in first out", () => {
  const { push, shift, store } = makeStore();
  const random = new SeededRandom(1);
  const sizes = [1, 10, 2039, 2040, 2041, 4080, 4081, 65_545];
  const packets = sizes.map((bytes) => random.fill(new Uint8Array(bytes)));
  for (const packet of packets) assertEquals(push(3, packet), 0);
  assertEquals(store.count(3), packets.length);
  for (const packet of packets) assertEquals(shift(3), packet);
  assertEquals([shift(3), store.count(3)], [null, 0]);
});

Deno.test("when a peer has 128 packets waiting the oldest goes", () => {
  const { push, shift, store } = makeStore();
  for (let i = 0; i < STAGED_PACKETS_MAX; i++) assertEquals(push(0, Uint8Array.of(i)), 0);
  for (let i = 0; i < 10; i++) assertEquals(push(0, Uint8Array.of(200 + i)), 1);
  assertEquals(push(1, Uint8Array.of(77)), 0, "another peer has its own queue");
  assertEquals(store.count(0), STAGED_PACKETS_MAX);
  assertEquals(shift(0), Uint8Array.of(10));
});

Deno.test("an empty pool costs the peer its own oldest packets, and never those of another", () => {
  const { push, shift, store } = makeStore();
  const perPacket = Math.ceil(65_000 / CHUNK_PAYLOAD);
  const big = new Uint8Array(65_000);
  let stored = 0;
  for (let peer = 0; stored + perPacket <= CHUNKS; peer = stored / perPacket >> 6) {
    assertEquals(push(peer, big), 0);
    stored += perPacket;
  }
  const before = [0, 1, 2, 3].map((peer) => store.count(peer));
  assertEquals(push(0, big), 1);
  assertEquals(push(9, big), 1, "who has nothing to give is refused");
  assertEquals([store.count(9), shift(9)], [0, null]);
  assertEquals([0, 1, 2, 3].map((peer) => store.count(peer)), before);
  assertEquals(store.clear(0), before[0]);
  assertEquals(push(9, big), 0);
  assertEquals(shift(9), big);
});

Deno.test("the store does what a list per peer would, in any order of calls", () => {
  for (let seed = 1; seed <= 6; seed++) {
    const random = new SeededRandom(seed);
    const { push, shift, store } = makeStore();
    const model = new Map<number, Uint8Array[]>();
    for (let i = 0; i < 4000; i++) {
      const peer = random.below(5);
      const list = model.get(peer) ?? [];
      model.set(peer, list);
      const what = random.below(10);
      if (what < 6) {
        const packet = random.fill(new Uint8Array(1 + random.below(6000)));
        list.push(packet);
        assertEquals(push(peer, packet), list.length > STAGED_PACKETS_MAX ? 1 : 0);
        if (list.length > STAGED_PACKETS_MAX) list.shift();
      } else if (what < 9 || i % 50 !== 0) {
        const expected = list.shift() ?? null;
        const got = shift(peer);
        assert(
          got?.length === expected?.length && (got?.every((b, at) => b === expected![at]) ?? true),
          `seed ${seed}, step ${i}`,
        );
      } else {
        assertEquals(store.clear(peer), list.length);
        list.length = 0;
      }
      assertEquals(store.count(peer), list.length, `seed ${seed}, step ${i}`);
    }
  }
});

function small(mark: number, peer = 0): Uint8Array {
  return udpPacket4(OWN, inner(peer), Uint8Array.of(mark));
}

function setUp(sealBatches = 8) {
  const fixture = new LaneFixture({ sealBatches });
  for (const peer of [0, 1]) fixture.addPeer(peer);
  return { fixture, udp: fixture.udp, tun: fixture.tun, commands: fixture.channels.commands };
}

Deno.test("what is staged leaves in order once main says that there is a session", () => {
  const { fixture, udp, tun, commands } = setUp();
  for (let i = 0; i < 20; i++) tun.fromHost.push(small(i));
  fixture.run();
  assertEquals(udp.attempts, 0);
  const keypair = fixture.addKeypair(0);
  commands.post(0, PeerCommand.SendStagedOrKeepalive);
  fixture.run();
  const marks = udp.messages.map((message) => fixture.decrypt(keypair, message)[28]);
  assertEquals(marks, Array.from({ length: 20 }, (_, i) => i));
});

Deno.test("a packet that is read before main says so does not overtake what is staged", () => {
  const { fixture, udp, tun, commands } = setUp();
  for (let i = 0; i < 6; i++) tun.fromHost.push(small(i));
  fixture.run();
  const keypair = fixture.addKeypair(0);
  for (let i = 6; i < 12; i++) tun.fromHost.push(small(i));
  fixture.run();
  commands.post(0, PeerCommand.SendStagedOrKeepalive);
  fixture.run();
  const plain = udp.messages.map((message) => fixture.decrypt(keypair, message))
    .filter(({ length }) => length > 0);
  assertEquals(plain.map((packet) => packet[28]), Array.from({ length: 12 }, (_, i) => i));
});

Deno.test("staged packets are routed when they leave: a prefix that has moved takes them along", () => {
  const { fixture, udp, tun, commands } = setUp();
  for (let i = 0; i < 6; i++) tun.fromHost.push(small(i));
  fixture.run();
  fixture.allow(1, inner(0), 32);
  fixture.addKeypair(0);
  const other = fixture.addKeypair(1);
  commands.post(0, PeerCommand.SendStaged);
  fixture.run();
  assertEquals(udp.messages.map((message) => fixture.decrypt(other, message)[28]), [
    ...Array(6).keys(),
  ]);
});

Deno.test("staged packets whose prefix has moved to a peer without session wait there", () => {
  const { fixture, udp, tun, commands } = setUp();
  for (let i = 0; i < 6; i++) tun.fromHost.push(small(i));
  fixture.run();
  fixture.allow(1, inner(0), 32);
  fixture.addKeypair(0);
  commands.post(0, PeerCommand.SendStaged);
  fixture.run();
  assertEquals(udp.messages.length, 0);
  const other = fixture.addKeypair(1);
  commands.post(1, PeerCommand.SendStaged);
  fixture.run();
  assertEquals(udp.messages.map((message) => fixture.decrypt(other, message)[28]), [
    ...Array(6).keys(),
  ]);
});

Deno.test("a full socket in the middle of a flush loses nothing and keeps the order", () => {
  const { fixture, udp, tun, commands } = setUp(2);
  for (let i = 0; i < 100; i++) tun.fromHost.push(small(i));
  fixture.run();
  const keypair = fixture.addKeypair(0);
  udp.answer = () => udp.attempts % 3 === 0 ? 0 : -11;
  commands.post(0, PeerCommand.SendStaged);
  for (let i = 100; i < 120; i++) tun.fromHost.push(small(i));
  for (let i = 0; i < 200; i++) fixture.run();
  const marks = udp.messages.map((message) => fixture.decrypt(keypair, message)[28]);
  assertEquals(marks, [...Array(120).keys()]);
});

Deno.test("what is dropped because no handshake came about is counted", () => {
  const { fixture, tun, commands } = setUp();
  for (let i = 0; i < STAGED_PACKETS_MAX + 7; i++) tun.fromHost.push(small(i));
  fixture.run();
  assertEquals(fixture.dropped(DropReason.StagedOverflow), 7);
  commands.post(0, PeerCommand.DropStaged);
  fixture.run();
  assertEquals(fixture.dropped(DropReason.NoKeypair), STAGED_PACKETS_MAX);
});
