/**
 * The peer table: one record of shared words per peer, read and written by main (the control
 * plane) and by the peer's lane (the data plane).
 *
 * Who writes what:
 * - main alone: state, lane, the three keypair slots, keepalive interval, `watch`;
 * - the lane: byte counters and all times; main writes `UnansweredSinceMs` and
 *   `UnacknowledgedSinceMs` as well when their timers fire, so the lane must not cache them;
 * - both, under the record's endpoint lock: the endpoint.
 *
 * Times are milliseconds on CLOCK_BOOTTIME as doubles, 0 for "never" or "not pending". A double at
 * an aligned place is stored in one machine instruction on x86-64 and arm64, so no reader sees a
 * torn one.
 */
import type { Slab } from "../memory/slab.ts";
import { copyEndpoint, ENDPOINT_BYTES } from "./endpoint.ts";

export const PEER_RECORD_BYTES = 384;

/** Offsets of the i32 words in a record, in bytes. */
export const PeerWord = {
  /** 1 while the peer exists. */
  InUse: 0,
  /** The lane that owns the peer. */
  Lane: 4,
  /** Keypair slots, -1 for none. Packets are sealed with `Current`. */
  Current: 8,
  Previous: 12,
  Next: 16,
  /** 1 while main has a timer running for the peer, so that the lane need not wake it. */
  Watch: 20,
  /** 1 when data came in while a keepalive was already due (lane sets, main clears). */
  NeedAnotherKeepalive: 24,
  /** Persistent keepalive interval in seconds, 0 for off. */
  KeepaliveInterval: 28,
  /** 0 free, 1 taken: guards the endpoint against two writers. */
  EndpointLock: 32,
  /** Counts endpoint updates; its lowest bit names the valid one of the two copies. */
  EndpointVersion: 36,
  /** 1 once the lane has asked for a handshake; main clears it when it has sent one or given up. */
  HandshakeWanted: 40,
} as const;

/** Offsets of the double-precision fields in a record, in bytes. */
export const PeerField = {
  /** Bytes of all datagrams sent to and received from the peer, headers of WireGuard included. */
  TxBytes: 64,
  RxBytes: 72,
  /** When data was first sent since the last authenticated packet came in; 0 when answered. */
  UnansweredSinceMs: 80,
  /** When data was first received since the last packet was sent; 0 when acknowledged. */
  UnacknowledgedSinceMs: 88,
  /** When any authenticated packet was last sent or received. */
  LastTraversalMs: 96,
  /** When any packet, and when data, was last sent and received. */
  LastSentMs: 104,
  LastReceivedMs: 112,
  LastDataSentMs: 120,
  LastDataReceivedMs: 128,
  /** Bytes that main itself sent and received in handshakes (main writes). */
  HandshakeTxBytes: 136,
  HandshakeRxBytes: 144,
} as const;

const ENDPOINT_COPIES = 192;

/** Requests from a lane to main about a peer: bits of the `events` mailbox. */
export const PeerEvent = {
  /** A packet waits and there is no usable session, or it is time to rekey. */
  WantHandshake: 1,
  /** The first packet under the `Next` keypair has been authenticated. */
  ConfirmedNext: 2,
  /** A time above left 0 while `Watch` was 0: main has to look at the peer's timers. */
  WatchTimers: 4,
  /** Data arrived under a key older than RejectAfterTime - KeepaliveTimeout - RekeyTimeout. */
  ReceivedOnOldKey: 8,
} as const;

/** Requests from main to a lane about a peer: bits of the `commands` mailbox. */
export const PeerCommand = {
  /** A new session is usable: send what is staged, or an empty packet when nothing is. */
  SendStagedOrKeepalive: 1,
  /** Send an empty packet. */
  SendKeepalive: 2,
  /** Drop what is staged: no handshake came about, or the peer is gone. */
  DropStaged: 4,
  /** Send what is staged; nothing when nothing is. */
  SendStaged: 8,
} as const;

/** Bytes of slab that the table needs. */
export function peerTableBytes(capacity: number): number {
  return capacity * PEER_RECORD_BYTES;
}

/** Accessors over the records; cheap to build, holds no state of its own. */
export class PeerTable {
  readonly #slab: Slab;
  readonly #at: number;

  constructor(slab: Slab, at: number, readonly capacity: number) {
    this.#slab = slab;
    this.#at = at;
  }

  /** The place of a peer's record. */
  at(peer: number): number {
    return this.#at + peer * PEER_RECORD_BYTES;
  }

  /** One of the words of `PeerWord`, read atomically. */
  word(peer: number, word: number): number {
    return Atomics.load(this.#slab.i32, (this.at(peer) + word) >> 2);
  }

  /** Sets one of the words of `PeerWord` atomically. */
  setWord(peer: number, word: number, value: number): void {
    Atomics.store(this.#slab.i32, (this.at(peer) + word) >> 2, value);
  }

  /** One of the fields of `PeerField`. */
  field(peer: number, field: number): number {
    return this.#slab.f64[(this.at(peer) + field) >> 3];
  }

  /** Sets one of the fields of `PeerField`. */
  setField(peer: number, field: number, value: number): void {
    this.#slab.f64[(this.at(peer) + field) >> 3] = value;
  }

  /** Adds to one of the fields of `PeerField`; only its writer may call this. */
  addField(peer: number, field: number, value: number): void {
    this.#slab.f64[(this.at(peer) + field) >> 3] += value;
  }

  /** Copies the peer's endpoint record to `to`, never a torn one, and returns its version. */
  readEndpoint(peer: number, to: number): number {
    const i32 = this.#slab.i32;
    const versionWord = (this.at(peer) + PeerWord.EndpointVersion) >> 2;
    for (;;) {
      const version = Atomics.load(i32, versionWord);
      copyEndpoint(this.#slab, this.#endpointCopyAt(peer, version), to);
      if (Atomics.load(i32, versionWord) === version) return version;
    }
  }

  /** Where the valid copy stands right now; good for a comparison whose outcome may be late. */
  endpointAt(peer: number): number {
    const version = this.word(peer, PeerWord.EndpointVersion);
    return this.#endpointCopyAt(peer, version);
  }

  /**
   * Replaces the peer's endpoint by the record at `from` unless the other writer is at it; returns
   * whether it did. A lane lets it be (the next packet tries again), main repeats. With `replaced`,
   * the version that the caller has read, a record that is newer than that stays.
   */
  tryWriteEndpoint(peer: number, from: number, replaced?: number): boolean {
    const i32 = this.#slab.i32;
    const lockWord = (this.at(peer) + PeerWord.EndpointLock) >> 2;
    if (Atomics.compareExchange(i32, lockWord, 0, 1) !== 0) return false;
    const present = this.word(peer, PeerWord.EndpointVersion);
    const isWanted = replaced === undefined || replaced === present;
    if (isWanted) {
      copyEndpoint(this.#slab, from, this.#endpointCopyAt(peer, present + 1));
      this.setWord(peer, PeerWord.EndpointVersion, (present + 1) | 0);
    }
    Atomics.store(i32, lockWord, 0);
    return isWanted;
  }

  #endpointCopyAt(peer: number, version: number): number {
    return this.at(peer) + ENDPOINT_COPIES + (version & 1) * ENDPOINT_BYTES;
  }
}
