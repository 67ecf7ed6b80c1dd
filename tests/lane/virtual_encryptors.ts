/**
 * Encryptors of a lane in virtual time: each takes batches as its worker would, but a batch is in
 * its hands for as long as the test says. They sleep and are woken through their bells.
 */
import { type Encryptor, WorkerStage } from "../../src/lane/encryptor.ts";
import { EncryptorState } from "../../src/lane/encryptor_state.ts";
import type { SharedPlan } from "../../src/lane/shared_state.ts";
import { Doorbell } from "../../src/memory/doorbell.ts";
import type { Slab } from "../../src/memory/slab.ts";
import { TicketQueue } from "../../src/memory/ticket_queue.ts";

interface Worker {
  readonly bell: Doorbell;
  isAsleep: boolean;
  /** It never takes a batch any more. */
  hasHung: boolean;
  /** The slot that it works on, -1 for none, and when it is done. */
  slot: number;
  doneUs: number;
  readonly state: EncryptorState;
}

export class VirtualEncryptors {
  readonly stage: WorkerStage;
  readonly workers: Worker[] = [];
  nowUs = 0;
  /** How often a sleeping encryptor was woken, and the lane for a batch that it waited for. */
  wakeUps = 0;
  laneWakeUps = 0;
  readonly #queue: TicketQueue;

  /** `durationUs` says how long encryptor `worker` takes for the next batch. */
  constructor(
    readonly encryptor: Encryptor,
    slab: Slab,
    plan: SharedPlan,
    readonly durationUs: (worker: number) => number,
  ) {
    const lane = plan.lanes[0];
    this.#queue = new TicketQueue(slab, lane.ticketsAt, plan.batchSlots);
    for (const own of lane.encryptors) {
      const bell: Doorbell = new Doorbell(slab, own.bellAt, {
        signal: () => {
          this.wakeUps++;
          worker.isAsleep = false;
        },
      });
      const state = new EncryptorState(slab, own);
      const worker = { bell, state, isAsleep: true, hasHung: false, slot: -1, doneUs: 0 };
      bell.willSleep();
      this.workers.push(worker);
    }
    this.stage = new WorkerStage(
      this.#queue,
      this.workers.map(({ bell }) => bell),
      this.workers.map(({ state }) => state),
    );
  }

  /** Lets `us` go by. */
  run(us: number): void {
    const endUs = this.nowUs + us;
    for (;;) {
      this.#takeWork();
      const next = this.#nextDone();
      if (next === undefined || next.doneUs > endUs) break;
      this.nowUs = next.doneUs;
      this.#finish(next);
    }
    this.nowUs = endUs;
  }

  /** How many batches are in encryptors' hands. */
  get held(): number {
    return this.workers.filter(({ slot }) => slot >= 0).length;
  }

  #takeWork(): void {
    this.workers.forEach((worker, i) => {
      if (worker.isAsleep || worker.hasHung || worker.slot >= 0) return;
      worker.state.beginRound();
      worker.slot = this.#queue.claim();
      if (worker.slot >= 0) worker.doneUs = this.nowUs + this.durationUs(i);
      else {
        worker.bell.willSleep();
        worker.isAsleep = true;
      }
    });
  }

  #nextDone(): Worker | undefined {
    const busy = this.workers.filter(({ slot }) => slot >= 0);
    return busy.toSorted((a, b) => a.doneUs - b.doneUs)[0];
  }

  #finish(worker: Worker): void {
    this.encryptor.process(this.#queue.value(worker.slot));
    if (this.#queue.complete(worker.slot)) this.laneWakeUps++;
    worker.slot = -1;
    worker.state.count(1);
  }
}
