/**
 * A node as a process: puts together the slab, the workers, the control plane, the UDP sockets, and
 * what the node is attached to: a TUN interface with a watch over it, or a userspace stack in the
 * lane. And takes them apart again.
 */
import { systemClock } from "../../ffi/clock.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import { FfiMemory } from "../../ffi/memory.ts";
import { excludeFromDumps, lockPages, releaseFreeHeap } from "../../ffi/pages.ts";
import { systemRandom } from "../../ffi/random.ts";
import type { TunQueues } from "../../ffi/tun.ts";
import { UdpSocketPair } from "../../ffi/udp.ts";
import type { Log } from "../base/log.ts";
import type { NodeReport } from "../control/node_report.ts";
import type { PeerNames } from "../control/peer_names.ts";
import { PACKET_AEAD_SCRATCH_BYTES } from "../crypto/aead_scratch.ts";
import { NobleCrypto } from "../crypto/noble.ts";
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import { selectNoiseCrypto } from "../crypto/select.ts";
import type { FlowSnapshot } from "../forward/flow_snapshot.ts";
import type { SessionLimits } from "../lane/limits.ts";
import {
  LaneNotice,
  LaneWord,
  MAIN_SCRATCH_SYSCALLS,
  type PlanOptions,
  planShared,
  type SharedPlan,
} from "../lane/shared_state.ts";
import { Doorbell } from "../memory/doorbell.ts";
import { createSlab, type Slab } from "../memory/slab.ts";
import { keypairTableBytes } from "../tables/keypair_table.ts";
import { ControlPlane } from "../node/control_plane.ts";
import type {
  ConfigurationTarget,
  DeviceChange,
  DeviceStatus,
} from "../wireguard/configuration.ts";
import { type DeviceEvent, DeviceEventCode } from "../wireguard/events.ts";
import { rehearseHandshake } from "../wireguard/rehearsal.ts";
import { planRehearsals } from "../worker/rehearsal_plan.ts";
import type { StackConfig } from "../worker/stack_config.ts";
import { stackBytes } from "../worker/stack_plan.ts";
import { ClockWatch } from "./clock_watch.ts";
import { EndpointWatch } from "./endpoint_watch.ts";
import { EventLog } from "./event_log.ts";
import { IdleMemory } from "./idle_memory.ts";
import { NodeReporter, type RefusableOffload } from "./node_reporter.ts";
import { NodeStack } from "./node_stack.ts";
import { requireOpenFiles } from "./open_files.ts";
import { type LaneSockets, PeerSockets } from "./peer_sockets.ts";
import { Reactor } from "./reactor.ts";
import { TunWatch } from "./tun_watch.ts";
import { WorkerSet } from "./worker_set.ts";

const STOP_TIMEOUT_MS = 1000;
/** Handshakes rehearsed at the start: a few, until the code is compiled. */
const REHEARSALS = 5;
/**
 * Buffers of a lane that seals and opens by itself: what it seals in a turn, and as many receives as it
 * makes one item of. Those are many where a peer's datagrams come one by one.
 */
const INLINE_BATCHES = { sealBatches: 8, openBatches: 32 } as const;
/** Beside encryptors there are these, and more for each: what it works on, and what waits for it. */
const QUEUED_BATCHES = 16;
const QUEUED_BATCHES_PER_ENCRYPTOR = 8;

/** What a node is made of; it has a TUN, a stack, or both. */
export interface NodeProcessOptions {
  /** What the node is called; the interface's name where it has one. */
  readonly interfaceName: string;
  /** For each of its queues there is a lane; without a TUN, and with a stack, there is one. */
  readonly tun: TunQueues | null;
  readonly stack: StackConfig | null;
  /** 0: a lane seals and opens itself; else so many workers of its own do. */
  readonly encryptors: number;
  readonly socketBufferBytes: number;
  readonly sendMessagesMax: number;
  readonly udpGro: boolean;
  readonly tunGro: { readonly tcp: boolean; readonly udp: boolean };
  readonly limits: SessionLimits;
  /** A fault for a worker to act out, for tests; empty in real life. */
  readonly fault: string;
  readonly log: Log;
  readonly peerNames: PeerNames;
  /** Told every two seconds whether the data plane moves. */
  readonly onBeat?: (isAlive: boolean) => void;
  /** Told of what happens to handshakes, beside the log. */
  readonly onEvent?: (event: DeviceEvent) => void;
  /** The node cannot go on; called once. `code` is the exit code that fits. */
  readonly onEnd: (reason: string, code: number) => void;
}

/** The handshake's primitives, after they have proved that they work. */
function rehearsedCrypto(log: Log): NoiseCrypto {
  const { crypto } = selectNoiseCrypto();
  for (let i = 0; i < REHEARSALS; i++) {
    if (rehearseHandshake(crypto, systemRandom)) continue;
    log.error(`the handshake primitives of ${crypto.name} fail their test: using slower ones`);
    return new NobleCrypto();
  }
  return crypto;
}

function laneName(lane: number): string {
  return `lane${lane}`;
}

function encryptorName(encryptor: number): string {
  return `encryptor${encryptor}`;
}

/** Keeps session keys out of swap (as far as RLIMIT_MEMLOCK allows) and out of core dumps. */
export function guardKeys(memory: FfiMemory, plan: SharedPlan): void {
  const guard = (at: number, byteLength: number) => {
    excludeFromDumps(memory, at, byteLength);
    lockPages(memory, at, byteLength);
  };
  guard(plan.keypairsAt, keypairTableBytes(plan.keypairCapacity));
  // Each cipher has the key of its last message in its scratch memory.
  for (const lane of plan.lanes) {
    for (const cipher of [lane, ...lane.encryptors]) {
      guard(cipher.aeadScratchAt, PACKET_AEAD_SCRATCH_BYTES);
    }
  }
}

/** Buffers of a lane with so many encryptor workers. */
function batchCounts(encryptors: number): Pick<PlanOptions, "sealBatches" | "openBatches"> {
  if (encryptors === 0) return INLINE_BATCHES;
  const count = QUEUED_BATCHES + QUEUED_BATCHES_PER_ENCRYPTOR * encryptors;
  return { sealBatches: count, openBatches: count };
}

/** A running node; see the module's text. */
export class NodeProcess implements ConfigurationTarget {
  /** The userspace stack; null in a node without one. */
  readonly stack: NodeStack | null;
  readonly #options: NodeProcessOptions;
  readonly #slab: Slab;
  readonly #plan: SharedPlan;
  /** Tables for the rehearsal of each lane. */
  readonly #rehearsals: readonly SharedPlan[];
  readonly #reactor: Reactor;
  readonly #workers: WorkerSet;
  readonly #control: ControlPlane;
  readonly #sockets: PeerSockets;
  readonly #udp: UdpSocketPair;
  readonly #mainSignal = new EventFd();
  /** What wakes the lanes, by number. */
  readonly #laneSignals: readonly EventFd[];
  readonly #mainBell: Doorbell;
  readonly #idleMemory = new IdleMemory(releaseFreeHeap);
  readonly #reporter: NodeReporter;
  readonly #eventLog: EventLog;
  readonly #clockWatch: ClockWatch;
  readonly #endpointWatch: EndpointWatch;
  #tunWatch: TunWatch | null = null;
  #isEnding = false;

  /**
   * Makes a node. It takes configuration at once; its workers, which start meanwhile, are there when
   * `running` resolves. Throws `SetupError` where this process lacks the descriptors for one.
   */
  constructor(options: NodeProcessOptions) {
    requireOpenFiles();
    this.#options = options;
    this.#reactor = new Reactor(() => this.#onDeadline(), (error) => this.#endByBug(error));
    this.#workers = new WorkerSet(this.#reactor, {
      onFailure: (message) => this.#end(message, 1),
      onBeat: (isAlive) => this.#guard(() => this.#onBeat(isAlive)),
    });
    this.#makeWorkers();
    this.#eventLog = new EventLog(options.log, options.peerNames);
    this.#clockWatch = new ClockWatch(systemClock, options.log);
    this.#endpointWatch = new EndpointWatch(
      (keyText) => this.#control.device.endpointOf(keyText),
      (...change) => this.#eventLog.endpointChanged(...change, systemClock.nowMs()),
    );
    const lanes = options.tun?.fds.length ?? 1;
    this.#laneSignals = Array.from({ length: lanes }, () => new EventFd());
    this.#plan = planShared({
      lanes,
      encryptors: options.encryptors,
      ...batchCounts(options.encryptors),
      indexSecret: new DataView(systemRandom.fill(new Uint8Array(4)).buffer).getInt32(0),
      stackBytes: options.stack === null ? 0 : stackBytes(),
    });
    this.#rehearsals = planRehearsals(this.#plan);
    this.#slab = createSlab(this.#rehearsals.at(-1)!.byteLength);
    const memory = new FfiMemory(this.#slab);
    guardKeys(memory, this.#plan);
    this.#mainBell = new Doorbell(this.#slab, this.#plan.mainBellAt, null);
    this.#udp = new UdpSocketPair(
      memory,
      this.#plan.mainScratchAt + MAIN_SCRATCH_SYSCALLS,
      { v4: -1, v6: -1 },
    );
    this.#sockets = new PeerSockets({
      bufferBytes: options.socketBufferBytes,
      gro: options.udpGro,
      lanes,
      announce: (lanes) => this.#announceSockets(lanes),
    });
    this.#control = this.#makeControl();
    this.stack = this.#makeStack();
    this.#reporter = new NodeReporter(this.#slab, this.#plan, this.#control, options);
    for (let lane = 0; lane < lanes; lane++) this.#startLane(lane);
    this.#reactor.watch(this.#mainSignal.fd, () => this.#onBell());
    this.#onBell();
    if (options.tun !== null) this.#watchTun(options.tun);
    this.#reactor.run().catch((error) => this.#endByBug(error));
  }

  #makeStack(): NodeStack | null {
    const { stack, tun } = this.#options;
    if (stack === null) return null;
    const [{ stackAt }] = this.#plan.lanes;
    return new NodeStack(this.#slab, stackAt, this.#control, stack, tun !== null);
  }

  /** Resolves when packets go; rejects with `SetupError` when a worker cannot start. */
  async running(): Promise<void> {
    const cipher = await this.#workers.running();
    this.#reporter.cipher = cipher;
    this.#options.log.debug(`packet cipher: ${cipher}`);
    this.#workers.watch(this.#control);
  }

  /** For servers of the daemon: descriptors that main wants to hear of. */
  get reactor(): Reactor {
    return this.#reactor;
  }

  /**
   * Opens the UDP sockets now instead of when the interface goes up, and returns their port. Throws
   * `SystemCallError` (EADDRINUSE).
   */
  openSockets(): number {
    this.#sockets.open();
    this.#control.onSocketsOpen(this.#sockets.port);
    this.#arm();
    return this.#sockets.port;
  }

  /** For the status page: counters of the lanes. */
  get control(): ControlPlane {
    return this.#control;
  }

  apply(change: DeviceChange): void {
    try {
      this.#control.apply(change);
    } finally {
      this.#arm();
    }
  }

  status(): DeviceStatus {
    return this.#control.status();
  }

  /** What the data plane has done so far, and how it does it. */
  report(): NodeReport {
    return this.#reporter.report(this.#sockets.overflowDrops);
  }

  /** The node in one line: `wg0: 2 of 3 peers in session, UDP port 51820`. */
  summary(): string {
    const peers = [...this.#control.device.traffic()];
    const live = peers.filter(({ hasSession }) => hasSession).length;
    const port = this.#sockets.port === 0 ? "no UDP port" : `UDP port ${this.#sockets.port}`;
    return `${this.#options.interfaceName}: ${live} of ${peers.length} peers in session, ${port}`;
  }

  /** The device is at work when it tells of an event: it is asked afterwards. */
  #noteEndpoint({ publicKey }: DeviceEvent): void {
    if (publicKey === null) return;
    const key = publicKey.slice();
    queueMicrotask(() => this.#guard(() => this.#endpointWatch.note(key)));
  }

  #onBeat(isAlive: boolean): void {
    const nowMs = systemClock.nowMs();
    const peers = [...this.#control.device.traffic()];
    this.#reporter.sample(peers, nowMs);
    this.#idleMemory.look(peers.reduce((sum, peer) => sum + peer.rxBytes + peer.txBytes, 0));
    this.#endpointWatch.look(peers);
    this.stack?.lookAround();
    this.#clockWatch.look();
    this.#eventLog.flush(nowMs);
    this.#options.onBeat?.(isAlive);
  }

  /** Says that a node without an interface is up: it has no other way to learn it. */
  bringUp(): void {
    this.openSockets();
    this.#control.onInterfaceUp();
    this.#arm();
  }

  /**
   * The flows that the stack forwards, and how many found no room in the snapshot; none in a node
   * without a stack. Rejects when the lane does not answer.
   */
  flows(): Promise<FlowSnapshot> {
    return this.stack?.flows() ?? Promise.resolve({ flows: [], missing: 0 });
  }

  /** Stops the lanes, closes the sockets and wipes the keys; bounded to about a second. */
  async stop(): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#tunWatch?.close();
    await this.#workers.stop(this.#control, STOP_TIMEOUT_MS);
    this.#reactor.close();
    this.#sockets.close();
    this.#control.close();
  }

  #makeControl(): ControlPlane {
    const eventLog = this.#eventLog;
    return new ControlPlane({
      slab: this.#slab,
      plan: this.#plan,
      crypto: rehearsedCrypto(this.#options.log),
      random: systemRandom,
      clock: systemClock,
      laneBells: this.#plan.lanes.map(({ bellAt }, lane) =>
        new Doorbell(this.#slab, bellAt, this.#laneSignals[lane])
      ),
      openSockets: ({ listenPort, fwmark }) => {
        this.#sockets.set(listenPort, fwmark);
        if (this.#sockets.isOpen) this.#control.onSocketsOpen(this.#sockets.port);
      },
      log: (event) => {
        eventLog.write(event);
        if (event.code === DeviceEventCode.SessionEstablished) this.#noteEndpoint(event);
        this.#options.onEvent?.(event);
      },
      onLaneNotice: (_lane, bits) => this.#onLaneNotice(bits),
    });
  }

  /** They load their code while main makes everything else. */
  #makeWorkers(): void {
    const { tun, encryptors } = this.#options;
    const lanes = tun?.fds.length ?? 1;
    for (let lane = 0; lane < lanes; lane++) this.#workers.make(laneName(lane));
    for (let i = 0; i < lanes * encryptors; i++) this.#workers.make(encryptorName(i));
  }

  #startLane(lane: number): void {
    const { tun, fault, limits, encryptors } = this.#options;
    const common = { memory: this.#slab.memory, plan: this.#plan, fault };
    const encryptorBellFds = Array.from({ length: encryptors }, () => new EventFd().fd);
    const laneBellFds = this.#laneSignals.map(({ fd }) => fd);
    const channels = this.#control.channels[lane];
    channels.setWord(LaneWord.Udp4Fd, -1);
    channels.setWord(LaneWord.Udp6Fd, -1);
    this.#workers.start(laneName(lane), {
      ...common,
      role: "lane",
      lane,
      tunFds: tun?.fds ?? [],
      laneBellFds,
      mainBellFd: this.#mainSignal.fd,
      encryptorBellFds,
      limits,
      sendMessagesMax: this.#options.sendMessagesMax,
      tunOffload: { vnetHeaders: tun?.vnetHeader ?? false, ...this.#options.tunGro },
      rehearsal: this.#rehearsals[lane],
    });
    encryptorBellFds.forEach((encryptorBellFd, encryptor) => {
      const bells = { laneBellFd: laneBellFds[lane], encryptorBellFd };
      this.#workers.start(encryptorName(lane * encryptors + encryptor), {
        ...common,
        role: "encryptor",
        lane,
        encryptor,
        rehearsal: this.#rehearsals[lane],
        ...bells,
      });
    });
  }

  #watchTun(tun: TunQueues): void {
    const { log } = this.#options;
    this.#tunWatch = new TunWatch(tun.fds[0], this.#reactor, {
      onUp: () => this.#onUp(),
      onDown: () => {
        log.info("interface is down");
        this.#sockets.close();
        this.#control.onInterfaceDown();
        this.#arm();
      },
      onMtu: (mtu) => {
        log.info(`MTU ${mtu}`);
        this.#control.setMtu(mtu);
        this.stack?.setMtu(mtu);
      },
      onGone: () => this.#end("the TUN interface is gone", 0),
      onBlind: (reason) => log.warn(`cannot follow the interface's MTU: ${reason}`),
    });
  }

  #onUp(): void {
    try {
      this.#options.log.info(`interface is up, listening on UDP port ${this.openSockets()}`);
      this.#control.onInterfaceUp();
      this.#arm();
    } catch (error) {
      this.#options.log.error(error instanceof Error ? error.message : String(error));
    }
  }

  /** Main sends handshakes by the sockets of the first lane. */
  #announceSockets(lanes: readonly LaneSockets[]): void {
    const [{ v4, v6 }] = lanes;
    this.#udp.useSockets({ v4, v6 });
    this.#control.udp = v4 >= 0 || v6 >= 0 ? this.#udp : null;
    this.#control.announceSockets(lanes);
  }

  #onLaneNotice(bits: number): void {
    if ((bits & LaneNotice.TunGone) !== 0) this.#end("the TUN interface is gone", 0);
    if ((bits & LaneNotice.SendFallback) !== 0) {
      this.#noteFallback(
        "udp-gso",
        "the network device cannot segment UDP: datagrams now go one by one",
      );
    }
    if ((bits & LaneNotice.Flows) !== 0) this.stack?.onFlows();
    if ((bits & LaneNotice.TunFallback) !== 0) {
      this.#noteFallback(
        "tun-gro",
        "the kernel refuses coalesced TUN writes: packets now go one by one",
      );
    }
    if ((bits & LaneNotice.Sockets) !== 0 && this.#control.usesNewestSockets) {
      this.#sockets.closeRetired();
    }
  }

  /** Each lane finds out for itself; it is told once. */
  #noteFallback(offload: RefusableOffload, message: string): void {
    if (this.#reporter.noteRefused(offload)) this.#options.log.warn(message);
  }

  /** Mail from the lanes: everything that waits, then sleep again. */
  #onBell(): void {
    this.#mainSignal.drain();
    this.#mainBell.isAwake();
    this.#control.onMail();
    this.#arm();
    this.#mainBell.willSleep();
    if (this.#control.hasMail) this.#mainSignal.signal();
  }

  #onDeadline(): void {
    this.#control.onTimeout();
    this.#arm();
  }

  #arm(): void {
    this.#reactor.setDeadline(this.#control.nextTimeoutMs());
  }

  /** A bug in the control plane ends the process with its stack, like one in a worker. */
  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#endByBug(error);
    }
  }

  #endByBug(error: unknown): void {
    this.#end(error instanceof Error ? error.stack ?? error.message : String(error), 1);
  }

  #end(reason: string, code: number): void {
    if (this.#isEnding) return;
    this.#options.onEnd(reason, code);
  }
}
