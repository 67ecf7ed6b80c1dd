/**
 * The primitives that handshakes and cookies are made of. They run a few times per handshake, so
 * they take and return ordinary byte arrays. `native.ts` provides them through libcrypto, `noble.ts`
 * in plain TypeScript; both are checked against each other and against published vectors.
 */
export interface NoiseCrypto {
  readonly name: string;
  /** X25519 (RFC 7748); null when the shared secret is all zero (a low-order point). */
  x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null;
  /** The public key of a private key. */
  x25519PublicKey(privateKey: Uint8Array): Uint8Array;
  /** BLAKE2s-256 (RFC 7693) of the concatenated parts, 32 bytes. */
  hash(...parts: Uint8Array[]): Uint8Array;
  /** Keyed BLAKE2s with a 16-byte output: WireGuard's MAC. `key` is up to 32 bytes. */
  mac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array;
  /** HMAC-BLAKE2s-256 of the concatenated parts, 32 bytes. */
  hmac(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array;
  /** ChaCha20-Poly1305 with a 64-bit counter nonce; returns ciphertext and tag. */
  seal(key: Uint8Array, counter: bigint, plaintext: Uint8Array, ad: Uint8Array): Uint8Array;
  /** The inverse of `seal`; null when the tag is wrong. */
  open(key: Uint8Array, counter: bigint, sealed: Uint8Array, ad: Uint8Array): Uint8Array | null;
  /** XChaCha20-Poly1305 with a 24-byte nonce; for cookies. */
  xseal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): Uint8Array;
  /** The inverse of `xseal`; null when the tag is wrong. */
  xopen(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, ad: Uint8Array): Uint8Array | null;
}
