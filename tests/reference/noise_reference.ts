/**
 * A naive Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s, written from the Noise specification (revision 34,
 * section 5) over `@noble/*`, and WireGuard's framing around it: the oracle for `src/wireguard`.
 */
import { chacha20poly1305, xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { blake2s } from "@noble/hashes/blake2.js";
import { hmac } from "@noble/hashes/hmac.js";

function concat(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

export function hex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (digits) => parseInt(digits, 16));
}

const ascii = (text: string) => new TextEncoder().encode(text);
const hash = (...parts: Uint8Array[]) => blake2s(concat(...parts));
const keyed = (key: Uint8Array, data: Uint8Array) => blake2s(data, { key, dkLen: 16 });
const dh = (privateKey: Uint8Array, publicKey: Uint8Array) =>
  x25519.getSharedSecret(privateKey, publicKey);
export const publicOf = (privateKey: Uint8Array) => x25519.getPublicKey(privateKey);

function hkdf(chainingKey: Uint8Array, input: Uint8Array, outputs: number): Uint8Array[] {
  const temp = hmac(blake2s, chainingKey, input);
  const result: Uint8Array[] = [];
  let last: Uint8Array = new Uint8Array(0);
  for (let i = 1; i <= outputs; i++) {
    last = hmac(blake2s, temp, concat(last, Uint8Array.of(i)));
    result.push(last);
  }
  return result;
}

/** CipherState and SymmetricState of the specification. */
class SymmetricState {
  ck: Uint8Array;
  h: Uint8Array;
  k: Uint8Array = new Uint8Array(32);
  n = 0;

  constructor(name: string, prologue: Uint8Array) {
    this.h = hash(ascii(name));
    this.ck = this.h;
    this.mixHash(prologue);
  }

  mixHash(data: Uint8Array): void {
    this.h = hash(this.h, data);
  }

  mixKey(input: Uint8Array): void {
    [this.ck, this.k] = hkdf(this.ck, input, 2);
    this.n = 0;
  }

  mixKeyAndHash(input: Uint8Array): void {
    const [ck, temp, k] = hkdf(this.ck, input, 3);
    this.ck = ck;
    this.mixHash(temp);
    this.k = k;
    this.n = 0;
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const sealed = chacha20poly1305(this.k, nonce(this.n++), this.h).encrypt(plaintext);
    this.mixHash(sealed);
    return sealed;
  }

  split(): [Uint8Array, Uint8Array] {
    const [first, second] = hkdf(this.ck, new Uint8Array(0), 2);
    return [first, second];
  }
}

function nonce(counter: number): Uint8Array {
  const bytes = new Uint8Array(12);
  new DataView(bytes.buffer).setBigUint64(4, BigInt(counter), true);
  return bytes;
}

/** Private keys of both sides, and what else goes into a handshake. */
export interface ReferenceInput {
  readonly prologue: Uint8Array;
  readonly initiatorStatic: Uint8Array;
  readonly responderStatic: Uint8Array;
  readonly initiatorEphemeral: Uint8Array;
  readonly responderEphemeral: Uint8Array;
  readonly presharedKey: Uint8Array;
  readonly payloads: readonly [Uint8Array, Uint8Array];
}

/** Both messages of a handshake and the two transport keys. */
export function referenceHandshake(input: ReferenceInput) {
  const { initiatorStatic: s, initiatorEphemeral: e } = input;
  const { responderStatic: rs, responderEphemeral: re } = input;
  const state = new SymmetricState("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s", input.prologue);
  state.mixHash(publicOf(rs));

  // -> e, es, s, ss
  state.mixHash(publicOf(e));
  state.mixKey(publicOf(e));
  state.mixKey(dh(e, publicOf(rs)));
  const sealedStatic = state.encryptAndHash(publicOf(s));
  state.mixKey(dh(s, publicOf(rs)));
  const first = concat(publicOf(e), sealedStatic, state.encryptAndHash(input.payloads[0]));

  // <- e, ee, se, psk
  state.mixHash(publicOf(re));
  state.mixKey(publicOf(re));
  state.mixKey(dh(re, publicOf(e)));
  state.mixKey(dh(re, publicOf(s)));
  state.mixKeyAndHash(input.presharedKey);
  const second = concat(publicOf(re), state.encryptAndHash(input.payloads[1]));

  const [fromInitiator, fromResponder] = state.split();
  return { first, second, fromInitiator, fromResponder };
}

const word = (value: number) => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
};

/** The MACs that follow a message to the holder of `publicKey`; mac2 is zero without a cookie. */
export function referenceMacs(
  message: Uint8Array,
  publicKey: Uint8Array,
  cookie: Uint8Array | null,
): Uint8Array {
  const mac1 = keyed(hash(ascii("mac1----"), publicKey), message);
  const mac2 = cookie === null ? new Uint8Array(16) : keyed(cookie, concat(message, mac1));
  return concat(mac1, mac2);
}

/** WireGuard's initiation and response as whole datagrams, without cookies. */
export function referenceDatagrams(
  input: Omit<ReferenceInput, "prologue" | "payloads">,
  timestamp: Uint8Array,
  initiatorIndex: number,
  responderIndex: number,
) {
  const noise = referenceHandshake({
    ...input,
    prologue: ascii("WireGuard v1 zx2c4 Jason@zx2c4.com"),
    payloads: [timestamp, new Uint8Array(0)],
  });
  const initiation = concat(word(1), word(initiatorIndex), noise.first);
  const response = concat(word(2), word(responderIndex), word(initiatorIndex), noise.second);
  return {
    initiation: concat(
      initiation,
      referenceMacs(initiation, publicOf(input.responderStatic), null),
    ),
    response: concat(response, referenceMacs(response, publicOf(input.initiatorStatic), null)),
    fromInitiator: noise.fromInitiator,
    fromResponder: noise.fromResponder,
  };
}

/** Opens a cookie reply made by the holder of `publicKey` for a message with this mac1. */
export function referenceOpenCookie(
  reply: Uint8Array,
  publicKey: Uint8Array,
  mac1: Uint8Array,
): Uint8Array {
  const key = hash(ascii("cookie--"), publicKey);
  return xchacha20poly1305(key, reply.slice(8, 32), mac1).decrypt(reply.slice(32));
}

/** Seals a cookie reply as the holder of `publicKey` would. */
export function referenceSealCookie(
  receiverIndex: number,
  publicKey: Uint8Array,
  cookieNonce: Uint8Array,
  cookie: Uint8Array,
  mac1: Uint8Array,
): Uint8Array {
  const key = hash(ascii("cookie--"), publicKey);
  const sealed = xchacha20poly1305(key, cookieNonce, mac1).encrypt(cookie);
  return concat(word(3), word(receiverIndex), cookieNonce, sealed);
}
