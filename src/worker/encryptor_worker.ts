/** An encryptor in a worker of its own: takes batches from a lane's ring and gives them back. */
import { Epoll, EPOLLIN } from "../../ffi/epoll.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import { selectPacketAead } from "../crypto/select.ts";
import { instantiateKernels } from "../kernels/kernels.ts";
import { Encryptor, serveRings } from "../lane/encryptor.ts";
import { LaneChannels, LaneWord, SharedTables } from "../lane/shared_state.ts";
import { Doorbell } from "../memory/doorbell.ts";
import { Ring } from "../memory/ring.ts";
import { attachSlab } from "../memory/slab.ts";
import { makeFault } from "./faults.ts";
import type { EncryptorStart, WorkerMessage } from "./messages.ts";

/** Runs until the process ends. */
export function runEncryptor(start: EncryptorStart, post: (message: WorkerMessage) => void): never {
  const slab = attachSlab(start.memory);
  const lanePlan = start.plan.lanes[start.lane];
  const { keypairs } = new SharedTables(slab, start.plan);
  const channels = new LaneChannels(slab, start.plan, lanePlan);
  const { aead } = selectPacketAead(
    slab,
    instantiateKernels(start.memory),
    lanePlan.aeadScratchAt,
  );
  const encryptor = new Encryptor(slab, channels.batches, keypairs, aead);
  const slots = start.plan.batchRingSlots;
  const submitted = new Ring(slab, lanePlan.submittedAt, slots, 4);
  const completed = new Ring(slab, lanePlan.completedAt, slots, 4);
  const laneSignal = new EventFd(start.laneBellFd);
  const ownSignal = new EventFd(start.encryptorBellFd);
  const laneBell = new Doorbell(slab, lanePlan.bellAt, () => laneSignal.signal());
  const ownBell = new Doorbell(slab, lanePlan.encryptorBellAt, () => ownSignal.signal());
  const epoll = new Epoll();
  epoll.add(start.encryptorBellFd, EPOLLIN, 0);
  const fault = makeFault(start.fault, "encryptor");
  let keyGeneration = 0;
  post({ type: "running", aead: aead.name });
  for (;;) {
    if (serveRings(slab, encryptor, submitted, completed, laneBell) > 0) {
      fault();
      continue;
    }
    if (channels.word(LaneWord.KeyGeneration) !== keyGeneration) {
      keyGeneration = channels.word(LaneWord.KeyGeneration);
      aead.forgetKeys();
    }
    ownBell.willSleep();
    const isDone = submitted.peek() < 0 && channels.word(LaneWord.KeyGeneration) === keyGeneration;
    if (isDone) epoll.wait(-1);
    ownBell.isAwake();
    ownSignal.drain();
  }
}
