/** An encryptor in a worker of its own: works on the batches of a lane, beside others or alone. */
import { Epoll, EPOLLIN } from "../../ffi/epoll.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import type { PacketAead } from "../crypto/packet_aead.ts";
import { selectPacketAead } from "../crypto/select.ts";
import { instantiateKernels } from "../kernels/kernels.ts";
import { Encryptor, serveBatch } from "../lane/encryptor.ts";
import { EncryptorState } from "../lane/encryptor_state.ts";
import { LaneChannels, LaneWord, type SharedPlan, SharedTables } from "../lane/shared_state.ts";
import { Doorbell, type Signal } from "../memory/doorbell.ts";
import { attachSlab, type Slab } from "../memory/slab.ts";
import { TicketQueue } from "../memory/ticket_queue.ts";
import { makeFault } from "./faults.ts";
import type { EncryptorStart, WorkerMessage } from "./messages.ts";

/** A lane's queue as an encryptor sees it, with the tables and the bells that belong to it. */
class Desk {
  readonly #queue: TicketQueue;
  readonly #encryptor: Encryptor;
  readonly #bell: Doorbell;
  readonly #laneBell: Doorbell;

  constructor(
    slab: Slab,
    plan: SharedPlan,
    lane: number,
    encryptor: number,
    aead: PacketAead,
    signal: Signal,
    signalLane: Signal,
  ) {
    const lanePlan = plan.lanes[lane];
    const { batches } = new LaneChannels(slab, plan, lanePlan);
    const { keypairs } = new SharedTables(slab, plan);
    this.#queue = new TicketQueue(slab, lanePlan.ticketsAt, plan.batchSlots);
    this.#encryptor = new Encryptor(slab, batches, keypairs, aead);
    this.#bell = new Doorbell(slab, lanePlan.encryptors[encryptor].bellAt, signal);
    this.#laneBell = new Doorbell(slab, lanePlan.bellAt, signalLane);
  }

  /** Does one batch, if one waits; how many messages that were. */
  serve(): number {
    return serveBatch(this.#encryptor, this.#queue, this.#laneBell);
  }

  /** Says that the encryptor will sleep; false when there is work after all. */
  prepareSleep(): boolean {
    this.#bell.willSleep();
    return this.#queue.unclaimed === 0;
  }

  isAwake(): void {
    this.#bell.isAwake();
  }
}

/** Runs until the process ends. */
export function runEncryptor(start: EncryptorStart, post: (message: WorkerMessage) => void): never {
  const { lane, encryptor } = start;
  const slab = attachSlab(start.memory);
  const plan = start.plan.lanes[lane].encryptors[encryptor];
  const kernels = instantiateKernels(start.memory);
  const { aead } = selectPacketAead(slab, kernels, plan.aeadScratchAt);
  const laneSignal = new EventFd(start.laneBellFd), ownSignal = new EventFd(start.encryptorBellFd);
  const signals = [ownSignal, laneSignal] as const;
  const desk = new Desk(slab, start.plan, lane, encryptor, aead, ...signals);
  const rehearsal = new Desk(slab, start.rehearsal, 0, encryptor, aead, ...signals);
  const channels = new LaneChannels(slab, start.plan, start.plan.lanes[lane]);
  const state = new EncryptorState(slab, plan);
  const epoll = new Epoll();
  epoll.add(start.encryptorBellFd, EPOLLIN, 0);
  const fault = makeFault(start.fault, "encryptor", encryptor);
  let hasRehearsed = false;
  post({ type: "running", aead: aead.name });
  for (;;) {
    state.beginRound();
    forgetWipedKeys(channels, state, aead);
    const messages = desk.serve();
    if (messages > 0) {
      state.count(messages);
      fault?.();
      continue;
    }
    if (rehearsal.serve() > 0) {
      hasRehearsed = true;
      continue;
    }
    if (hasRehearsed) aead.forgetKeys();
    hasRehearsed = false;
    const isDone = rehearsal.prepareSleep() && desk.prepareSleep() &&
      channels.word(LaneWord.KeyGeneration) === state.keyGeneration;
    if (isDone) epoll.wait(-1);
    desk.isAwake();
    rehearsal.isAwake();
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
