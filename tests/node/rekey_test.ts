import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import { DelayedStage, Flow, hostPrefix, lossyFate } from "../sim/flows.ts";
import { SimNetwork, type SimNode, type SimNodeOptions } from "../sim/node_pair.ts";

const A = 0x0a640001, B = 0x0a640002;
const HOUR_S = 3600;

function makePair(seed: number, options: SimNodeOptions = {}) {
  const net = new SimNetwork(seed);
  const a = net.add(options), b = net.add(options);
  net.connect(a, b, { ofA: [hostPrefix(A)], ofB: [hostPrefix(B)] });
  const there = new Flow(a, A, B), back = new Flow(b, B, A);
  return { net, a, b, there, back };
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

function initiations(net: SimNetwork): number {
  return net.log.filter(({ bytes }) => bytes[0] === 1).length;
}

function assertNoDrops(...nodes: SimNode[]): void {
  for (const { node } of nodes) {
    for (const reason of Object.values(DropReason)) {
      assertEquals(node.lane.channels.counters.dropped(reason), 0, `drop reason ${reason}`);
    }
  }
}

Deno.test("two hours of traffic both ways: many rekeys, every packet once and in order", () => {
  const { net, a, b, there, back } = makePair(1);
  for (let second = 0; second < 2 * HOUR_S; second++) {
    there.send();
    back.send();
    net.runFor(1000);
  }
  assertEquals(there.arrivedAt(b), range(2 * HOUR_S));
  assertEquals(back.arrivedAt(a), range(2 * HOUR_S));
  assertNoDrops(a, b);
  const count = initiations(net);
  assert(count >= 58 && count <= 62, `${count} handshakes: one each 120 s`);
});

Deno.test("one-way traffic of an hour: keepalives answer it, every packet once and in order", () => {
  const { net, a, b, there } = makePair(2);
  for (let second = 0; second < HOUR_S; second++) {
    there.send();
    net.runFor(1000);
  }
  assertEquals(there.arrivedAt(b), range(HOUR_S));
  assertNoDrops(a, b);
});

Deno.test("traffic of the responder alone outlives the initiator's silence", () => {
  const { net, a, b, there, back } = makePair(3);
  there.send();
  net.runFor(1000);
  for (let second = 0; second < HOUR_S; second++) {
    back.send();
    net.runFor(1000);
  }
  assertEquals(back.arrivedAt(a), range(HOUR_S));
  assertNoDrops(a, b);
});

Deno.test("packets after an idle hour wait for the handshake and arrive in order", () => {
  const { net, a, b, there, back } = makePair(4);
  for (let hour = 0; hour < 4; hour++) {
    there.send(5);
    back.send(5);
    net.runFor(HOUR_S * 1000);
  }
  assertEquals(there.arrivedAt(b), range(20));
  assertEquals(back.arrivedAt(a), range(20));
});

for (const seed of [1, 2, 3]) {
  Deno.test(`loss, repetition and reordering: nothing arrives twice (seed ${seed})`, () => {
    const { net, a, b, there, back } = makePair(seed);
    net.fate = lossyFate(seed, { lost: 0.05, repeated: 0.05, delayed: 0.1 });
    const seconds = 1200;
    for (let second = 0; second < seconds; second++) {
      there.send(2);
      back.send(1);
      net.runFor(1000);
    }
    for (const [flow, node] of [[there, b], [back, a]] as const) {
      const arrived = flow.arrivedAt(node);
      assertEquals(new Set(arrived).size, arrived.length, "none twice");
      const share = arrived.length / flow.sent;
      assert(share > 0.88, `${share} of the packets arrived`);
    }
  });
}

Deno.test("a stage that takes 100 ms loses nothing, and no session is renewed for it", () => {
  const net = new SimNetwork(6);
  const options = {
    wrapStage: (stage: ConstructorParameters<typeof DelayedStage>[0]) =>
      new DelayedStage(stage, () => net.clock.nowMs(), 100),
  };
  const a = net.add(options), b = net.add(options);
  net.connect(a, b, { ofA: [hostPrefix(A)], ofB: [hostPrefix(B)] });
  const there = new Flow(a, A, B), back = new Flow(b, B, A);
  there.send();
  net.runFor(1000);
  for (let step = 0; step < 6000; step++) {
    there.send(step % 3);
    back.send(step % 2);
    net.runFor(50);
  }
  for (let i = 0; i < 10; i++) net.runFor(100);
  assertEquals(there.arrivedAt(b), range(there.sent));
  assertEquals(back.arrivedAt(a), range(back.sent));
  assertEquals(initiations(net), 3, "in five minutes: the first one, and one each 120 s");
  assertNoDrops(a, b);
});

Deno.test("a stage that stops for 10 s in the middle of a rekey only delays", () => {
  const net = new SimNetwork(7);
  let isStopped = false;
  const options = {
    wrapStage: (stage: ConstructorParameters<typeof DelayedStage>[0]) =>
      new DelayedStage(stage, () => isStopped ? -Infinity : net.clock.nowMs(), 0),
  };
  const a = net.add(options), b = net.add();
  net.connect(a, b, { ofA: [hostPrefix(A)], ofB: [hostPrefix(B)] });
  const there = new Flow(a, A, B);
  for (let second = 0; second < 400; second++) {
    isStopped = second >= 115 && second < 125;
    if (second % 2 === 0) there.send();
    net.runFor(1000);
  }
  assertEquals(there.arrivedAt(b), range(there.sent));
  assertNoDrops(a, b);
});
