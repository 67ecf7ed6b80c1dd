/**
 * A lane: the data plane of the peers that it owns. One `turn` looks at everything that can bring
 * work (completed batches, requests of main, the UDP sockets, sockets of the host, the stack, the
 * TUN) and leaves nothing half done but what waits for the stage or for the socket. Whoever drives it
 * (a worker that blocks in epoll, or an event loop) calls `turn` until it returns false, then waits,
 * but not beyond `nextTimeoutMs`.
 *
 * The order within a turn lets what came in be answered in the same turn: items to the stack, then
 * its timers, then one flush for all ACKs that the turn owes, then what stands on its link, beside
 * what the TUN has.
 *
 * The lane knows no clock, no system call and no thread: ports and the stage are given to it.
 */
import { DropReason } from "../base/drop_reason.ts";
import { Errno } from "../base/errno.ts";
import type { Doorbell } from "../memory/doorbell.ts";
import { GroCoalescer } from "../offload/gro_coalesce.ts";
import { AF_INET, AF_INET6 } from "../tables/endpoint.ts";
import { EPOCH_IDLE } from "../tables/epoch.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";
import type { Slab } from "../memory/slab.ts";
import { BatchKind, BatchWord } from "./batch.ts";
import { LaneCounter } from "./counters.ts";
import type { CryptoStage } from "./encryptor.ts";
import { LaneContext, type StageDrain } from "./lane_context.ts";
import { InboundSink } from "./inbound_sink.ts";
import { type Handover, HandoverKind } from "./handover.ts";
import { type SessionLimits, TUN_READ_BYTES, UNIT_PACKETS } from "./limits.ts";
import { Outbound } from "./outbound.ts";
import { PacketPolicy } from "./packet_policy.ts";
import type { HostWork, StackPort, TunPort, UdpPort } from "./ports.ts";
import { ReceiveBatches, Received } from "./receive_batches.ts";
import { SendBatches } from "./send_batches.ts";
import {
  LANE_SCRATCH_ENDPOINT,
  LANE_SCRATCH_GRO,
  LaneChannels,
  LaneCommand,
  LaneField,
  LaneNotice,
  LaneWord,
  type SharedPlan,
  SharedTables,
} from "./shared_state.ts";
import { TunOutput } from "./tun_output.ts";
import { Transmitter } from "./transmit.ts";

/**
 * Receives, and rounds of reading, that one turn takes: small packets come one by one, and all that a
 * turn reads may share a send, all that it receives may be coalesced.
 */
const RECEIVES_PER_TURN = 64;
const READS_PER_TURN = 64;
/**
 * Bytes that one turn takes in each direction, so that neither starves the other: four super-packets
 * of 64 KB. A packet counts as `PACKET_BYTES_LEAST` at least, for what it costs besides.
 */
const BYTES_PER_TURN = 240_000;
const PACKET_BYTES_LEAST = 1000;

/** Readiness of the ports, as bits. */
export const Ready = { Tun: 1, Udp4: 2, Udp6: 4 } as const;

/** What a lane is made of. */
export interface LaneOptions {
  readonly lane: number;
  readonly slab: Slab;
  readonly plan: SharedPlan;
  readonly stage: CryptoStage;
  readonly kernel: ChecksumKernel;
  readonly limits: SessionLimits;
  /** Absent in a node without an interface. */
  readonly tun?: TunPort;
  /** Absent in a node that has only an interface. */
  readonly stack?: StackPort;
  readonly udp: UdpPort;
  /** The way to other lanes; absent where there are none. */
  readonly handover?: Handover;
  readonly mainBell: Doorbell;
  /** Address of the slab in this process, for struct iovec; 0 where ports take places instead. */
  readonly slabAddress: number;
  /** Messages that one send may carry, 1 when the kernel or the user wants no segmentation. */
  readonly sendMessagesMax: number;
  /** Which coalescing is wanted; without a TUN, virtio headers are written for nobody. */
  readonly tunOffload: {
    readonly tcp: boolean;
    readonly udp: boolean;
  };
}

/** What drives a lane, and has its ports. */
export interface LaneDriver {
  /** Main has put new UDP sockets into the lane's block. */
  onSocketsChanged(): void;
  /** Main has written another config for the stack. */
  onStackChanged(): void;
  /** Main wants a snapshot of the forwarded flows. */
  onFlowsWanted(): void;
}

/** One lane; see the module's text. */
export class Lane implements StageDrain {
  readonly context: LaneContext;
  readonly channels: LaneChannels;
  /** Ports that have something to read, as bits of `Ready`; the driver sets them. */
  ready = 0;
  /** Set when main has asked the lane to stop. */
  isStopping = false;
  /** Who does what main asks for outside of the lane. */
  driver: LaneDriver | null = null;
  /** Sockets of the host that forward to and from the stack. */
  hostWork: HostWork | null = null;

  readonly #policy: PacketPolicy;
  readonly #gro: GroCoalescer;
  readonly #tun: TunPort | null;
  readonly #stack: StackPort | null;
  readonly #handover: Handover | null;
  readonly #mainBell: Doorbell;
  readonly #send: SendBatches;
  readonly #receive: ReceiveBatches;
  readonly #transmitter: Transmitter;
  readonly #outbound: Outbound;
  readonly #tunReadAt: number;

  constructor(options: LaneOptions) {
    const { slab, plan, lane } = options;
    const lanePlan = plan.lanes[lane];
    this.#tun = options.tun ?? null;
    this.#stack = options.stack ?? null;
    this.#handover = options.handover ?? null;
    this.#mainBell = options.mainBell;
    this.#tunReadAt = lanePlan.tunReadAt;
    this.channels = new LaneChannels(slab, plan, lanePlan);
    this.context = new LaneContext(
      lane,
      slab,
      new SharedTables(slab, plan),
      this.channels,
      options.stage,
      options.kernel,
      options.limits,
    );
    this.context.drain = this;
    const gro = this.#gro = this.#makeGro(options, lanePlan.scratchAt + LANE_SCRATCH_GRO);
    const policy = new PacketPolicy(this.context);
    this.#policy = policy;
    const sink = new InboundSink(
      this.context,
      gro,
      this.#makeTunOutput(options, gro),
      this.#stack,
      policy,
    );
    const send = new SendBatches(this.context, options.sendMessagesMax);
    this.#send = send;
    this.#transmitter = new Transmitter(
      this.context,
      options.udp,
      lanePlan.scratchAt + LANE_SCRATCH_ENDPOINT,
      options.sendMessagesMax > 1,
      send,
      () => this.#notice(LaneNotice.SendFallback),
    );
    this.#outbound = new Outbound(
      this.context,
      send,
      this.#transmitter,
      sink,
      policy,
      lanePlan,
      this.#handover,
    );
    this.#receive = new ReceiveBatches(
      this.context,
      options.udp,
      gro,
      sink,
      this.#transmitter,
      this.#handover,
    );
  }

  /** Exchanges the UDP sockets. */
  setUdp(port: UdpPort): void {
    this.#transmitter.port = port;
    this.#receive.port = port;
  }

  /** Whether sealed batches wait for the socket: try again soon. */
  get isSocketFull(): boolean {
    return this.#transmitter.isBlocked;
  }

  /** Ports that are ready but cannot be read now, as bits of `Ready`: no reason to wake up. */
  get deferred(): number {
    const takesPackets = this.#takesPackets && (this.#handover?.hasRoom ?? true);
    const wanted = (takesPackets ? Ready.Tun : 0) |
      (this.#receive.hasRoom ? Ready.Udp4 | Ready.Udp6 : 0);
    return this.ready & ~wanted;
  }

  /** Whether the way out is free for another packet. */
  get #takesPackets(): boolean {
    return this.#outbound.isFree && !this.#transmitter.isBlocked;
  }

  /** Whether something from another lane, a packet or a message, can be dealt with. */
  get #takesOver(): boolean {
    return this.#handover !== null && this.#takesPackets && this.#receive.hasRoom;
  }

  /** Does one round of work; whether there may be more to do at once. */
  turn(nowMs: number): boolean {
    this.#beginTurn(nowMs);
    if (this.channels.word(LaneWord.Commands) !== 0) this.#obey();
    this.#takeCommands();
    const received = this.#receiveSome();
    const moved = this.hostWork?.poll(nowMs) ?? false;
    this.#runStack(nowMs);
    const read = this.#readSome();
    if (received || read) this.channels.setField(LaneField.LastActivityMs, nowMs);
    this.#send.flush();
    // What came back from a stage in another worker meanwhile.
    this.#receive.deliver();
    this.wakeMain();
    return received || moved || read;
  }

  /** When a turn is due even if no port is ready; Infinity for never. */
  nextTimeoutMs(): number {
    return Math.min(
      this.#stack?.nextTimeoutMs() ?? Infinity,
      this.hostWork?.nextTimeoutMs() ?? Infinity,
    );
  }

  /**
   * Lets go out what has been taken in, and takes in nothing more. Call it instead of `turn` before
   * the end, until it returns true: nothing is left.
   */
  finish(nowMs: number): boolean {
    this.#beginTurn(nowMs);
    this.#receive.deliver();
    const isPlaced = this.#outbound.placeInHand() && this.#finishHandover() && this.#finishLink();
    this.#send.flush();
    return isPlaced && this.context.isStageEmpty && !this.#transmitter.isBlocked;
  }

  /** Deals with what other lanes have given; false when some of it has to wait. */
  #finishHandover(): boolean {
    while (this.#takeOver() > 0);
    return this.#outbound.isFree;
  }

  /** Places what the stack has queued; false when some of it has to wait. */
  #finishLink(): boolean {
    const link = this.#stack?.link;
    if (link === undefined) return true;
    while (!link.isEmpty && !this.#transmitter.isBlocked) {
      this.#outbound.routeSegment(link);
      if (!this.#outbound.placeInHand()) return false;
    }
    return link.isEmpty;
  }

  /** To be called before the driver sleeps; false when there is work after all. */
  prepareSleep(): boolean {
    const { channels } = this;
    const takesPackets = this.#takesPackets;
    if (takesPackets && !channels.commands.isEmpty()) return false;
    if (takesPackets && this.#stack !== null && !this.#stack.link.isEmpty) return false;
    if (this.#takesOver && !this.#handover!.prepareSleep()) return false;
    if (channels.word(LaneWord.Commands) !== 0 || this.context.stage.hasCompleted()) return false;
    if (this.context.holdsNothing) {
      this.context.tables.epochs.announce(this.context.lane, EPOCH_IDLE);
    }
    return true;
  }

  #makeGro(options: LaneOptions, scratchAt: number): GroCoalescer {
    const { tcp, udp } = options.tunOffload;
    return new GroCoalescer(options.slab, options.kernel, scratchAt, {
      slabAddress: options.slabAddress,
      tcp,
      udp,
    });
  }

  #makeTunOutput(options: LaneOptions, gro: GroCoalescer): TunOutput | null {
    if (options.tun === undefined) return null;
    const output = new TunOutput(this.context, {
      tun: options.tun,
      scratchAt: options.plan.lanes[options.lane].tunOutputAt,
      slabAddress: options.slabAddress,
      onGone: () => this.#tunHasGone(),
      onFallback: () => this.#notice(LaneNotice.TunFallback),
    });
    output.gro = gro;
    return output;
  }

  #beginTurn(nowMs: number): void {
    this.context.nowMs = nowMs;
    if (this.#stack !== null) this.#stack.nowMs = nowMs;
    this.#handover?.beginTurn();
    this.context.announceEpoch();
    this.#policy.beginTurn();
    // What no device and no policy will see needs no IP packet around it.
    this.#gro.joinsStreams = this.#tun === null && !this.#policy.looksInbound;
    this.drainStage();
    if (this.#transmitter.isBlocked) this.#transmitter.retry();
    this.#outbound.beginTurn();
  }

  /** Takes what the stage has completed: sealed batches to the socket, opened ones to the coalescer. */
  drainStage(): void {
    for (;;) {
      const batch = this.context.takeCompleted();
      if (batch < 0) return;
      const kind = this.channels.batches.word(batch, BatchWord.Kind);
      if (kind === BatchKind.Seal) this.#transmitter.send(batch);
      else this.#receive.complete(batch);
    }
  }

  #receiveSome(): boolean {
    let something = false;
    if ((this.ready & Ready.Udp4) !== 0) something = this.#receiveFrom(AF_INET, Ready.Udp4);
    if ((this.ready & Ready.Udp6) !== 0) {
      something = this.#receiveFrom(AF_INET6, Ready.Udp6) || something;
    }
    this.#receive.deliver();
    return something;
  }

  #receiveFrom(family: typeof AF_INET | typeof AF_INET6, bit: number): boolean {
    for (let i = 0, bytes = 0; i < RECEIVES_PER_TURN && bytes < BYTES_PER_TURN; i++) {
      const received = this.#receive.receive(family);
      if (received === Received.NoBatch) return false;
      if (received === Received.Nothing) {
        this.ready &= ~bit;
        return i > 0;
      }
      bytes += budgetBytes(this.#receive.messages, received);
    }
    return true;
  }

  /** Lets the stack do what is due, and put what it owes on its link. */
  #runStack(nowMs: number): void {
    const stack = this.#stack;
    if (stack === null) return;
    if (stack.nextTimeoutMs() <= nowMs) stack.onTimeout(nowMs);
    stack.flush(nowMs);
  }

  /**
   * Goes on with the packet in hand and with staged ones, then takes from other lanes, from the TUN and
   * from the link by turns. False when there is nothing more to take, or no way to go on before
   * something has come back.
   */
  #readSome(): boolean {
    if (!this.#outbound.proceed()) return false;
    for (let rounds = 0, bytes = 0; rounds < READS_PER_TURN; rounds++) {
      const taken = this.#takeOver();
      const read = this.#readTun();
      const drained = this.#drainLink();
      if (!this.#takesPackets) return false;
      if (taken === 0 && read === 0 && drained === 0) return rounds > 0;
      bytes += taken + read + drained;
      if (bytes >= BYTES_PER_TURN) break;
    }
    return true;
  }

  /** Deals with one thing that another lane has given, if it can; how many bytes that were. */
  #takeOver(): number {
    if (!this.#takesOver) return 0;
    const handover = this.#handover!;
    // The packet that was in hand may have been of another lane.
    handover.giveBack();
    if (!handover.take()) return 0;
    const { takenAt, takenBytes } = handover;
    this.channels.counters.add(LaneCounter.TakenOver, 1);
    if (handover.takenKind === HandoverKind.Packet) {
      this.#outbound.routeHandedOver(takenAt, takenBytes);
      if (!this.#outbound.proceed()) return takenBytes;
    } else {
      this.#receive.takeOver(takenAt, takenBytes, handover.takenTos);
    }
    handover.giveBack();
    return takenBytes;
  }

  /** Reads the TUN once, if it may be read; what that counts in the turn's bytes. */
  #readTun(): number {
    const tun = this.#tun;
    if (tun === null || (this.ready & Ready.Tun) === 0 || !this.#takesPackets) return 0;
    if (this.#handover !== null && !this.#handover.hasRoom) return 0;
    const readAt = this.#handover?.readAt ?? this.#tunReadAt;
    const bytes = tun.read(readAt, TUN_READ_BYTES);
    if (bytes < 0) {
      this.#tunReadFailed(-bytes);
      return 0;
    }
    this.channels.counters.add(LaneCounter.TunReads, 1);
    this.channels.counters.add(LaneCounter.TunReadBytes, bytes);
    const packets = this.#outbound.route(readAt, bytes);
    this.#outbound.proceed();
    return budgetBytes(packets, bytes);
  }

  /**
   * Takes segments from the link, one unit of work, and lets the stack fill the room behind them; what
   * that counts in the turn's bytes.
   */
  #drainLink(): number {
    const stack = this.#stack;
    if (stack === null || stack.link.isEmpty || !this.#outbound.isFree) return 0;
    const { link } = stack;
    let packets = 0, bytes = 0;
    while (packets < UNIT_PACKETS && !link.isEmpty) {
      if (this.#transmitter.isBlocked) break;
      bytes += link.frontHeaderBytes + link.frontPayloadBytes;
      packets += this.#outbound.routeSegment(link);
      if (!this.#outbound.proceed()) break;
    }
    stack.flush(this.context.nowMs);
    return budgetBytes(packets, bytes);
  }

  #tunReadFailed(errno: number): void {
    if (errno === Errno.EAGAIN) this.ready &= ~Ready.Tun;
    else if (errno === Errno.EBADFD || errno === Errno.EBADF) this.#tunHasGone();
    else if (errno !== Errno.EINTR) {
      this.ready &= ~Ready.Tun;
      this.channels.counters.drop(DropReason.TunReadFailed);
    }
  }

  #tunHasGone(): void {
    this.ready &= ~Ready.Tun;
    if (this.channels.word(LaneWord.TunGone) === 1) return;
    this.channels.setWord(LaneWord.TunGone, 1);
    this.#notice(LaneNotice.TunGone);
  }

  /** Tells main something about the lane itself. */
  #notice(bits: number): void {
    this.context.post(this.channels.laneSubject, bits);
  }

  /** Takes what main asks for; a peer's staged packets are sent before the next request is taken. */
  #takeCommands(): void {
    while (this.#outbound.proceed()) {
      const subject = this.channels.commands.take();
      if (subject < 0) return;
      this.#outbound.obey(subject, this.channels.commands.takenBits);
    }
  }

  /** Does what main asks of the lane itself, whatever else is stuck. */
  #obey(): void {
    const { channels } = this;
    const bits = channels.takeRequests();
    if ((bits & LaneCommand.Beat) !== 0 && !this.context.isStageStuck()) {
      channels.setWord(LaneWord.BeatAnswer, channels.word(LaneWord.Beat));
    }
    if ((bits & LaneCommand.Sockets) !== 0) {
      const generation = channels.word(LaneWord.SocketGeneration);
      this.driver?.onSocketsChanged();
      channels.setWord(LaneWord.SocketGenerationInUse, generation);
      this.#notice(LaneNotice.Sockets);
    }
    if ((bits & LaneCommand.Stack) !== 0) this.driver?.onStackChanged();
    if ((bits & LaneCommand.Flows) !== 0) {
      this.driver?.onFlowsWanted();
      this.#notice(LaneNotice.Flows);
    }
    if ((bits & LaneCommand.ForgetKeys) !== 0) this.context.stage.forgetKeys();
    if ((bits & LaneCommand.Stop) !== 0) this.isStopping = true;
  }

  /** Rings main's bell if there is mail for it. */
  wakeMain(): void {
    if (!this.context.mainHasMail) return;
    this.context.mainHasMail = false;
    this.#mainBell.ring();
  }
}

/** What packets of `bytes` bytes in all count in a turn's bytes. */
function budgetBytes(packets: number, bytes: number): number {
  return Math.max(bytes, packets * PACKET_BYTES_LEAST);
}
