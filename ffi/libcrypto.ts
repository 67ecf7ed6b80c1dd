/**
 * OpenSSL's libcrypto: one table of the functions that `src/crypto/` calls, opened on first use.
 *
 * - Handles (contexts, algorithms, keys) are `u64`, so a BigInt; 0n is NULL.
 * - `size_t` lengths are `u32`: no call of this program passes 4 GiB.
 * - Functions of the packet path take addresses as `u64`; those of handshakes take `buffer`.
 * - A result of 1 is success.
 */
import { addressOfBytes, cString, fixedBytes } from "./memory.ts";

const SYMBOLS = {
  // unsigned long OpenSSL_version_num(void);
  OpenSSL_version_num: { parameters: [], result: "u64" },
  // const char *OpenSSL_version(int type);
  OpenSSL_version: { parameters: ["i32"], result: "pointer" },
  // void ERR_clear_error(void);
  ERR_clear_error: { parameters: [], result: "void" },

  // --- ciphers ---
  // EVP_CIPHER *EVP_CIPHER_fetch(OSSL_LIB_CTX *ctx, const char *algorithm, const char *properties);
  EVP_CIPHER_fetch: { parameters: ["u64", "buffer", "u64"], result: "u64" },
  // void EVP_CIPHER_free(EVP_CIPHER *cipher);
  EVP_CIPHER_free: { parameters: ["u64"], result: "void" },
  // EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void);
  EVP_CIPHER_CTX_new: { parameters: [], result: "u64" },
  // void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *ctx);
  EVP_CIPHER_CTX_free: { parameters: ["u64"], result: "void" },
  // int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *ctx, int type, int arg, void *ptr);
  EVP_CIPHER_CTX_ctrl: { parameters: ["u64", "i32", "i32", "u64"], result: "i32" },
  EVP_CIPHER_CTX_ctrl_buffer: {
    name: "EVP_CIPHER_CTX_ctrl",
    parameters: ["u64", "i32", "i32", "buffer"],
    result: "i32",
  },
  // int EVP_EncryptInit_ex2(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *type,
  //                         const unsigned char *key, const unsigned char *iv,
  //                         const OSSL_PARAM params[]);
  EVP_EncryptInit_ex2: { parameters: ["u64", "u64", "u64", "u64", "u64"], result: "i32" },
  EVP_EncryptInit_ex2_buffer: {
    name: "EVP_EncryptInit_ex2",
    parameters: ["u64", "u64", "buffer", "buffer", "u64"],
    result: "i32",
  },
  // int EVP_EncryptUpdate(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl,
  //                       const unsigned char *in, int inl);
  EVP_EncryptUpdate: { parameters: ["u64", "u64", "u64", "u64", "i32"], result: "i32" },
  EVP_EncryptUpdate_buffer: {
    name: "EVP_EncryptUpdate",
    parameters: ["u64", "buffer", "buffer", "buffer", "i32"],
    result: "i32",
  },
  // int EVP_Cipher(EVP_CIPHER_CTX *ctx, unsigned char *out, const unsigned char *in,
  //                unsigned int inl);
  EVP_Cipher: { parameters: ["u64", "u64", "u64", "u32"], result: "i32" },
  // int EVP_EncryptFinal_ex(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl);
  EVP_EncryptFinal_ex: { parameters: ["u64", "u64", "u64"], result: "i32" },
  // int EVP_DecryptInit_ex2(...), EVP_DecryptUpdate(...), EVP_DecryptFinal_ex(...): the same shapes.
  EVP_DecryptInit_ex2: { parameters: ["u64", "u64", "u64", "u64", "u64"], result: "i32" },
  EVP_DecryptInit_ex2_buffer: {
    name: "EVP_DecryptInit_ex2",
    parameters: ["u64", "u64", "buffer", "buffer", "u64"],
    result: "i32",
  },
  EVP_DecryptUpdate_buffer: {
    name: "EVP_DecryptUpdate",
    parameters: ["u64", "buffer", "buffer", "buffer", "i32"],
    result: "i32",
  },
  EVP_DecryptUpdate: { parameters: ["u64", "u64", "u64", "u64", "i32"], result: "i32" },
  EVP_DecryptFinal_ex: { parameters: ["u64", "u64", "u64"], result: "i32" },
  EVP_EncryptFinal_ex_buffer: {
    name: "EVP_EncryptFinal_ex",
    parameters: ["u64", "buffer", "buffer"],
    result: "i32",
  },
  EVP_DecryptFinal_ex_buffer: {
    name: "EVP_DecryptFinal_ex",
    parameters: ["u64", "buffer", "buffer"],
    result: "i32",
  },

  // --- ciphers without a provider: deprecated, absent from OpenSSL 4 and from builds without them ---
  // const EVP_CIPHER *EVP_chacha20(void);
  EVP_chacha20: { parameters: [], result: "u64", optional: true },
  // EVP_CIPHER *EVP_CIPHER_meth_dup(const EVP_CIPHER *cipher);
  EVP_CIPHER_meth_dup: { parameters: ["u64"], result: "u64", optional: true },
  // void EVP_CIPHER_meth_free(EVP_CIPHER *cipher);
  EVP_CIPHER_meth_free: { parameters: ["u64"], result: "void", optional: true },
  // int EVP_CIPHER_impl_ctx_size(const EVP_CIPHER *cipher);
  EVP_CIPHER_impl_ctx_size: { parameters: ["u64"], result: "i32", optional: true },
  // void *EVP_CIPHER_CTX_set_cipher_data(EVP_CIPHER_CTX *ctx, void *cipher_data);
  EVP_CIPHER_CTX_set_cipher_data: {
    parameters: ["u64", "u64"],
    result: "u64",
    optional: true,
  },

  // --- message authentication ---
  // EVP_MAC *EVP_MAC_fetch(OSSL_LIB_CTX *ctx, const char *algorithm, const char *properties);
  EVP_MAC_fetch: { parameters: ["u64", "buffer", "u64"], result: "u64" },
  // void EVP_MAC_free(EVP_MAC *mac);
  EVP_MAC_free: { parameters: ["u64"], result: "void" },
  // EVP_MAC_CTX *EVP_MAC_CTX_new(EVP_MAC *mac);
  EVP_MAC_CTX_new: { parameters: ["u64"], result: "u64" },
  // void EVP_MAC_CTX_free(EVP_MAC_CTX *ctx);
  EVP_MAC_CTX_free: { parameters: ["u64"], result: "void" },
  // int EVP_MAC_init(EVP_MAC_CTX *ctx, const unsigned char *key, size_t keylen,
  //                  const OSSL_PARAM params[]);
  EVP_MAC_init: { parameters: ["u64", "u64", "u32", "u64"], result: "i32" },
  EVP_MAC_init_buffer: {
    name: "EVP_MAC_init",
    parameters: ["u64", "buffer", "u32", "buffer"],
    result: "i32",
  },
  // int EVP_MAC_update(EVP_MAC_CTX *ctx, const unsigned char *data, size_t datalen);
  EVP_MAC_update: { parameters: ["u64", "u64", "u32"], result: "i32" },
  EVP_MAC_update_buffer: {
    name: "EVP_MAC_update",
    parameters: ["u64", "buffer", "u32"],
    result: "i32",
  },
  // int EVP_MAC_final(EVP_MAC_CTX *ctx, unsigned char *out, size_t *outl, size_t outsize);
  EVP_MAC_final: { parameters: ["u64", "u64", "u64", "u32"], result: "i32" },
  EVP_MAC_final_buffer: {
    name: "EVP_MAC_final",
    parameters: ["u64", "buffer", "buffer", "u32"],
    result: "i32",
  },

  // --- digests ---
  // EVP_MD *EVP_MD_fetch(OSSL_LIB_CTX *ctx, const char *algorithm, const char *properties);
  EVP_MD_fetch: { parameters: ["u64", "buffer", "u64"], result: "u64" },
  // int EVP_Digest(const void *data, size_t count, unsigned char *md, unsigned int *size,
  //                const EVP_MD *type, ENGINE *impl);
  EVP_Digest: { parameters: ["buffer", "u32", "buffer", "u64", "u64", "u64"], result: "i32" },

  // --- X25519 ---
  // EVP_PKEY *EVP_PKEY_new_raw_private_key_ex(OSSL_LIB_CTX *libctx, const char *keytype,
  //     const char *propq, const unsigned char *key, size_t keylen);
  EVP_PKEY_new_raw_private_key_ex: {
    parameters: ["u64", "buffer", "u64", "buffer", "u32"],
    result: "u64",
  },
  // EVP_PKEY *EVP_PKEY_new_raw_public_key_ex(...): the same shape.
  EVP_PKEY_new_raw_public_key_ex: {
    parameters: ["u64", "buffer", "u64", "buffer", "u32"],
    result: "u64",
  },
  // int EVP_PKEY_get_raw_public_key(const EVP_PKEY *pkey, unsigned char *pub, size_t *len);
  EVP_PKEY_get_raw_public_key: { parameters: ["u64", "buffer", "buffer"], result: "i32" },
  // void EVP_PKEY_free(EVP_PKEY *key);
  EVP_PKEY_free: { parameters: ["u64"], result: "void" },
  // EVP_PKEY_CTX *EVP_PKEY_CTX_new_from_name(OSSL_LIB_CTX *, const char *name, const char *propq);
  EVP_PKEY_CTX_new_from_name: { parameters: ["u64", "buffer", "u64"], result: "u64" },
  // int EVP_PKEY_fromdata_init(EVP_PKEY_CTX *ctx);
  EVP_PKEY_fromdata_init: { parameters: ["u64"], result: "i32" },
  // int EVP_PKEY_fromdata(EVP_PKEY_CTX *ctx, EVP_PKEY **ppkey, int selection, OSSL_PARAM params[]);
  EVP_PKEY_fromdata: { parameters: ["u64", "buffer", "i32", "buffer"], result: "i32" },
  // EVP_PKEY_CTX *EVP_PKEY_CTX_new_from_pkey(OSSL_LIB_CTX *, EVP_PKEY *pkey, const char *propq);
  EVP_PKEY_CTX_new_from_pkey: { parameters: ["u64", "u64", "u64"], result: "u64" },
  // void EVP_PKEY_CTX_free(EVP_PKEY_CTX *ctx);
  EVP_PKEY_CTX_free: { parameters: ["u64"], result: "void" },
  // int EVP_PKEY_derive_init(EVP_PKEY_CTX *ctx);
  EVP_PKEY_derive_init: { parameters: ["u64"], result: "i32" },
  // int EVP_PKEY_derive_set_peer(EVP_PKEY_CTX *ctx, EVP_PKEY *peer);
  EVP_PKEY_derive_set_peer: { parameters: ["u64", "u64"], result: "i32" },
  // int EVP_PKEY_derive(EVP_PKEY_CTX *ctx, unsigned char *key, size_t *keylen);
  EVP_PKEY_derive: { parameters: ["u64", "buffer", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions of the opened library. */
export type LibcryptoSymbols = Deno.StaticForeignLibraryInterface<typeof SYMBOLS>;

/** EVP_CTRL_AEAD_GET_TAG and EVP_CTRL_AEAD_SET_TAG (openssl/evp.h). */
export const EVP_CTRL_AEAD_GET_TAG = 0x10;
export const EVP_CTRL_AEAD_SET_TAG = 0x11;

/** EVP_PKEY_KEYPAIR (openssl/evp.h): parameters, public and private half. */
export const EVP_PKEY_KEYPAIR = 0x87;

/** OSSL_PARAM_UNSIGNED_INTEGER and OSSL_PARAM_OCTET_STRING (openssl/core.h). */
const OSSL_PARAM_UNSIGNED_INTEGER = 2;
const OSSL_PARAM_OCTET_STRING = 5;
const OSSL_PARAM_BYTES = 40;

/** Where libcrypto is looked for: first as the loader finds it, then in the usual folders. */
export const LIBCRYPTO_NAMES: readonly string[] = [
  "libcrypto.so.3",
  "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
  "/usr/lib/aarch64-linux-gnu/libcrypto.so.3",
  "/usr/lib64/libcrypto.so.3",
  "/usr/lib/libcrypto.so.3",
  "/usr/local/lib64/libcrypto.so.3",
  "/usr/local/lib/libcrypto.so.3",
  "libcrypto.so.4",
];

/** An opened libcrypto, or why there is none. */
export type LibcryptoResult =
  | { readonly library: Libcrypto; readonly reason: null }
  | { readonly library: null; readonly reason: string };

/** libcrypto as found on this machine. Stays open for the life of the worker. */
export class Libcrypto {
  /** What OpenSSL says of itself, such as `OpenSSL 3.0.19 27 Jan 2026`. */
  readonly version: string;

  constructor(readonly symbols: LibcryptoSymbols, readonly path: string) {
    const text = symbols.OpenSSL_version(0);
    this.version = text === null ? "unknown" : Deno.UnsafePointerView.getCString(text);
  }

  /** A cipher by its name (`ChaCha20`, `ChaCha20-Poly1305`); throws when it is not provided. */
  fetchCipher(name: string): bigint {
    return this.#fetched(this.symbols.EVP_CIPHER_fetch(0n, cString(name), 0n), name);
  }

  /** A MAC by its name (`POLY1305`, `BLAKE2SMAC`); throws when it is not provided. */
  fetchMac(name: string): bigint {
    return this.#fetched(this.symbols.EVP_MAC_fetch(0n, cString(name), 0n), name);
  }

  /** A digest by its name (`BLAKE2S-256`); throws when it is not provided. */
  fetchDigest(name: string): bigint {
    return this.#fetched(this.symbols.EVP_MD_fetch(0n, cString(name), 0n), name);
  }

  #fetched(handle: bigint, name: string): bigint {
    if (handle !== 0n) return handle;
    this.symbols.ERR_clear_error();
    throw new Error(`Cannot use ${name}: ${this.version} does not provide it`);
  }
}

let opened: LibcryptoResult | undefined;

/** This worker's libcrypto, opened by the first call. */
export function openLibcrypto(): LibcryptoResult {
  opened ??= openLibcryptoFrom(LIBCRYPTO_NAMES);
  return opened;
}

/** Opens the first of `names` that has all the functions of the table. */
export function openLibcryptoFrom(names: readonly string[]): LibcryptoResult {
  const reasons: string[] = [];
  for (const name of names) {
    try {
      const { symbols } = Deno.dlopen(name, SYMBOLS);
      return { library: new Libcrypto(symbols, name), reason: null };
    } catch (error) {
      reasons.push(error instanceof Error ? error.message : String(error));
    }
  }
  return { library: null, reason: `no usable libcrypto: ${reasons[0] ?? "no name to try"}` };
}

/** A parameter list in C memory; keep the object alive while `bytes` is in use. */
export interface ParameterList {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly keepAlive: readonly Uint8Array[];
}

/** An `OSSL_PARAM` list with one unsigned integer. */
export function unsignedParameter(key: string, value: number): ParameterList {
  const data = fixedBytes(8);
  new DataView(data.buffer).setBigUint64(0, BigInt(value), true);
  return parameterList({ [key]: data }, OSSL_PARAM_UNSIGNED_INTEGER);
}

/** An `OSSL_PARAM` list of octet strings, which are read where they stand at each use. */
export function octetParameters(
  strings: Readonly<Record<string, Uint8Array<ArrayBuffer>>>,
): ParameterList {
  return parameterList(strings, OSSL_PARAM_OCTET_STRING);
}

/**
 * Parameters of one type, and the end mark:
 * `struct { const char *key; unsigned data_type; void *data; size_t data_size, return_size; }`.
 */
function parameterList(
  values: Readonly<Record<string, Uint8Array<ArrayBuffer>>>,
  type: number,
): ParameterList {
  const entries = Object.entries(values);
  const keepAlive: Uint8Array[] = [];
  const bytes = fixedBytes((entries.length + 1) * OSSL_PARAM_BYTES);
  const view = new DataView(bytes.buffer);
  entries.forEach(([key, data], i) => {
    const at = i * OSSL_PARAM_BYTES;
    const keyBytes = cString(key);
    keepAlive.push(keyBytes, data);
    view.setBigUint64(at, addressOfBytes(keyBytes), true);
    view.setUint32(at + 8, type, true);
    view.setBigUint64(at + 16, addressOfBytes(data), true);
    view.setBigUint64(at + 24, BigInt(data.length), true);
  });
  return { bytes, keepAlive };
}
