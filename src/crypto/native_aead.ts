/** ChaCha20-Poly1305 (RFC 8439) by OpenSSL over ordinary byte arrays, for handshakes and cookies. */
import {
  EVP_CTRL_AEAD_GET_TAG,
  EVP_CTRL_AEAD_SET_TAG,
  type Libcrypto,
  type LibcryptoSymbols,
} from "../../ffi/libcrypto.ts";
import { invariant } from "../base/invariant.ts";

const TAG_BYTES = 16;
const NONCE_BYTES = 12;
const KEY_BYTES = 32;
const NULL = 0n;

type Bytes = Uint8Array<ArrayBuffer>;

/** OpenSSL's AEAD with one context that is reused; lives as long as the worker. */
export class NativeAead {
  readonly #evp: LibcryptoSymbols;
  readonly #context: bigint;
  readonly #outLength = new Uint8Array(8);
  readonly #finalBlock = new Uint8Array(32);
  readonly #zeroKey = new Uint8Array(KEY_BYTES);
  readonly #zeroNonce = new Uint8Array(NONCE_BYTES);

  /** Throws when libcrypto lacks the algorithm. */
  constructor(library: Libcrypto) {
    this.#evp = library.symbols;
    this.#context = this.#evp.EVP_CIPHER_CTX_new();
    const done = this.#evp.EVP_EncryptInit_ex2_buffer(
      this.#context,
      library.fetchCipher("ChaCha20-Poly1305"),
      this.#zeroKey,
      this.#zeroNonce,
      NULL,
    );
    if (done !== 1) throw new Error("Cannot use ChaCha20-Poly1305: OpenSSL refused a key");
  }

  /** Ciphertext and tag. `key` has 32 bytes, `nonce` 12. */
  seal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): Bytes {
    checkSizes(key, nonce);
    const evp = this.#evp;
    const context = this.#context;
    const sealed = new Uint8Array(plaintext.length + TAG_BYTES);
    const tag = sealed.subarray(plaintext.length);
    let done = evp.EVP_EncryptInit_ex2_buffer(context, NULL, key as Bytes, nonce as Bytes, NULL);
    if (ad.length > 0) done &= this.#encrypt(null, ad);
    if (plaintext.length > 0) done &= this.#encrypt(sealed, plaintext);
    done &= evp.EVP_EncryptFinal_ex_buffer(context, this.#finalBlock, this.#outLength);
    done &= evp.EVP_CIPHER_CTX_ctrl_buffer(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag);
    this.#forgetKey();
    invariant(done === 1, "OpenSSL refused to seal a message");
    return sealed;
  }

  /** The plaintext; null when the tag is wrong or missing. */
  open(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, ad: Uint8Array): Bytes | null {
    checkSizes(key, nonce);
    if (sealed.length < TAG_BYTES) return null;
    const evp = this.#evp;
    const context = this.#context;
    const length = sealed.length - TAG_BYTES;
    const plaintext = new Uint8Array(length);
    const tag = sealed.slice(length) as Bytes;
    let done = evp.EVP_DecryptInit_ex2_buffer(context, NULL, key as Bytes, nonce as Bytes, NULL);
    done &= evp.EVP_CIPHER_CTX_ctrl_buffer(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag);
    if (ad.length > 0) done &= this.#decrypt(null, ad, ad.length);
    if (length > 0) done &= this.#decrypt(plaintext, sealed, length);
    const right = evp.EVP_DecryptFinal_ex_buffer(context, this.#finalBlock, this.#outLength);
    this.#forgetKey();
    invariant(done === 1, "OpenSSL refused to open a message");
    if (right === 1) return plaintext;
    plaintext.fill(0);
    evp.ERR_clear_error();
    return null;
  }

  #encrypt(out: Bytes | null, input: Uint8Array): number {
    return this.#evp.EVP_EncryptUpdate_buffer(
      this.#context,
      out,
      this.#outLength,
      input as Bytes,
      input.length,
    );
  }

  #decrypt(out: Bytes | null, input: Uint8Array, length: number): number {
    return this.#evp.EVP_DecryptUpdate_buffer(
      this.#context,
      out,
      this.#outLength,
      input as Bytes,
      length,
    );
  }

  #forgetKey(): void {
    const { EVP_EncryptInit_ex2_buffer } = this.#evp;
    EVP_EncryptInit_ex2_buffer(this.#context, NULL, this.#zeroKey, this.#zeroNonce, NULL);
  }
}

function checkSizes(key: Uint8Array, nonce: Uint8Array): void {
  invariant(key.length === KEY_BYTES, "a ChaCha20 key has 32 bytes");
  invariant(nonce.length === NONCE_BYTES, "a ChaCha20-Poly1305 nonce has 12 bytes");
}
