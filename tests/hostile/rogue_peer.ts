/**
 * A WireGuard peer that does what it is told: builds each message by hand, seals with any counter,
 * and shows what comes back. For messages that no honest implementation sends.
 */
import { NobleCrypto } from "../../src/crypto/noble.ts";
import type { NoiseCrypto } from "../../src/crypto/noise_crypto.ts";
import { fixedBytes } from "../../ffi/memory.ts";
import { internetAddress } from "../../ffi/socket.ts";
import { CookieGenerator } from "../../src/wireguard/mac_cookie.ts";
import { createInitiation, readWord, writeWord } from "../../src/wireguard/messages.ts";
import { type Identity, Noise, type TransportKeys } from "../../src/wireguard/noise.ts";
import { TimestampSource } from "../../src/wireguard/tai64n.ts";
import {
  DATA_COUNTER,
  DATA_HEADER_BYTES,
  DATA_OVERHEAD_BYTES,
  dataCounter,
  HANDSHAKE_SENDER,
  MessageType,
  RESPONSE_BYTES,
  RESPONSE_RECEIVER,
} from "../../src/wire/wireguard.ts";
import type { KeyPair } from "../netns/wg.ts";
import { address4, type UdpSocket } from "./sockets.ts";

const NOTHING = new Uint8Array(0);
const crypto32 = new NobleCrypto();

/** The bytes of a key in base64. */
function keyBytes(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** An initiation under way. */
export interface Initiation {
  readonly message: Uint8Array;
  readonly index: number;
  readonly complete: (response: Uint8Array) => Session;
}

/** A session with a node; counters are the caller's. */
export class Session {
  constructor(
    readonly keys: TransportKeys,
    readonly localIndex: number,
    readonly remoteIndex: number,
  ) {}

  /** A data message with the inner packet padded as it should be. */
  seal(counter: number, packet: Uint8Array): Uint8Array {
    const padded = new Uint8Array((packet.length + 15) & ~15);
    padded.set(packet);
    const message = new Uint8Array(padded.length + DATA_OVERHEAD_BYTES);
    const view = new DataView(message.buffer);
    writeWord(message, 0, MessageType.Data);
    writeWord(message, 4, this.remoteIndex);
    view.setBigUint64(DATA_COUNTER, BigInt(counter), true);
    const sealed = crypto32.seal(this.keys.fromInitiator, BigInt(counter), padded, NOTHING);
    message.set(sealed, DATA_HEADER_BYTES);
    return message;
  }

  /** The packet inside a data message of the node, null when it is not for this session. */
  open(message: Uint8Array): { counter: number; packet: Uint8Array } | null {
    if (readWord(message, 0) !== MessageType.Data || readWord(message, 4) !== this.localIndex) {
      return null;
    }
    const counter = dataCounter(new DataView(message.buffer, message.byteOffset), 0);
    const sealed = message.slice(DATA_HEADER_BYTES);
    const packet = crypto32.open(this.keys.fromResponder, BigInt(counter), sealed, NOTHING);
    return packet === null ? null : { counter, packet };
  }
}

/** One identity towards one node. */
export class RoguePeer {
  readonly to: Uint8Array<ArrayBuffer>;
  readonly #identity: Identity;
  readonly #remote: Uint8Array;
  readonly #cookies: CookieGenerator;
  readonly #crypto: NoiseCrypto;
  readonly #noise: Noise;
  readonly #timestamps = new TimestampSource();
  #stamp: Uint8Array | null = null;

  /**
   * `publicKey` is the node's, which is reached at `address` and `port`; `handshakeCrypto` is for who
   * makes so many handshakes that plain TypeScript would be too slow.
   */
  constructor(
    key: KeyPair,
    publicKey: string,
    address: string,
    port: number,
    handshakeCrypto: NoiseCrypto = crypto32,
  ) {
    this.#crypto = handshakeCrypto;
    this.#noise = new Noise(handshakeCrypto);
    this.#identity = { privateKey: keyBytes(key.privateKey), publicKey: keyBytes(key.publicKey) };
    this.#remote = keyBytes(publicKey);
    this.#cookies = new CookieGenerator(crypto32, this.#remote);
    this.to = internetAddress(address4(address), port);
  }

  /** A fresh initiation; each has a later stamp than the one before. */
  initiation(): Initiation {
    const index = crypto.getRandomValues(new Int32Array(1))[0];
    const message = createInitiation(index);
    const ephemeral = crypto.getRandomValues(new Uint8Array(32));
    this.#stamp = this.#timestamps.next(BigInt(Date.now()) * 1_000_000n, this.#stamp);
    const staticStatic = this.#crypto.x25519(this.#identity.privateKey, this.#remote)!;
    const transcript = this.#noise.writeInitiation(
      message,
      this.#identity,
      this.#remote,
      staticStatic,
      ephemeral,
      this.#stamp,
    )!;
    this.#cookies.addMacs(message, performance.now());
    const complete = (response: Uint8Array) => {
      if (readWord(response, RESPONSE_RECEIVER) !== index) throw new Error("not our response");
      const psk = new Uint8Array(32);
      const opened = this.#noise
        .openResponse(response, transcript, this.#identity, ephemeral, psk);
      if (opened === null) throw new Error("the response does not open");
      const keys = this.#noise.deriveTransportKeys(opened);
      return new Session(keys, index, readWord(response, HANDSHAKE_SENDER));
    };
    return { message, index, complete };
  }

  /** A message of `bytes` random bytes but for its type and a right mac1. */
  forged(type: number, bytes: number): Uint8Array<ArrayBuffer> {
    const message = fixedBytes(bytes);
    crypto.getRandomValues(message);
    writeWord(message, 0, type);
    this.#cookies.addMacs(message, -1e9);
    message.fill(0, bytes - 16);
    return message;
  }

  /** Takes the cookie out of a reply to the last message. */
  acceptCookie(reply: Uint8Array): boolean {
    return this.#cookies.acceptReply(reply, performance.now());
  }

  /** A whole handshake over `socket`; throws when no response comes within a second. */
  connect(socket: UdpSocket): Session {
    for (let attempt = 0; attempt < 3; attempt++) {
      const { message, complete } = this.initiation();
      socket.send(message, this.to);
      const endMs = performance.now() + 1000;
      while (performance.now() < endMs) {
        const answer = socket.receive(100);
        if (answer?.length === RESPONSE_BYTES) return complete(answer);
      }
    }
    throw new Error("no response to a handshake");
  }
}
