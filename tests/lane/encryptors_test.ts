/** Several encryptors of one lane: order, stalls, wake-ups, keys. */
import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { ipPart, tcpSuperPacket4, udpPacket4 } from "../sim/packets.ts";
import { concat, counterOf, inner, LaneFixture, OWN, receiverOf } from "./lane_fixture.ts";
import { VirtualEncryptors } from "./virtual_encryptors.ts";

const US_PER_BATCH = 30;
/** Segments of 1,300 bytes that fill a send, so that no two super-packets share one. */
const SEND_FULL = 45;

interface Options {
  readonly encryptors: number;
  readonly durationUs?: (worker: number) => number;
  readonly batches?: number;
}

/** A lane with two peers and encryptors in virtual time. */
function newLane({ encryptors, durationUs = () => US_PER_BATCH, batches = 16 }: Options) {
  let virtual: VirtualEncryptors | undefined;
  const fixture = new LaneFixture({
    encryptors,
    sealBatches: batches,
    openBatches: batches,
    makeStage: (encryptor, _slots, slab, plan) => {
      virtual = new VirtualEncryptors(encryptor, slab, plan, durationUs);
      return virtual.stage;
    },
  });
  for (const peer of [0, 1]) fixture.addPeer(peer);
  const keypairs = [0, 1].map((peer) => fixture.addKeypair(peer));
  return { fixture, virtual: virtual!, keypairs };
}

type TestLane = Pick<ReturnType<typeof newLane>, "fixture" | "keypairs">;

/** One piece of traffic: a super-packet out and a run of messages in, for one of the peers. */
function offer({ fixture, keypairs }: TestLane, round: number, size: number, segments = 5): void {
  const peer = round % 2;
  fixture.tun.fromHost.push(
    tcpSuperPacket4(OWN, inner(peer), new Uint8Array(size * segments).fill(round), size),
  );
  const run = Array.from({ length: 4 }, (_, i) => {
    const packet = udpPacket4(inner(peer), OWN, new Uint8Array(84).fill(round + i));
    return fixture.message(keypairs[peer], round * 4 + i, ipPart(packet));
  });
  fixture.udp.arrivals.push({ bytes: concat(run), segmentBytes: run[0].length });
}

function assertInOrder({ fixture, keypairs }: TestLane): void {
  for (const keypair of keypairs) {
    const own = fixture.udp.messages.filter((message) =>
      receiverOf(message) === keypair.remoteIndex
    );
    own.forEach((message, i) => {
      assertEquals(Number(counterOf(message)), i, "in the order of the nonces, none left out");
      fixture.decrypt(keypair, message);
    });
  }
}

for (let seed = 1; seed <= 6; seed++) {
  const count = 2 + seed % 3;
  Deno.test(`${count} encryptors of any speed change nothing but the time (seed ${seed})`, () => {
    const random = new SeededRandom(seed);
    const lane = newLane({
      encryptors: count,
      // Unequal ones, and now and then one that is away for 100 ms, as for a garbage collection.
      durationUs: (i) => random.below(40) === 0 ? 100_000 : 1 + random.below(20 * (i + 1)),
    });
    const inside = newInside();
    for (let round = 0; round < 120; round++) {
      const size = 40 + random.below(600);
      for (const each of [lane, inside]) offer(each, round, size);
      lane.fixture.run();
      inside.fixture.run();
      lane.virtual.run(random.below(60));
    }
    for (let i = 0; i < 100 && !lane.fixture.lane.context.isStageEmpty; i++) {
      lane.virtual.run(100_000);
      lane.fixture.run();
    }
    assert(lane.fixture.lane.context.isStageEmpty);
    assertInOrder(lane);
    assertEquals(lane.fixture.udp.messages.length, inside.fixture.udp.messages.length);
    // Items may be cut differently; their bytes and order may not.
    const delivered = ({ fixture }: TestLane) => concat(fixture.tun.toHost);
    assertEquals(delivered(lane), delivered(inside));
    assertEquals(lane.fixture.dropped(DropReason.Replayed), 0);
    assert(
      lane.virtual.workers.every(({ state }) => state.batches > 10),
      "all of them have worked",
    );
  });
}

/** The same lane with the stage inside. */
function newInside(): TestLane {
  const fixture = new LaneFixture();
  for (const peer of [0, 1]) fixture.addPeer(peer);
  return { fixture, keypairs: [0, 1].map((peer) => fixture.addKeypair(peer)) };
}

Deno.test("an encryptor that stalls stops intake when all batches are behind it, and loses nothing", () => {
  let isStalled = true;
  const lane = newLane({
    encryptors: 3,
    batches: 4,
    durationUs: (i) => i === 0 && isStalled ? 100_000 : US_PER_BATCH,
  });
  const { fixture, virtual } = lane;
  for (let round = 0; round < 40; round++) offer(lane, round, 1300, SEND_FULL);
  for (let i = 0; i < 100; i++) {
    fixture.run();
    virtual.run(500);
  }
  assertEquals(fixture.udp.messages.length, 0, "what is done waits for what was before it");
  assertEquals(virtual.held, 1, "the others have done all that there was");
  const left = [fixture.tun.fromHost.length, fixture.udp.arrivals.length];
  assert(left.every((count) => count > 30), `${left} are left where they were`);
  assertEquals(fixture.lane.deferred, fixture.lane.ready, "and are no reason to wake up");
  isStalled = false;
  for (let i = 0; i < 1000; i++) {
    virtual.run(500);
    fixture.run();
  }
  assertEquals(fixture.udp.messages.length, 40 * SEND_FULL);
  assertInOrder(lane);
  assertEquals([fixture.tun.fromHost.length, fixture.udp.arrivals.length], [0, 0]);
  assertEquals(fixture.dropped(DropReason.Replayed), 0);
});

Deno.test("a stall of 100 ms at full speed reorders and drops nothing: the window never sees it", () => {
  let stalls = 0;
  const lane = newLane({
    encryptors: 3,
    durationUs: () => ++stalls % 20 === 0 ? 100_000 : US_PER_BATCH,
  });
  const { fixture, virtual } = lane;
  for (let round = 0; round < 100; round++) {
    offer(lane, round, 1300, SEND_FULL);
    fixture.run();
    virtual.run(20);
  }
  for (let i = 0; i < 200; i++) {
    virtual.run(100_000);
    fixture.run();
  }
  assert(stalls > 100);
  assertEquals(fixture.udp.messages.length, 100 * SEND_FULL);
  assertInOrder(lane);
  assertEquals(fixture.dropped(DropReason.Replayed), 0);
});

Deno.test("one that hangs is told to the watchdog, whatever the others have done since", () => {
  const lane = newLane({ encryptors: 3, durationUs: (i) => i === 0 ? Infinity : US_PER_BATCH });
  const { fixture, virtual } = lane;
  for (let round = 0; round < 6; round++) {
    offer(lane, round, 1000);
    fixture.run();
    virtual.run(500);
  }
  const { context } = fixture.lane;
  assert(!context.isStageStuck(), "the first look");
  offer(lane, 6, 1000);
  fixture.run();
  virtual.run(500);
  assert(context.isStageStuck(), "work is done, but none in its turn");
});

Deno.test("one that hangs with nothing in its hands is told to the watchdog as well", () => {
  const lane = newLane({ encryptors: 3 });
  const { fixture, virtual } = lane;
  const { context } = fixture.lane;
  const work = (round: number) => {
    offer(lane, round, 1000);
    fixture.run();
    virtual.run(500);
    fixture.run();
  };
  work(0);
  for (let i = 0; i < 3; i++) assert(!context.isStageStuck(), "all sleep");
  offer(lane, 1, 1000);
  fixture.run();
  virtual.workers[0].hasHung = true;
  virtual.run(500);
  for (let round = 2; round < 5; round++) {
    const isStuck = context.isStageStuck();
    assert(round === 2 || isStuck, "it is awake and does nothing, the others work");
    work(round);
  }
  assert(fixture.udp.messages.length > 5);
});

Deno.test("one that is woken for what others have taken does not hang", () => {
  const { fixture, virtual } = newLane({ encryptors: 2 });
  for (let look = 0; look < 5; look++) {
    virtual.workers[1].bell.ring();
    assert(
      !fixture.lane.context.isStageStuck(),
      `it is awake at look ${look}, and was asleep before`,
    );
    virtual.run(500);
    assert(virtual.workers[1].isAsleep);
  }
  assertEquals(virtual.workers[1].state.batches, 0);
});

Deno.test("encryptors are woken one by one, as far as there is work for them", () => {
  const { fixture, virtual } = newLane({ encryptors: 3 });
  const send = () => {
    fixture.tun.fromHost.push(udpPacket4(OWN, inner(0), new Uint8Array(20)));
    fixture.run();
  };
  for (let i = 0; i < 5; i++) {
    send();
    virtual.run(1000);
    fixture.run();
  }
  assertEquals([virtual.wakeUps, virtual.laneWakeUps], [5, 5], "one each time");
  assertEquals(virtual.workers.map(({ state }) => state.batches), [5, 0, 0]);
  for (let i = 0; i < 6; i++) send();
  assertEquals(virtual.wakeUps, 5 + 3, "a backlog wakes them all");
  virtual.run(1000);
  fixture.run();
  assertEquals(fixture.udp.messages.length, 11);
  assert(virtual.workers.every(({ state }) => state.batches > 0));
  assert(virtual.laneWakeUps < 11, "the lane is not woken for batches that wait for others");
});

Deno.test("all encryptors are woken to forget wiped keys", () => {
  const { fixture, virtual } = newLane({ encryptors: 3 });
  fixture.lane.context.stage.forgetKeys();
  assertEquals(virtual.wakeUps, 3);
});
