import { assert, assertEquals } from "@std/assert";
import { Epoll, EPOLLIN } from "../../ffi/epoll.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import { WorkerStage } from "../../src/lane/encryptor.ts";
import { EncryptorState } from "../../src/lane/encryptor_state.ts";
import { LaneWord } from "../../src/lane/shared_state.ts";
import { Doorbell } from "../../src/memory/doorbell.ts";
import { TicketQueue } from "../../src/memory/ticket_queue.ts";
import type { EncryptorStart, WorkerMessage } from "../../src/worker/messages.ts";
import { planRehearsals } from "../../src/worker/rehearsal_plan.ts";
import { spawnWorker } from "../../src/worker/spawn.ts";
import { ipPart, tcpSuperPacket4, udpPacket4 } from "../sim/packets.ts";
import { concat, counterOf, inner, LaneFixture, OWN } from "../lane/lane_fixture.ts";

/** Room for the tables of the lane's rehearsal, in which nothing happens here. */
const REHEARSAL_BYTES = 4 << 20;
/** Far longer than any batch takes: a wait that lasts so long has missed its wake-up. */
const LOST_WAKE_UP_MS = 5000;

/** A lane in this thread whose encryptors run in workers, as the program starts them. */
async function startLane(encryptors: number) {
  const laneSignal = new EventFd();
  const signals = Array.from({ length: encryptors }, () => new EventFd());
  const fixture = new LaneFixture({
    encryptors,
    moreBytes: REHEARSAL_BYTES,
    makeStage: (_encryptor, _slots, slab, plan) => {
      const lane = plan.lanes[0];
      return new WorkerStage(
        new TicketQueue(slab, lane.ticketsAt, plan.batchSlots),
        lane.encryptors.map(({ bellAt }, i) => new Doorbell(slab, bellAt, signals[i])),
        lane.encryptors.map((plan) => new EncryptorState(slab, plan)),
      );
    },
  });
  const workers = await Promise.all(signals.map(async ({ fd }, encryptor) => {
    const running = Promise.withResolvers<void>();
    const worker = spawnWorker(`encryptor${encryptor}`, {
      onMessage: (message: WorkerMessage) => {
        if (message.type === "running") running.resolve();
      },
      onError: (message) => running.reject(new Error(message)),
    });
    const start: EncryptorStart = {
      role: "encryptor",
      lane: 0,
      encryptor,
      memory: fixture.slab.memory,
      plan: fixture.plan,
      rehearsal: planRehearsals(fixture.plan)[0],
      laneBellFd: laneSignal.fd,
      encryptorBellFd: fd,
      fault: "",
    };
    worker.postMessage(start);
    await running.promise;
    return worker;
  }));
  const states = fixture.plan.lanes[0].encryptors
    .map((plan) => new EncryptorState(fixture.slab, plan));
  const epoll = new Epoll();
  epoll.add(laneSignal.fd, EPOLLIN, 0);
  const bell = new Doorbell(fixture.slab, fixture.plan.lanes[0].bellAt, laneSignal);

  /** Runs the lane as its worker does, until the stage is empty and nothing is left to read. */
  const settle = () => {
    const { lane } = fixture;
    for (;;) {
      fixture.run();
      if (lane.context.isStageEmpty && fixture.tun.fromHost.length === 0) return;
      bell.willSleep();
      if (lane.prepareSleep()) {
        assert(epoll.wait(LOST_WAKE_UP_MS) > 0, "the lane was not woken");
        laneSignal.drain();
      }
      bell.isAwake();
    }
  };
  const stop = () => {
    for (const worker of workers) worker.terminate();
    // They sit in epoll_wait, where only an event reaches them.
    for (const signal of signals) signal.signal();
    epoll.close();
  };
  return { fixture, states, settle, stop };
}

for (const encryptors of [1, 3]) {
  threadTest(`a lane and ${encryptors} encryptors in threads never miss a wake-up`, async () => {
    const { fixture, states, settle, stop } = await startLane(encryptors);
    try {
      fixture.addPeer(0);
      const keypair = fixture.addKeypair(0);
      let counter = 0, sent = 0;
      for (let round = 0; round < 1500; round++) {
        // From single packets, after which all sides fall asleep, to more than all batches hold.
        const count = round % 10 === 0 ? 60 : 1;
        for (let i = 0; i < (round % 7 === 0 ? 3 : 1); i++) {
          fixture.tun.fromHost.push(
            tcpSuperPacket4(OWN, inner(0), new Uint8Array(count * 100).fill(round), 100),
          );
          sent += count;
        }
        if (round % 2 === 0) {
          const packet = ipPart(udpPacket4(inner(0), OWN, new Uint8Array(84).fill(round)));
          fixture.udp.arrivals.push({ bytes: fixture.message(keypair, counter++, packet) });
        }
        settle();
      }
      assertEquals(fixture.udp.messages.length, sent);
      fixture.udp.messages.forEach((message, i) => {
        assertEquals(Number(counterOf(message)), i);
        if (i % 10 === 0) fixture.decrypt(keypair, message);
      });
      const delivered = concat(fixture.tun.toHost);
      assertEquals(delivered.length, counter * (10 + 28 + 84));
      // A worker counts a batch after it has given it back: the last one may not be in it.
      const messages = states.reduce((sum, state) => sum + state.messages, 0);
      assert(messages > sent + counter - 64 * encryptors && messages <= sent + counter);
    } finally {
      stop();
    }
  });
}

threadTest("encryptors forget wiped keys at once, those that sleep too", async () => {
  const { fixture, states, stop } = await startLane(3);
  try {
    fixture.channels.setWord(LaneWord.KeyGeneration, 7);
    fixture.lane.context.stage.forgetKeys();
    const endMs = Date.now() + LOST_WAKE_UP_MS;
    while (states.some(({ keyGeneration }) => keyGeneration !== 7)) {
      assert(Date.now() < endMs, "one of them still holds keys");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  } finally {
    stop();
  }
});

/** Workers outlive the test by the time that they need to end. */
function threadTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, sanitizeResources: false, sanitizeOps: false, fn });
}
