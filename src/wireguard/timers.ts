/**
 * The timers of a peer (WireGuard paper, section 6; constants in `constants.ts`). There are five:
 *
 * - *Retransmit handshake*: an initiation that has had no answer for 5 s and some jitter is sent
 *   again, each time with a new ephemeral key. Jitter keeps two peers that began at the same moment
 *   from colliding for ever. When 18 retries and the one that the timer then still allows have
 *   failed (20 initiations in all, as the kernel and wireguard-go count), it is given up: staged
 *   packets are dropped, and keys die in 540 s unless they do so earlier. Data that wants a handshake
 *   meanwhile starts the count again.
 * - *Send keepalive*: who has received data owes the sender a sign of life. If nothing went out for
 *   10 s, an empty packet does. If more data came while that was pending, the timer starts once more.
 * - *New handshake*: who has sent data and has heard nothing for 15 s and some jitter assumes that
 *   the peer has lost its keys, and begins a handshake.
 * - *Zero key material*: 540 s after the last handshake all keys of the peer are wiped.
 * - *Persistent keepalive*: an empty packet when nothing authenticated has passed in either direction
 *   for the configured interval, for the sake of mappings in NATs and firewalls.
 *
 * What passes on the data path is known to the peer's lane alone; it notes the times in the peer
 * table. Deadlines that depend on them are therefore computed lazily: when a timer fires, the times
 * are read again and the timer moved if the lane has been at work. `UnansweredSinceMs` and
 * `UnacknowledgedSinceMs` say since when the second and third timer have been running. The lane sets
 * and clears them; main clears one when its timer fires or a handshake message does the lane's part.
 * If that coincides with the lane setting it, the next packet sets it again.
 *
 * While `Watch` is 1, main looks at both often enough to miss no deadline, and the lane need not say
 * that it has started one. Before main stops looking, it sets `Watch` to 0 and reads once more. A
 * processor may still hold the lane's store back past that reading, so main looks one last time a
 * little later.
 */
import type { RandomSource } from "../base/random.ts";
import { PeerCommand, PeerField, type PeerTable, PeerWord } from "../tables/peer_table.ts";
import {
  HANDSHAKE_RETRIES_MAX,
  KEEPALIVE_TIMEOUT_MS,
  REKEY_TIMEOUT_JITTER_MAX_MS,
  REKEY_TIMEOUT_MS,
  ZERO_KEYS_AFTER_MS,
} from "./constants.ts";
import { DeviceEventCode } from "./events.ts";
import type { Peer } from "./peer.ts";
import { TimerTable } from "./timer_table.ts";

const NEW_HANDSHAKE_AFTER_MS = KEEPALIVE_TIMEOUT_MS + REKEY_TIMEOUT_MS;
const LAST_LOOK_AFTER_MS = 1_000;

/** What can be pending for a peer. */
const Timer = {
  RetransmitHandshake: 0,
  /** Send keepalive and new handshake, or the last look at what they depend on. */
  Watch: 1,
  ZeroKeys: 2,
  PersistentKeepalive: 3,
  /** Not a timer of the protocol: lets the lane ask for a handshake again. */
  AllowRequest: 4,
} as const;
const TIMERS_PER_PEER = 5;

/** What timers set off. */
export interface TimerActions {
  /** The peer in a slot; timers of removed peers have been stopped. */
  peerAt(slot: number): Peer;
  initiate(peer: Peer, isRetry: boolean, nowMs: number): void;
  zeroKeys(peer: Peer, nowMs: number): void;
  forgetSource(peer: Peer): void;
  command(peer: Peer, bits: number): void;
  tell(code: DeviceEventCode, peer: Peer, detail: number, nowMs: number): void;
}

/** The timers of all peers. */
export class PeerTimers {
  readonly #timers: TimerTable;
  readonly #peers: PeerTable;
  readonly #random: RandomSource;
  readonly #actions: TimerActions;

  constructor(peers: PeerTable, random: RandomSource, actions: TimerActions) {
    this.#timers = new TimerTable(peers.capacity * TIMERS_PER_PEER);
    this.#peers = peers;
    this.#random = random;
    this.#actions = actions;
  }

  /** The earliest deadline on CLOCK_BOOTTIME, Infinity for none. */
  nextTimeoutMs(): number {
    return this.#timers.nextTimeoutMs();
  }

  /** Does what is due. */
  onTimeout(nowMs: number): void {
    for (;;) {
      const timer = this.#timers.takeDue(nowMs);
      if (timer < 0) return;
      const peer = this.#actions.peerAt(Math.floor(timer / TIMERS_PER_PEER));
      this.#fire(timer % TIMERS_PER_PEER, peer, nowMs);
    }
  }

  /** An initiation was sent. */
  initiationSent(peer: Peer, nowMs: number): void {
    this.retryPutOff(peer, nowMs + REKEY_TIMEOUT_MS);
    this.allowRequest(peer);
  }

  /** The next retry is to come at `untilMs` and some jitter. */
  retryPutOff(peer: Peer, untilMs: number): void {
    this.#set(peer, Timer.RetransmitHandshake, untilMs + this.#jitterMs());
  }

  /** A handshake message was sent: the peer has its sign of life. */
  handshakeSent(peer: Peer, nowMs: number): void {
    peer.handshakeTraversalMs = nowMs;
    this.#peers.setField(peer.slot, PeerField.UnacknowledgedSinceMs, 0);
  }

  /** A handshake message was received and authenticated: so have we. */
  handshakeReceived(peer: Peer, nowMs: number): void {
    peer.handshakeTraversalMs = nowMs;
    this.#peers.setField(peer.slot, PeerField.UnansweredSinceMs, 0);
  }

  /** Keys were derived. */
  sessionDerived(peer: Peer, nowMs: number): void {
    this.#set(peer, Timer.ZeroKeys, nowMs + ZERO_KEYS_AFTER_MS);
  }

  /** The session can be used for sending. */
  handshakeCompleted(peer: Peer): void {
    this.#clear(peer, Timer.RetransmitHandshake);
    peer.handshakeRetries = 0;
    peer.hasRekeyedOnReceive = false;
    this.allowRequest(peer);
  }

  /**
   * A request for a handshake was put off until `untilMs`. The lane may ask again with the next
   * initiation, or then if there is none.
   */
  requestPutOff(peer: Peer, untilMs: number): void {
    if (this.#timers.isPending(this.#number(peer, Timer.RetransmitHandshake))) return;
    this.#set(peer, Timer.AllowRequest, untilMs);
  }

  /** The lane may ask for a handshake again. */
  allowRequest(peer: Peer): void {
    this.#clear(peer, Timer.AllowRequest);
    this.#peers.setWord(peer.slot, PeerWord.HandshakeWanted, 0);
  }

  /** The persistent keepalive interval of the peer was set. */
  keepaliveChanged(peer: Peer, nowMs: number): void {
    const intervalMs = this.#keepaliveIntervalMs(peer);
    if (intervalMs === 0) this.#clear(peer, Timer.PersistentKeepalive);
    else this.#set(peer, Timer.PersistentKeepalive, nowMs + intervalMs);
  }

  /** Looks at the times that the lane has noted. */
  watch(peer: Peer, nowMs: number): void {
    const { slot } = peer;
    const peers = this.#peers;
    if (nowMs >= this.#newHandshakeAtMs(peer)) {
      peers.setField(slot, PeerField.UnansweredSinceMs, 0);
      const quietS = NEW_HANDSHAKE_AFTER_MS / 1000;
      this.#actions.tell(DeviceEventCode.StoppedHearing, peer, quietS, nowMs);
      this.#actions.forgetSource(peer);
      this.#actions.initiate(peer, false, nowMs);
    }
    if (nowMs >= this.#keepaliveAtMs(peer)) {
      const again = peers.word(slot, PeerWord.NeedAnotherKeepalive) === 1;
      peers.setWord(slot, PeerWord.NeedAnotherKeepalive, 0);
      peers.setField(slot, PeerField.UnacknowledgedSinceMs, again ? nowMs : 0);
      this.#actions.command(peer, PeerCommand.SendKeepalive);
    }
    this.#watchOn(peer, nowMs);
  }

  /** Stops all timers of a peer. */
  stop(peer: Peer): void {
    for (let timer = 0; timer < TIMERS_PER_PEER; timer++) this.#clear(peer, timer);
    this.#peers.setWord(peer.slot, PeerWord.Watch, 0);
  }

  #fire(timer: number, peer: Peer, nowMs: number): void {
    switch (timer) {
      case Timer.RetransmitHandshake:
        return this.#retransmitHandshake(peer, nowMs);
      case Timer.Watch:
        return this.watch(peer, nowMs);
      case Timer.ZeroKeys:
        return this.#actions.zeroKeys(peer, nowMs);
      case Timer.PersistentKeepalive:
        return this.#persistentKeepalive(peer, nowMs);
      case Timer.AllowRequest:
        return this.allowRequest(peer);
    }
  }

  #retransmitHandshake(peer: Peer, nowMs: number): void {
    const actions = this.#actions;
    if (peer.handshakeRetries <= HANDSHAKE_RETRIES_MAX) {
      actions.tell(DeviceEventCode.NoReply, peer, peer.handshakeRetries, nowMs);
      peer.handshakeRetries++;
      actions.forgetSource(peer);
      actions.initiate(peer, true, nowMs);
      return;
    }
    actions.tell(DeviceEventCode.GaveUp, peer, peer.handshakeRetries + 1, nowMs);
    this.#peers.setField(peer.slot, PeerField.UnacknowledgedSinceMs, 0);
    actions.command(peer, PeerCommand.DropStaged);
    this.allowRequest(peer);
    if (!this.#timers.isPending(this.#number(peer, Timer.ZeroKeys))) {
      this.#set(peer, Timer.ZeroKeys, nowMs + ZERO_KEYS_AFTER_MS);
    }
  }

  #persistentKeepalive(peer: Peer, nowMs: number): void {
    const intervalMs = this.#keepaliveIntervalMs(peer);
    if (intervalMs === 0) return;
    const traversalMs = Math.max(
      peer.handshakeTraversalMs,
      this.#peers.field(peer.slot, PeerField.LastTraversalMs),
    );
    const dueMs = traversalMs + intervalMs;
    if (dueMs <= nowMs) this.#actions.command(peer, PeerCommand.SendKeepalive);
    this.#set(peer, Timer.PersistentKeepalive, dueMs > nowMs ? dueMs : nowMs + intervalMs);
  }

  /** Goes on watching, or stops when there is nothing to watch. */
  #watchOn(peer: Peer, nowMs: number): void {
    const peers = this.#peers;
    if (!this.#isRunning(peer)) {
      if (peers.word(peer.slot, PeerWord.Watch) === 0) return;
      peers.setWord(peer.slot, PeerWord.Watch, 0);
      if (!this.#isRunning(peer)) {
        this.#set(peer, Timer.Watch, nowMs + LAST_LOOK_AFTER_MS);
        return;
      }
    }
    peers.setWord(peer.slot, PeerWord.Watch, 1);
    // The lane may start the one that is not running at any time; the shorter one bounds both.
    const deadlineMs = Math.min(
      this.#newHandshakeAtMs(peer),
      this.#keepaliveAtMs(peer),
      nowMs + KEEPALIVE_TIMEOUT_MS,
    );
    this.#set(peer, Timer.Watch, Math.max(deadlineMs, nowMs + 1));
  }

  #isRunning(peer: Peer): boolean {
    const peers = this.#peers;
    return peers.field(peer.slot, PeerField.UnansweredSinceMs) !== 0 ||
      peers.field(peer.slot, PeerField.UnacknowledgedSinceMs) !== 0;
  }

  #keepaliveAtMs(peer: Peer): number {
    const sinceMs = this.#peers.field(peer.slot, PeerField.UnacknowledgedSinceMs);
    return sinceMs === 0 ? Infinity : sinceMs + KEEPALIVE_TIMEOUT_MS;
  }

  #newHandshakeAtMs(peer: Peer): number {
    const sinceMs = this.#peers.field(peer.slot, PeerField.UnansweredSinceMs);
    if (sinceMs !== peer.unansweredSinceMs) {
      peer.unansweredSinceMs = sinceMs;
      peer.newHandshakeJitterMs = this.#jitterMs();
    }
    return sinceMs === 0 ? Infinity : sinceMs + NEW_HANDSHAKE_AFTER_MS + peer.newHandshakeJitterMs;
  }

  #keepaliveIntervalMs(peer: Peer): number {
    return this.#peers.word(peer.slot, PeerWord.KeepaliveInterval) * 1000;
  }

  #jitterMs(): number {
    const bytes = this.#random.fill(new Uint8Array(4));
    const word = new DataView(bytes.buffer).getUint32(0);
    return Math.floor(word / 2 ** 32 * (REKEY_TIMEOUT_JITTER_MAX_MS + 1));
  }

  #number(peer: Peer, timer: number): number {
    return peer.slot * TIMERS_PER_PEER + timer;
  }

  #set(peer: Peer, timer: number, deadlineMs: number): void {
    this.#timers.set(this.#number(peer, timer), deadlineMs);
  }

  #clear(peer: Peer, timer: number): void {
    this.#timers.clear(this.#number(peer, timer));
  }
}
