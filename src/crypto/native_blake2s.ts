/** BLAKE2s (RFC 7693) by OpenSSL: the hash, the keyed MAC of 16 bytes, and HMAC over the hash. */
import {
  type Libcrypto,
  type LibcryptoSymbols,
  type ParameterList,
  unsignedParameter,
} from "../../ffi/libcrypto.ts";
import { invariant } from "../base/invariant.ts";

const HASH_BYTES = 32;
const BLOCK_BYTES = 64;
const MAC_BYTES = 16;
const NULL = 0n;

type Bytes = Uint8Array<ArrayBuffer>;

/** BLAKE2s with contexts that are reused; lives as long as the worker. */
export class NativeBlake2s {
  readonly #evp: LibcryptoSymbols;
  readonly #digest: bigint;
  readonly #digestContext: bigint;
  readonly #macContext: bigint;
  readonly #macSize: ParameterList = unsignedParameter("size", MAC_BYTES);
  readonly #outLength = new Uint8Array(8);

  /** Throws when libcrypto lacks one of the two algorithms. */
  constructor(library: Libcrypto) {
    this.#evp = library.symbols;
    this.#digest = library.fetchDigest("BLAKE2S-256");
    this.#digestContext = this.#evp.EVP_MD_CTX_new();
    this.#macContext = this.#evp.EVP_MAC_CTX_new(library.fetchMac("BLAKE2SMAC"));
  }

  /** The 32-byte hash of the concatenated parts. */
  hash(parts: readonly Uint8Array[]): Bytes {
    const evp = this.#evp;
    const context = this.#digestContext;
    const out = new Uint8Array(HASH_BYTES);
    let done = evp.EVP_DigestInit_ex2(context, this.#digest, NULL);
    for (const part of parts) {
      done &= evp.EVP_DigestUpdate(context, part as Bytes, part.length);
    }
    done &= evp.EVP_DigestFinal_ex(context, out, NULL);
    invariant(done === 1, "OpenSSL refused to hash");
    return out;
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
    const block = new Uint8Array(BLOCK_BYTES);
    block.set(key.length > BLOCK_BYTES ? this.hash([key]) : key);
    for (let i = 0; i < BLOCK_BYTES; i++) block[i] ^= 0x36;
    const inner = this.hash([block, ...parts]);
    for (let i = 0; i < BLOCK_BYTES; i++) block[i] ^= 0x36 ^ 0x5c;
    const out = this.hash([block, inner]);
    block.fill(0);
    inner.fill(0);
    return out;
  }
}
