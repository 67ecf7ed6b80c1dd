/**
 * A discrete simulation of a tunnel's threads in virtual time: client, lane, encryptors in ticket
 * order, send; receive, encryptors, lane, server. The unit of work is a batch. Threads share cores
 * as under a fair scheduler: one that has work waits for a free core, and goes on until it has no
 * more or its slice is over. The source keeps a window of batches in flight, as TCP does.
 *
 * Deterministic: no randomness, and what happens at one time happens in the order of its cause.
 */
import type { EndCosts } from "./costs.ts";

/** One end of the tunnel. */
export interface EndOptions {
  readonly costs: EndCosts;
  /** 0: the cipher runs in the lane. */
  readonly encryptors: number;
}

export interface PipelineOptions {
  /** Null: every thread has a core of its own. */
  readonly cores: number | null;
  /** Null: the other machine takes or brings whatever this one can do. */
  readonly sender: EndOptions | null;
  readonly receiver: EndOptions | null;
  /** Time per packet of the program that sends, and of the one that receives. */
  readonly clientNs: number;
  readonly serverNs: number;
  readonly windowBatches: number;
  readonly packetsPerBatch: number;
  /** From a doorbell to the first instruction of who slept. */
  readonly wakeNs: number;
  /** Share of each core's time that others take. */
  readonly otherShare: number;
  /** Batches to carry. */
  readonly batches: number;
  /** The first encryptor of each end stands still for so long, that often. */
  readonly stall?: { readonly everyBatches: number; readonly ns: number };
}

export interface PipelineResult {
  readonly packetsPerSecond: number;
  /** Busy share of each thread, by name. */
  readonly busy: ReadonlyMap<string, number>;
  /** The thread with the largest share. */
  readonly busiest: string;
  /** Most batches of an end that were done and waited for one before them. */
  readonly outOfTurnMax: number;
  /** Whether batches arrived in the order in which they left. */
  readonly isInOrder: boolean;
}

const SLICE_NS = 1_000_000;
/** Batches that a lane has beside its encryptors, and more for each, as the daemon plans them. */
const BATCHES = 16;
const BATCHES_PER_ENCRYPTOR = 8;

interface Job {
  readonly ns: number;
  readonly done: () => void;
}

/** What a thread does next, null for nothing. */
type Next = () => Job | null;

class Thread {
  state: "asleep" | "ready" | "running" = "asleep";
  busyNs = 0;
  sliceEndNs = 0;

  constructor(readonly name: string, readonly next: Next) {}
}

/** Events by time; those of one time in the order in which they were added. */
class Agenda {
  readonly #heap: { readonly ns: number; readonly order: number; readonly act: () => void }[] = [];
  #order = 0;

  add(ns: number, act: () => void): void {
    const heap = this.#heap;
    let at = heap.push({ ns, order: this.#order++, act }) - 1;
    while (at > 0 && this.#isBefore(at, (at - 1) >> 1)) {
      const parent = (at - 1) >> 1;
      [heap[at], heap[parent]] = [heap[parent], heap[at]];
      at = parent;
    }
  }

  take(): { readonly ns: number; readonly act: () => void } | undefined {
    const heap = this.#heap;
    const first = heap[0], last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    heap[0] = last;
    for (let at = 0;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && this.#isBefore(child, least)) least = child;
      }
      if (least === at) return first;
      [heap[at], heap[least]] = [heap[least], heap[at]];
      at = least;
    }
  }

  #isBefore(a: number, b: number): boolean {
    const { ns, order } = this.#heap[a], other = this.#heap[b];
    return ns < other.ns || (ns === other.ns && order < other.order);
  }
}

/** Threads on cores. */
class Machine {
  readonly threads: Thread[] = [];
  readonly #agenda = new Agenda();
  readonly #ready: Thread[] = [];
  #nowNs = 0;
  #freeCores: number;

  constructor(readonly options: PipelineOptions) {
    this.#freeCores = options.cores ?? Infinity;
  }

  get nowNs(): number {
    return this.#nowNs;
  }

  add(name: string, next: Next): Thread {
    const thread = new Thread(name, next);
    this.threads.push(thread);
    return thread;
  }

  /** There may be work for a thread. */
  kick(thread: Thread): void {
    if (thread.state !== "asleep") return;
    thread.state = "ready";
    this.#agenda.add(this.#nowNs + this.options.wakeNs, () => this.#enqueue(thread));
  }

  run(isOver: () => boolean): void {
    while (!isOver()) {
      const event = this.#agenda.take();
      if (event === undefined) throw new Error("the pipeline has come to rest before its end");
      this.#nowNs = event.ns;
      event.act();
    }
  }

  #enqueue(thread: Thread): void {
    this.#ready.push(thread);
    this.#dispatch();
  }

  #dispatch(): void {
    while (this.#freeCores > 0 && this.#ready.length > 0) {
      const thread = this.#ready.shift()!;
      this.#freeCores--;
      thread.state = "running";
      thread.sliceEndNs = this.#nowNs + SLICE_NS;
      this.#work(thread);
    }
  }

  #work(thread: Thread): void {
    const job = thread.next();
    if (job === null) {
      thread.state = "asleep";
      this.#freeCores++;
      this.#dispatch();
      return;
    }
    const ns = job.ns / (1 - this.options.otherShare);
    thread.busyNs += ns;
    this.#agenda.add(this.#nowNs + ns, () => {
      job.done();
      if (this.#nowNs < thread.sliceEndNs || this.#ready.length === 0) this.#work(thread);
      else {
        this.#freeCores++;
        thread.state = "ready";
        this.#enqueue(thread);
      }
    });
  }
}

/** One end: its lane, and the encryptors that complete in ticket order. */
class End {
  readonly lane: Thread;
  readonly #encryptors: Thread[] = [];
  /** Batches that wait before the lane. */
  readonly inbox: number[] = [];
  /** In the stage, in the order of their tickets. */
  readonly #stage: { readonly batch: number; isDone: boolean }[] = [];
  readonly #unclaimed: { readonly batch: number; isDone: boolean }[] = [];
  readonly #capacity: number;
  outOfTurnMax = 0;
  #sealed = 0;

  constructor(
    readonly machine: Machine,
    name: string,
    readonly end: EndOptions,
    readonly onOut: (batch: number) => void,
  ) {
    this.#capacity = BATCHES + BATCHES_PER_ENCRYPTOR * end.encryptors;
    this.lane = machine.add(`${name} lane`, () => this.#nextOfLane());
    for (let i = 0; i < end.encryptors; i++) {
      this.#encryptors.push(machine.add(`${name} encryptor ${i}`, () => this.#nextOfEncryptor(i)));
    }
  }

  offer(batch: number): void {
    this.inbox.push(batch);
    this.machine.kick(this.lane);
  }

  #nextOfLane(): Job | null {
    const { costs, encryptors } = this.end;
    const packets = this.machine.options.packetsPerBatch;
    if (this.#stage.length > 0 && this.#stage[0].isDone) {
      const { batch } = this.#stage.shift()!;
      return { ns: packets * costs.afterNs, done: () => this.onOut(batch) };
    }
    if (this.inbox.length === 0 || this.#stage.length >= this.#capacity) return null;
    const batch = this.inbox.shift()!;
    if (encryptors === 0) {
      const ns = packets * (costs.beforeNs + costs.cipherNs + costs.afterNs);
      return { ns, done: () => this.onOut(batch) };
    }
    return { ns: packets * costs.beforeNs, done: () => this.#submit(batch) };
  }

  #submit(batch: number): void {
    const entry = { batch, isDone: false };
    this.#stage.push(entry);
    this.#unclaimed.push(entry);
    const awake = this.#encryptors.filter(({ state }) => state !== "asleep").length;
    const sleeper = this.#encryptors.find(({ state }) => state === "asleep");
    if (sleeper !== undefined && this.#unclaimed.length > awake) this.machine.kick(sleeper);
  }

  #nextOfEncryptor(index: number): Job | null {
    const entry = this.#unclaimed.shift();
    if (entry === undefined) return null;
    const { packetsPerBatch, stall } = this.machine.options;
    const isStalled = index === 0 && stall !== undefined &&
      ++this.#sealed % stall.everyBatches === 0;
    const ns = packetsPerBatch * this.end.costs.cipherNs + (isStalled ? stall.ns : 0);
    return { ns, done: () => this.#complete(entry) };
  }

  #complete(entry: { isDone: boolean }): void {
    entry.isDone = true;
    const outOfTurn = this.#stage.filter(({ isDone }) => isDone).length;
    if (this.#stage[0] === entry) this.machine.kick(this.lane);
    else this.outOfTurnMax = Math.max(this.outOfTurnMax, outOfTurn);
  }
}

/** Runs one tunnel. */
export function simulate(options: PipelineOptions): PipelineResult {
  const machine = new Machine(options);
  const { packetsPerBatch, windowBatches, clientNs, serverNs, batches } = options;
  let started = 0, finished = 0, isInOrder = true;
  const toServer: number[] = [];
  const server = machine.add("server", () => {
    const batch = toServer.shift();
    return batch === undefined ? null : {
      ns: packetsPerBatch * serverNs,
      done: () => {
        isInOrder &&= batch === finished;
        finished++;
        machine.kick(client);
      },
    };
  });
  const arrive = (batch: number) => {
    toServer.push(batch);
    machine.kick(server);
  };
  const receiver = options.receiver && new End(machine, "receiver", options.receiver, arrive);
  const cross = (batch: number) => receiver === null ? arrive(batch) : receiver.offer(batch);
  const sender = options.sender && new End(machine, "sender", options.sender, cross);
  const client: Thread = machine.add("client", () => {
    if (started - finished >= windowBatches || started >= batches) return null;
    const batch = started++;
    const done = () => sender === null ? cross(batch) : sender.offer(batch);
    return { ns: packetsPerBatch * clientNs, done };
  });
  machine.kick(client);
  machine.run(() => finished >= batches);
  const busy = new Map(machine.threads.map(({ name, busyNs }) => [name, busyNs / machine.nowNs]));
  return {
    packetsPerSecond: finished * packetsPerBatch / (machine.nowNs / 1e9),
    busy,
    busiest: [...busy].reduce((a, b) => b[1] > a[1] ? b : a)[0],
    outOfTurnMax: Math.max(sender?.outOfTurnMax ?? 0, receiver?.outOfTurnMax ?? 0),
    isInOrder,
  };
}
