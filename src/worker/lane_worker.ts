/** A lane in a worker of its own: the loop that blocks in epoll, and the kernel's ports. */
import { Epoll, EPOLLIN } from "../../ffi/epoll.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import { FfiMemory } from "../../ffi/memory.ts";
import { systemClock } from "../../ffi/clock.ts";
import { TunQueue } from "../../ffi/tun.ts";
import { UdpSocketPair } from "../../ffi/udp.ts";
import type { PacketAead } from "../crypto/packet_aead.ts";
import { selectPacketAead } from "../crypto/select.ts";
import { instantiateKernels, type Kernels } from "../kernels/kernels.ts";
import { type CryptoStage, Encryptor, InlineStage, WorkerStage } from "../lane/encryptor.ts";
import { EncryptorState } from "../lane/encryptor_state.ts";
import { LaneCounters } from "../lane/counters.ts";
import { Handover } from "../lane/handover.ts";
import { Lane, type LaneDriver, Ready } from "../lane/lane.ts";
import type { TunPort } from "../lane/ports.ts";
import {
  LANE_SCRATCH_SYSCALLS,
  LaneChannels,
  LaneNotice,
  LaneWord,
  SharedTables,
} from "../lane/shared_state.ts";
import { QueueChoice } from "../lane/queue_choice.ts";
import { Doorbell } from "../memory/doorbell.ts";
import { attachSlab, type Slab } from "../memory/slab.ts";
import { TicketQueue } from "../memory/ticket_queue.ts";
import { makeFault } from "./faults.ts";
import { beginRehearsal } from "./lane_rehearsal.ts";
import { LaneStack } from "./lane_stack.ts";
import type { LaneStart, WorkerMessage } from "./messages.ts";

const Token = { Bell: 0, Tun: 1, Udp4: 2, Udp6: 3, Host: 4 } as const;
/** How long a lane whose socket was full waits before it tries again. */
const SOCKET_FULL_WAIT_MS = 1;
/** The longest wait that epoll is asked for: deadlines further away come up again. */
const WAIT_MS_MAX = 3_600_000;
/** How long a rehearsing lane waits for its encryptors. */
const REHEARSAL_WAIT_MS = 1;
/** How long a new node has the processor to itself, to be set up; then the lane rehearses. */
const REHEARSAL_DELAY_MS = 150;
/** How long a lane that ends lets go out what it has taken in. */
const FINISH_MS = 200;
/** Rounds after which the caller of `work` has its turn again, however busy the ports are. */
const ROUNDS_MAX = 64;

/** Runs the lane until main asks it to stop. */
export function runLane(start: LaneStart, post: (message: WorkerMessage) => void): void {
  const parts = makeParts(start);
  const host = new LaneHost(start, parts, makeFault(start.fault, "lane", start.lane));
  post({ type: "running", aead: parts.aead?.name ?? "" });
  host.rehearse();
  host.run();
  post({ type: "stopped" });
}

/** What does not depend on a lane's places: the loop and its rehearsal share it. */
export interface LaneParts {
  readonly slab: Slab;
  readonly memory: FfiMemory;
  readonly kernels: Kernels;
  /** Null when another worker seals and opens. */
  readonly aead: PacketAead | null;
}

/** Makes them in the lane's worker. */
export function makeParts(start: LaneStart): LaneParts {
  const slab = attachSlab(start.memory);
  const kernels = instantiateKernels(start.memory);
  const { aeadScratchAt } = start.plan.lanes[start.lane];
  const isInline = start.encryptorBellFds.length === 0;
  const aead = isInline ? selectPacketAead(slab, kernels, aeadScratchAt).aead : null;
  return { slab, memory: new FfiMemory(slab), kernels, aead };
}

/** The loop of a lane over the ports that its start message names. */
export class LaneHost implements LaneDriver {
  readonly #start: LaneStart;
  readonly #parts: LaneParts;
  readonly #fault: (() => void) | null;
  readonly #lane: Lane;
  /** Null in a lane that has only a TUN. */
  readonly #stack: LaneStack | null;
  readonly #epoll = new Epoll();
  readonly #bell: Doorbell;
  readonly #bellSignal: EventFd;
  readonly #tunFd: number;
  #udp4Fd = -1;
  #udp6Fd = -1;
  /** Ports that are not watched at the moment, as bits of `Ready`. */
  #unwatched = 0;
  /** Whether the last turn may have left something to do. */
  #isBusy = true;

  /** `fault` is called once per round of work; null for none. */
  constructor(start: LaneStart, parts: LaneParts, fault: (() => void) | null = null) {
    this.#start = start;
    this.#fault = fault;
    this.#parts = parts;
    const { slab, memory, kernels } = parts;
    const plan = start.plan.lanes[start.lane];
    const bellFd = start.laneBellFds[start.lane];
    this.#bellSignal = new EventFd(bellFd);
    this.#tunFd = start.tunFds[start.lane] ?? -1;
    this.#bell = new Doorbell(slab, plan.bellAt, this.#bellSignal);
    this.#stack = plan.stackBytes === 0 ? null : new LaneStack({
      slab,
      memory,
      kernel: kernels,
      counters: new LaneCounters(slab, plan.countersAt),
      stackAt: plan.stackAt,
      allowedIpsAt: start.plan.allowedIpsAt,
    });
    this.#lane = new Lane({
      lane: start.lane,
      slab,
      plan: start.plan,
      stage: makeStage(start, parts),
      kernel: kernels,
      limits: start.limits,
      tun: this.#makeTun(),
      stack: this.#stack?.stack,
      udp: this.#makePort(),
      handover: makeHandover(start, slab),
      mainBell: new Doorbell(slab, start.plan.mainBellAt, new EventFd(start.mainBellFd)),
      slabAddress: memory.addressNumber,
      sendMessagesMax: start.sendMessagesMax,
      tunOffload: start.tunOffload,
    });
    this.#lane.driver = this;
    this.#epoll.add(bellFd, EPOLLIN, Token.Bell);
    if (this.#tunFd >= 0) this.#epoll.add(this.#tunFd, EPOLLIN, Token.Tun);
    this.#lane.hostWork = this.#stack;
    if (this.#stack !== null) this.#epoll.add(this.#stack.hostFd, EPOLLIN, Token.Host);
    this.onSocketsChanged();
  }

  /** The lane's queue; where there are several, with a choice among them for what is written. */
  #makeTun(): TunPort | undefined {
    const { slab, memory } = this.#parts;
    const { tunFds, lane, plan, tunOffload } = this.#start;
    if (tunFds.length === 0) return undefined;
    // A queue without virtio headers leaves them out by itself.
    const queues = tunFds.map((fd) => new TunQueue(memory, fd, tunOffload.vnetHeaders));
    if (queues.length === 1) return queues[0];
    return new QueueChoice(queues, lane, new SharedTables(slab, plan), memory.addressNumber);
  }

  run(): void {
    const lane = this.#lane;
    while (!lane.isStopping) {
      this.work(Infinity);
      this.#fault?.();
    }
    this.#finish();
    lane.channels.setWord(LaneWord.Stopped, 1);
    lane.context.post(lane.channels.laneSubject, LaneNotice.Stopped);
    lane.wakeMain();
  }

  /**
   * Waits until there is something to do, at most `waitMsMax`, and goes on until nothing is left, for
   * ROUNDS_MAX at most: whoever floods a rehearsed loop does not keep the lane from its own ports. The
   * loop around rounds is here, and not in `run`: that is called once, so V8 interprets it for long.
   */
  work(waitMsMax: number): void {
    this.#round(waitMsMax);
    for (let i = 1; i < ROUNDS_MAX && this.#isBusy && !this.#lane.isStopping; i++) {
      this.#fault?.();
      this.#round(waitMsMax);
    }
  }

  #round(waitMsMax: number): void {
    const waitMs = this.#isBusy ? 0 : this.#waitMs(waitMsMax);
    this.#watchAgain();
    this.#collect(this.#epoll.wait(waitMs));
    if (!this.#isBusy) this.#bell.isAwake();
    this.#isBusy = this.#lane.turn(systemClock.nowMs());
  }

  /** Rehearses while there is nothing else to do. */
  rehearse(): void {
    const { slab, memory, aead } = this.#parts;
    if (this.#tunFd < 0) return;
    const beginMs = systemClock.nowMs() + REHEARSAL_DELAY_MS;
    while (systemClock.nowMs() < beginMs && !this.#lane.isStopping) {
      this.work(REHEARSAL_DELAY_MS);
      this.#fault?.();
    }
    const rehearsal = beginRehearsal(
      this.#start,
      slab,
      memory,
      (start) => new LaneHost(start, this.#parts),
    );
    if (rehearsal === null) return;
    while (!rehearsal.isOver && !this.#lane.isStopping) {
      this.work(rehearsal.isWaiting ? REHEARSAL_WAIT_MS : 0);
      rehearsal.play();
    }
    rehearsal.close();
    aead?.forgetKeys();
  }

  /** Whether no batch is in the stage. */
  get isIdle(): boolean {
    return this.#lane.context.isStageEmpty;
  }

  /** Closes what the loop itself has opened. */
  close(): void {
    this.#epoll.close();
  }

  /** How long the next wait may last; says that the lane sleeps if it is long. */
  #waitMs(waitMsMax: number): number {
    this.#bell.willSleep();
    if (!this.#lane.prepareSleep()) return 0;
    this.#unwatchDeferred();
    const dueAtMs = this.#lane.nextTimeoutMs();
    const leftMs = dueAtMs === Infinity ? Infinity : dueAtMs - systemClock.nowMs();
    const dueMs = Math.min(waitMsMax, leftMs);
    const waitMs = this.#lane.isSocketFull ? Math.min(dueMs, SOCKET_FULL_WAIT_MS) : dueMs;
    return waitMs === Infinity ? -1 : Math.max(0, Math.ceil(Math.min(waitMs, WAIT_MS_MAX)));
  }

  /**
   * Stops watching ports that are ready but cannot be read until something else has happened: they
   * would end every wait at once.
   */
  #unwatchDeferred(): void {
    const deferred = this.#lane.deferred & ~this.#unwatched;
    if (deferred !== 0) this.#setWatched(deferred, 0);
    this.#unwatched |= deferred;
  }

  #watchAgain(): void {
    const wanted = this.#unwatched & ~this.#lane.deferred;
    if (wanted === 0) return;
    this.#setWatched(wanted, EPOLLIN);
    this.#unwatched &= ~wanted;
  }

  #setWatched(ports: number, events: number): void {
    const hasTun = (ports & Ready.Tun) !== 0 && this.#tunFd >= 0;
    if (hasTun) this.#epoll.modify(this.#tunFd, events, Token.Tun);
    if ((ports & Ready.Udp4) !== 0) this.#epoll.modify(this.#udp4Fd, events, Token.Udp4);
    if ((ports & Ready.Udp6) !== 0) this.#epoll.modify(this.#udp6Fd, events, Token.Udp6);
  }

  /** Sends what has been taken in; the TUN and the sockets are not read any more. */
  #finish(): void {
    this.#stack?.close(systemClock.nowMs());
    this.#setWatched(Ready.Tun | Ready.Udp4 | Ready.Udp6, 0);
    const endMs = systemClock.nowMs() + FINISH_MS;
    let nowMs = systemClock.nowMs();
    while (!this.#lane.finish(nowMs) && nowMs < endMs) {
      this.#epoll.wait(1);
      nowMs = systemClock.nowMs();
    }
  }

  /** Turns events into readiness. A level-triggered event that is not dealt with comes again. */
  #collect(count: number): void {
    const epoll = this.#epoll;
    for (let i = 0; i < count; i++) {
      switch (epoll.tokenAt(i)) {
        case Token.Bell:
          this.#bellSignal.drain();
          break;
        case Token.Tun:
          this.#lane.ready |= Ready.Tun;
          break;
        case Token.Udp4:
          this.#lane.ready |= Ready.Udp4;
          break;
        case Token.Udp6:
          this.#lane.ready |= Ready.Udp6;
          break;
        case Token.Host:
          this.#stack!.hasHostEvents = true;
          break;
      }
    }
  }

  onSocketsChanged(): void {
    const { channels } = this.#lane;
    if (this.#udp4Fd >= 0) this.#epoll.remove(this.#udp4Fd);
    if (this.#udp6Fd >= 0) this.#epoll.remove(this.#udp6Fd);
    this.#udp4Fd = channels.word(LaneWord.Udp4Fd);
    this.#udp6Fd = channels.word(LaneWord.Udp6Fd);
    this.#lane.setUdp(this.#makePort());
    this.#lane.ready &= Ready.Tun;
    this.#unwatched &= Ready.Tun;
    if (this.#udp4Fd >= 0) this.#epoll.add(this.#udp4Fd, EPOLLIN, Token.Udp4);
    if (this.#udp6Fd >= 0) this.#epoll.add(this.#udp6Fd, EPOLLIN, Token.Udp6);
  }

  onStackChanged(): void {
    this.#stack?.configure();
  }

  onFlowsWanted(): void {
    this.#stack?.writeFlows();
  }

  #makePort(): UdpSocketPair {
    const scratchAt = this.#start.plan.lanes[this.#start.lane].scratchAt + LANE_SCRATCH_SYSCALLS;
    return new UdpSocketPair(this.#parts.memory, scratchAt, { v4: this.#udp4Fd, v6: this.#udp6Fd });
  }
}

/** The lane's way to the others; undefined where it is alone. */
function makeHandover({ lane, plan, laneBellFds }: LaneStart, slab: Slab): Handover | undefined {
  const lanes = plan.lanes.flatMap(({ handover, bellAt }, number) => {
    const signal = new EventFd(laneBellFds[number]);
    return handover === null ? [] : [{ plan: handover, bellAt, signal }];
  });
  return lanes.length === 0 ? undefined : new Handover(slab, lanes, lane);
}

/** The stage inside the lane, or the lane's end of the queue for its encryptor workers. */
function makeStage(start: LaneStart, { slab, aead }: LaneParts): CryptoStage {
  const plan = start.plan.lanes[start.lane];
  const slots = start.plan.batchSlots;
  if (aead !== null) {
    const { keypairs } = new SharedTables(slab, start.plan);
    const { batches } = new LaneChannels(slab, start.plan, plan);
    return new InlineStage(new Encryptor(slab, batches, keypairs, aead), slots + 1);
  }
  const bells = plan.encryptors.map(({ bellAt }, i) => {
    return new Doorbell(slab, bellAt, new EventFd(start.encryptorBellFds[i]));
  });
  const queue = new TicketQueue(slab, plan.ticketsAt, slots);
  const states = plan.encryptors.map((encryptor) => new EncryptorState(slab, encryptor));
  return new WorkerStage(queue, bells, states);
}
