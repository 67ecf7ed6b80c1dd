/**
 * ChaCha20 by OpenSSL whose state is in memory of ours: the key, the block counter and the nonce are
 * written where the cipher reads them, and one call encrypts. By EVP's own way a call has to set the
 * nonce first, which asks the provider for the length of the nonce by name each time.
 *
 * A cipher of the kind that OpenSSL had before providers allows that: its functions are called
 * directly, and the memory of its state can be exchanged. What the state looks like is not promised
 * anywhere, so it is tried out, and where it is not as expected, or where there are no such ciphers
 * (OpenSSL 4), the provider's cipher does it.
 *
 * ```
 *  0 key (32)   32 block counter (4) and nonce (12)   48 rest of a block (64)   112 its length (4)
 * ```
 */
import type { Libcrypto, LibcryptoSymbols } from "../../ffi/libcrypto.ts";
import { fixedBytes } from "../../ffi/memory.ts";
import type { Slab } from "../memory/slab.ts";

const KEY_BYTES = 32;
const IV_BYTES = 16;
/** Bytes of the state (`EVP_CHACHA_KEY` in OpenSSL's e_chacha20_poly1305.c). */
const STATE_BYTES = 120;
/** What a state takes in a slab. */
export const CHACHA20_STATE_BYTES = 128;

const NULL = 0n;

/** A context of OpenSSL's for ChaCha20, and who holds its state. */
export interface NativeChaCha20 {
  /** `EVP_CIPHER_CTX *`. */
  readonly context: bigint;
  /** Whether the state is ours, so that EVP_Cipher does all; else EVP_EncryptInit_ex2 and -Update do. */
  readonly isStateOurs: boolean;
  /** Frees the context. */
  close(): void;
}

/**
 * A context whose state is, if possible, in the CHACHA20_STATE_BYTES at `stateAt` of the slab, at
 * `stateAddress`; they are zero afterwards. Throws when libcrypto has no ChaCha20.
 */
export function openChaCha20(
  library: Libcrypto,
  slab: Slab,
  stateAt: number,
  stateAddress: bigint,
): NativeChaCha20 {
  const state = slab.u8.subarray(stateAt, stateAt + CHACHA20_STATE_BYTES);
  const ours = openWithState(library.symbols, state, stateAddress);
  state.fill(0);
  return ours ?? openProvided(library);
}

function openProvided(library: Libcrypto): NativeChaCha20 {
  const evp = library.symbols;
  const cipher = library.fetchCipher("ChaCha20");
  const context = evp.EVP_CIPHER_CTX_new();
  const done = evp.EVP_EncryptInit_ex2(context, cipher, NULL, NULL, NULL);
  // The context holds a reference of its own.
  evp.EVP_CIPHER_free(cipher);
  const close = () => evp.EVP_CIPHER_CTX_free(context);
  if (done === 1) return { context, isStateOurs: false, close };
  close();
  throw new Error("Cannot use ChaCha20: OpenSSL refused it");
}

/** Null where libcrypto does not allow it or its state is another one. */
function openWithState(
  evp: LibcryptoSymbols,
  state: Uint8Array,
  stateAddress: bigint,
): NativeChaCha20 | null {
  const { EVP_CIPHER_meth_dup, EVP_CIPHER_meth_free, EVP_CIPHER_impl_ctx_size } = evp;
  const { EVP_CIPHER_CTX_set_cipher_data, EVP_chacha20 } = evp;
  if (
    EVP_chacha20 === null || EVP_CIPHER_meth_dup === null || EVP_CIPHER_meth_free === null ||
    EVP_CIPHER_impl_ctx_size === null || EVP_CIPHER_CTX_set_cipher_data === null
  ) return null;
  const cipher = EVP_CIPHER_meth_dup(EVP_chacha20());
  if (cipher === NULL) return null;
  const context = evp.EVP_CIPHER_CTX_new();
  let ownState = NULL;
  const close = () => {
    // The context wipes and frees its state: it has to be the one that it has made.
    if (ownState !== NULL) EVP_CIPHER_CTX_set_cipher_data(context, ownState);
    evp.EVP_CIPHER_CTX_free(context);
    EVP_CIPHER_meth_free(cipher);
  };
  if (
    EVP_CIPHER_impl_ctx_size(cipher) === STATE_BYTES &&
    evp.EVP_EncryptInit_ex2(context, cipher, NULL, NULL, NULL) === 1
  ) {
    ownState = EVP_CIPHER_CTX_set_cipher_data(context, stateAddress);
    if (ownState !== NULL && isAsExpected(evp, context, state)) {
      return { context, isStateOurs: true, close };
    }
  }
  close();
  evp.ERR_clear_error();
  return null;
}

/** Whether setting a key and an iv writes these bytes to the state where they are expected. */
function isAsExpected(evp: LibcryptoSymbols, context: bigint, state: Uint8Array): boolean {
  const key = fixedBytes(KEY_BYTES).map((_, i) => i + 1);
  const iv = fixedBytes(IV_BYTES).map((_, i) => KEY_BYTES + i + 1);
  state.fill(0);
  const done = evp.EVP_EncryptInit_ex2_buffer(context, NULL, key, iv, NULL);
  return done === 1 &&
    state.every((byte, i) => byte === (i < KEY_BYTES + IV_BYTES ? i + 1 : 0));
}
