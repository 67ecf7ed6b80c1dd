/** X25519 (RFC 7748) by OpenSSL. Its functions clamp the private key themselves. */
import {
  EVP_PKEY_KEYPAIR,
  type Libcrypto,
  type LibcryptoSymbols,
  octetParameters,
  type ParameterList,
} from "../../ffi/libcrypto.ts";
import { cString, fixedBytes } from "../../ffi/memory.ts";
import { invariant } from "../base/invariant.ts";

const KEY_BYTES = 32;
const NULL = 0n;
const X25519 = cString("X25519");

type Bytes = Uint8Array<ArrayBuffer>;

/** Diffie-Hellman on Curve25519; lives as long as the worker. */
export class NativeX25519 {
  readonly #evp: LibcryptoSymbols;
  readonly #importContext: bigint;
  readonly #scalar = fixedBytes(KEY_BYTES);
  readonly #ownHalves: ParameterList;
  /** Where OpenSSL writes the handle of a key that it imports. */
  readonly #handle = new BigUint64Array(fixedBytes(8).buffer);

  /** Throws when libcrypto lacks the algorithm. */
  constructor(library: Libcrypto) {
    const evp = library.symbols;
    this.#evp = evp;
    // Given a private key alone, OpenSSL computes the public one, which costs as much as the shared
    // secret and has no part in it. So it is given some public half.
    this.#ownHalves = octetParameters({ priv: this.#scalar, pub: fixedBytes(KEY_BYTES) });
    this.#importContext = evp.EVP_PKEY_CTX_new_from_name(NULL, X25519, NULL);
    if (this.#importContext === NULL || evp.EVP_PKEY_fromdata_init(this.#importContext) !== 1) {
      evp.ERR_clear_error();
      throw new Error(`Cannot use X25519: ${library.version} does not provide it`);
    }
  }

  /** The public key of a 32-byte private key. */
  publicKey(privateKey: Uint8Array): Bytes {
    const evp = this.#evp;
    invariant(privateKey.length === KEY_BYTES, "an X25519 key has 32 bytes");
    const key = evp.EVP_PKEY_new_raw_private_key_ex(
      NULL,
      X25519,
      NULL,
      privateKey as Bytes,
      KEY_BYTES,
    );
    invariant(key !== NULL, "OpenSSL refused an X25519 private key");
    const publicKey = new Uint8Array(KEY_BYTES);
    const done = evp.EVP_PKEY_get_raw_public_key(key, publicKey, lengthWord());
    evp.EVP_PKEY_free(key);
    invariant(done === 1, "OpenSSL refused to give a public key");
    return publicKey;
  }

  /** The shared secret; null when it is all zero. */
  sharedSecret(privateKey: Uint8Array, publicKey: Uint8Array): Bytes | null {
    invariant(publicKey.length === KEY_BYTES, "an X25519 key has 32 bytes");
    const evp = this.#evp;
    const own = this.#import(privateKey);
    const peer = evp.EVP_PKEY_new_raw_public_key_ex(
      NULL,
      X25519,
      NULL,
      publicKey as Bytes,
      KEY_BYTES,
    );
    const context = evp.EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    const shared = new Uint8Array(KEY_BYTES);
    const ready = peer !== NULL && context !== NULL &&
      evp.EVP_PKEY_derive_init(context) === 1 &&
      evp.EVP_PKEY_derive_set_peer(context, peer) === 1;
    const derived = ready && evp.EVP_PKEY_derive(context, shared, lengthWord()) === 1;
    evp.EVP_PKEY_CTX_free(context);
    evp.EVP_PKEY_free(peer);
    evp.EVP_PKEY_free(own);
    if (!derived) evp.ERR_clear_error();
    invariant(ready, "OpenSSL refused an X25519 key");
    // OpenSSL fails for an all-zero secret; this does not rely on it.
    return derived && !isZero(shared) ? shared : null;
  }

  /** A key for shared secrets alone; its public half is a wrong one. */
  #import(privateKey: Uint8Array): bigint {
    invariant(privateKey.length === KEY_BYTES, "an X25519 key has 32 bytes");
    const handle = this.#handle;
    handle[0] = NULL;
    this.#scalar.set(privateKey);
    const done = this.#evp.EVP_PKEY_fromdata(
      this.#importContext,
      handle,
      EVP_PKEY_KEYPAIR,
      this.#ownHalves.bytes,
    );
    this.#scalar.fill(0);
    invariant(done === 1, "OpenSSL refused an X25519 private key");
    return handle[0];
  }
}

/** A `size_t` of 32, in and out. */
function lengthWord(): Bytes {
  const word = new Uint8Array(8);
  word[0] = KEY_BYTES;
  return word;
}

/** Looks at every byte, so that its time says nothing about the secret. */
function isZero(bytes: Uint8Array): boolean {
  let all = 0;
  for (const byte of bytes) all |= byte;
  return all === 0;
}
