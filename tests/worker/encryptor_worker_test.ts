import { assert, assertEquals } from "@std/assert";
import { Epoll, EPOLLIN } from "../../ffi/epoll.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import { RingStage } from "../../src/lane/encryptor.ts";
import { Doorbell } from "../../src/memory/doorbell.ts";
import { Ring } from "../../src/memory/ring.ts";
import type { WorkerMessage } from "../../src/worker/messages.ts";
import { spawnWorker } from "../../src/worker/spawn.ts";
import { ipPart, tcpSuperPacket4, udpPacket4 } from "../sim/packets.ts";
import { concat, counterOf, inner, LaneFixture, OWN } from "../lane/lane_fixture.ts";

/** Far longer than any batch takes: a wait that lasts so long has missed its wake-up. */
const LOST_WAKE_UP_MS = 5000;

/** A lane in this thread whose encryptor runs in a worker, as the program starts it. */
async function startPair() {
  const laneSignal = new EventFd(), encryptorSignal = new EventFd();
  const fixture = new LaneFixture({
    makeStage: (_encryptor, _slots, slab, plan) => {
      const lane = plan.lanes[0];
      return new RingStage(
        slab,
        new Ring(slab, lane.submittedAt, plan.batchRingSlots, 4),
        new Ring(slab, lane.completedAt, plan.batchRingSlots, 4),
        new Doorbell(slab, lane.encryptorBellAt, () => encryptorSignal.signal()),
      );
    },
  });
  const running = Promise.withResolvers<void>();
  const worker = spawnWorker("encryptor0", {
    role: "encryptor",
    lane: 0,
    memory: fixture.slab.memory,
    plan: fixture.plan,
    laneBellFd: laneSignal.fd,
    encryptorBellFd: encryptorSignal.fd,
    fault: "",
  }, {
    onMessage: (message: WorkerMessage) => {
      if (message.type === "running") running.resolve();
    },
    onError: (message) => running.reject(new Error(message)),
  });
  await running.promise;
  const epoll = new Epoll();
  epoll.add(laneSignal.fd, EPOLLIN, 0);
  const bell = new Doorbell(
    fixture.slab,
    fixture.plan.lanes[0].bellAt,
    () => laneSignal.signal(),
  );

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
    worker.terminate();
    // It sits in epoll_wait, where only an event reaches it.
    encryptorSignal.signal();
    epoll.close();
  };
  return { fixture, settle, stop };
}

Deno.test({
  name: "a lane and an encryptor in two threads never miss a wake-up, and seal and open right",
  sanitizeResources: false,
  sanitizeOps: false,
  fn: async () => {
    const { fixture, settle, stop } = await startPair();
    try {
      fixture.addPeer(0);
      const keypair = fixture.addKeypair(0);
      let counter = 0, sent = 0;
      for (let round = 0; round < 1500; round++) {
        // From single packets, after which both sides fall asleep, to more than all batches hold.
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
    } finally {
      stop();
    }
  },
});
