/**
 * A model of a lane for simulations of the control plane: it seals and opens transport messages,
 * stages what cannot be sealed yet, and keeps its part of the shared tables, one packet at a time.
 */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import type { Slab } from "../../src/memory/slab.ts";
import type { EndpointBytes } from "../../src/tables/endpoint.ts";
import {
  KEYPAIR_RECEIVE_KEY,
  KEYPAIR_REPLAY,
  KEYPAIR_SEND_KEY,
  KeypairField,
  type KeypairTable,
  KeypairWord,
} from "../../src/tables/keypair_table.ts";
import {
  PeerCommand,
  PeerEvent,
  PeerField,
  type PeerTable,
  PeerWord,
} from "../../src/tables/peer_table.ts";
import { replayAccept } from "../../src/tables/replay_window.ts";
import {
  REJECT_AFTER_MESSAGES,
  REJECT_AFTER_TIME_MS,
  REKEY_AFTER_MESSAGES,
  REKEY_AFTER_TIME_MS,
  REKEY_ON_RECEIVE_AFTER_MS,
} from "../../src/wireguard/constants.ts";
import { readWord, writeWord } from "../../src/wireguard/messages.ts";

const STAGED_MAX = 128;

/** The places that the model shares with the device. */
export interface LaneTables {
  readonly slab: Slab;
  readonly peers: PeerTable;
  readonly keypairs: KeypairTable;
  readonly scratchAt: number;
}

/** One lane. Events wait in `events` until the owner takes them. */
export class LaneModel {
  nowMs = 0;
  readonly events = new Map<number, number>();
  /** Packets that wait for a session, oldest first. */
  readonly staged = new Map<number, Uint8Array[]>();
  readonly received: { peer: number; payload: Uint8Array }[] = [];
  readonly counts = { sealed: 0, opened: 0, keepalives: 0, refused: 0, dropped: 0, commands: 0 };

  constructor(
    readonly tables: LaneTables,
    readonly transmit: (peer: number, bytes: Uint8Array, to: EndpointBytes) => void,
  ) {}

  /** A packet for a peer comes out of the TUN. */
  send(peer: number, payload: Uint8Array): void {
    this.#stage(peer, payload);
    this.#flush(peer);
  }

  /** A command comes from main. */
  onCommand(peer: number, bits: number): void {
    this.counts.commands++;
    if (bits & PeerCommand.DropStaged) {
      this.counts.dropped += this.staged.get(peer)?.length ?? 0;
      this.staged.delete(peer);
    }
    if (bits & (PeerCommand.SendKeepalive | PeerCommand.SendStagedOrKeepalive)) {
      if ((this.staged.get(peer)?.length ?? 0) === 0) this.#stage(peer, new Uint8Array(0));
    }
    if (bits & ~PeerCommand.DropStaged) this.#flush(peer);
  }

  /** A transport message comes from the network. */
  receive(message: Uint8Array, from: EndpointBytes): void {
    const { slab, peers, keypairs, scratchAt } = this.tables;
    const slot = message.length < 32 ? -1 : keypairs.find(readWord(message, 4));
    if (slot < 0 || this.#ageMs(slot) >= REJECT_AFTER_TIME_MS) return void this.counts.refused++;
    const counter = readWord(message, 8) >>> 0;
    const key = this.#key(slot, KEYPAIR_RECEIVE_KEY);
    let payload: Uint8Array;
    try {
      payload = chacha20poly1305(key, nonceOf(counter)).decrypt(message.slice(16));
    } catch {
      return void this.counts.refused++;
    }
    if (!replayAccept(slab, keypairs.at(slot) + KEYPAIR_REPLAY, counter)) {
      return void this.counts.refused++;
    }
    const peer = keypairs.word(slot, KeypairWord.Peer);
    slab.u8.set(from, scratchAt);
    peers.tryWriteEndpoint(peer, scratchAt);
    this.#afterOpening(peer, slot, message.length, payload);
  }

  #afterOpening(peer: number, slot: number, bytes: number, payload: Uint8Array): void {
    const { peers, keypairs } = this.tables;
    this.counts.opened++;
    const isNext = peers.word(peer, PeerWord.Next) === slot;
    if (isNext && keypairs.word(slot, KeypairWord.ConfirmPosted) === 0) {
      keypairs.setWord(slot, KeypairWord.ConfirmPosted, 1);
      this.#post(peer, PeerEvent.ConfirmedNext);
    }
    this.#rekeyOnReceive(peer);
    peers.addField(peer, PeerField.RxBytes, bytes);
    peers.setField(peer, PeerField.LastReceivedMs, this.nowMs);
    peers.setField(peer, PeerField.LastTraversalMs, this.nowMs);
    peers.setField(peer, PeerField.UnansweredSinceMs, 0);
    if (payload.length === 0) return void this.counts.keepalives++;
    this.received.push({ peer, payload });
    peers.setField(peer, PeerField.LastDataReceivedMs, this.nowMs);
    if (peers.field(peer, PeerField.UnacknowledgedSinceMs) !== 0) {
      peers.setWord(peer, PeerWord.NeedAnotherKeepalive, 1);
      return;
    }
    peers.setField(peer, PeerField.UnacknowledgedSinceMs, this.nowMs);
    this.#watch(peer);
  }

  #rekeyOnReceive(peer: number): void {
    const { peers, keypairs } = this.tables;
    const current = peers.word(peer, PeerWord.Current);
    if (current < 0 || keypairs.word(current, KeypairWord.IsInitiator) === 0) return;
    if (this.#ageMs(current) < REKEY_ON_RECEIVE_AFTER_MS) return;
    if (keypairs.word(current, KeypairWord.RekeyPosted) === 1) return;
    keypairs.setWord(current, KeypairWord.RekeyPosted, 1);
    this.#post(peer, PeerEvent.ReceivedOnOldKey);
  }

  #stage(peer: number, payload: Uint8Array): void {
    const queue = this.staged.get(peer) ?? [];
    this.staged.set(peer, queue);
    queue.push(payload);
    if (queue.length > STAGED_MAX) queue.shift();
  }

  #flush(peer: number): void {
    const queue = this.staged.get(peer) ?? [];
    while (queue.length > 0) {
      const slot = this.#sendingKeypair(peer);
      if (slot < 0) return;
      this.#seal(peer, slot, queue.shift()!);
    }
  }

  #seal(peer: number, slot: number, payload: Uint8Array): void {
    const { slab, peers, keypairs, scratchAt } = this.tables;
    const counter = keypairs.field(slot, KeypairField.SendCounter);
    keypairs.setField(slot, KeypairField.SendCounter, counter + 1);
    const sealed = chacha20poly1305(this.#key(slot, KEYPAIR_SEND_KEY), nonceOf(counter))
      .encrypt(payload);
    const message = new Uint8Array(16 + sealed.length);
    writeWord(message, 0, 4);
    writeWord(message, 4, keypairs.word(slot, KeypairWord.RemoteIndex));
    writeWord(message, 8, counter);
    message.set(sealed, 16);
    this.counts.sealed++;
    peers.addField(peer, PeerField.TxBytes, message.length);
    peers.setField(peer, PeerField.LastSentMs, this.nowMs);
    peers.setField(peer, PeerField.LastTraversalMs, this.nowMs);
    peers.setField(peer, PeerField.UnacknowledgedSinceMs, 0);
    if (payload.length > 0) {
      peers.setField(peer, PeerField.LastDataSentMs, this.nowMs);
      if (peers.field(peer, PeerField.UnansweredSinceMs) === 0) {
        peers.setField(peer, PeerField.UnansweredSinceMs, this.nowMs);
        this.#watch(peer);
      }
    }
    peers.readEndpoint(peer, scratchAt);
    this.transmit(peer, message, slab.u8.slice(scratchAt, scratchAt + 64));
  }

  #sendingKeypair(peer: number): number {
    const { peers, keypairs } = this.tables;
    const slot = peers.word(peer, PeerWord.Current);
    const isUsable = slot >= 0 && keypairs.word(slot, KeypairWord.LocalIndex) !== 0 &&
      this.#ageMs(slot) < REJECT_AFTER_TIME_MS &&
      keypairs.field(slot, KeypairField.SendCounter) < REJECT_AFTER_MESSAGES;
    if (!isUsable) {
      this.#wantHandshake(peer);
      return -1;
    }
    const isOld = this.#ageMs(slot) >= REKEY_AFTER_TIME_MS ||
      keypairs.field(slot, KeypairField.SendCounter) > REKEY_AFTER_MESSAGES;
    if (isOld && keypairs.word(slot, KeypairWord.IsInitiator) === 1) this.#wantHandshake(peer);
    return slot;
  }

  #wantHandshake(peer: number): void {
    const { peers } = this.tables;
    if (peers.word(peer, PeerWord.HandshakeWanted) !== 0) return;
    peers.setWord(peer, PeerWord.HandshakeWanted, 1);
    this.#post(peer, PeerEvent.WantHandshake);
  }

  #watch(peer: number): void {
    if (this.tables.peers.word(peer, PeerWord.Watch) === 0) {
      this.#post(peer, PeerEvent.WatchTimers);
    }
  }

  #post(peer: number, bits: number): void {
    this.events.set(peer, (this.events.get(peer) ?? 0) | bits);
  }

  #ageMs(slot: number): number {
    return this.nowMs - this.tables.keypairs.field(slot, KeypairField.CreatedMs);
  }

  #key(slot: number, offset: number): Uint8Array {
    const at = this.tables.keypairs.at(slot) + offset;
    return this.tables.slab.u8.slice(at, at + 32);
  }
}

function nonceOf(counter: number): Uint8Array {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(4, BigInt(counter), true);
  return nonce;
}
