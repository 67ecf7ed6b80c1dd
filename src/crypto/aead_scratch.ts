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

/** Bytes at the start of an area that hold secrets; what is behind them are addresses. */
export const AEAD_SECRET_BYTES = 256;

/**
 * Behind that, in words of 8 bytes, the addresses that libcrypto is called with. Read from a
 * BigUint64Array they go into a call's registers without becoming BigInts of the heap.
 */
export const AeadAddress = {
  /** The slab's first byte. */
  Slab: 0,
  /** The area's key if the message in work has another one than the last, else 0. */
  NewKey: 1,
  /** The message in work. */
  Message: 2,
  /** The 64 bytes before it. */
  Head: 3,
  /** The 64 bytes before its output: the same when it is sealed. */
  OutHead: 4,
  /** OpenSSL's contexts. */
  Cipher: 5,
  Mac: 6,
  /** Places of `AeadArea`. */
  Iv: 7,
  OutLength: 8,
  Tag: 9,
  PolyKey: 10,
} as const;
/** Words of `AeadAddress`. */
export const AEAD_ADDRESSES = 11;

/** Bytes of one area. */
export const AEAD_AREA_BYTES = (AEAD_SECRET_BYTES + 8 * AEAD_ADDRESSES + 63) & ~63;
/** Bytes of scratch that a packet AEAD needs in the slab, at a multiple of 64. */
export const PACKET_AEAD_SCRATCH_BYTES = 2 * AEAD_AREA_BYTES;
