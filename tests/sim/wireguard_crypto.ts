/** A plain `NoiseCrypto` over `@noble/*` for simulations, which counts what it is asked for. */
import { chacha20poly1305, xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { blake2s } from "@noble/hashes/blake2.js";
import { hmac } from "@noble/hashes/hmac.js";
import type { NoiseCrypto } from "../../src/crypto/noise_crypto.ts";
import { concat } from "../reference/noise_reference.ts";

function nonceOf(counter: bigint): Uint8Array {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(4, counter, true);
  return nonce;
}

function orNull(compute: () => Uint8Array): Uint8Array | null {
  try {
    return compute();
  } catch {
    return null;
  }
}

/** Counts calls by kind: `x25519` for Diffie-Hellman steps, `aead` for seals and opens. */
export class CountingCrypto implements NoiseCrypto {
  readonly name = "counting";
  readonly calls = { x25519: 0, publicKey: 0, hash: 0, mac: 0, hmac: 0, aead: 0, xaead: 0 };

  x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null {
    this.calls.x25519++;
    // The library refuses low-order points by an exception.
    return orNull(() => x25519.getSharedSecret(privateKey, publicKey));
  }

  x25519PublicKey(privateKey: Uint8Array): Uint8Array {
    this.calls.publicKey++;
    return x25519.getPublicKey(privateKey);
  }

  hash(...parts: Uint8Array[]): Uint8Array {
    this.calls.hash++;
    return blake2s(concat(...parts));
  }

  mac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
    this.calls.mac++;
    return blake2s(concat(...parts), { key, dkLen: 16 });
  }

  hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
    this.calls.hmac++;
    return hmac(blake2s, key, concat(...parts));
  }

  seal(key: Uint8Array, counter: bigint, plaintext: Uint8Array, ad: Uint8Array): Uint8Array {
    this.calls.aead++;
    return chacha20poly1305(key, nonceOf(counter), ad).encrypt(plaintext);
  }

  open(key: Uint8Array, counter: bigint, sealed: Uint8Array, ad: Uint8Array): Uint8Array | null {
    this.calls.aead++;
    return orNull(() => chacha20poly1305(key, nonceOf(counter), ad).decrypt(sealed));
  }

  xseal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): Uint8Array {
    this.calls.xaead++;
    return xchacha20poly1305(key, nonce, ad).encrypt(plaintext);
  }

  xopen(
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    ad: Uint8Array,
  ): Uint8Array | null {
    this.calls.xaead++;
    return orNull(() => xchacha20poly1305(key, nonce, ad).decrypt(sealed));
  }
}
