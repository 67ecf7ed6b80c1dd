/** The handshake's primitives by OpenSSL's libcrypto. */
import { type Libcrypto, type LibcryptoResult, openLibcrypto } from "../../ffi/libcrypto.ts";
import { hchacha20, xchachaInnerNonce } from "./hchacha20.ts";
import { NativeAead } from "./native_aead.ts";
import { NativeBlake2s } from "./native_blake2s.ts";
import { NativeX25519 } from "./native_x25519.ts";
import type { NoiseCrypto } from "./noise_crypto.ts";
import { counterNonce } from "./nonce.ts";

/** `NoiseCrypto` by libcrypto. */
export class NativeCrypto implements NoiseCrypto {
  readonly name = "openssl";
  readonly #aead: NativeAead;
  readonly #blake2s: NativeBlake2s;
  readonly #x25519: NativeX25519;

  /** Throws when libcrypto lacks one of the algorithms. */
  constructor(library: Libcrypto) {
    this.#aead = new NativeAead(library);
    this.#blake2s = new NativeBlake2s(library);
    this.#x25519 = new NativeX25519(library);
  }

  x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null {
    return this.#x25519.sharedSecret(privateKey, publicKey);
  }

  x25519PublicKey(privateKey: Uint8Array): Uint8Array {
    return this.#x25519.publicKey(privateKey);
  }

  hash(...parts: Uint8Array[]): Uint8Array {
    return this.#blake2s.hash(parts);
  }

  mac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
    return this.#blake2s.mac(key, parts);
  }

  hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
    return this.#blake2s.hmac(key, parts);
  }

  seal(key: Uint8Array, counter: bigint, plaintext: Uint8Array, ad: Uint8Array): Uint8Array {
    return this.#aead.seal(key, counterNonce(counter), plaintext, ad);
  }

  open(key: Uint8Array, counter: bigint, sealed: Uint8Array, ad: Uint8Array): Uint8Array | null {
    return this.#aead.open(key, counterNonce(counter), sealed, ad);
  }

  xseal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): Uint8Array {
    const subkey = hchacha20(key, nonce);
    try {
      return this.#aead.seal(subkey, xchachaInnerNonce(nonce), plaintext, ad);
    } finally {
      subkey.fill(0);
    }
  }

  xopen(
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    ad: Uint8Array,
  ): Uint8Array | null {
    const subkey = hchacha20(key, nonce);
    try {
      return this.#aead.open(subkey, xchachaInnerNonce(nonce), sealed, ad);
    } finally {
      subkey.fill(0);
    }
  }
}

/** libcrypto's primitives, or null and the reason why they cannot be had. */
export function openNativeCrypto(
  libcrypto: LibcryptoResult = openLibcrypto(),
): { crypto: NativeCrypto; reason: string } | { crypto: null; reason: string } {
  const { library } = libcrypto;
  if (library === null) return { crypto: null, reason: libcrypto.reason };
  try {
    return { crypto: new NativeCrypto(library), reason: library.version };
  } catch (error) {
    return { crypto: null, reason: error instanceof Error ? error.message : String(error) };
  }
}
