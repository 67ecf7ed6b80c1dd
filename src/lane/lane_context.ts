/** What the parts of a lane have in common. */
import { DOUBLE_ZERO } from "../base/double_zero.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";
import type { Slab } from "../memory/slab.ts";
import { PeerEvent, PeerField, type PeerTable, PeerWord } from "../tables/peer_table.ts";
import { KeypairField, type KeypairTable, KeypairWord } from "../tables/keypair_table.ts";
import type { CryptoStage } from "./encryptor.ts";
import type { SessionLimits } from "./limits.ts";
import type { LaneChannels, SharedTables } from "./shared_state.ts";

/**
 * Who takes batches from the stage. An object and not a function, as other parts of a lane are to each
 * other: compiled code knows a method of a class, but only one of the closures that a lane and its
 * rehearsal have made at the same place.
 */
export interface StageDrain {
  drainStage(): void;
}

/** The handles of one lane; `nowMs` is set once per turn. */
export class LaneContext {
  readonly peers: PeerTable;
  readonly keypairs: KeypairTable;
  /** CLOCK_BOOTTIME at the start of the turn. */
  nowMs = DOUBLE_ZERO;
  /** Set when main has to be woken at the end of the turn. */
  mainHasMail = false;
  /** Takes what the stage has completed, after each submission. */
  drain: StageDrain | null = null;
  /** Epochs of the batches in the stage, oldest first: a circular queue. */
  readonly #epochs: Int32Array;
  /** The epoch that was current when the turn began. */
  #turnEpoch = 0;
  /** Whether the epoch that was announced last stays: sealed batches wait for the socket. */
  #isHolding = false;
  #epochHead = 0;
  #epochTail = 0;
  #completedBefore = -1;

  constructor(
    readonly lane: number,
    readonly slab: Slab,
    readonly tables: SharedTables,
    readonly channels: LaneChannels,
    readonly stage: CryptoStage,
    readonly kernel: ChecksumKernel,
    readonly limits: SessionLimits,
  ) {
    this.peers = tables.peers;
    this.keypairs = tables.keypairs;
    const { sealCount, openCount } = channels.plan.batches;
    this.#epochs = new Int32Array(sealCount + openCount + 1);
  }

  /**
   * Hands a batch to the encryptor stage. Its keypairs were looked up in this turn, so what the batch
   * holds may have been retired since the turn began, but not before.
   */
  submit(batch: number): void {
    this.#epochs[this.#epochHead] = this.#turnEpoch;
    this.#epochHead = (this.#epochHead + 1) % this.#epochs.length;
    this.stage.submit(batch);
    this.drain?.drainStage();
  }

  /** The next batch that the stage has completed, or -1. */
  takeCompleted(): number {
    const batch = this.stage.takeCompleted();
    if (batch >= 0) this.#epochTail = (this.#epochTail + 1) % this.#epochs.length;
    return batch;
  }

  /**
   * Whether the stage has held batches since the last call and completed none of them, or one of its
   * workers does not move.
   */
  isStageStuck(): boolean {
    const isStuck = !this.isStageEmpty && this.#completedBefore === this.#epochTail;
    this.#completedBefore = this.isStageEmpty ? -1 : this.#epochTail;
    return this.stage.isStuck() || isStuck;
  }

  /** Whether the stage holds no batch. */
  get isStageEmpty(): boolean {
    return this.#epochHead === this.#epochTail;
  }

  /** Announces the epoch of the oldest work in hand; call at the start of a turn. */
  announceEpoch(): void {
    const epochs = this.tables.epochs;
    this.#turnEpoch = epochs.current();
    if (this.#isHolding) return;
    const oldest = this.isStageEmpty ? this.#turnEpoch : this.#epochs[this.#epochTail];
    epochs.announce(this.lane, oldest);
  }

  /** Whether the lane has nothing in hand that depends on peers or keys. */
  get holdsNothing(): boolean {
    return this.isStageEmpty && !this.#isHolding;
  }

  /** Sealed batches wait for the socket: their peers' slots must not be given to others. */
  holdEpoch(): void {
    this.#isHolding = true;
  }

  /** No batch waits any more. */
  releaseEpoch(): void {
    this.#isHolding = false;
  }

  /** Tells main something about a peer. */
  post(peer: number, bits: number): void {
    this.channels.events.post(peer, bits);
    this.mainHasMail = true;
  }

  /**
   * The keypair to seal with, or -1 when there is none. Asks for a handshake when there is none, or
   * when it is old and we were the initiator, or it has sealed too many messages.
   */
  sendingKeypair(peer: number): number {
    const { keypairs, limits } = this;
    const keypair = this.#newestKeypair(peer);
    if (keypair < 0 || !this.#isUsable(keypair)) {
      this.wantHandshake(peer);
      return -1;
    }
    const isOld = this.ageMs(keypair) >= limits.rekeyAfterMs &&
      keypairs.word(keypair, KeypairWord.IsInitiator) === 1;
    const isUsedUp = keypairs.field(keypair, KeypairField.SendCounter) > limits.rekeyAfterMessages;
    if (isOld || isUsedUp) this.wantHandshake(peer);
    return keypair;
  }

  /** How long ago the handshake of a keypair was completed. */
  ageMs(keypair: number): number {
    return this.nowMs - this.keypairs.field(keypair, KeypairField.CreatedMs);
  }

  /** Asks main for a handshake, unless it has been asked already. */
  wantHandshake(peer: number): void {
    if (this.peers.word(peer, PeerWord.HandshakeWanted) !== 0) return;
    this.peers.setWord(peer, PeerWord.HandshakeWanted, 1);
    this.post(peer, PeerEvent.WantHandshake);
  }

  /** Notes that `count` messages went out, `hasData` when any was not a keepalive. */
  noteSent(peer: number, bytes: number, hasData: boolean): void {
    const { peers, nowMs } = this;
    peers.addField(peer, PeerField.TxBytes, bytes);
    peers.setField(peer, PeerField.LastSentMs, nowMs);
    peers.setField(peer, PeerField.LastTraversalMs, nowMs);
    if (peers.field(peer, PeerField.UnacknowledgedSinceMs) !== 0) {
      peers.setField(peer, PeerField.UnacknowledgedSinceMs, 0);
    }
    if (!hasData) return;
    peers.setField(peer, PeerField.LastDataSentMs, nowMs);
    if (peers.field(peer, PeerField.UnansweredSinceMs) === 0) {
      peers.setField(peer, PeerField.UnansweredSinceMs, nowMs);
      this.#watch(peer);
    }
  }

  /** Notes that authenticated messages came in, `hasData` when any was not a keepalive. */
  noteReceived(peer: number, bytes: number, hasData: boolean): void {
    const { peers, nowMs } = this;
    peers.addField(peer, PeerField.RxBytes, bytes);
    peers.setField(peer, PeerField.LastReceivedMs, nowMs);
    peers.setField(peer, PeerField.LastTraversalMs, nowMs);
    if (peers.field(peer, PeerField.UnansweredSinceMs) !== 0) {
      peers.setField(peer, PeerField.UnansweredSinceMs, 0);
    }
    if (!hasData) return;
    peers.setField(peer, PeerField.LastDataReceivedMs, nowMs);
    if (peers.field(peer, PeerField.UnacknowledgedSinceMs) === 0) {
      peers.setField(peer, PeerField.UnacknowledgedSinceMs, nowMs);
      this.#watch(peer);
    } else {
      peers.setWord(peer, PeerWord.NeedAnotherKeepalive, 1);
    }
  }

  /**
   * The current keypair, or the next one if its first packet has been authenticated here: main, which
   * alone rotates the slots, may not have heard of it yet, and the peer may have lost the current one.
   * `Next` is read first, because main sets `Current` before it clears `Next`.
   */
  #newestKeypair(peer: number): number {
    const next = this.peers.word(peer, PeerWord.Next);
    const isConfirmed = next >= 0 && this.keypairs.word(next, KeypairWord.ConfirmPosted) === 1;
    return isConfirmed ? next : this.peers.word(peer, PeerWord.Current);
  }

  #isUsable(keypair: number): boolean {
    const { keypairs, limits } = this;
    return keypairs.word(keypair, KeypairWord.LocalIndex) !== 0 &&
      this.ageMs(keypair) < limits.rejectAfterMs &&
      keypairs.field(keypair, KeypairField.SendCounter) < limits.rejectAfterMessages;
  }

  #watch(peer: number): void {
    if (this.peers.word(peer, PeerWord.Watch) === 0) this.post(peer, PeerEvent.WatchTimers);
  }
}
