/**
 * The configuration of a device: carries out changes and tells what there is.
 *
 * A change is checked, then planned (`change_plan.ts`), then the sockets are opened, and only then is
 * anything touched: what could fail has been done by then. A change of the private key makes all
 * sessions end for sending and all handshakes begin anew.
 */
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import type { AllowedIps } from "../tables/allowed_ips.ts";
import { ENDPOINT_BYTES } from "../tables/endpoint.ts";
import { PeerCommand, PeerField, type PeerTable, PeerWord } from "../tables/peer_table.ts";
import { equalBytes, isZero, toHex, wipe } from "./bytes.ts";
import { checkChange } from "./change_check.ts";
import { ChangePlan, type PlannedPeer } from "./change_plan.ts";
import type { DeviceChange, DeviceStatus, PeerStatus } from "./configuration.ts";
import { KEY_BYTES } from "./constants.ts";
import type { EndpointStore } from "./endpoint_store.ts";
import { DeviceEventCode } from "./events.ts";
import type { Handshakes, Tell } from "./handshakes.ts";
import type { Keypairs } from "./keypairs.ts";
import type { CookieChecker } from "./mac_cookie.ts";
import { clampPrivateKey, type Identity } from "./noise.ts";
import type { Outbox } from "./outbox.ts";
import { Peer } from "./peer.ts";
import type { PeerSet } from "./peer_set.ts";
import { decodeEndpoint, encodeEndpoint } from "./socket_address.ts";
import type { PeerTimers } from "./timers.ts";

const NO_ENDPOINT = new Uint8Array(ENDPOINT_BYTES);

/** What the sockets are to be; a listen port of 0 lets the kernel choose. */
export interface SocketSettings {
  readonly listenPort: number;
  readonly fwmark: number;
}

/** The parts of a device that a change may touch. */
export interface ConfiguratorParts {
  readonly table: PeerTable;
  readonly peers: PeerSet;
  readonly keypairs: Keypairs;
  readonly endpoints: EndpointStore;
  readonly allowedIps: AllowedIps;
  readonly outbox: Outbox;
  readonly timers: PeerTimers;
  readonly handshakes: Handshakes;
  readonly cookieChecker: CookieChecker;
  readonly crypto: NoiseCrypto;
  readonly openSockets: (settings: SocketSettings) => number | void;
  readonly tell: Tell;
}

/** Carries out changes to a device. */
export class Configurator {
  readonly #parts: ConfiguratorParts;
  #listenPort = 0;
  #fwmark = 0;

  constructor(parts: ConfiguratorParts) {
    this.#parts = parts;
  }

  /** Checks a change and carries it out, or throws `ConfigurationError` and changes nothing. */
  apply(change: DeviceChange, nowMs: number): void {
    checkChange(change);
    const identity = this.#plannedIdentity(change);
    const plan = new ChangePlan({
      peers: this.#parts.peers,
      allowedIps: this.#parts.allowedIps,
      ownKeyText: identity === null ? "" : toHex(identity.publicKey),
    }, change);
    try {
      plan.work();
      this.#changeSockets(change);
    } catch (error) {
      plan.abandon();
      if (identity !== null && identity !== this.#parts.handshakes.identity) {
        wipe(identity.privateKey);
      }
      throw error;
    }
    this.#carryOut(plan, identity, nowMs);
  }

  /** The configuration as it stands, with what is known of the peers. */
  /** The interface went up: peers that are to be kept alive hear of us. */
  interfaceUp(nowMs: number): void {
    for (const peer of this.#parts.peers.values()) {
      this.#parts.timers.keepaliveChanged(peer, nowMs);
      this.#startKeepalive(peer, nowMs);
    }
  }

  /** The interface went down: all sessions end, and nothing waits any more. */
  interfaceDown(): void {
    for (const peer of this.#parts.peers.values()) {
      this.#endSessions(peer);
      this.#parts.outbox.command(peer.slot, PeerCommand.DropStaged);
      this.#parts.timers.allowRequest(peer);
      peer.lastSentHandshakeMs = -Infinity;
    }
  }

  status(): DeviceStatus {
    return {
      privateKey: this.#parts.handshakes.identity?.privateKey.slice() ?? null,
      listenPort: this.#listenPort,
      fwmark: this.#fwmark,
      peers: [...this.#parts.peers.values()].map((peer) => this.#peerStatus(peer)),
    };
  }

  /** Our key pair after a change: the present object when the key stays the same. */
  #plannedIdentity(change: DeviceChange): Identity | null {
    const present = this.#parts.handshakes.identity;
    if (change.privateKey === undefined) return present;
    if (isZero(change.privateKey)) return null;
    const privateKey = clampPrivateKey(change.privateKey.slice());
    if (present !== null && equalBytes(privateKey, 0, present.privateKey, 0, KEY_BYTES)) {
      wipe(privateKey);
      return present;
    }
    return { privateKey, publicKey: this.#parts.crypto.x25519PublicKey(privateKey) };
  }

  #changeSockets(change: DeviceChange): void {
    const listenPort = change.listenPort ?? this.#listenPort;
    const fwmark = change.fwmark ?? this.#fwmark;
    if (listenPort === this.#listenPort && fwmark === this.#fwmark) return;
    const boundPort = this.#parts.openSockets({ listenPort, fwmark });
    this.#listenPort = boundPort ?? listenPort;
    this.#fwmark = fwmark;
    for (const peer of this.#parts.peers.values()) this.#parts.endpoints.forgetSource(peer.slot);
  }

  #carryOut(plan: ChangePlan, identity: Identity | null, nowMs: number): void {
    for (let i = 0; i < plan.ownKeyIgnored; i++) {
      this.#parts.tell(DeviceEventCode.OwnKeyIgnored, null, nowMs, 0, null, identity!.publicKey);
    }
    const removed = plan.removed();
    for (const peer of removed) this.#shutDown(peer, plan.isReplaced(peer), nowMs);
    const planned = plan.peers();
    const changed = planned.map((peer) => peer.kept ?? this.#addPeer(peer, nowMs));
    this.#parts.allowedIps.commit();
    for (const peer of removed) {
      if (!plan.isReplaced(peer)) this.#parts.peers.remove(peer);
    }
    plan.finish();
    for (const slot of plan.movedFrom) {
      const peer = this.#parts.peers.at(slot);
      if (peer !== undefined) this.#parts.tell(DeviceEventCode.AllowedIpMoved, peer, nowMs);
    }
    const hasNewIdentity = identity !== this.#parts.handshakes.identity;
    if (hasNewIdentity) this.#changeIdentity(identity);
    changed.forEach((peer, i) => this.#update(peer, planned[i], nowMs));
    if (hasNewIdentity && identity !== null) {
      for (const peer of this.#parts.peers.values()) this.#startKeepalive(peer, nowMs);
    }
  }

  /** Takes everything away from a peer that does not stay. */
  #shutDown(peer: Peer, isReplaced: boolean, nowMs: number): void {
    this.#endSessions(peer);
    this.#parts.outbox.replaceCommand(peer.slot, PeerCommand.DropStaged);
    peer.close();
    if (!isReplaced) this.#parts.tell(DeviceEventCode.PeerRemoved, peer, nowMs);
  }

  #endSessions(peer: Peer): void {
    this.#parts.timers.stop(peer);
    this.#parts.handshakes.dropPending(peer);
    this.#parts.keypairs.retireAll(peer.slot);
  }

  #addPeer(planned: PlannedPeer, nowMs: number): Peer {
    const peer = new Peer(planned.slot, planned.publicKey, this.#parts.crypto);
    const former = this.#parts.peers.find(peer.keyText);
    if (former === undefined) {
      this.#parts.peers.add(peer);
      this.#parts.tell(DeviceEventCode.PeerAdded, peer, nowMs);
    } else {
      // Old initiations must not count as new ones because the peer was configured afresh.
      peer.latestTimestamp.set(former.latestTimestamp);
      peer.lastStamp = former.lastStamp;
      this.#parts.peers.replace(peer);
    }
    this.#parts.endpoints.write(peer.slot, NO_ENDPOINT);
    return peer;
  }

  #changeIdentity(identity: Identity | null): void {
    const former = this.#parts.handshakes.identity;
    if (former !== null) wipe(former.privateKey);
    this.#parts.handshakes.identity = identity;
    this.#parts.cookieChecker.setPublicKey(identity?.publicKey ?? null);
    for (const peer of this.#parts.peers.values()) {
      peer.forgetStaticStatic();
      this.#parts.handshakes.dropPending(peer);
      this.#parts.keypairs.stopSending(peer.slot);
      peer.lastSentHandshakeMs = -Infinity;
      this.#parts.timers.allowRequest(peer);
    }
  }

  #update(peer: Peer, planned: PlannedPeer, nowMs: number): void {
    const { slot } = peer;
    if (planned.presharedKey !== null) peer.presharedKey.set(planned.presharedKey);
    const couldKeepAlive = this.#parts.endpoints.has(slot) &&
      this.#parts.table.word(slot, PeerWord.KeepaliveInterval) > 0;
    if (planned.endpoint !== null) {
      this.#parts.endpoints.write(slot, encodeEndpoint(planned.endpoint));
      this.#parts.timers.allowRequest(peer);
    }
    if (planned.keepaliveSeconds !== null) {
      this.#parts.table.setWord(slot, PeerWord.KeepaliveInterval, planned.keepaliveSeconds);
      this.#parts.timers.keepaliveChanged(peer, nowMs);
    }
    if (!couldKeepAlive) this.#startKeepalive(peer, nowMs);
    if (planned.kept !== null) this.#parts.outbox.command(slot, PeerCommand.SendStaged);
  }

  /** A peer that is to be kept alive hears of us at once. */
  #startKeepalive(peer: Peer, nowMs: number): void {
    if (this.#parts.table.word(peer.slot, PeerWord.KeepaliveInterval) === 0) return;
    if (this.#parts.table.word(peer.slot, PeerWord.Current) >= 0) {
      this.#parts.outbox.command(peer.slot, PeerCommand.SendKeepalive);
    } else if (this.#parts.endpoints.has(peer.slot) && this.#parts.handshakes.identity !== null) {
      this.#parts.handshakes.initiate(peer, false, nowMs);
    }
  }

  #peerStatus(peer: Peer): PeerStatus {
    const { slot } = peer;
    const { table, endpoints, allowedIps } = this.#parts;
    return {
      publicKey: peer.publicKey.slice(),
      presharedKey: peer.presharedKey.slice(),
      endpoint: decodeEndpoint(endpoints.read(slot)),
      keepaliveSeconds: table.word(slot, PeerWord.KeepaliveInterval),
      lastHandshakeWallNs: peer.lastHandshakeWallNs,
      rxBytes: table.field(slot, PeerField.RxBytes) + table.field(slot, PeerField.HandshakeRxBytes),
      txBytes: table.field(slot, PeerField.TxBytes) + table.field(slot, PeerField.HandshakeTxBytes),
      allowedIps: allowedIps.snapshot(slot),
    };
  }
}
