/** What main alone knows of a peer; what it shares with the peer's lane is in the peer table. */
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import { toHex, wipe } from "./bytes.ts";
import { KEY_BYTES, TIMESTAMP_BYTES } from "./constants.ts";
import { CookieGenerator } from "./mac_cookie.ts";
import { type Identity, type Transcript, wipeTranscript } from "./noise.ts";

/** A handshake that we began and that has not been answered. */
export interface PendingHandshake {
  /** The keypair slot that is reserved for the session. */
  readonly slot: number;
  readonly transcript: Transcript;
  readonly ephemeralPrivate: Uint8Array;
}

/** One peer. `slot` is its place in the peer table. */
export class Peer {
  readonly publicKey: Uint8Array;
  /** The public key in hexadecimal, by which maps find the peer. */
  readonly keyText: string;
  readonly presharedKey = new Uint8Array(KEY_BYTES);
  readonly cookies: CookieGenerator;

  /** The shared secret of both static keys: null when it is all zero, undefined until needed. */
  #staticStatic: Uint8Array | null | undefined = undefined;

  pending: PendingHandshake | null = null;
  /** The greatest timestamp received. */
  readonly latestTimestamp = new Uint8Array(TIMESTAMP_BYTES);
  /** The timestamp of our last initiation. */
  lastStamp: Uint8Array | null = null;
  lastInitiationConsumedMs = -Infinity;
  /** When an initiation or response was last sent. */
  lastSentHandshakeMs = -Infinity;
  /** Retries of the handshake under way. */
  handshakeRetries = 0;
  /** Whether receiving on an old key has already led to a handshake in this session. */
  hasRekeyedOnReceive = false;
  /** When a handshake message was last sent to or received from the peer. */
  handshakeTraversalMs = -Infinity;
  /** The value of `UnansweredSinceMs` that `newHandshakeJitterMs` was drawn for. */
  unansweredSinceMs = 0;
  newHandshakeJitterMs = 0;
  /** Nanoseconds since 1970, 0 for never. */
  lastHandshakeWallNs = 0n;

  constructor(readonly slot: number, publicKey: Uint8Array, crypto: NoiseCrypto) {
    this.publicKey = publicKey.slice();
    this.keyText = toHex(publicKey);
    this.cookies = new CookieGenerator(crypto, this.publicKey);
  }

  /** The shared secret of both static keys; null when the peer's key is a low-order point. */
  staticStatic(identity: Identity, crypto: NoiseCrypto): Uint8Array | null {
    if (this.#staticStatic === undefined) {
      this.#staticStatic = crypto.x25519(identity.privateKey, this.publicKey);
    }
    return this.#staticStatic;
  }

  /** Forgets what was derived from our own private key. */
  forgetStaticStatic(): void {
    if (this.#staticStatic) wipe(this.#staticStatic);
    this.#staticStatic = undefined;
  }

  /** Forgets the handshake under way; the keypair slot is the caller's to release. */
  wipePending(): void {
    if (this.pending === null) return;
    wipeTranscript(this.pending.transcript);
    wipe(this.pending.ephemeralPrivate);
    this.pending = null;
  }

  /** Zeroes everything secret. */
  close(): void {
    this.wipePending();
    this.forgetStaticStatic();
    wipe(this.presharedKey);
    this.cookies.close();
  }
}
