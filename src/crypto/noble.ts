/**
 * The handshake's primitives by the @noble libraries, in plain TypeScript: for a machine without
 * libcrypto, for simulations, and as the oracle of the native ones.
 */
import { chacha20poly1305, xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { blake2s } from "@noble/hashes/blake2.js";
import { hmac } from "@noble/hashes/hmac.js";
import { counterNonce } from "./nonce.ts";
import type { NoiseCrypto } from "./noise_crypto.ts";

const MAC_BYTES = 16;

/** `NoiseCrypto` by @noble/ciphers, @noble/curves and @noble/hashes. */
export class NobleCrypto implements NoiseCrypto {
  readonly name = "noble";

  x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null {
    let shared: Uint8Array;
    try {
      shared = x25519.getSharedSecret(privateKey, publicKey);
    } catch (error) {
      // The library throws for a low-order point; a key of a wrong length is a bug of the caller.
      if (privateKey.length !== 32 || publicKey.length !== 32) throw error;
      return null;
    }
    return shared.every((byte) => byte === 0) ? null : shared;
  }

  x25519PublicKey(privateKey: Uint8Array): Uint8Array {
    return x25519.getPublicKey(privateKey);
  }

  hash(...parts: Uint8Array[]): Uint8Array {
    const hash = blake2s.create({});
    for (const part of parts) hash.update(part);
    return hash.digest();
  }

  mac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
    const hash = blake2s.create({ key, dkLen: MAC_BYTES });
    for (const part of parts) hash.update(part);
    return hash.digest();
  }

  hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
    const hash = hmac.create(blake2s, key);
    for (const part of parts) hash.update(part);
    return hash.digest();
  }

  seal(key: Uint8Array, counter: bigint, plaintext: Uint8Array, ad: Uint8Array): Uint8Array {
    return chacha20poly1305(key, counterNonce(counter), ad).encrypt(plaintext);
  }

  open(key: Uint8Array, counter: bigint, sealed: Uint8Array, ad: Uint8Array): Uint8Array | null {
    return opened(() => chacha20poly1305(key, counterNonce(counter), ad).decrypt(sealed));
  }

  xseal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): Uint8Array {
    return xchacha20poly1305(key, nonce, ad).encrypt(plaintext);
  }

  xopen(
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    ad: Uint8Array,
  ): Uint8Array | null {
    return opened(() => xchacha20poly1305(key, nonce, ad).decrypt(sealed));
  }
}

/** The library says by an exception that a tag is wrong or that there is no room for one. */
function opened(decrypt: () => Uint8Array): Uint8Array | null {
  try {
    return decrypt();
  } catch {
    return null;
  }
}
