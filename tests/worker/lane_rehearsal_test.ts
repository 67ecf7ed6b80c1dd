import { assert, assertEquals } from "@std/assert";
import { closeFd } from "../../ffi/descriptor.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { EventFd, openEventFd } from "../../ffi/eventfd.ts";
import { DropReason } from "../../src/base/drop_reason.ts";
import { Errno } from "../../src/base/errno.ts";
import { BATCH_ENDPOINT, BatchWord } from "../../src/lane/batch.ts";
import { LaneCounter } from "../../src/lane/counters.ts";
import { EncryptorState } from "../../src/lane/encryptor_state.ts";
import { DEFAULT_SESSION_LIMITS } from "../../src/lane/limits.ts";
import { LaneChannels, planShared, SharedTables } from "../../src/lane/shared_state.ts";
import { createSlab, type Slab } from "../../src/memory/slab.ts";
import { TicketQueue } from "../../src/memory/ticket_queue.ts";
import { KEYPAIR_SEND_KEY, KeypairField } from "../../src/tables/keypair_table.ts";
import { beginRehearsal, type LaneRehearsal } from "../../src/worker/lane_rehearsal.ts";
import { LaneHost, type LaneParts, makeParts } from "../../src/worker/lane_worker.ts";
import type { LaneStart, WorkerStart } from "../../src/worker/messages.ts";
import { planRehearsals } from "../../src/worker/rehearsal_plan.ts";
import { spawnWorker } from "../../src/worker/spawn.ts";

/** The start message of the one lane of a small node, and its slab. */
function startOf(encryptors = 0) {
  const plan = planShared({
    lanes: 1,
    encryptors,
    peerCapacity: 8,
    prefixNodeCapacity: 64,
    sealBatches: 8,
    openBatches: 2,
    indexSecret: 7,
  });
  const [rehearsal] = planRehearsals(plan);
  const slab = createSlab(rehearsal.byteLength);
  const start: LaneStart = {
    role: "lane",
    memory: slab.memory,
    plan,
    fault: "",
    lane: 0,
    tunFds: [-1],
    laneBellFds: [-1],
    mainBellFd: -1,
    encryptorBellFds: [],
    limits: DEFAULT_SESSION_LIMITS,
    sendMessagesMax: 64,
    tunOffload: { vnetHeaders: true, tcp: true, udp: true },
    rehearsal,
  };
  return { slab, plan, rehearsal, start };
}

/** Begins a rehearsal of the real loop. */
function rehearse(start: LaneStart, slab: Slab, parts: LaneParts): LaneRehearsal {
  return beginRehearsal(start, slab, parts.memory, (start) => new LaneHost(start, parts))!;
}

const openFiles = () => [...Deno.readDirSync("/proc/self/fd")].length;

Deno.test("a rehearsal leaves no trace: tables, counters, keys and descriptors are as before", () => {
  const { slab, plan, rehearsal: place, start } = startOf();
  const parts = makeParts(start);
  slab.u8.fill(0x5a, plan.peersAt, plan.lanes[0].aeadScratchAt);
  const before = slab.u8.slice(0, plan.lanes[0].aeadScratchAt);
  const files = openFiles();
  const rehearsal = rehearse(start, slab, parts);
  while (!rehearsal.isOver && rehearsal.heard < 600) rehearsal.play();
  assert(rehearsal.heard >= 600, `${rehearsal.heard} of ${rehearsal.sent} packets came back`);
  rehearsal.close();
  parts.aead!.forgetKeys();
  assertEquals(openFiles(), files);
  assertEquals(slab.u8.subarray(0, before.length), before);
  const left = slab.u8.subarray(place.peersAt, place.byteLength);
  assertEquals(left.findIndex((byte) => byte !== 0), -1);
});

for (
  const [kind, offload] of [
    ["with", { vnetHeaders: true, tcp: true, udp: true }],
    ["without", { vnetHeaders: false, tcp: false, udp: false }],
  ] as const
) {
  Deno.test(`all packets come out of a tunnel ${kind} virtio headers as they went in`, () => {
    const { slab, start } = startOf();
    const parts = makeParts(start);
    const rehearsal = rehearse({ ...start, tunOffload: offload }, slab, parts);
    while (!rehearsal.isOver && rehearsal.heard < 600) rehearsal.play();
    const inTheTunnel = rehearsal.sent - rehearsal.heard;
    rehearsal.close();
    assert(rehearsal.heard >= 600, `${rehearsal.heard} of ${rehearsal.sent} packets came back`);
    assert(inTheTunnel <= 8, `${inTheTunnel} of ${rehearsal.sent} are missing`);
  });
}

Deno.test("a rehearsal shows what a lane meets beside packets: sessions, handshakes, strays, forgeries", () => {
  const { slab, rehearsal: place, start } = startOf();
  const parts = makeParts(start);
  const rehearsal = rehearse(start, slab, parts);
  while (!rehearsal.isOver && rehearsal.heard < 1000) rehearsal.play();
  const { counters, commands, events, handshakes } = new LaneChannels(slab, place, place.lanes[0]);
  for (const reason of ["NoRoute", "ReceiverUnknown", "AuthenticationFailed"] as const) {
    assert(counters.dropped(DropReason[reason]) > 0, reason);
  }
  for (const reason of ["NoKeypair", "MessageInvalid", "Replayed", "HandshakeQueueFull"] as const) {
    assertEquals(counters.dropped(DropReason[reason]), 0, reason);
  }
  // A handshake is received and goes to main, a keepalive does not come out of the TUN.
  const datagrams = counters.value(LaneCounter.UdpReceiveMessages);
  assert(datagrams > counters.value(LaneCounter.TunWritePackets), `${datagrams} datagrams`);
  const { keypairs } = new SharedTables(slab, place);
  for (const slot of [0, 1]) assert(keypairs.field(slot, KeypairField.SendCounter) > 0);
  assert(commands.isEmpty() && events.isEmpty() && handshakes.length === 0, "all is taken");
  rehearsal.close();
});

Deno.test("a rehearsal that cannot begin leaves no descriptor open", () => {
  const { slab, start } = startOf();
  const parts = makeParts(start);
  const files = openFiles();
  const rehearsal = beginRehearsal(start, slab, parts.memory, () => {
    throw new SystemCallError("epoll_create1", Errno.EMFILE);
  });
  assertEquals(rehearsal, null);
  assertEquals(openFiles(), files);
});

Deno.test({
  name: "encryptors in threads of their own take part, and what is wiped does not confuse them",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const { slab, plan, rehearsal: place, start } = startOf(2);
    const laneBellFd = openEventFd(), encryptorBellFds = [openEventFd(), openEventFd()];
    const beside: LaneStart = { ...start, encryptorBellFds };
    const workers = await Promise.all(encryptorBellFds.map((encryptorBellFd, encryptor) => {
      const running = Promise.withResolvers<Worker>();
      const common = { memory: slab.memory, plan, fault: "", lane: 0, laneBellFd } as const;
      const worker = spawnWorker(`encryptor${encryptor}`, {
        onMessage: () => running.resolve(worker),
        onError: (message) => running.reject(new Error(message)),
      });
      const own = { role: "encryptor", encryptor, encryptorBellFd, rehearsal: place } as const;
      worker.postMessage({ ...common, ...own } satisfies WorkerStart);
      return running.promise;
    }));
    const parts = makeParts(beside);
    const rehearsal = rehearse(beside, slab, parts);
    const pause = new Int32Array(new SharedArrayBuffer(4));
    while (!rehearsal.isOver && rehearsal.heard < 600) {
      rehearsal.play();
      // Leaves the processor to them, as the lane does.
      if (rehearsal.isWaiting) Atomics.wait(pause, 0, 0, 1);
    }
    assert(rehearsal.heard >= 600, `${rehearsal.heard} of ${rehearsal.sent} packets came back`);
    rehearsal.close();
    const states = plan.lanes[0].encryptors.map((encryptor) => new EncryptorState(slab, encryptor));
    assertEquals(states.map(({ messages }) => messages), [0, 0], "it counts for nothing");
    const { bellAt } = plan.lanes[0].encryptors[0];
    const signals = encryptorBellFds.map((fd) => new EventFd(fd));
    // Both sleep in the end.
    const endMs = Date.now() + 5000;
    while (slab.i32[bellAt >> 2] !== 1) {
      assert(Date.now() < endMs, "an encryptor does not come to rest");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    workers.forEach((worker) => worker.terminate());
    signals.forEach((signal) => signal.signal());
  },
});

Deno.test("a batch that an encryptor is stopped in stays as it is when the rehearsal ends", () => {
  const { slab, plan, rehearsal: place, start } = startOf(1);
  const signal = new EventFd();
  const parts = makeParts({ ...start, encryptorBellFds: [signal.fd] });
  const rehearsal = rehearse({ ...start, encryptorBellFds: [signal.fd] }, slab, parts);
  while (!rehearsal.isWaiting) rehearsal.play();
  assert(!rehearsal.isOver);
  const [lane] = place.lanes;
  const { batches } = new LaneChannels(slab, place, lane);
  const queue = new TicketQueue(slab, lane.ticketsAt, place.batchSlots);
  const slot = queue.claim();
  const batch = queue.value(slot), at = batches.at(batch);
  const before = slab.u8.slice(at, at + BATCH_ENDPOINT);
  assert(batches.word(batch, BatchWord.Count) > 0);
  rehearsal.close();
  assertEquals(slab.u8.slice(at, at + BATCH_ENDPOINT), before);
  const { keypairs } = new SharedTables(slab, place);
  const key = keypairs.at(0) + KEYPAIR_SEND_KEY;
  assertEquals(
    slab.u8.subarray(key, key + 64).findIndex((byte) => byte !== 0),
    -1,
    "no key is left",
  );
  assertEquals(new EncryptorState(slab, plan.lanes[0].encryptors[0]).batches, 0);
  closeFd(signal.fd);
});

Deno.test("rehearsals of several lanes have places of their own behind the node's", () => {
  const plan = planShared({ lanes: 3, sealBatches: 8, openBatches: 2, indexSecret: 7 });
  const plans = planRehearsals(plan);
  assertEquals(plans.length, 3);
  let endAt = plan.byteLength;
  for (const { peersAt, byteLength } of plans) {
    assert(peersAt >= endAt);
    endAt = byteLength;
  }
});
