import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { LaneCounter } from "../../src/lane/counters.ts";
import { Handover, HANDOVER_BUFFERS, planHandover } from "../../src/lane/handover.ts";
import { Ready } from "../../src/lane/lane.ts";
import { Doorbell } from "../../src/memory/doorbell.ts";
import { createSlab, RegionAllocator } from "../../src/memory/slab.ts";
import { PeerCommand, PeerWord } from "../../src/tables/peer_table.ts";
import { NaiveHandover } from "../reference/handover_reference.ts";
import { ipPart, tcpSuperPacket4, udpPacket4 } from "../sim/packets.ts";
import { counterOf, endpoint4, inner, LaneFixture, OWN, type TestKeypair } from "./lane_fixture.ts";

/** Ends of `count` lanes over one slab, and how often each was woken. */
function makeEnds(count: number) {
  const regions = new RegionAllocator();
  const wakes: number[] = Array(count).fill(0);
  const lanes = wakes.map((_, lane) => ({
    plan: planHandover(regions, count)!,
    bellAt: regions.reserve(64),
    signal: { signal: () => wakes[lane]++ },
  }));
  const slab = createSlab(regions.byteLength);
  return { slab, wakes, lanes, ends: lanes.map((_, lane) => new Handover(slab, lanes, lane)) };
}

Deno.test("what lanes give to each other arrives whole and in order, as in plain queues", () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = new SeededRandom(seed);
  for (const count of [2, 3, 5]) {
    const { slab, ends } = makeEnds(count);
    const naive = new NaiveHandover(count, HANDOVER_BUFFERS);
    const holds: boolean[] = Array(count).fill(false);
    for (let step = 0; step < 20_000; step++) {
      const lane = random.below(count);
      const where = `seed ${seed}, ${count} lanes, step ${step}`;
      // Long runs of giving fill the rings, long runs of taking empty them.
      if (random.below(100) < 40 + 30 * Math.sign(Math.sin(step / 1500))) {
        assertEquals(ends[lane].hasRoom, naive.hasRoom(lane), where);
        const to = (lane + 1 + random.below(count - 1)) % count;
        if (!ends[lane].hasRoom) continue;
        const bytes = random.fill(new Uint8Array(1 + random.below(40)));
        slab.u8.set(bytes, ends[lane].readAt);
        ends[lane].pass(to, bytes.length);
        naive.give(lane, to, bytes);
      } else if (holds[lane]) {
        ends[lane].giveBack();
        naive.giveBack(lane);
        holds[lane] = false;
      } else {
        const expected = naive.take(lane);
        assertEquals(ends[lane].take(), expected !== null, where);
        if (expected === null) continue;
        const { takenAt, takenBytes } = ends[lane];
        assertEquals(slab.u8.slice(takenAt, takenAt + takenBytes), expected.bytes, where);
        holds[lane] = true;
      }
    }
  }
});

Deno.test("a lane that sleeps is woken by what it is given, one that is awake is not", () => {
  const { slab, wakes, lanes, ends } = makeEnds(3);
  const bell = new Doorbell(slab, lanes[1].bellAt, null);
  ends[0].pass(1, 10);
  assertEquals(wakes, [0, 0, 0]);
  bell.willSleep();
  assert(!ends[1].prepareSleep(), "it has something to do");
  assert(ends[1].take());
  ends[1].giveBack();
  assert(ends[1].prepareSleep());
  ends[2].pass(1, 10);
  ends[0].pass(1, 10);
  assertEquals(wakes, [0, 1, 0]);
});

Deno.test("a buffer that comes back wakes a lane only if that sleeps for want of one", () => {
  const { wakes, ends } = makeEnds(2);
  const pass = () => {
    while (ends[0].hasRoom) ends[0].pass(1, 1);
  };
  const giveOneBack = () => {
    assert(ends[1].take());
    ends[1].giveBack();
  };
  assert(ends[0].prepareSleep());
  ends[0].pass(1, 1);
  giveOneBack();
  assertEquals(wakes[0], 0, "it sleeps, but wants no buffer");
  pass();
  giveOneBack();
  assertEquals(wakes[0], 0, "it wants one, but is awake");
  assert(ends[0].hasRoom);
  pass();
  assert(ends[0].prepareSleep());
  giveOneBack();
  giveOneBack();
  assertEquals(wakes[0], 1);
  ends[0].beginTurn();
  assert(ends[0].hasRoom);
});

/** Peers 0 to 3 with sessions on two lanes: the even ones belong to lane 0. */
function setUp() {
  const fixture = new LaneFixture({ lanes: 2 });
  const keypairs: TestKeypair[] = [];
  for (const peer of [0, 1, 2, 3]) {
    fixture.addPeer(peer);
    keypairs.push(fixture.addKeypair(peer));
  }
  return { fixture, keypairs };
}

function packet(peer: number, mark: number, bytes = 100): Uint8Array {
  const payload = new Uint8Array(bytes);
  new DataView(payload.buffer).setUint32(0, mark);
  return udpPacket4(OWN, inner(peer), payload);
}

/** The marks of the packets that went to the peer of `keypair`, in the order of sending. */
function marksOf(fixture: LaneFixture, lane: number, keypair: TestKeypair): number[] {
  const to = keypair.remoteIndex;
  return fixture.udps[lane].messages
    .filter((message) => new DataView(message.buffer).getUint32(4, true) === to)
    .map((message) => {
      const plain = fixture.decrypt(keypair, message);
      return new DataView(plain.buffer, plain.byteOffset).getUint32(28);
    });
}

Deno.test("a packet leaves by the lane of its peer, whichever queue it came from", () => {
  const { fixture, keypairs } = setUp();
  for (const [queue, tun] of fixture.tuns.entries()) {
    for (const peer of [0, 1, 2, 3]) tun.fromHost.push(packet(peer, 10 * queue + peer));
  }
  fixture.runAll();
  for (const peer of [0, 1, 2, 3]) {
    const lane = peer % 2;
    assertEquals(marksOf(fixture, lane, keypairs[peer]).toSorted((a, b) => a - b), [
      peer,
      10 + peer,
    ]);
    assertEquals(marksOf(fixture, 1 - lane, keypairs[peer]), []);
  }
  const counted = fixture.lanes.map(({ channels: { counters } }) => [
    counters.value(LaneCounter.HandedOver),
    counters.value(LaneCounter.TakenOver),
    counters.value(LaneCounter.TunReadPackets),
  ]);
  assertEquals(counted, [[2, 2, 4], [2, 2, 4]]);
});

Deno.test("a flow keeps its order and its nonces on the way to another lane, however lanes are scheduled", () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = new SeededRandom(seed);
  const { fixture, keypairs } = setUp();
  let mark = 0;
  for (let round = 0; round < 60; round++) {
    for (let i = random.below(200); i > 0; i--) {
      fixture.tuns[0].fromHost.push(packet(1, mark++, 4 + random.below(1300)));
    }
    for (let i = random.below(3); i > 0; i--) {
      const lane = fixture.lanes[random.below(2)];
      lane.ready |= Ready.Tun;
      for (let turns = random.below(60); turns > 0; turns--) lane.turn(fixture.nowMs);
    }
  }
  fixture.runAll();
  const marks = marksOf(fixture, 1, keypairs[1]);
  assertEquals(marks, Array.from({ length: mark }, (_, i) => i), `seed ${seed}`);
  const counters = fixture.udps[1].messages.map(counterOf);
  assertEquals(counters, Array.from({ length: mark }, (_, i) => BigInt(i)));
});

Deno.test("a super-packet crosses whole and is cut where its peer is", () => {
  const { fixture, keypairs } = setUp();
  const payload = Uint8Array.from({ length: 40 * 1000 + 7 }, (_, i) => i * 7);
  fixture.tuns[0].fromHost.push(tcpSuperPacket4(OWN, inner(3), payload, 1000));
  fixture.runAll();
  const { messages } = fixture.udps[1];
  assertEquals(messages.length, 41);
  const parts = messages.map((message, i) => {
    const bytes = i === 40 ? 47 : 1040;
    return fixture.decrypt(keypairs[3], message).subarray(40, bytes);
  });
  assertEquals(Uint8Array.from(parts.flatMap((part) => [...part])), payload);
});

Deno.test("a lane stops reading its queue when the other one takes nothing, and loses nothing", () => {
  const { fixture, keypairs } = setUp();
  const [lane] = fixture.lanes;
  const count = 3 * HANDOVER_BUFFERS;
  for (let i = 0; i < count; i++) fixture.tuns[0].fromHost.push(packet(1, i));
  lane.ready |= Ready.Tun;
  while (lane.turn(fixture.nowMs));
  assertEquals(fixture.tuns[0].fromHost.length, count - HANDOVER_BUFFERS);
  assert(lane.prepareSleep(), "it sleeps instead of spinning");
  assertEquals(lane.deferred, Ready.Tun, "and its queue does not wake it");
  assertEquals(fixture.wakes[0], 0);
  fixture.lanes[1].turn(fixture.nowMs);
  assertEquals(fixture.wakes[0], 1, "but the first buffer that comes back does");
  assertEquals(lane.deferred, 0);
  fixture.runAll();
  assertEquals(marksOf(fixture, 1, keypairs[1]), Array.from({ length: count }, (_, i) => i));
});

Deno.test("a packet for a peer without a session is staged by the peer's lane", () => {
  const fixture = new LaneFixture({ lanes: 2 });
  fixture.addPeer(1);
  fixture.tuns[0].fromHost.push(packet(1, 5), packet(1, 6));
  fixture.runAll();
  assertEquals(fixture.lanes[1].channels.events.take(), 1, "it asks main for a handshake");
  assertEquals(fixture.lanes[0].channels.events.take(), -1);
  const keypair = fixture.addKeypair(1);
  fixture.lanes[1].channels.commands.post(1, PeerCommand.SendStagedOrKeepalive);
  fixture.runAll();
  assertEquals(marksOf(fixture, 1, keypair), [5, 6]);
});

Deno.test("a packet whose prefix goes to the peer of a third lane meanwhile is dropped and counted", () => {
  const fixture = new LaneFixture({ lanes: 3 });
  for (const peer of [1, 2]) fixture.addPeer(peer);
  const keypair = fixture.addKeypair(2);
  fixture.addKeypair(1);
  fixture.tuns[0].fromHost.push(packet(1, 1));
  fixture.lanes[0].ready |= Ready.Tun;
  while (fixture.lanes[0].turn(fixture.nowMs));
  fixture.allow(2, inner(1), 32);
  fixture.tuns[0].fromHost.push(packet(1, 2));
  fixture.runAll();
  assertEquals(fixture.dropped(DropReason.LaneChanged), 1);
  assertEquals(marksOf(fixture, 2, keypair), [2]);
});

Deno.test("a data message that came to the socket of another lane is opened by its own, once", () => {
  const { fixture, keypairs } = setUp();
  const from = endpoint4(77, true);
  const message = fixture.message(
    keypairs[1],
    0,
    ipPart(udpPacket4(inner(1), OWN, Uint8Array.of(9))),
  );
  fixture.udps[0].arrivals.push({ bytes: message, endpoint: from, tos: 3 });
  fixture.runAll();
  assertEquals([fixture.tuns[0].toHost.length, fixture.tuns[1].toHost.length], [0, 1]);
  assertEquals(fixture.endpointOf(1), from, "its endpoint is learnt");
  for (const udp of fixture.udps) udp.arrivals.push({ bytes: message });
  fixture.runAll();
  assertEquals(fixture.dropped(DropReason.Replayed), 2);
});

Deno.test("a run with messages for both lanes is divided between them", () => {
  const { fixture, keypairs } = setUp();
  const messages = [0, 1, 0, 3].map((peer, i) =>
    fixture.message(keypairs[peer], i, ipPart(udpPacket4(inner(peer), OWN, Uint8Array.of(i))))
  );
  const bytes = new Uint8Array(messages.reduce((sum, { length }) => sum + length, 0));
  messages.forEach((message, i) => bytes.set(message, i * messages[0].length));
  fixture.udps[1].arrivals.push({ bytes, segmentBytes: messages[0].length });
  fixture.runAll();
  const marks = fixture.tuns.map(({ toHost }) => toHost.map((packet) => packet.at(-1)));
  assertEquals(marks, [[0, 2], [1, 3]]);
});

Deno.test("what one peer sends to another is written to the queue of the lower lane, both ways", () => {
  const { fixture, keypairs } = setUp();
  const say = (from: number, to: number) => {
    const packet = ipPart(udpPacket4(inner(from), inner(to), Uint8Array.of(from)));
    const counter = fixture.tuns[0].toHost.length + fixture.tuns[1].toHost.length;
    const bytes = fixture.message(keypairs[from], counter, packet);
    fixture.udps[from % 2].arrivals.push({ bytes });
    fixture.runAll();
  };
  for (const [from, to] of [[0, 1], [1, 0], [3, 2], [2, 3]]) say(from, to);
  assertEquals(fixture.tuns.map(({ toHost }) => toHost.length), [4, 0]);
  for (const [from, to] of [[1, 3], [3, 1]]) say(from, to);
  assertEquals(fixture.tuns.map(({ toHost }) => toHost.length), [4, 2]);
  say(0, 2);
  assertEquals(fixture.tuns.map(({ toHost }) => toHost.length), [5, 2]);
});

Deno.test("a lane that ends lets go out what others have given to it", () => {
  const { fixture, keypairs } = setUp();
  const [first, second] = fixture.lanes;
  for (let i = 0; i < 20; i++) fixture.tuns[0].fromHost.push(packet(1, i));
  first.ready |= Ready.Tun;
  while (first.turn(fixture.nowMs));
  assert(second.finish(fixture.nowMs) || second.finish(fixture.nowMs));
  assertEquals(marksOf(fixture, 1, keypairs[1]).length, 20);
});

/** A super-packet of which lane 1, with its one batch, holds the rest: the socket takes nothing. */
function heldByLane1() {
  const fixture = new LaneFixture({ lanes: 2, sealBatches: 1 });
  for (const peer of [0, 1]) fixture.addPeer(peer);
  const keypair = fixture.addKeypair(1);
  fixture.udps[1].answer = () => -11;
  const payload = new Uint8Array(60_000);
  for (let i = 0; i < 2; i++) {
    fixture.tuns[0].fromHost.push(tcpSuperPacket4(OWN, inner(1), payload, 500));
  }
  fixture.runAll();
  return { fixture, keypair };
}

Deno.test("a packet in hand, of another lane's buffer, ends with the session it was routed to", () => {
  const { fixture, keypair } = heldByLane1();
  fixture.retire(1, keypair);
  fixture.tables.peers.setWord(1, PeerWord.InUse, 0);
  fixture.udps[1].answer = () => 0;
  fixture.runAll();
  assert(fixture.dropped(DropReason.NoKeypair) > 0);
  assert(fixture.lanes[0].deferred === 0);
});

Deno.test("a packet in hand ends when its destination becomes that of another lane's peer", () => {
  const { fixture } = heldByLane1();
  fixture.allow(0, inner(1), 32);
  fixture.udps[1].answer = () => 0;
  fixture.runAll();
  assert(fixture.dropped(DropReason.LaneChanged) > 0);
  assertEquals(fixture.dropped(DropReason.NoKeypair), 0);
  assert(fixture.lanes[0].deferred === 0);
});
