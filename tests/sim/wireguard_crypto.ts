/** The plain `NoiseCrypto` for simulations, which counts what it is asked for. */
import { NobleCrypto } from "../../src/crypto/noble.ts";

/** Counts calls by kind: `x25519` for Diffie-Hellman steps, `aead` for seals and opens. */
export class CountingCrypto extends NobleCrypto {
  readonly calls = { x25519: 0, mac: 0, aead: 0, xaead: 0 };

  override x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null {
    this.calls.x25519++;
    return super.x25519(privateKey, publicKey);
  }

  override mac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
    this.calls.mac++;
    return super.mac(key, ...parts);
  }

  override seal(key: Uint8Array, counter: bigint, plaintext: Uint8Array, ad: Uint8Array) {
    this.calls.aead++;
    return super.seal(key, counter, plaintext, ad);
  }

  override open(key: Uint8Array, counter: bigint, sealed: Uint8Array, ad: Uint8Array) {
    this.calls.aead++;
    return super.open(key, counter, sealed, ad);
  }

  override xseal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ad: Uint8Array) {
    this.calls.xaead++;
    return super.xseal(key, nonce, plaintext, ad);
  }

  override xopen(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, ad: Uint8Array) {
    this.calls.xaead++;
    return super.xopen(key, nonce, sealed, ad);
  }
}
