/**
 * The two MACs at the end of initiations and responses, and the cookies behind the second one
 * (WireGuard paper, sections 5.3, 5.4.4 and 5.4.7).
 *
 * mac1 proves that the sender knows our public key; without it nothing is computed and nothing is
 * answered. mac2 proves that the sender receives at the address it sends from: under load it has to
 * carry a cookie that was sent there. A cookie is a MAC over address and port under a secret that
 * lives for two minutes, so handing one out costs no memory.
 */
import type { RandomSource } from "../base/random.ts";
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import { AF_INET, type EndpointBytes } from "../tables/endpoint.ts";
import { equalBytes, isZero, wipe } from "./bytes.ts";
import {
  COOKIE_LATENCY_MS,
  COOKIE_REFRESH_TIME_MS,
  KEY_BYTES,
  LABEL_COOKIE,
  LABEL_MAC1,
} from "./constants.ts";
import {
  COOKIE_REPLY_COOKIE,
  COOKIE_REPLY_NONCE,
  HANDSHAKE_SENDER,
  MAC_BYTES,
  MACS_BYTES,
} from "../wire/wireguard.ts";
import { createCookieReply, readWord } from "./messages.ts";

const labelMac1 = new TextEncoder().encode(LABEL_MAC1);
const labelCookie = new TextEncoder().encode(LABEL_COOKIE);
const NONCE_BYTES = 24;

/** What precedes mac1, and what precedes mac2. */
function beforeMac1(message: Uint8Array): Uint8Array {
  return message.subarray(0, message.length - MACS_BYTES);
}
function beforeMac2(message: Uint8Array): Uint8Array {
  return message.subarray(0, message.length - MAC_BYTES);
}
function mac1Of(message: Uint8Array): Uint8Array {
  return message.subarray(message.length - MACS_BYTES, message.length - MAC_BYTES);
}

/** Port and address of an endpoint record: what a cookie is bound to. */
function cookieSubject(from: EndpointBytes): Uint8Array {
  const family = from[0] | (from[1] << 8);
  if (family === AF_INET) return from.slice(2, 8);
  const subject = new Uint8Array(18);
  subject.set(from.subarray(2, 4));
  subject.set(from.subarray(8, 24), 2);
  return subject;
}

/** The receiving side: checks MACs made for our public key, and makes cookie replies. */
export class CookieChecker {
  readonly #crypto: NoiseCrypto;
  readonly #random: RandomSource;
  #mac1Key: Uint8Array | null = null;
  #cookieKey: Uint8Array | null = null;
  readonly #secret = new Uint8Array(KEY_BYTES);
  #secretBornMs = -Infinity;

  constructor(crypto: NoiseCrypto, random: RandomSource) {
    this.#crypto = crypto;
    this.#random = random;
  }

  /** Sets the public key that messages are made for; null refuses them all. */
  setPublicKey(publicKey: Uint8Array | null): void {
    this.#mac1Key = publicKey === null ? null : this.#crypto.hash(labelMac1, publicKey);
    this.#cookieKey = publicKey === null ? null : this.#crypto.hash(labelCookie, publicKey);
  }

  /** Whether an initiation or response was made for our public key. */
  hasValidMac1(message: Uint8Array): boolean {
    if (this.#mac1Key === null) return false;
    const mac1 = this.#crypto.mac(this.#mac1Key, beforeMac1(message));
    return equalBytes(mac1, 0, message, message.length - MACS_BYTES, MAC_BYTES);
  }

  /** Whether it carries a cookie that was sent to `from` while the present secret lived. */
  hasValidMac2(message: Uint8Array, from: EndpointBytes, nowMs: number): boolean {
    if (isZero(message.subarray(message.length - MAC_BYTES))) return false;
    const cookie = this.#cookieFor(from, nowMs);
    const mac2 = this.#crypto.mac(cookie, beforeMac2(message));
    wipe(cookie);
    return equalBytes(mac2, 0, message, message.length - MAC_BYTES, MAC_BYTES);
  }

  /** The cookie reply to a message whose mac1 was right, to be sent to `from`. */
  createReply(message: Uint8Array, from: EndpointBytes, nowMs: number): Uint8Array {
    const reply = createCookieReply(readWord(message, HANDSHAKE_SENDER));
    const nonce = this.#random.fill(new Uint8Array(NONCE_BYTES));
    const cookie = this.#cookieFor(from, nowMs);
    reply.set(nonce, COOKIE_REPLY_NONCE);
    const sealed = this.#crypto.xseal(this.#cookieKey!, nonce, cookie, mac1Of(message));
    reply.set(sealed, COOKIE_REPLY_COOKIE);
    wipe(cookie);
    return reply;
  }

  /** Zeroes the secret and the keys. */
  close(): void {
    wipe(this.#secret);
    this.#secretBornMs = -Infinity;
    this.setPublicKey(null);
  }

  #cookieFor(from: EndpointBytes, nowMs: number): Uint8Array {
    if (nowMs - this.#secretBornMs >= COOKIE_REFRESH_TIME_MS) {
      this.#random.fill(this.#secret);
      this.#secretBornMs = nowMs;
    }
    return this.#crypto.mac(this.#secret, cookieSubject(from));
  }
}

/** The sending side, one per peer: puts MACs on messages, and keeps the cookie the peer sent. */
export class CookieGenerator {
  readonly #crypto: NoiseCrypto;
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  readonly #cookie = new Uint8Array(MAC_BYTES);
  #cookieBornMs = -Infinity;
  /** mac1 of the last message sent, until a cookie reply has answered it. */
  #lastMac1: Uint8Array | null = null;

  constructor(crypto: NoiseCrypto, remotePublicKey: Uint8Array) {
    this.#crypto = crypto;
    this.#mac1Key = crypto.hash(labelMac1, remotePublicKey);
    this.#cookieKey = crypto.hash(labelCookie, remotePublicKey);
  }

  /** Fills in mac1, and mac2 when there is a cookie young enough. */
  addMacs(message: Uint8Array, nowMs: number): void {
    const mac1 = this.#crypto.mac(this.#mac1Key, beforeMac1(message));
    message.set(mac1, message.length - MACS_BYTES);
    this.#lastMac1 = mac1;
    if (nowMs - this.#cookieBornMs >= COOKIE_REFRESH_TIME_MS - COOKIE_LATENCY_MS) return;
    const mac2 = this.#crypto.mac(this.#cookie, beforeMac2(message));
    message.set(mac2, message.length - MAC_BYTES);
  }

  /** Takes the cookie out of a reply to the last message; false when it does not belong to it. */
  acceptReply(reply: Uint8Array, nowMs: number): boolean {
    if (this.#lastMac1 === null) return false;
    const nonce = reply.slice(COOKIE_REPLY_NONCE, COOKIE_REPLY_NONCE + NONCE_BYTES);
    const sealed = reply.slice(COOKIE_REPLY_COOKIE);
    const cookie = this.#crypto.xopen(this.#cookieKey, nonce, sealed, this.#lastMac1);
    if (cookie === null) return false;
    this.#cookie.set(cookie);
    this.#cookieBornMs = nowMs;
    this.#lastMac1 = null;
    return true;
  }

  /** Zeroes the cookie. */
  close(): void {
    wipe(this.#cookie);
    this.#cookieBornMs = -Infinity;
    this.#lastMac1 = null;
  }
}
