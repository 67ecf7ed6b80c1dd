/**
 * Handshakes in both roles (WireGuard paper, section 5.4): what goes out when a session is wanted,
 * and what the three messages do when they come in. Messages have passed mac1, and under load the
 * cookie and the limiter, before they get here.
 *
 * A peer takes part in one handshake at a time. One that it begins takes the place of ours: with
 * both sides beginning at once, both answer, neither answer finds its handshake, and the retry that
 * comes first, by jitter, wins.
 *
 * Nothing about a peer changes before a message has been authenticated, and whoever cannot
 * authenticate gets no answer.
 */
import type { Clock } from "../base/clock.ts";
import { DropReason } from "../base/drop_reason.ts";
import type { RandomSource } from "../base/random.ts";
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import type { EndpointBytes } from "../tables/endpoint.ts";
import { PeerCommand, PeerField, type PeerTable } from "../tables/peer_table.ts";
import { compareBytes, toHex, wipe } from "./bytes.ts";
import { INITIATION_INTERVAL_MS, KEY_BYTES, REKEY_TIMEOUT_MS } from "./constants.ts";
import type { EndpointStore } from "./endpoint_store.ts";
import { DeviceEventCode } from "./events.ts";
import type { Keypairs } from "./keypairs.ts";
import { COOKIE_REPLY_RECEIVER, HANDSHAKE_SENDER, RESPONSE_RECEIVER } from "../wire/wireguard.ts";
import { createInitiation, createResponse, readWord } from "./messages.ts";
import {
  clampPrivateKey,
  type Identity,
  Noise,
  type OpenedInitiation,
  wipeTranscript,
} from "./noise.ts";
import type { Outbox } from "./outbox.ts";
import type { Peer } from "./peer.ts";
import type { PeerSet } from "./peer_set.ts";
import type { TimestampSource } from "./tai64n.ts";
import type { PeerTimers } from "./timers.ts";

/** Tells of an event; `publicKey` where the peer is none of ours. */
export type Tell = (
  code: DeviceEventCode,
  peer: Peer | null,
  nowMs: number,
  detail?: number,
  from?: EndpointBytes | null,
  publicKey?: Uint8Array | null,
) => void;

/** The parts of a device that handshakes work with. */
export interface HandshakeParts {
  readonly table: PeerTable;
  readonly peers: PeerSet;
  readonly keypairs: Keypairs;
  readonly endpoints: EndpointStore;
  readonly outbox: Outbox;
  readonly timestamps: TimestampSource;
  readonly crypto: NoiseCrypto;
  readonly random: RandomSource;
  readonly clock: Clock;
  readonly tell: Tell;
}

/** The handshakes of a device. */
export class Handshakes {
  readonly #parts: HandshakeParts;
  readonly #timers: PeerTimers;
  readonly #noise: Noise;
  /** Our key pair, null while no private key is set. */
  identity: Identity | null = null;

  constructor(parts: HandshakeParts, timers: PeerTimers) {
    this.#parts = parts;
    this.#timers = timers;
    this.#noise = new Noise(parts.crypto);
  }

  /** Begins a handshake, unless one was begun or answered within `REKEY_TIMEOUT_MS`. */
  initiate(peer: Peer, isRetry: boolean, nowMs: number): void {
    const { endpoints, tell } = this.#parts;
    const timers = this.#timers;
    if (!isRetry) peer.handshakeRetries = 0;
    if (!endpoints.has(peer.slot)) {
      tell(DeviceEventCode.NoEndpoint, peer, nowMs);
      timers.allowRequest(peer);
      return;
    }
    const allowedMs = peer.lastSentHandshakeMs + REKEY_TIMEOUT_MS;
    if (nowMs < allowedMs) {
      // We have answered a handshake of the peer meanwhile. If that comes to nothing, ours goes on.
      if (isRetry) timers.retryPutOff(peer, allowedMs);
      else timers.requestPutOff(peer, allowedMs);
      return;
    }
    const failure = this.#sendInitiation(peer, nowMs);
    if (failure === null) return;
    tell(failure, peer, nowMs);
    timers.requestPutOff(peer, nowMs + REKEY_TIMEOUT_MS);
  }

  /** An initiation came in; returns why it was dropped, or `None`. */
  onInitiation(message: Uint8Array, from: EndpointBytes, nowMs: number): DropReason {
    const { peers, crypto, endpoints, table, tell } = this.#parts;
    const { identity } = this;
    const opened = identity === null ? null : this.#noise.openInitiation(message, identity);
    if (identity === null || opened === null) {
      tell(DeviceEventCode.InitiationInvalid, null, nowMs, 0, from);
      return DropReason.HandshakeInvalid;
    }
    const peer = peers.find(toHex(opened.remoteStatic));
    if (peer === undefined) {
      wipeTranscript(opened.transcript);
      tell(DeviceEventCode.UnknownPeer, null, nowMs, 0, from, opened.remoteStatic);
      return DropReason.HandshakeInvalid;
    }
    const staticStatic = peer.staticStatic(identity, crypto);
    const timestamp = staticStatic === null
      ? null
      : this.#noise.openTimestamp(message, opened.transcript, staticStatic);
    if (timestamp === null) {
      wipeTranscript(opened.transcript);
      tell(DeviceEventCode.InitiationInvalid, peer, nowMs, 0, from);
      return DropReason.HandshakeInvalid;
    }
    const refusal = this.#checkFreshness(peer, timestamp, from, nowMs);
    if (refusal !== DropReason.None) {
      wipeTranscript(opened.transcript);
      return refusal;
    }
    peer.latestTimestamp.set(timestamp);
    peer.lastInitiationConsumedMs = nowMs;
    this.dropPending(peer);
    endpoints.write(peer.slot, from);
    table.addField(peer.slot, PeerField.HandshakeRxBytes, message.length);
    this.#answer(peer, opened, readWord(message, HANDSHAKE_SENDER), from, nowMs);
    this.#timers.handshakeReceived(peer, nowMs);
    return DropReason.None;
  }

  /** A response came in; returns why it was dropped, or `None`. */
  onResponse(message: Uint8Array, from: EndpointBytes, nowMs: number): DropReason {
    const { keypairs, endpoints, table, tell } = this.#parts;
    const { identity } = this;
    const peer = this.#peerOfIndex(readWord(message, RESPONSE_RECEIVER));
    const pending = peer?.pending ?? null;
    const isExpected = pending !== null &&
      keypairs.index(pending.slot) === readWord(message, RESPONSE_RECEIVER);
    if (identity === null || peer === null || pending === null || !isExpected) {
      tell(DeviceEventCode.ReceiverUnknown, peer, nowMs, 0, from);
      return DropReason.ReceiverUnknown;
    }
    const transcript = this.#noise.openResponse(
      message,
      pending.transcript,
      identity,
      pending.ephemeralPrivate,
      peer.presharedKey,
    );
    if (transcript === null) {
      tell(DeviceEventCode.ResponseInvalid, peer, nowMs, 0, from);
      return DropReason.HandshakeInvalid;
    }
    peer.wipePending();
    endpoints.write(peer.slot, from);
    table.addField(peer.slot, PeerField.HandshakeRxBytes, message.length);
    keypairs.install(pending.slot, {
      isInitiator: true,
      remoteIndex: readWord(message, HANDSHAKE_SENDER),
      keys: this.#noise.deriveTransportKeys(transcript),
    }, nowMs);
    this.#timers.sessionDerived(peer, nowMs);
    this.#timers.handshakeReceived(peer, nowMs);
    this.#complete(peer, true, nowMs);
    return DropReason.None;
  }

  /** A cookie reply came in; it changes nothing but the mac2 of the next message. */
  onCookieReply(message: Uint8Array, from: EndpointBytes, nowMs: number): DropReason {
    const { tell } = this.#parts;
    const peer = this.#peerOfIndex(readWord(message, COOKIE_REPLY_RECEIVER));
    if (peer === null) {
      tell(DeviceEventCode.ReceiverUnknown, null, nowMs, 0, from);
      return DropReason.ReceiverUnknown;
    }
    const isValid = peer.cookies.acceptReply(message, nowMs);
    const code = isValid ? DeviceEventCode.CookieAccepted : DeviceEventCode.CookieInvalid;
    tell(code, peer, nowMs, 0, from);
    return isValid ? DropReason.None : DropReason.HandshakeInvalid;
  }

  /** The lane has authenticated a packet under `Next`; returns whether that changed anything. */
  onConfirmed(peer: Peer, nowMs: number): boolean {
    if (!this.#parts.keypairs.confirmNext(peer.slot)) return false;
    this.#complete(peer, false, nowMs);
    return true;
  }

  /** Forgets the handshake under way, if there is one. */
  dropPending(peer: Peer): void {
    if (peer.pending === null) return;
    this.#parts.keypairs.release(peer.pending.slot);
    peer.wipePending();
  }

  /** Sends an initiation; returns why it could not, or null. */
  #sendInitiation(peer: Peer, nowMs: number): DeviceEventCode | null {
    const { keypairs, crypto, random, tell } = this.#parts;
    const { identity } = this;
    if (identity === null) return DeviceEventCode.NoPrivateKey;
    const staticStatic = peer.staticStatic(identity, crypto);
    if (staticStatic === null) return DeviceEventCode.PeerKeyUnusable;
    this.dropPending(peer);
    const slot = keypairs.reserve(peer.slot);
    if (slot < 0) return DeviceEventCode.NoKeypairSlot;
    const message = createInitiation(keypairs.index(slot));
    const ephemeralPrivate = clampPrivateKey(random.fill(new Uint8Array(KEY_BYTES)));
    const transcript = this.#noise.writeInitiation(
      message,
      identity,
      peer.publicKey,
      staticStatic,
      ephemeralPrivate,
      this.#nextStamp(peer, nowMs),
    );
    if (transcript === null) {
      keypairs.release(slot);
      wipe(ephemeralPrivate);
      return DeviceEventCode.PeerKeyUnusable;
    }
    peer.pending = { slot, transcript, ephemeralPrivate };
    this.#send(peer, message, nowMs);
    this.#timers.initiationSent(peer, nowMs);
    tell(DeviceEventCode.InitiationSent, peer, nowMs, peer.handshakeRetries);
    return null;
  }

  #nextStamp(peer: Peer, nowMs: number): Uint8Array {
    const { timestamps, clock, tell } = this.#parts;
    const wallNs = clock.wallNs();
    const behindS = timestamps.secondsBehind(wallNs);
    if (behindS > 0) tell(DeviceEventCode.WallClockBehind, peer, nowMs, behindS);
    peer.lastStamp = timestamps.next(wallNs, peer.lastStamp);
    return peer.lastStamp;
  }

  #checkFreshness(
    peer: Peer,
    timestamp: Uint8Array,
    from: EndpointBytes,
    nowMs: number,
  ): DropReason {
    const { tell } = this.#parts;
    if (compareBytes(timestamp, peer.latestTimestamp) <= 0) {
      const behindS = secondsOf(peer.latestTimestamp) - secondsOf(timestamp);
      tell(DeviceEventCode.TimestampReplayed, peer, nowMs, behindS, from);
      return DropReason.Replayed;
    }
    if (nowMs - peer.lastInitiationConsumedMs < INITIATION_INTERVAL_MS) {
      tell(DeviceEventCode.InitiationTooSoon, peer, nowMs, 0, from);
      return DropReason.HandshakeInvalid;
    }
    return DropReason.None;
  }

  /** Responder: sends the response and holds the session until the peer uses it. */
  #answer(
    peer: Peer,
    opened: OpenedInitiation,
    remoteIndex: number,
    from: EndpointBytes,
    nowMs: number,
  ): void {
    const { keypairs, random, tell } = this.#parts;
    const slot = keypairs.reserve(peer.slot);
    if (slot < 0) {
      wipeTranscript(opened.transcript);
      tell(DeviceEventCode.NoKeypairSlot, peer, nowMs);
      return;
    }
    const message = createResponse(keypairs.index(slot), remoteIndex);
    const ephemeral = clampPrivateKey(random.fill(new Uint8Array(KEY_BYTES)));
    const written = this.#noise.writeResponse(message, opened, peer.presharedKey, ephemeral);
    wipe(ephemeral);
    if (!written) {
      keypairs.release(slot);
      tell(DeviceEventCode.InitiationInvalid, peer, nowMs, 0, from);
      return;
    }
    const keys = this.#noise.deriveTransportKeys(opened.transcript);
    keypairs.install(slot, { isInitiator: false, remoteIndex, keys }, nowMs);
    this.#timers.sessionDerived(peer, nowMs);
    this.#send(peer, message, nowMs);
    tell(DeviceEventCode.InitiationAnswered, peer, nowMs, 0, from);
  }

  #complete(peer: Peer, isInitiator: boolean, nowMs: number): void {
    const { clock, outbox, tell } = this.#parts;
    this.#timers.handshakeCompleted(peer);
    peer.lastHandshakeWallNs = clock.wallNs();
    outbox.command(
      peer.slot,
      isInitiator ? PeerCommand.SendStagedOrKeepalive : PeerCommand.SendStaged,
    );
    tell(DeviceEventCode.SessionEstablished, peer, nowMs, isInitiator ? 1 : 0);
  }

  #send(peer: Peer, message: Uint8Array, nowMs: number): void {
    const { outbox, endpoints, table } = this.#parts;
    peer.cookies.addMacs(message, nowMs);
    peer.lastSentHandshakeMs = nowMs;
    this.#timers.handshakeSent(peer, nowMs);
    table.addField(peer.slot, PeerField.HandshakeTxBytes, message.length);
    outbox.transmit({ bytes: message, to: endpoints.read(peer.slot), peer: peer.slot });
  }

  #peerOfIndex(index: number): Peer | null {
    const { keypairs, peers } = this.#parts;
    const slot = keypairs.find(index);
    return slot < 0 ? null : peers.at(keypairs.owner(slot)) ?? null;
  }
}

/** The seconds of a TAI64N stamp, without its label. */
function secondsOf(timestamp: Uint8Array): number {
  const view = new DataView(timestamp.buffer, timestamp.byteOffset, timestamp.byteLength);
  return (view.getUint32(0) & 0x3fffffff) * 2 ** 32 + view.getUint32(4);
}
