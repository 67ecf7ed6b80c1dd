/**
 * Works out what a configuration change comes to, before anything is changed: the changes to peers in
 * their order, one peer changed several times, peers that are removed and come back, a peer that
 * turns out to be ourselves. Afterwards nothing can fail any more.
 *
 * Allowed IPs are collected in the table's open transaction, and slots are taken for new peers;
 * `abandon` undoes both.
 */
import { Errno } from "../base/errno.ts";
import type { AllowedIps } from "../tables/allowed_ips.ts";
import { AllowedIpsFullError } from "../tables/allowed_ips_pool.ts";
import { toHex } from "./bytes.ts";
import {
  ConfigurationError,
  type DeviceChange,
  type PeerChange,
  type SocketAddress,
} from "./configuration.ts";
import type { Peer } from "./peer.ts";
import type { PeerSet } from "./peer_set.ts";

/** A peer that exists after the change and is touched by it. */
export interface PlannedPeer {
  readonly slot: number;
  readonly publicKey: Uint8Array;
  /** The peer that stays; null for a new one. */
  readonly kept: Peer | null;
  presharedKey: Uint8Array | null;
  endpoint: SocketAddress | null;
  keepaliveSeconds: number | null;
}

/** What `planChange` needs to know of the device. */
export interface PlanContext {
  readonly peers: PeerSet;
  readonly allowedIps: AllowedIps;
  /** Our own public key after the change in hexadecimal, empty when there is none. */
  readonly ownKeyText: string;
}

/** The outcome of a change. */
export class ChangePlan {
  /** Peers that the change touches, by public key: null for removed ones. */
  readonly #touched = new Map<string, PlannedPeer | null>();
  readonly #takenSlots: number[] = [];
  /** Slots that allowed IPs were taken from for another peer. */
  readonly movedFrom = new Set<number>();
  /** How many changes were ignored because they concern ourselves. */
  ownKeyIgnored = 0;

  constructor(readonly context: PlanContext, readonly change: DeviceChange) {}

  /** The peers to change or add, in the order in which they were first named. */
  peers(): PlannedPeer[] {
    return [...this.#touched.values()].filter((planned) => planned !== null);
  }

  /** The peers that do not survive the change as they are. */
  removed(): Peer[] {
    const { peers } = this.context;
    const keys = this.change.replacePeers
      ? [...peers.values()].map((peer) => peer.keyText)
      : [...this.#touched.keys()];
    return keys.flatMap((keyText) => {
      const peer = peers.find(keyText);
      const isKept = this.#touched.get(keyText)?.kept === peer;
      return peer === undefined || isKept ? [] : [peer];
    });
  }

  /** Whether a removed peer's slot goes to the new peer with its public key. */
  isReplaced(peer: Peer): boolean {
    return this.#touched.get(peer.keyText)?.slot === peer.slot;
  }

  /** Works everything out; throws `ConfigurationError` when it cannot: then `abandon` it. */
  work(): void {
    try {
      this.#work();
    } catch (error) {
      if (!(error instanceof AllowedIpsFullError)) throw error;
      throw new ConfigurationError(error.message, Errno.ENOMEM, { cause: error });
    }
  }

  /** Gives everything back. */
  abandon(): void {
    this.context.allowedIps.rollback();
    for (const slot of this.#takenSlots) this.context.peers.giveBackSlot(slot);
    this.#takenSlots.length = 0;
  }

  /** Gives back the slots of peers that were added and removed again by the same change. */
  finish(): void {
    const used = new Set(this.peers().map((planned) => planned.slot));
    for (const slot of this.#takenSlots) {
      if (!used.has(slot)) this.context.peers.giveBackSlot(slot);
    }
  }

  #work(): void {
    const { peers, allowedIps, ownKeyText } = this.context;
    if (this.change.replacePeers) {
      for (const peer of peers.values()) allowedIps.removePeer(peer.slot);
    }
    if (peers.find(ownKeyText) !== undefined) this.#remove(ownKeyText);
    for (const change of this.change.peers) {
      const keyText = toHex(change.publicKey);
      if (keyText === ownKeyText) this.ownKeyIgnored++;
      else if (change.remove) this.#remove(keyText);
      else this.#update(keyText, change);
    }
  }

  #remove(keyText: string): void {
    const slot = this.#find(keyText)?.slot;
    if (slot !== undefined) this.context.allowedIps.removePeer(slot);
    this.#touched.set(keyText, null);
  }

  #update(keyText: string, change: PeerChange): void {
    const planned = this.#find(keyText) ?? (change.updateOnly ? null : this.#add(keyText, change));
    if (planned === null) return;
    this.#touched.set(keyText, planned);
    planned.presharedKey = change.presharedKey ?? planned.presharedKey;
    planned.endpoint = change.endpoint ?? planned.endpoint;
    planned.keepaliveSeconds = change.keepaliveSeconds ?? planned.keepaliveSeconds;
    this.#updateAllowedIps(planned.slot, change);
  }

  #updateAllowedIps(slot: number, change: PeerChange): void {
    const { allowedIps } = this.context;
    if (change.replaceAllowedIps) allowedIps.removePeer(slot);
    for (const prefix of change.allowedIps) {
      if (prefix.remove) {
        allowedIps.remove(prefix, slot);
        continue;
      }
      const previous = allowedIps.insert(prefix, slot);
      if (previous >= 0 && previous !== slot) this.movedFrom.add(previous);
    }
  }

  /** The peer with a public key as the change has left it so far, null for none. */
  #find(keyText: string): PlannedPeer | null {
    const touched = this.#touched.get(keyText);
    if (touched !== undefined) return touched;
    const peer = this.change.replacePeers ? undefined : this.context.peers.find(keyText);
    return peer === undefined ? null : plan(peer.slot, peer.publicKey, peer);
  }

  /** A new peer: in the slot of the one with the same key if that is being removed. */
  #add(keyText: string, change: PeerChange): PlannedPeer {
    const { peers } = this.context;
    const former = peers.find(keyText);
    const slot = former?.slot ?? peers.takeSlot();
    if (slot < 0) {
      throw new ConfigurationError(
        `Cannot add a peer: all places for peers are taken (${peers.size} peers)`,
        Errno.ENOMEM,
      );
    }
    if (former === undefined) this.#takenSlots.push(slot);
    return plan(slot, change.publicKey, null);
  }
}

function plan(slot: number, publicKey: Uint8Array, kept: Peer | null): PlannedPeer {
  return { slot, publicKey, kept, presharedKey: null, endpoint: null, keepaliveSeconds: null };
}
