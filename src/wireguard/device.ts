/**
 * The control plane of WireGuard as one object without clock, randomness or socket: handshakes,
 * cookies, timers, peers and their configuration. The data plane (`src/lane`) meets it in the tables
 * that both share, and in two kinds of notes: `PeerEvent` bits come in through `onPeerEvent`,
 * `PeerCommand` bits go out through `pollCommand`.
 *
 * The owner calls `onMessage`, `onPeerEvent`, `onTimeout` and `apply` as things happen, and after
 * each of them takes everything from `pollTransmit` and `pollCommand`, and sets its alarm to
 * `nextTimeoutMs`. All times are milliseconds on CLOCK_BOOTTIME, so that keys die in their time even
 * if the machine sleeps; the wall clock serves for timestamps only.
 */
import type { Clock } from "../base/clock.ts";
import { DROP_REASON_COUNT, DropReason } from "../base/drop_reason.ts";
import { invariant } from "../base/invariant.ts";
import type { RandomSource } from "../base/random.ts";
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import type { Slab } from "../memory/slab.ts";
import type { AllowedIps } from "../tables/allowed_ips.ts";
import type { EndpointBytes } from "../tables/endpoint.ts";
import type { EpochTable } from "../tables/epoch.ts";
import { type KeypairTable, KeypairWord } from "../tables/keypair_table.ts";
import { PeerEvent, PeerField, type PeerTable, PeerWord } from "../tables/peer_table.ts";
import { toHex, wipe } from "./bytes.ts";
import type {
  ConfigurationTarget,
  DeviceChange,
  DeviceStatus,
  SocketAddress,
} from "./configuration.ts";
import { Configurator, type SocketSettings } from "./configurator.ts";
import { UNDER_LOAD_AFTER_MS } from "./constants.ts";
import { EndpointStore } from "./endpoint_store.ts";
import { type DeviceEvent, DeviceEventCode } from "./events.ts";
import { Handshakes } from "./handshakes.ts";
import { Keypairs } from "./keypairs.ts";
import { CookieChecker } from "./mac_cookie.ts";
import { MessageType } from "../wire/wireguard.ts";
import { handshakeMessageType } from "./messages.ts";
import { type LaneOrder, Outbox, type Transmit } from "./outbox.ts";
import type { Peer } from "./peer.ts";
import { PeerSet } from "./peer_set.ts";
import { RateLimiter } from "./rate_limiter.ts";
import { decodeEndpoint } from "./socket_address.ts";
import { TimestampSource } from "./tai64n.ts";
import { PeerTimers } from "./timers.ts";

/** How often main looks whether the lanes have let go of what was retired. */
const RECLAIM_INTERVAL_MS = 10;

/** What a device is made of. */
export interface DeviceOptions {
  readonly slab: Slab;
  readonly peers: PeerTable;
  readonly keypairs: KeypairTable;
  readonly epochs: EpochTable;
  readonly allowedIps: AllowedIps;
  /** A place of 64 bytes in the slab for the device alone. */
  readonly scratchAt: number;
  readonly crypto: NoiseCrypto;
  readonly random: RandomSource;
  readonly clock: Clock;
  /**
   * Opens or changes the sockets, and returns the port they are bound to (nothing: the one asked
   * for). Throws `ConfigurationError` when that fails, and has then changed nothing.
   */
  readonly openSockets?: (settings: SocketSettings) => number | void;
  readonly log?: (event: DeviceEvent) => void;
  /** The lane for a new peer; lane 0 when absent. */
  readonly laneOf?: (peerSlot: number) => number;
  /** What `lastTimestamp` returned before a restart. */
  readonly lastTimestamp?: Uint8Array;
}

/** How much has gone to and come from a peer so far, handshakes included. */
export interface PeerTraffic {
  /** The public key; not to be changed. */
  readonly publicKey: Uint8Array;
  /** The same in hexadecimal. */
  readonly keyText: string;
  /** Nanoseconds since 1970, 0 for never. */
  readonly lastHandshakeWallNs: bigint;
  readonly rxBytes: number;
  readonly txBytes: number;
  /** Changes whenever its endpoint, or the address that we send from, does. */
  readonly endpointVersion: number;
  /** Whether packets to it can be sealed, or could be until a moment ago. */
  readonly hasSession: boolean;
}

/** A WireGuard device, less its data plane. */
export class Device implements ConfigurationTarget {
  readonly #options: DeviceOptions;
  readonly #table: PeerTable;
  readonly #peers: PeerSet;
  readonly #keypairs: Keypairs;
  readonly #endpoints: EndpointStore;
  readonly #outbox: Outbox;
  readonly #timestamps: TimestampSource;
  readonly #timers: PeerTimers;
  readonly #handshakes: Handshakes;
  readonly #cookieChecker: CookieChecker;
  readonly #configurator: Configurator;
  readonly #limiter = new RateLimiter();
  #underLoadUntilMs = -Infinity;
  #reclaimAtMs = Infinity;

  /** Counts the keypairs that were wiped so far. */
  get wipedKeypairs(): number {
    return this.#keypairs.wipedCount;
  }

  /** How many handshake messages were dropped, by `DropReason`. */
  readonly drops = new Float64Array(DROP_REASON_COUNT);

  constructor(options: DeviceOptions) {
    const { slab, peers: table, keypairs, epochs, crypto, random, clock } = options;
    this.#options = options;
    this.#table = table;
    this.#peers = new PeerSet(table, epochs, options.laneOf ?? (() => 0));
    this.#keypairs = new Keypairs(slab, keypairs, table, epochs, random);
    this.#endpoints = new EndpointStore(slab, table, options.scratchAt);
    this.#outbox = new Outbox(table.capacity);
    this.#timestamps = new TimestampSource(options.lastTimestamp);
    this.#cookieChecker = new CookieChecker(crypto, random);
    this.#timers = new PeerTimers(table, random, {
      peerAt: (slot) => this.#peerAt(slot),
      initiate: (peer, isRetry, nowMs) => this.#handshakes.initiate(peer, isRetry, nowMs),
      zeroKeys: (peer, nowMs) => this.#zeroKeys(peer, nowMs),
      forgetSource: (peer) => this.#endpoints.forgetSource(peer.slot),
      command: (peer, bits) => this.#outbox.command(peer.slot, bits),
      tell: (code, peer, detail, nowMs) => this.#tell(code, peer, nowMs, detail),
    });
    this.#handshakes = new Handshakes({
      table,
      peers: this.#peers,
      keypairs: this.#keypairs,
      endpoints: this.#endpoints,
      outbox: this.#outbox,
      timestamps: this.#timestamps,
      crypto,
      random,
      clock,
      tell: (...event) => this.#tell(...event),
    }, this.#timers);
    this.#configurator = new Configurator({
      table,
      peers: this.#peers,
      keypairs: this.#keypairs,
      endpoints: this.#endpoints,
      allowedIps: options.allowedIps,
      outbox: this.#outbox,
      timers: this.#timers,
      handshakes: this.#handshakes,
      cookieChecker: this.#cookieChecker,
      crypto,
      openSockets: options.openSockets ?? (() => {}),
      tell: (...event) => this.#tell(...event),
    });
  }

  /** Takes a datagram of message type 1 to 3 (anything else is dropped) from the record `from`. */
  onMessage(bytes: Uint8Array, from: EndpointBytes, underLoad: boolean, nowMs: number): void {
    if (underLoad) this.#underLoadUntilMs = nowMs + UNDER_LOAD_AFTER_MS;
    this.drops[this.#dispatch(bytes, from, underLoad || nowMs < this.#underLoadUntilMs, nowMs)]++;
    this.#planReclaim(nowMs);
  }

  /** Takes `PeerEvent` bits that a lane has posted. */
  onPeerEvent(slot: number, bits: number, nowMs: number): void {
    const peer = this.#peers.at(slot);
    if (peer === undefined) return;
    const confirmed = (bits & PeerEvent.ConfirmedNext) !== 0 &&
      this.#handshakes.onConfirmed(peer, nowMs);
    // A new session answers the wish that was made without it; the lane asks again if need be.
    if ((bits & PeerEvent.WantHandshake) !== 0 && !confirmed) {
      this.#handshakes.initiate(peer, false, nowMs);
    }
    if ((bits & PeerEvent.ReceivedOnOldKey) !== 0) this.#rekeyOnReceive(peer, nowMs);
    if ((bits & PeerEvent.WatchTimers) !== 0) this.#timers.watch(peer, nowMs);
    this.#planReclaim(nowMs);
  }

  /** The interface went up: peers with a persistent keepalive are greeted. */
  onInterfaceUp(nowMs: number): void {
    this.#configurator.interfaceUp(nowMs);
  }

  /** The interface went down: sessions and handshakes end, so that going up begins afresh. */
  onInterfaceDown(nowMs: number): void {
    this.#configurator.interfaceDown();
    this.#planReclaim(nowMs);
  }

  /** Does what is due; call when `nextTimeoutMs` has come. */
  onTimeout(nowMs: number): void {
    this.#timers.onTimeout(nowMs);
    this.#limiter.onTimeout(nowMs);
    if (nowMs >= this.#reclaimAtMs) {
      this.#reclaimAtMs = Infinity;
      this.#keypairs.reclaim();
      this.#peers.reclaim((slot) => this.#outbox.hasCommand(slot));
    }
    this.#planReclaim(nowMs);
  }

  /** When `onTimeout` is to be called next, on CLOCK_BOOTTIME; Infinity for never. */
  nextTimeoutMs(): number {
    return Math.min(
      this.#timers.nextTimeoutMs(),
      this.#limiter.nextTimeoutMs(),
      this.#reclaimAtMs,
    );
  }

  /** The next handshake datagram to send, null when there is none. */
  pollTransmit(): Transmit | null {
    return this.#outbox.pollTransmit();
  }

  /** The next command for a lane, null when there is none. */
  pollCommand(): LaneOrder | null {
    return this.#outbox.pollCommand();
  }

  /** The greatest TAI64N stamp given out; store it, and give it back after a restart. */
  lastTimestamp(): Uint8Array {
    return this.#timestamps.last();
  }

  /** The slot of the peer with a public key, -1 for none. */
  slotOf(publicKey: Uint8Array): number {
    return this.#peers.find(toHex(publicKey))?.slot ?? -1;
  }

  /** The slots of all peers. */
  slots(): number[] {
    return Array.from(this.#peers.values(), ({ slot }) => slot);
  }

  /** Changes the configuration as a whole, or throws `ConfigurationError` and changes nothing. */
  apply(change: DeviceChange): void {
    const nowMs = this.#options.clock.nowMs();
    this.#configurator.apply(change, nowMs);
    this.#planReclaim(nowMs);
  }

  /** The configuration, keys included, and what is known of each peer. */
  status(): DeviceStatus {
    return this.#configurator.status();
  }

  /** The traffic of each peer, in the order in which they were added. */
  *traffic(): Generator<PeerTraffic> {
    const table = this.#table;
    for (const { slot, publicKey, keyText, lastHandshakeWallNs } of this.#peers.values()) {
      yield {
        publicKey,
        keyText,
        lastHandshakeWallNs,
        endpointVersion: table.word(slot, PeerWord.EndpointVersion),
        hasSession: table.word(slot, PeerWord.Current) >= 0,
        rxBytes: table.field(slot, PeerField.RxBytes) +
          table.field(slot, PeerField.HandshakeRxBytes),
        txBytes: table.field(slot, PeerField.TxBytes) +
          table.field(slot, PeerField.HandshakeTxBytes),
      };
    }
  }

  /** Where a peer is; null when nobody knows, or when there is no such peer. */
  endpointOf(keyText: string): SocketAddress | null {
    const peer = this.#peers.find(keyText);
    return peer === undefined ? null : decodeEndpoint(this.#endpoints.read(peer.slot));
  }

  /** Zeroes all key material; the lanes must have stopped. */
  close(): void {
    for (const peer of this.#peers.values()) {
      this.#timers.stop(peer);
      peer.close();
    }
    this.#keypairs.wipeAll();
    this.#cookieChecker.close();
    if (this.#handshakes.identity !== null) wipe(this.#handshakes.identity.privateKey);
    this.#handshakes.identity = null;
  }

  #dispatch(
    bytes: Uint8Array,
    from: EndpointBytes,
    isUnderLoad: boolean,
    nowMs: number,
  ): DropReason {
    const type = handshakeMessageType(bytes);
    if (type === 0) {
      this.#tell(DeviceEventCode.MessageMalformed, null, nowMs, bytes.length, from);
      return DropReason.MessageInvalid;
    }
    if (type === MessageType.CookieReply) {
      return this.#handshakes.onCookieReply(bytes, from, nowMs);
    }
    if (!this.#cookieChecker.hasValidMac1(bytes)) {
      this.#tell(DeviceEventCode.MacInvalid, null, nowMs, 0, from);
      return DropReason.MacInvalid;
    }
    if (isUnderLoad && !this.#isAdmitted(bytes, from, nowMs)) return DropReason.HandshakeQueueFull;
    return type === MessageType.Initiation
      ? this.#handshakes.onInitiation(bytes, from, nowMs)
      : this.#handshakes.onResponse(bytes, from, nowMs);
  }

  /** Under load: only who has a cookie, and only so often. */
  #isAdmitted(bytes: Uint8Array, from: EndpointBytes, nowMs: number): boolean {
    if (!this.#cookieChecker.hasValidMac2(bytes, from, nowMs)) {
      const reply = this.#cookieChecker.createReply(bytes, from, nowMs);
      this.#outbox.transmit({ bytes: reply, to: from.slice(), peer: -1 });
      this.#tell(DeviceEventCode.CookieReplySent, null, nowMs, 0, from);
      return false;
    }
    if (this.#limiter.allow(from, nowMs)) return true;
    this.#tell(DeviceEventCode.RateLimited, null, nowMs, 0, from);
    return false;
  }

  #rekeyOnReceive(peer: Peer, nowMs: number): void {
    const current = this.#table.word(peer.slot, PeerWord.Current);
    if (peer.hasRekeyedOnReceive || current < 0) return;
    if (this.#options.keypairs.word(current, KeypairWord.IsInitiator) === 0) return;
    peer.hasRekeyedOnReceive = true;
    this.#handshakes.initiate(peer, false, nowMs);
  }

  #zeroKeys(peer: Peer, nowMs: number): void {
    this.#handshakes.dropPending(peer);
    this.#keypairs.retireAll(peer.slot);
    this.#tell(DeviceEventCode.KeysZeroed, peer, nowMs);
  }

  #planReclaim(nowMs: number): void {
    if (this.#reclaimAtMs !== Infinity) return;
    if (this.#keypairs.hasRetired || this.#peers.hasRemoved) {
      this.#reclaimAtMs = nowMs + RECLAIM_INTERVAL_MS;
    }
  }

  #peerAt(slot: number): Peer {
    const peer = this.#peers.at(slot);
    invariant(peer !== undefined, "the timers of a removed peer have been stopped");
    return peer;
  }

  #tell(
    code: DeviceEventCode,
    peer: Peer | null,
    atMs: number,
    detail = 0,
    from: EndpointBytes | null = null,
    publicKey: Uint8Array | null = null,
  ): void {
    this.#options.log?.({
      code,
      atMs,
      peer: peer?.slot ?? -1,
      publicKey: peer?.publicKey ?? publicKey,
      from,
      detail,
    });
  }
}
