/**
 * A whole node on one event loop: control plane, one lane and the encryptor stage inside it, driven
 * by calls. The simulator, unit tests and nodes inside other programs use it; it is the same code
 * that runs spread over workers in the daemon.
 */
import type { Clock } from "../base/clock.ts";
import type { RandomSource } from "../base/random.ts";
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import type { PacketAead } from "../crypto/packet_aead.ts";
import { type CryptoStage, Encryptor, InlineStage } from "../lane/encryptor.ts";
import { Lane } from "../lane/lane.ts";
import { DEFAULT_SESSION_LIMITS, type SessionLimits } from "../lane/limits.ts";
import type { TunPort, UdpPort } from "../lane/ports.ts";
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
import { ControlPlane } from "./control_plane.ts";

/** What an inline node is made of; the ports are made over its slab. */
export interface InlineNodeOptions {
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly crypto: NoiseCrypto;
  readonly makeAead: (slab: Slab) => PacketAead;
  readonly makeKernel: (slab: Slab) => ChecksumKernel;
  readonly makeTun: (slab: Slab) => TunPort;
  readonly makeUdp: (slab: Slab) => UdpPort;
  /** Wraps the stage, for tests that delay it. */
  readonly wrapStage?: (stage: CryptoStage) => CryptoStage;
  readonly log?: (event: DeviceEvent) => void;
  readonly limits?: SessionLimits;
  readonly mtu?: number;
  readonly peerCapacity?: number;
  readonly sendMessagesMax?: number;
  readonly tunOffload?: { vnetHeaders: boolean; tcp: boolean; udp: boolean };
}

const PLAN: PlanOptions = { lanes: 1, sealBatches: 16, openBatches: 8, indexSecret: 0 };
const PREFIX_NODES = 4096;

/** One node; see the module's text. */
export class InlineNode {
  readonly slab: Slab;
  readonly plan: SharedPlan;
  readonly control: ControlPlane;
  readonly lane: Lane;
  readonly #clock: Clock;

  constructor(options: InlineNodeOptions) {
    const indexSecret = new DataView(options.random.fill(new Uint8Array(4)).buffer).getInt32(0);
    this.plan = planShared({
      ...PLAN,
      indexSecret,
      peerCapacity: options.peerCapacity ?? 64,
      prefixNodeCapacity: PREFIX_NODES,
    });
    this.slab = createSlab(this.plan.byteLength);
    this.#clock = options.clock;
    const limits = options.limits ?? DEFAULT_SESSION_LIMITS;
    const nobodySleeps = () => {};
    const udp = options.makeUdp(this.slab);
    this.lane = this.#makeLane(options, udp, limits);
    this.control = new ControlPlane({
      slab: this.slab,
      plan: this.plan,
      crypto: options.crypto,
      random: options.random,
      clock: options.clock,
      laneBells: [new Doorbell(this.slab, this.plan.lanes[0].bellAt, nobodySleeps)],
      openSockets: () => {},
      log: options.log ?? (() => {}),
      onLaneNotice: () => {},
    });
    this.control.udp = udp;
    this.control.setMtu(options.mtu ?? 1420);
  }

  /** Works until neither half has anything to do; ready bits of the lane are the caller's. */
  run(): void {
    let isBusy = true;
    while (isBusy) {
      isBusy = this.lane.turn(this.#clock.nowMs());
      isBusy = this.control.onMail() || isBusy;
      isBusy = !this.lane.prepareSleep() || isBusy;
      isBusy = this.control.hasMail || isBusy;
    }
  }

  /** Does what is due, then works. */
  onTimeout(): void {
    this.control.onTimeout();
    this.run();
  }

  #makeLane(options: InlineNodeOptions, udp: UdpPort, limits: SessionLimits): Lane {
    const { slab, plan } = this;
    const { keypairs } = new SharedTables(slab, plan);
    const { batches } = new LaneChannels(slab, plan, plan.lanes[0]);
    const encryptor = new Encryptor(slab, batches, keypairs, options.makeAead(slab));
    const stage = new InlineStage(encryptor, plan.batchRingSlots + 1);
    return new Lane({
      lane: 0,
      slab,
      plan,
      stage: options.wrapStage?.(stage) ?? stage,
      kernel: options.makeKernel(slab),
      limits,
      tun: options.makeTun(slab),
      udp,
      mainBell: new Doorbell(slab, plan.mainBellAt, () => {}),
      slabAddress: 0,
      sendMessagesMax: options.sendMessagesMax ?? 64,
      tunOffload: options.tunOffload ?? { vnetHeaders: true, tcp: true, udp: true },
    });
  }
}
