/**
 * A whole node on one event loop: control plane, one lane and the encryptor stage inside it, driven
 * by calls. The simulator, unit tests and nodes inside other programs use it; it is the same code
 * that runs spread over workers in the daemon.
 *
 * With a stack inside, whoever uses it calls `run` after it has written to a connection; `onWork`
 * tells when that is needed because something stands on the stack's link.
 */
import type { Clock } from "../base/clock.ts";
import type { RandomSource } from "../base/random.ts";
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import type { PacketAead } from "../crypto/packet_aead.ts";
import { type CryptoStage, Encryptor, InlineStage } from "../lane/encryptor.ts";
import { Lane } from "../lane/lane.ts";
import { DEFAULT_SESSION_LIMITS, type SessionLimits } from "../lane/limits.ts";
import type { StackPort, TunPort, UdpPort } from "../lane/ports.ts";
import {
  LaneChannels,
  type PlanOptions,
  planShared,
  type SharedPlan,
  SharedTables,
} from "../lane/shared_state.ts";
import { Doorbell } from "../memory/doorbell.ts";
import { createSlab, type Slab } from "../memory/slab.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";
import type { DeviceEvent } from "../wireguard/events.ts";
import { Stack } from "../netstack/stack.ts";
import { ControlPlane } from "./control_plane.ts";
import {
  inlineStackBytes,
  type InlineStackOptions,
  makeInlineStack,
  type StackParts,
} from "./inline_stack.ts";

/** What an inline node is made of; the ports are made over its slab. */
export interface InlineNodeOptions {
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly crypto: NoiseCrypto;
  /** `scratchAt`: PACKET_AEAD_SCRATCH_BYTES of the slab for it alone. */
  readonly makeAead: (slab: Slab, scratchAt: number) => PacketAead;
  readonly makeKernel: (slab: Slab) => ChecksumKernel;
  /** Absent in a node without an interface. */
  readonly makeTun?: (slab: Slab) => TunPort;
  /** A userspace stack; absent in a node that has only an interface. */
  readonly stack?: InlineStackOptions;
  /** Puts something of its own in the place of the stack, in the memory that `stack` asks for. */
  readonly makeStack?: (parts: StackParts) => StackPort;
  readonly makeUdp: (slab: Slab) => UdpPort;
  /** Wraps the stage, for tests that delay it. */
  readonly wrapStage?: (stage: CryptoStage) => CryptoStage;
  readonly log?: (event: DeviceEvent) => void;
  readonly limits?: SessionLimits;
  readonly mtu?: number;
  readonly peerCapacity?: number;
  readonly sendMessagesMax?: number;
  readonly tunOffload?: { tcp: boolean; udp: boolean };
}

const PLAN: PlanOptions = { lanes: 1, sealBatches: 16, openBatches: 8, indexSecret: 0 };
const PREFIX_NODES = 4096;
const DEFAULT_MTU = 1420;

/** One node; see the module's text. */
export class InlineNode {
  readonly slab: Slab;
  readonly plan: SharedPlan;
  readonly control: ControlPlane;
  readonly lane: Lane;
  /** What stands above the lane's link, null without a stack. */
  readonly stack: Stack | null = null;
  /** Called when the stack has queued something on its own: call `run`. */
  onWork: () => void = () => {};
  #isRunning = false;
  readonly #clock: Clock;

  constructor(options: InlineNodeOptions) {
    const indexSecret = new DataView(options.random.fill(new Uint8Array(4)).buffer).getInt32(0);
    this.plan = planShared({
      ...PLAN,
      indexSecret,
      peerCapacity: options.peerCapacity ?? 64,
      prefixNodeCapacity: PREFIX_NODES,
      stackBytes: options.stack === undefined ? 0 : inlineStackBytes(options.stack),
    });
    this.slab = createSlab(this.plan.byteLength);
    this.#clock = options.clock;
    const limits = options.limits ?? DEFAULT_SESSION_LIMITS;
    const udp = options.makeUdp(this.slab);
    const kernel = options.makeKernel(this.slab);
    const port = this.#makeStack(options, kernel);
    if (port instanceof Stack) {
      this.stack = port;
      port.link.onReadable = () => this.#onReadable();
    }
    this.lane = this.#makeLane(options, udp, kernel, port, limits);
    this.control = new ControlPlane({
      slab: this.slab,
      plan: this.plan,
      crypto: options.crypto,
      random: options.random,
      clock: options.clock,
      laneBells: [new Doorbell(this.slab, this.plan.lanes[0].bellAt, null)],
      openSockets: () => {},
      log: options.log ?? (() => {}),
      onLaneNotice: () => {},
    });
    this.control.udp = udp;
    this.control.setMtu(options.mtu ?? DEFAULT_MTU);
  }

  /** Works until neither half has anything to do; ready bits of the lane are the caller's. */
  run(): void {
    this.#isRunning = true;
    let isBusy = true;
    while (isBusy) {
      isBusy = this.lane.turn(this.#clock.nowMs());
      isBusy = this.control.onMail() || isBusy;
      isBusy = !this.lane.prepareSleep() || isBusy;
      isBusy = this.control.hasMail || isBusy;
    }
    this.#isRunning = false;
  }

  /** When `onTimeout` is due; Infinity for never. */
  nextTimeoutMs(): number {
    return Math.min(this.control.nextTimeoutMs(), this.lane.nextTimeoutMs());
  }

  /** Does what is due, then works. */
  onTimeout(): void {
    this.control.onTimeout();
    this.run();
  }

  #onReadable(): void {
    if (!this.#isRunning) this.onWork();
  }

  #makeStack(options: InlineNodeOptions, kernel: ChecksumKernel): StackPort | undefined {
    if (options.stack === undefined) return undefined;
    const { slab, plan } = this;
    const { stackAt: at, stackBytes: bytes } = plan.lanes[0];
    const { counters } = new LaneChannels(slab, plan, plan.lanes[0]);
    const { random, mtu = DEFAULT_MTU } = options;
    const parts = { slab, at, bytes, kernel, random, counters, mtu };
    return options.makeStack?.(parts) ?? makeInlineStack(options.stack, parts);
  }

  #makeLane(
    options: InlineNodeOptions,
    udp: UdpPort,
    kernel: ChecksumKernel,
    port: StackPort | undefined,
    limits: SessionLimits,
  ): Lane {
    const { slab, plan } = this;
    const { keypairs } = new SharedTables(slab, plan);
    const { batches } = new LaneChannels(slab, plan, plan.lanes[0]);
    const encryptor = new Encryptor(
      slab,
      batches,
      keypairs,
      options.makeAead(slab, plan.lanes[0].aeadScratchAt),
    );
    const stage = new InlineStage(encryptor, plan.batchSlots + 1);
    return new Lane({
      lane: 0,
      slab,
      plan,
      stage: options.wrapStage?.(stage) ?? stage,
      kernel,
      limits,
      tun: options.makeTun?.(slab),
      stack: port,
      udp,
      mainBell: new Doorbell(slab, plan.mainBellAt, null),
      slabAddress: 0,
      sendMessagesMax: options.sendMessagesMax ?? 64,
      tunOffload: options.tunOffload ?? { tcp: true, udp: true },
    });
  }
}
