/** BLAKE2s (RFC 7693) by OpenSSL: the hash, the keyed MAC of 16 bytes, and HMAC over the hash. */
import {
  type Libcrypto,
  type LibcryptoSymbols,
  type ParameterList,
  unsignedParameter,
} from "../../ffi/libcrypto.ts";
import { fixedBytes } from "../../ffi/memory.ts";
import { invariant } from "../base/invariant.ts";

const HASH_BYTES = 32;
const BLOCK_BYTES = 64;
const MAC_BYTES = 16;
const INNER_PAD = 0x36, OUTER_PAD = 0x5c;
/** Room for what a handshake hashes at once; more makes the room grow. */
const INPUT_BYTES = 256;
const NULL = 0n;

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * BLAKE2s; lives as long as the worker. A handshake hashes a hundred times, a block or two each, so
 * the calls cost more than the hashing: each hash is one call, on buffers that stay in place.
 */
export class NativeBlake2s {
  readonly #evp: LibcryptoSymbols;
  readonly #digest: bigint;
  readonly #macContext: bigint;
  readonly #macSize: ParameterList = unsignedParameter("size", MAC_BYTES);
  readonly #outLength = fixedBytes(8);
  readonly #out = fixedBytes(HASH_BYTES);
  #input = fixedBytes(INPUT_BYTES);

  /** Throws when libcrypto lacks one of the two algorithms. */
  constructor(library: Libcrypto) {
    this.#evp = library.symbols;
    this.#digest = library.fetchDigest("BLAKE2S-256");
    this.#macContext = this.#evp.EVP_MAC_CTX_new(library.fetchMac("BLAKE2SMAC"));
  }

  /** The 32-byte hash of the concatenated parts. */
  hash(parts: readonly Uint8Array[]): Bytes {
    this.#digestInput(this.#place(parts, 0));
    return this.#takeOut();
  }

  /** The 16-byte MAC of the concatenated parts; `key` has 1 to 32 bytes. */
  mac(key: Uint8Array, parts: readonly Uint8Array[]): Bytes {
    const evp = this.#evp;
    const context = this.#macContext;
    const out = new Uint8Array(MAC_BYTES);
    let done = evp.EVP_MAC_init_buffer(context, key as Bytes, key.length, this.#macSize.bytes);
    for (const part of parts) {
      done &= evp.EVP_MAC_update_buffer(context, part as Bytes, part.length);
    }
    done &= evp.EVP_MAC_final_buffer(context, out, this.#outLength, MAC_BYTES);
    invariant(done === 1, "OpenSSL refused to compute a MAC");
    return out;
  }

  /** HMAC (RFC 2104) with BLAKE2s-256, 32 bytes. */
  hmac(key: Uint8Array, parts: readonly Uint8Array[]): Bytes {
    const blockKey = key.length > BLOCK_BYTES ? this.hash([key]) : key;
    const length = this.#place(parts, BLOCK_BYTES);
    this.#placeKey(blockKey, INNER_PAD);
    this.#digestInput(length);
    this.#input.set(this.#out, BLOCK_BYTES);
    this.#placeKey(blockKey, OUTER_PAD);
    this.#digestInput(BLOCK_BYTES + HASH_BYTES);
    return this.#takeOut();
  }

  /** Puts the parts at `at` of the input; returns where they end. */
  #place(parts: readonly Uint8Array[], at: number): number {
    let end = at;
    for (const part of parts) end += part.length;
    if (end > this.#input.length) this.#input = fixedBytes(end);
    let next = at;
    for (const part of parts) {
      this.#input.set(part, next);
      next += part.length;
    }
    return end;
  }

  /** Fills the first block of the input with the key, each byte XORed with `pad`. */
  #placeKey(key: Uint8Array, pad: number): void {
    const input = this.#input;
    input.fill(pad, 0, BLOCK_BYTES);
    for (let i = 0; i < key.length; i++) input[i] ^= key[i];
  }

  /** Hashes the first `length` bytes of the input, and wipes them. */
  #digestInput(length: number): void {
    const done = this.#evp.EVP_Digest(this.#input, length, this.#out, NULL, this.#digest, NULL);
    this.#input.fill(0, 0, length);
    invariant(done === 1, "OpenSSL refused to hash");
  }

  #takeOut(): Bytes {
    const out = this.#out.slice();
    this.#out.fill(0);
    return out;
  }
}
