/**
 * ChaCha20-Poly1305 by @noble/ciphers, in plain TypeScript: the oracle of the native ones, and the
 * last resort where there is no libcrypto. It allocates and is twenty times slower.
 */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import type { Slab } from "../memory/slab.ts";
import { counterNonce } from "./nonce.ts";
import type { PacketAead } from "./packet_aead.ts";

const KEY_BYTES = 32;
const TAG_BYTES = 16;

/** The AEAD of @noble/ciphers over a slab. */
export class NoblePacketAead implements PacketAead {
  readonly name = "noble";
  readonly #u8: Uint8Array;

  constructor(slab: Slab) {
    this.#u8 = slab.u8;
  }

  seal(keyAt: number, counter: number, at: number, length: number): void {
    const key = this.#u8.slice(keyAt, keyAt + KEY_BYTES);
    const plaintext = this.#u8.slice(at, at + length);
    this.#u8.set(chacha20poly1305(key, counterNonce(BigInt(counter))).encrypt(plaintext), at);
    key.fill(0);
  }

  open(keyAt: number, counter: number, at: number, length: number, outAt: number): boolean {
    const key = this.#u8.slice(keyAt, keyAt + KEY_BYTES);
    const sealed = this.#u8.slice(at, at + length + TAG_BYTES);
    try {
      this.#u8.set(chacha20poly1305(key, counterNonce(BigInt(counter))).decrypt(sealed), outAt);
      return true;
    } catch {
      // The library throws before it decrypts; other faults cannot come from a packet.
      this.#u8.fill(0, outAt, outAt + length);
      return false;
    } finally {
      key.fill(0);
    }
  }

  forgetKeys(): void {}

  close(): void {}
}
