/**
 * ChaCha20-Poly1305 by OpenSSL's own AEAD: slower per message than the composed one, simpler, and
 * what that one is checked against when a worker starts.
 */
import {
  EVP_CTRL_AEAD_GET_TAG,
  EVP_CTRL_AEAD_SET_TAG,
  type Libcrypto,
  type LibcryptoSymbols,
} from "../../ffi/libcrypto.ts";
import { addressOfBytes, fixedBytes } from "../../ffi/memory.ts";
import { invariant } from "../base/invariant.ts";
import type { Slab } from "../memory/slab.ts";
import type { PacketAead } from "./packet_aead.ts";

const TAG_BYTES = 16;
const NULL = 0n;
const NONCE = 0;
const OUT_LENGTH = 16;
const FINAL_BLOCK = 32;
const ZERO_KEY = 64;

/** OpenSSL's AEAD over a slab; `close` frees its contexts. */
export class EvpPacketAead implements PacketAead {
  readonly name = "openssl-evp";

  readonly #evp: LibcryptoSymbols;
  readonly #u8: Uint8Array;
  readonly #base: bigint;
  readonly #scratch: DataView;
  readonly #nonceAddress: bigint;
  readonly #outLengthAddress: bigint;
  readonly #finalAddress: bigint;
  readonly #zeroKeyAddress: bigint;
  readonly #sealing: bigint;
  readonly #opening: bigint;

  /** Throws when libcrypto lacks the algorithm. */
  constructor(library: Libcrypto, slab: Slab) {
    this.#evp = library.symbols;
    this.#u8 = slab.u8;
    this.#base = addressOfBytes(slab.u8);
    const scratch = fixedBytes(128);
    const scratchAddress = addressOfBytes(scratch);
    this.#scratch = new DataView(scratch.buffer);
    this.#nonceAddress = scratchAddress + BigInt(NONCE);
    this.#outLengthAddress = scratchAddress + BigInt(OUT_LENGTH);
    this.#finalAddress = scratchAddress + BigInt(FINAL_BLOCK);
    this.#zeroKeyAddress = scratchAddress + BigInt(ZERO_KEY);
    const cipher = library.fetchCipher("ChaCha20-Poly1305");
    this.#sealing = this.#evp.EVP_CIPHER_CTX_new();
    this.#opening = this.#evp.EVP_CIPHER_CTX_new();
    this.#setZeroKeys(cipher);
    this.#evp.EVP_CIPHER_free(cipher);
  }

  seal(keyAt: number, counter: number, at: number, length: number): void {
    const evp = this.#evp;
    const context = this.#sealing;
    const place = this.#base + BigInt(at);
    this.#setNonce(counter);
    let done = evp.EVP_EncryptInit_ex2(
      context,
      NULL,
      this.#base + BigInt(keyAt),
      this.#nonceAddress,
      NULL,
    );
    done &= evp.EVP_EncryptUpdate(context, place, this.#outLengthAddress, place, length);
    done &= evp.EVP_EncryptFinal_ex(context, this.#finalAddress, this.#outLengthAddress);
    done &= evp.EVP_CIPHER_CTX_ctrl(
      context,
      EVP_CTRL_AEAD_GET_TAG,
      TAG_BYTES,
      this.#base + BigInt(at + length),
    );
    invariant(done === 1, "OpenSSL refused to seal a packet");
  }

  open(keyAt: number, counter: number, at: number, length: number, outAt: number): boolean {
    const evp = this.#evp;
    const context = this.#opening;
    this.#setNonce(counter);
    let done = evp.EVP_DecryptInit_ex2(
      context,
      NULL,
      this.#base + BigInt(keyAt),
      this.#nonceAddress,
      NULL,
    );
    done &= evp.EVP_CIPHER_CTX_ctrl(
      context,
      EVP_CTRL_AEAD_SET_TAG,
      TAG_BYTES,
      this.#base + BigInt(at + length),
    );
    done &= evp.EVP_DecryptUpdate(
      context,
      this.#base + BigInt(outAt),
      this.#outLengthAddress,
      this.#base + BigInt(at),
      length,
    );
    invariant(done === 1, "OpenSSL refused to open a packet");
    if (evp.EVP_DecryptFinal_ex(context, this.#finalAddress, this.#outLengthAddress) === 1) {
      return true;
    }
    this.#u8.fill(0, outAt, outAt + length);
    evp.ERR_clear_error();
    return false;
  }

  forgetKeys(): void {
    this.#setZeroKeys(NULL);
  }

  close(): void {
    this.forgetKeys();
    this.#evp.EVP_CIPHER_CTX_free(this.#sealing);
    this.#evp.EVP_CIPHER_CTX_free(this.#opening);
  }

  #setNonce(counter: number): void {
    this.#scratch.setUint32(NONCE + 4, counter % 4294967296, true);
    this.#scratch.setUint32(NONCE + 8, counter / 4294967296, true);
  }

  /** `cipher` is 0n when the contexts have it already. */
  #setZeroKeys(cipher: bigint): void {
    const { EVP_EncryptInit_ex2, EVP_DecryptInit_ex2 } = this.#evp;
    const key = this.#zeroKeyAddress;
    let done = EVP_EncryptInit_ex2(this.#sealing, cipher, key, this.#nonceAddress, NULL);
    done &= EVP_DecryptInit_ex2(this.#opening, cipher, key, this.#nonceAddress, NULL);
    if (done !== 1) throw new Error("Cannot use ChaCha20-Poly1305: OpenSSL refused a key");
  }
}
