/**
 * The scratch memory of the composed AEAD in the slab: two areas of one layout, one for sealing and
 * one for opening, so that each direction keeps the key of its last message. A worker has its own;
 * `kernels.wat` knows the same numbers.
 */

/** Places in an area, in bytes from its start, as far as OpenSSL is told of them. */
export const AeadArea = {
  /** The key of the last message. */
  Key: 0,
  /** EVP_chacha20's iv: block counter (4 bytes, little-endian) and nonce (12 bytes). */
  Iv: 32,
  /** Where OpenSSL writes the length of its output. */
  OutLength: 48,
  /** The tag as computed. */
  Tag: 64,
  /** The Poly1305 key of the message in work. */
  PolyKey: 96,
} as const;

/** Bytes of one area. */
export const AEAD_AREA_BYTES = 256;
/** Bytes of scratch that a packet AEAD needs in the slab, at a multiple of 64. */
export const PACKET_AEAD_SCRATCH_BYTES = 2 * AEAD_AREA_BYTES;
