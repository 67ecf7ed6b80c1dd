/** An encryptor in a worker of its own: works on the batches of a lane, beside others or alone. */
import { Epoll, EPOLLIN } from "../../ffi/epoll.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import type { PacketAead } from "../crypto/packet_aead.ts";
import { selectPacketAead } from "../crypto/select.ts";
import { instantiateKernels } from "../kernels/kernels.ts";
import { Encryptor, serveBatch } from "../lane/encryptor.ts";
import { EncryptorState } from "../lane/encryptor_state.ts";
import { LaneChannels, LaneWord, SharedTables } from "../lane/shared_state.ts";
import { Doorbell } from "../memory/doorbell.ts";
import { attachSlab } from "../memory/slab.ts";
import { TicketQueue } from "../memory/ticket_queue.ts";
import { makeFault } from "./faults.ts";
import type { EncryptorStart, WorkerMessage } from "./messages.ts";

/** Runs until the process ends. */
export function runEncryptor(start: EncryptorStart, post: (message: WorkerMessage) => void): never {
  const slab = attachSlab(start.memory);
  const lanePlan = start.plan.lanes[start.lane];
  const plan = lanePlan.encryptors[start.encryptor];
  const { keypairs } = new SharedTables(slab, start.plan);
  const channels = new LaneChannels(slab, start.plan, lanePlan);
  const kernels = instantiateKernels(start.memory);
  const { aead } = selectPacketAead(slab, kernels, plan.aeadScratchAt);
  const encryptor = new Encryptor(slab, channels.batches, keypairs, aead);
  const queue = new TicketQueue(slab, lanePlan.ticketsAt, start.plan.batchSlots);
  const laneSignal = new EventFd(start.laneBellFd);
  const ownSignal = new EventFd(start.encryptorBellFd);
  const laneBell = new Doorbell(slab, lanePlan.bellAt, () => laneSignal.signal());
  const ownBell = new Doorbell(slab, plan.bellAt, () => ownSignal.signal());
  const state = new EncryptorState(slab, plan);
  const epoll = new Epoll();
  epoll.add(start.encryptorBellFd, EPOLLIN, 0);
  const fault = makeFault(start.fault, "encryptor", start.encryptor);
  post({ type: "running", aead: aead.name });
  for (;;) {
    forgetWipedKeys(channels, state, aead);
    const messages = serveBatch(encryptor, queue, laneBell);
    if (messages > 0) {
      state.count(messages);
      fault();
      continue;
    }
    ownBell.willSleep();
    const isDone = queue.unclaimed === 0 &&
      channels.word(LaneWord.KeyGeneration) === state.keyGeneration;
    if (isDone) epoll.wait(-1);
    ownBell.isAwake();
    ownSignal.drain();
  }
}

/** Has the cipher forget keys if main has wiped any since it last did. */
function forgetWipedKeys(channels: LaneChannels, state: EncryptorState, aead: PacketAead): void {
  const generation = channels.word(LaneWord.KeyGeneration);
  if (generation === state.keyGeneration) return;
  aead.forgetKeys();
  state.setKeyGeneration(generation);
}
