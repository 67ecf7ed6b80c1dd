/**
 * The handshake as Noise sees it: Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s, written out for the two
 * messages of WireGuard (paper, sections 5.4.1 to 5.4.5).
 *
 * ```
 * <- s                     known beforehand
 * -> e, es, s, ss, {time}  initiation
 * <- e, ee, se, psk, {}    response
 * ```
 *
 * This knows neither peers nor time: it turns keys into message fields and back, and tells by null
 * or false that something did not fit. Whatever it leaves half done it has wiped.
 */
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import { wipe } from "./bytes.ts";
import { CONSTRUCTION, IDENTIFIER, KEY_BYTES, TAG_BYTES, TIMESTAMP_BYTES } from "./constants.ts";
import {
  INITIATION_EPHEMERAL,
  INITIATION_STATIC,
  INITIATION_TIMESTAMP,
  RESPONSE_EMPTY,
  RESPONSE_EPHEMERAL,
} from "../wire/wireguard.ts";

const NOTHING = new Uint8Array(0);
const ONE = Uint8Array.of(1), TWO = Uint8Array.of(2), THREE = Uint8Array.of(3);

/** Our own static key pair. */
export interface Identity {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** The chaining key and hash of a handshake under way; owned by whoever started it. */
export interface Transcript {
  readonly chainingKey: Uint8Array;
  readonly hash: Uint8Array;
}

/** An initiation of which the sender's static key is known, but not yet whether it is fresh. */
export interface OpenedInitiation {
  readonly transcript: Transcript;
  readonly remoteStatic: Uint8Array;
  readonly remoteEphemeral: Uint8Array;
}

/** The two keys of a session, by the direction that they seal. */
export interface TransportKeys {
  readonly fromInitiator: Uint8Array;
  readonly fromResponder: Uint8Array;
}

/** Makes a private key of 32 random bytes, in place (RFC 7748, section 5). */
export function clampPrivateKey(key: Uint8Array): Uint8Array {
  key[0] &= 248;
  key[31] = (key[31] & 127) | 64;
  return key;
}

/** Forgets a handshake. */
export function wipeTranscript(transcript: Transcript): void {
  wipe(transcript.chainingKey, transcript.hash);
}

/** The steps of both roles; holds no state of a handshake. */
export class Noise {
  readonly #crypto: NoiseCrypto;
  readonly #firstChainingKey: Uint8Array;
  readonly #firstHash: Uint8Array;

  constructor(crypto: NoiseCrypto) {
    const encoder = new TextEncoder();
    this.#crypto = crypto;
    this.#firstChainingKey = crypto.hash(encoder.encode(CONSTRUCTION));
    this.#firstHash = crypto.hash(this.#firstChainingKey, encoder.encode(IDENTIFIER));
  }

  /**
   * Initiator: fills in the ephemeral, static and timestamp fields of `message`. `staticStatic` is
   * the shared secret of both static keys. Null when the responder's key is a low-order point.
   */
  writeInitiation(
    message: Uint8Array,
    identity: Identity,
    remoteStatic: Uint8Array,
    staticStatic: Uint8Array,
    ephemeralPrivate: Uint8Array,
    timestamp: Uint8Array,
  ): Transcript | null {
    const transcript = this.#begin(remoteStatic);
    const ephemeral = this.#crypto.x25519PublicKey(ephemeralPrivate);
    message.set(ephemeral, INITIATION_EPHEMERAL);
    this.#mixEphemeral(transcript, ephemeral);
    const key = this.#mixSharedKey(transcript, ephemeralPrivate, remoteStatic);
    if (key === null) return null;
    message.set(this.#seal(transcript, key, identity.publicKey), INITIATION_STATIC);
    const timestampKey = this.#mixKey2(transcript, staticStatic);
    message.set(this.#seal(transcript, timestampKey, timestamp), INITIATION_TIMESTAMP);
    wipe(key, timestampKey);
    return transcript;
  }

  /** Responder: who sent an initiation; null when it was not made for us. */
  openInitiation(message: Uint8Array, identity: Identity): OpenedInitiation | null {
    const transcript = this.#begin(identity.publicKey);
    const remoteEphemeral = message.slice(INITIATION_EPHEMERAL, INITIATION_EPHEMERAL + KEY_BYTES);
    this.#mixEphemeral(transcript, remoteEphemeral);
    const key = this.#mixSharedKey(transcript, identity.privateKey, remoteEphemeral);
    if (key === null) return null;
    const remoteStatic = this.#open(transcript, key, message, INITIATION_STATIC, KEY_BYTES);
    wipe(key);
    if (remoteStatic === null) {
      wipeTranscript(transcript);
      return null;
    }
    return { transcript, remoteStatic, remoteEphemeral };
  }

  /**
   * Responder: the timestamp of an opened initiation, which proves that its sender holds the static
   * key it claims; null, and the transcript wiped, when it does not.
   */
  openTimestamp(
    message: Uint8Array,
    transcript: Transcript,
    staticStatic: Uint8Array,
  ): Uint8Array | null {
    const key = this.#mixKey2(transcript, staticStatic);
    const timestamp = this.#open(transcript, key, message, INITIATION_TIMESTAMP, TIMESTAMP_BYTES);
    wipe(key);
    if (timestamp === null) wipeTranscript(transcript);
    return timestamp;
  }

  /**
   * Responder: fills in the ephemeral and empty fields of `message`. False, and the transcript
   * wiped, when one of the initiator's keys is a low-order point.
   */
  writeResponse(
    message: Uint8Array,
    opened: OpenedInitiation,
    presharedKey: Uint8Array,
    ephemeralPrivate: Uint8Array,
  ): boolean {
    const transcript = opened.transcript;
    const ephemeral = this.#crypto.x25519PublicKey(ephemeralPrivate);
    message.set(ephemeral, RESPONSE_EPHEMERAL);
    this.#mixEphemeral(transcript, ephemeral);
    if (!this.#mixShared(transcript, ephemeralPrivate, opened.remoteEphemeral)) return false;
    if (!this.#mixShared(transcript, ephemeralPrivate, opened.remoteStatic)) return false;
    const key = this.#mixPresharedKey(transcript, presharedKey);
    message.set(this.#seal(transcript, key, NOTHING), RESPONSE_EMPTY);
    wipe(key);
    return true;
  }

  /**
   * Initiator: completes the handshake with a response. Returns the transcript to derive the
   * session from, or null when the response was not made for this handshake and preshared key. The
   * transcript of the initiation is left as it is: the right answer may still come.
   */
  openResponse(
    message: Uint8Array,
    initiation: Transcript,
    identity: Identity,
    ephemeralPrivate: Uint8Array,
    presharedKey: Uint8Array,
  ): Transcript | null {
    const transcript = {
      chainingKey: initiation.chainingKey.slice(),
      hash: initiation.hash.slice(),
    };
    const remoteEphemeral = message.slice(RESPONSE_EPHEMERAL, RESPONSE_EPHEMERAL + KEY_BYTES);
    this.#mixEphemeral(transcript, remoteEphemeral);
    if (!this.#mixShared(transcript, ephemeralPrivate, remoteEphemeral)) return null;
    if (!this.#mixShared(transcript, identity.privateKey, remoteEphemeral)) return null;
    const key = this.#mixPresharedKey(transcript, presharedKey);
    const nothing = this.#open(transcript, key, message, RESPONSE_EMPTY, 0);
    wipe(key);
    if (nothing !== null) return transcript;
    wipeTranscript(transcript);
    return null;
  }

  /** The keys of the session; wipes the transcript. */
  deriveTransportKeys(transcript: Transcript): TransportKeys {
    const crypto = this.#crypto;
    const secret = crypto.hmac(transcript.chainingKey, NOTHING);
    const fromInitiator = crypto.hmac(secret, ONE);
    const fromResponder = crypto.hmac(secret, fromInitiator, TWO);
    wipe(secret);
    wipeTranscript(transcript);
    return { fromInitiator, fromResponder };
  }

  #begin(responderStatic: Uint8Array): Transcript {
    return {
      chainingKey: this.#firstChainingKey.slice(),
      hash: this.#crypto.hash(this.#firstHash, responderStatic),
    };
  }

  #mixHash(transcript: Transcript, data: Uint8Array): void {
    transcript.hash.set(this.#crypto.hash(transcript.hash, data));
  }

  /** KDF1 of the paper: the new chaining key alone. */
  #mixKey1(transcript: Transcript, input: Uint8Array): void {
    const secret = this.#crypto.hmac(transcript.chainingKey, input);
    const chainingKey = this.#crypto.hmac(secret, ONE);
    transcript.chainingKey.set(chainingKey);
    wipe(secret, chainingKey);
  }

  /** KDF2: the new chaining key, and the key that it returns. */
  #mixKey2(transcript: Transcript, input: Uint8Array): Uint8Array {
    const crypto = this.#crypto;
    const secret = crypto.hmac(transcript.chainingKey, input);
    const chainingKey = crypto.hmac(secret, ONE);
    const key = crypto.hmac(secret, chainingKey, TWO);
    transcript.chainingKey.set(chainingKey);
    wipe(secret, chainingKey);
    return key;
  }

  /** KDF3: the new chaining key, what is mixed into the hash, and the key that it returns. */
  #mixPresharedKey(transcript: Transcript, presharedKey: Uint8Array): Uint8Array {
    const crypto = this.#crypto;
    const secret = crypto.hmac(transcript.chainingKey, presharedKey);
    const chainingKey = crypto.hmac(secret, ONE);
    const forHash = crypto.hmac(secret, chainingKey, TWO);
    const key = crypto.hmac(secret, forHash, THREE);
    transcript.chainingKey.set(chainingKey);
    this.#mixHash(transcript, forHash);
    wipe(secret, chainingKey, forHash);
    return key;
  }

  /** The "e" of a pattern with a preshared key: into the hash and into the chaining key. */
  #mixEphemeral(transcript: Transcript, ephemeral: Uint8Array): void {
    this.#mixHash(transcript, ephemeral);
    this.#mixKey1(transcript, ephemeral);
  }

  /** A Diffie-Hellman step; wipes the transcript when the result is all zero. */
  #mixShared(transcript: Transcript, privateKey: Uint8Array, publicKey: Uint8Array): boolean {
    const shared = this.#crypto.x25519(privateKey, publicKey);
    if (shared === null) {
      wipeTranscript(transcript);
      return false;
    }
    this.#mixKey1(transcript, shared);
    wipe(shared);
    return true;
  }

  /** The same where a message field is sealed with the key that results. */
  #mixSharedKey(
    transcript: Transcript,
    privateKey: Uint8Array,
    publicKey: Uint8Array,
  ): Uint8Array | null {
    const shared = this.#crypto.x25519(privateKey, publicKey);
    if (shared === null) {
      wipeTranscript(transcript);
      return null;
    }
    const key = this.#mixKey2(transcript, shared);
    wipe(shared);
    return key;
  }

  #seal(transcript: Transcript, key: Uint8Array, plaintext: Uint8Array): Uint8Array {
    const sealed = this.#crypto.seal(key, 0n, plaintext, transcript.hash);
    this.#mixHash(transcript, sealed);
    return sealed;
  }

  #open(
    transcript: Transcript,
    key: Uint8Array,
    message: Uint8Array,
    at: number,
    plaintextBytes: number,
  ): Uint8Array | null {
    const sealed = message.slice(at, at + plaintextBytes + TAG_BYTES);
    const plaintext = this.#crypto.open(key, 0n, sealed, transcript.hash);
    if (plaintext !== null) this.#mixHash(transcript, sealed);
    return plaintext;
  }
}
