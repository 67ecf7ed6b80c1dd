/**
 * The control plane of a node: the WireGuard device together with its side of the channels to the
 * lanes. It turns mail from lanes into calls of the device, and what the device wants done into
 * datagrams and requests. It waits for nothing: whoever owns the node calls `onMail` when the bell
 * rings, `onTimeout` when `nextTimeoutMs` has come, and both end by flushing.
 */
import { Errno } from "../base/errno.ts";
import type { Clock } from "../base/clock.ts";
import type { RandomSource } from "../base/random.ts";
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import {
  HANDSHAKE_ENDPOINT,
  HANDSHAKE_LENGTH,
  HANDSHAKE_MESSAGE,
  HANDSHAKE_SLOTS,
  LaneChannels,
  LaneCommand,
  LaneNotice,
  LaneWord,
  MAIN_SCRATCH_DEVICE,
  MAIN_SCRATCH_ENDPOINT,
  MAIN_SCRATCH_MESSAGE,
  type SharedPlan,
  SharedTables,
} from "../lane/shared_state.ts";
import type { UdpPort } from "../lane/ports.ts";
import type { Doorbell } from "../memory/doorbell.ts";
import type { Slab } from "../memory/slab.ts";
import { AllowedIps } from "../tables/allowed_ips.ts";
import { ENDPOINT_BYTES, ENDPOINT_SOURCE } from "../tables/endpoint.ts";
import { PeerWord } from "../tables/peer_table.ts";
import type {
  ConfigurationTarget,
  DeviceChange,
  DeviceStatus,
} from "../wireguard/configuration.ts";
import type { SocketSettings } from "../wireguard/configurator.ts";
import { Device } from "../wireguard/device.ts";
import type { Transmit } from "../wireguard/outbox.ts";
import { REKEY_TIMEOUT_MS } from "../wireguard/constants.ts";
import type { DeviceEvent } from "../wireguard/events.ts";
import { NodePolicy } from "./node_policy.ts";

/** DSCP AF41 in the TOS byte, as other WireGuard implementations mark handshakes. */
const HANDSHAKE_TOS = 0x88;
/** Handshake messages taken from one lane before the others get their turn. */
const HANDSHAKES_PER_VISIT = 32;
/** How long a handshake message waits when the socket is full. */
const RETRY_MS = 5;
/** Handshake messages that wait while the sockets are closed. */
const UNSENT_MAX = 256;

/** What a control plane is made of. */
export interface ControlPlaneOptions {
  readonly slab: Slab;
  readonly plan: SharedPlan;
  readonly crypto: NoiseCrypto;
  readonly random: RandomSource;
  readonly clock: Clock;
  /** The doorbells of the lanes, by number. */
  readonly laneBells: readonly Doorbell[];
  /** Applies port and mark to the sockets and returns the port in use; see `DeviceOptions`. */
  readonly openSockets: (settings: SocketSettings) => number | void;
  readonly log: (event: DeviceEvent) => void;
  /** Told what a lane announces about itself: bits of `LaneNotice`. */
  readonly onLaneNotice: (lane: number, bits: number) => void;
}

/** One node's control plane; see the module's text. */
export class ControlPlane implements ConfigurationTarget {
  readonly device: Device;
  readonly channels: readonly LaneChannels[];
  readonly tables: SharedTables;
  /** What lanes decide beside cryptokey routing, and what they count. */
  readonly policy: NodePolicy;
  /** The socket that handshake messages leave by; null while there is none. */
  udp: UdpPort | null = null;
  #boundPort = 0;
  #wipedKeypairs = 0;
  /** When messages that found the socket full are tried again. */
  #retryAtMs = Infinity;
  /** Handshake messages that found no socket, with the time they were made. */
  readonly #unsent: { readonly atMs: number; readonly transmit: Transmit }[] = [];
  readonly #slab: Slab;
  readonly #clock: Clock;
  readonly #bells: readonly Doorbell[];
  readonly #messageAt: number;
  readonly #endpointAt: number;
  readonly #onLaneNotice: (lane: number, bits: number) => void;

  constructor(options: ControlPlaneOptions) {
    const { slab, plan } = options;
    this.#slab = slab;
    this.#clock = options.clock;
    this.#bells = options.laneBells;
    this.#onLaneNotice = options.onLaneNotice;
    this.#messageAt = plan.mainScratchAt + MAIN_SCRATCH_MESSAGE;
    this.#endpointAt = plan.mainScratchAt + MAIN_SCRATCH_ENDPOINT;
    this.tables = new SharedTables(slab, plan);
    this.channels = plan.lanes.map((lane) => new LaneChannels(slab, plan, lane));
    const epochs = this.tables.epochs;
    this.device = new Device({
      slab,
      peers: this.tables.peers,
      keypairs: this.tables.keypairs,
      epochs,
      allowedIps: new AllowedIps(slab, plan.allowedIpsAt, plan.prefixNodeCapacity, epochs),
      crypto: options.crypto,
      random: options.random,
      clock: options.clock,
      scratchAt: plan.mainScratchAt + MAIN_SCRATCH_DEVICE,
      openSockets: options.openSockets,
      // By its slot: the lane of a slot never changes, whoever has the slot.
      laneOf: (slot) => slot % plan.lanes.length,
      log: options.log,
    });
    this.policy = new NodePolicy(this.tables, this.channels, (key) => this.device.slotOf(key));
  }

  /** Takes all mail from the lanes. Returns true when some was left for the next call. */
  onMail(): boolean {
    const nowMs = this.#clock.nowMs();
    let isLeft = false;
    for (let lane = 0; lane < this.channels.length; lane++) {
      this.#takeEvents(lane, nowMs);
      isLeft = this.#takeHandshakes(lane, nowMs) || isLeft;
    }
    this.flush();
    return isLeft;
  }

  /** Whether lanes have left something for `onMail`. */
  get hasMail(): boolean {
    return this.channels.some((lane) => !lane.events.isEmpty() || lane.handshakes.peek() >= 0);
  }

  /** Does what is due. */
  onTimeout(): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs >= this.#retryAtMs) this.#sendUnsent();
    this.device.onTimeout(nowMs);
    this.flush();
  }

  /** When `onTimeout` is due on CLOCK_BOOTTIME; Infinity for never. */
  nextTimeoutMs(): number {
    return Math.min(this.device.nextTimeoutMs(), this.#retryAtMs);
  }

  apply(change: DeviceChange): void {
    try {
      this.device.apply(change);
    } finally {
      this.policy.onPeersChanged();
      this.flush();
    }
  }

  status(): DeviceStatus {
    const status = this.device.status();
    return this.#boundPort === 0 ? status : { ...status, listenPort: this.#boundPort };
  }

  /** The sockets are open, on this port: what had to wait for them is sent. */
  onSocketsOpen(boundPort: number): void {
    this.#boundPort = boundPort;
    this.#sendUnsent();
  }

  /** The interface went up, with its sockets open. */
  onInterfaceUp(): void {
    this.device.onInterfaceUp(this.#clock.nowMs());
    this.flush();
  }

  /** The interface went down, its sockets are closed: sessions end, messages wait for new ones. */
  onInterfaceDown(): void {
    this.#boundPort = 0;
    this.udp = null;
    this.#unsent.length = 0;
    this.device.onInterfaceDown(this.#clock.nowMs());
    this.flush();
  }

  /** Posts a request to a lane as a whole. */
  postToLane(lane: number, bits: number): void {
    this.channels[lane].request(bits);
    this.#bells[lane].ring();
  }

  /** Gives every lane its new sockets: descriptors by the lane's number, -1 for none. */
  announceSockets(lanes: readonly { readonly v4: number; readonly v6: number }[]): void {
    for (let lane = 0; lane < this.channels.length; lane++) {
      const channels = this.channels[lane];
      channels.setWord(LaneWord.Udp4Fd, lanes[lane].v4);
      channels.setWord(LaneWord.Udp6Fd, lanes[lane].v6);
      channels.setWord(LaneWord.SocketGeneration, channels.word(LaneWord.SocketGeneration) + 1);
      this.postToLane(lane, LaneCommand.Sockets);
    }
  }

  /** Whether every lane has taken the sockets that it was given last. */
  get usesNewestSockets(): boolean {
    return this.channels.every((lane) =>
      lane.word(LaneWord.SocketGeneration) === lane.word(LaneWord.SocketGenerationInUse)
    );
  }

  /** Sets the MTU that padding respects. */
  setMtu(mtu: number): void {
    for (const channels of this.channels) channels.setWord(LaneWord.Mtu, mtu);
  }

  /** Sends what the device has to send and passes its requests to the lanes. */
  flush(): void {
    for (;;) {
      const transmit = this.device.pollTransmit();
      if (transmit === null) break;
      if (this.udp === null) this.#keepUnsent(transmit);
      else this.#send(transmit);
    }
    for (;;) {
      const command = this.device.pollCommand();
      if (command === null) break;
      const lane = this.tables.peers.word(command.peer, PeerWord.Lane);
      this.channels[lane].commands.post(command.peer, command.bits);
      this.#bells[lane].ring();
    }
    this.#forgetWipedKeys();
    this.policy.retry();
  }

  /** Wipes every key. */
  close(): void {
    this.device.close();
  }

  #takeEvents(lane: number, nowMs: number): void {
    const { events, laneSubject } = this.channels[lane];
    for (;;) {
      const subject = events.take();
      if (subject < 0) return;
      if (subject === laneSubject) this.#onNotice(lane, events.takenBits);
      else this.device.onPeerEvent(subject, events.takenBits, nowMs);
    }
  }

  #onNotice(lane: number, bits: number): void {
    if ((bits & LaneNotice.Activity) !== 0) this.policy.onActivityNotice();
    const others = bits & ~LaneNotice.Activity;
    if (others !== 0) this.#onLaneNotice(lane, others);
  }

  #takeHandshakes(lane: number, nowMs: number): boolean {
    const ring = this.channels[lane].handshakes;
    const { u8, i32 } = this.#slab;
    for (let i = 0; i < HANDSHAKES_PER_VISIT; i++) {
      const slot = ring.peek();
      if (slot < 0) return false;
      const messageAt = slot + HANDSHAKE_MESSAGE;
      const bytes = u8.slice(messageAt, messageAt + i32[(slot + HANDSHAKE_LENGTH) >> 2]);
      const endpointAt = slot + HANDSHAKE_ENDPOINT;
      const from = u8.slice(endpointAt, endpointAt + ENDPOINT_BYTES);
      const underLoad = ring.length >= HANDSHAKE_SLOTS / 8;
      ring.release();
      this.device.onMessage(bytes, from, underLoad, nowMs);
    }
    return ring.peek() >= 0;
  }

  /** The ciphers of the lanes hold copies of the keys that they used last. */
  #forgetWipedKeys(): void {
    const wiped = this.device.wipedKeypairs;
    if (wiped === this.#wipedKeypairs) return;
    this.#wipedKeypairs = wiped;
    for (let lane = 0; lane < this.channels.length; lane++) {
      this.channels[lane].setWord(LaneWord.KeyGeneration, wiped | 0);
      this.postToLane(lane, LaneCommand.ForgetKeys);
    }
  }

  /** Sends what has waited, unless the device has made a newer message meanwhile. */
  #sendUnsent(): void {
    this.#retryAtMs = Infinity;
    const oldestMs = this.#clock.nowMs() - REKEY_TIMEOUT_MS;
    for (const { atMs, transmit } of this.#unsent.splice(0)) {
      if (atMs >= oldestMs) this.#send(transmit);
    }
  }

  #keepUnsent(transmit: Transmit): void {
    if (this.#unsent.length >= UNSENT_MAX) this.#unsent.shift();
    this.#unsent.push({ atMs: this.#clock.nowMs(), transmit });
  }

  #send(transmit: Transmit): void {
    const { bytes, to } = transmit;
    this.#slab.u8.set(bytes, this.#messageAt);
    this.#slab.u8.set(to, this.#endpointAt);
    const length = bytes.length;
    const endpointAt = this.#endpointAt;
    const result = this.udp?.send(this.#messageAt, length, length, endpointAt, HANDSHAKE_TOS) ?? 0;
    if (result >= 0) return;
    if (result === -Errno.EAGAIN || result === -Errno.ENOBUFS) {
      this.#keepUnsent(transmit);
      this.#retryAtMs = this.#clock.nowMs() + RETRY_MS;
    } else {
      this.#sendWithoutSource(length);
    }
  }

  /** The sticky source may have been removed: once more, and let routing choose. */
  #sendWithoutSource(length: number): void {
    const end = this.#endpointAt + ENDPOINT_BYTES;
    this.#slab.u8.fill(0, this.#endpointAt + ENDPOINT_SOURCE, end);
    this.udp?.send(this.#messageAt, length, length, this.#endpointAt, HANDSHAKE_TOS);
  }
}
