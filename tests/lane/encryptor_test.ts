import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type CryptoStage,
  InlineStage,
  serveBatch,
  WorkerStage,
} from "../../src/lane/encryptor.ts";
import { EncryptorState } from "../../src/lane/encryptor_state.ts";
import { Doorbell } from "../../src/memory/doorbell.ts";
import { TicketQueue } from "../../src/memory/ticket_queue.ts";
import { ipPart, tcpSuperPacket4, udpPacket4 } from "../sim/packets.ts";
import { concat, type FixtureOptions, inner, LaneFixture, OWN } from "./lane_fixture.ts";

/** A stage with one worker, which works when `serve` is called. */
function workerFixture(options: FixtureOptions = {}) {
  let serve = (): number => 0;
  let isSubmitted = false;
  const fixture: LaneFixture = new LaneFixture({
    ...options,
    encryptors: 1,
    makeStage: (encryptor, _slots, slab, plan): CryptoStage => {
      const lane = plan.lanes[0];
      const queue = new TicketQueue(slab, lane.ticketsAt, plan.batchSlots);
      const encryptorBell = new Doorbell(
        slab,
        lane.encryptors[0].bellAt,
        { signal: () => isSubmitted = true },
      );
      const laneBell = new Doorbell(slab, lane.bellAt, null);
      encryptorBell.willSleep();
      serve = () => {
        isSubmitted = false;
        let served = 0;
        while (serveBatch(encryptor, queue, laneBell) > 0) served++;
        encryptorBell.willSleep();
        return served;
      };
      return new WorkerStage(queue, [encryptorBell], [
        new EncryptorState(slab, lane.encryptors[0]),
      ]);
    },
  });
  return { fixture, serve: () => serve(), wasRung: () => isSubmitted };
}

/** Sends and receives a mixture; `pump` lets the stage work. */
function exchange(fixture: LaneFixture, pump: () => void): void {
  for (const peer of [0, 1]) fixture.addPeer(peer);
  const keypairs = [0, 1].map((peer) => fixture.addKeypair(peer));
  for (let i = 0; i < 30; i++) {
    const size = 100 + 37 * i;
    fixture.tun.fromHost.push(
      tcpSuperPacket4(OWN, inner(i % 2), new Uint8Array(size * (i % 9 + 1)).fill(i), size),
    );
    const run = Array.from(
      { length: 1 + i % 5 },
      (_, n) =>
        fixture.message(
          keypairs[i % 2],
          i * 5 + n,
          ipPart(udpPacket4(inner(i % 2), OWN, new Uint8Array(84).fill(n))),
        ),
    );
    if (i % 4 === 3) run[0][30] ^= 1;
    fixture.udp.arrivals.push({ bytes: concat(run), segmentBytes: run[0].length });
    if (i % 3 === 0) {
      fixture.run();
      pump();
    }
  }
  for (let i = 0; i < 100; i++) {
    fixture.run();
    pump();
  }
}

Deno.test("a stage beside the lane does exactly what the stage inside it does", () => {
  const inside = new LaneFixture();
  exchange(inside, () => {});
  const beside = workerFixture();
  exchange(beside.fixture, () => beside.serve());
  const all = inside.udp.messages;
  assert(all.length > 100);
  // How messages share sends may differ; each peer's messages may not.
  for (const index of [0, 1]) {
    const own = (fixture: LaneFixture) =>
      fixture.udp.messages.filter((message) => message[4] === index);
    assertEquals(own(beside.fixture), own(inside));
  }
  assertEquals(concat(beside.fixture.tun.toHost), concat(inside.tun.toHost));
});

Deno.test("the worker beside the lane is rung once until it sleeps again", () => {
  const { fixture, serve, wasRung } = workerFixture();
  fixture.addPeer(0);
  fixture.addKeypair(0);
  assert(!wasRung());
  fixture.tun.fromHost.push(udpPacket4(OWN, inner(0), Uint8Array.of(1)));
  fixture.run();
  assert(wasRung());
  assertEquals(serve(), 1);
  fixture.run();
  assertEquals(fixture.udp.messages.length, 1);
});

Deno.test("while every batch is in the stage the TUN and the sockets are left alone", () => {
  const { fixture, serve } = workerFixture({ sealBatches: 2, openBatches: 2 });
  fixture.addPeer(0);
  const keypair = fixture.addKeypair(0);
  for (let i = 0; i < 10; i++) {
    fixture.tun.fromHost.push(tcpSuperPacket4(OWN, inner(0), new Uint8Array(60_000), 1380));
    fixture.udp.arrivals.push({ bytes: fixture.message(keypair, i, new Uint8Array(0)) });
  }
  fixture.run();
  assertEquals(fixture.udp.arrivals.length, 8);
  const unread = fixture.tun.fromHost.length;
  assert(unread > 6);
  assertEquals(fixture.lane.deferred, fixture.lane.ready, "neither is a reason to wake up");
  for (let i = 0; i < 60; i++) {
    serve();
    fixture.run();
  }
  assertEquals([fixture.udp.arrivals.length, fixture.tun.fromHost.length], [0, 0]);
  assertEquals(fixture.udp.messages.length, 10 * 44);
  fixture.udp.messages.forEach((message) => fixture.decrypt(keypair, message));
});

/** Holds batches back until `open` is called. */
class HoldingStage implements CryptoStage {
  readonly #held: number[] = [];
  #isOpen = false;

  constructor(readonly inner: InlineStage) {}

  submit(batch: number): void {
    if (this.#isOpen) this.inner.submit(batch);
    else this.#held.push(batch);
  }

  open(): void {
    this.#isOpen = true;
    for (const batch of this.#held.splice(0)) this.inner.submit(batch);
  }

  close(): void {
    this.#isOpen = false;
  }

  takeCompleted(): number {
    return this.inner.takeCompleted();
  }

  hasCompleted(): boolean {
    return this.inner.hasCompleted();
  }

  forgetKeys(): void {}

  isStuck(): boolean {
    return false;
  }
}

function holdingFixture() {
  let stage: HoldingStage | undefined;
  const fixture = new LaneFixture({
    makeStage: (encryptor, slots) => stage = new HoldingStage(new InlineStage(encryptor, slots)),
  });
  fixture.addPeer(0);
  return { fixture, stage: stage!, keypair: fixture.addKeypair(0) };
}

for (const direction of ["sealed", "opened"] as const) {
  Deno.test(`a keypair is not given up while a batch under it waits to be ${direction}`, () => {
    const { fixture, stage, keypair } = holdingFixture();
    const { epochs } = fixture.tables;
    if (direction === "sealed") {
      fixture.tun.fromHost.push(udpPacket4(OWN, inner(0), Uint8Array.of(42)));
    } else {
      const packet = ipPart(udpPacket4(inner(0), OWN, Uint8Array.of(42)));
      fixture.udp.arrivals.push({ bytes: fixture.message(keypair, 0, packet) });
    }
    fixture.run();
    const epoch = fixture.retire(0, keypair);
    for (let i = 0; i < 5; i++) {
      fixture.run();
      epochs.advance();
      assert(!epochs.hasPassed(epoch), "the batch is still in the stage");
    }
    stage.open();
    fixture.run();
    fixture.run();
    assert(epochs.hasPassed(epoch));
    if (direction === "sealed") {
      assertEquals(fixture.decrypt(keypair, fixture.udp.messages[0])[28], 42);
    } else {
      assertEquals(fixture.tun.toHost.length, 1);
    }
  });
}

Deno.test("a keypair retired between its lookup and the submission is kept as well", () => {
  const { fixture, stage, keypair } = holdingFixture();
  let epoch = 0;
  // Main retires the keypair while the lane is in the middle of a turn: it has looked it up for the
  // packet before, and hands the batch to the stage at the end of the turn.
  const read = fixture.tun.read.bind(fixture.tun);
  fixture.tun.read = (at, capacity) => {
    if (fixture.tun.fromHost.length === 0 && epoch === 0) epoch = fixture.retire(0, keypair);
    return read(at, capacity);
  };
  fixture.tun.fromHost.push(udpPacket4(OWN, inner(0), Uint8Array.of(42)));
  fixture.run();
  assert(epoch !== 0);
  fixture.run();
  assert(!fixture.tables.epochs.hasPassed(epoch), "a batch under it is in the stage");
  stage.open();
  fixture.run();
  fixture.run();
  assert(fixture.tables.epochs.hasPassed(epoch));
  assertEquals(fixture.decrypt(keypair, fixture.udp.messages[0])[28], 42);
});

Deno.test("a stage that completes nothing is told from one that is merely busy", () => {
  const { fixture, stage } = holdingFixture();
  const { context } = fixture.lane;
  assert(!context.isStageStuck(), "empty");
  fixture.tun.fromHost.push(udpPacket4(OWN, inner(0), Uint8Array.of(1)));
  fixture.run();
  assert(!context.isStageStuck(), "the first look");
  assert(context.isStageStuck(), "nothing has moved since");
  stage.open();
  fixture.run();
  stage.close();
  fixture.tun.fromHost.push(udpPacket4(OWN, inner(0), Uint8Array.of(1)));
  fixture.run();
  assert(!context.isStageStuck(), "another batch than before");
});

Deno.test("before the end everything that was taken in goes out, and nothing more is taken in", () => {
  const { fixture, stage, keypair } = holdingFixture();
  fixture.tun.fromHost.push(tcpSuperPacket4(OWN, inner(0), new Uint8Array(60_000), 60));
  fixture.run();
  fixture.tun.fromHost.push(udpPacket4(OWN, inner(0), Uint8Array.of(1)));
  assert(!fixture.lane.finish(fixture.nowMs));
  stage.open();
  while (!fixture.lane.finish(fixture.nowMs));
  assertEquals(fixture.udp.messages.length, 1000);
  assertEquals(fixture.tun.fromHost.length, 1);
  fixture.decrypt(keypair, fixture.udp.messages[999]);
  const wrong = { ...keypair, sendKey: new Uint8Array(32) };
  for (const message of fixture.udp.messages) {
    assertThrows(() => fixture.decrypt(wrong, message), Error, "", "never under a key of zeros");
  }
});
