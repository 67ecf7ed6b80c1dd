/**
 * The scratch memory of the composed AEAD in the slab: two areas of one layout, one for sealing and
 * one for opening. A worker has its own; `kernels.wat` knows the same numbers.
 */
import { alignUp, CACHE_LINE_BYTES } from "../base/align.ts";
import { CHACHA20_STATE_BYTES } from "./native_chacha20.ts";

/** Places in an area, in bytes from its start, as far as OpenSSL is told of them. */
export const AeadArea = {
  /** The state of ChaCha20: the key, ... */
  Key: 0,
  /** ... the block counter (4 bytes, little-endian) and the nonce (12 bytes). */
  Iv: 32,
  /** The tag as computed. */
  Tag: CHACHA20_STATE_BYTES,
  /** The Poly1305 key of the message in work. */
  PolyKey: 160,
  /** Where OpenSSL writes the length of its output. */
  OutLength: 304,
} as const;

/** Bytes at the start of an area that may hold secrets; what is behind them are addresses. */
export const AEAD_SECRET_BYTES = 320;

/**
 * Behind that, in words of 8 bytes, the addresses that libcrypto is called with. Read from a
 * BigUint64Array they go into a call's registers without becoming BigInts of the heap. A stray write
 * to the slab can thus make OpenSSL write anywhere: whoever writes there stays within the places that
 * it has reserved, and lengths from a packet are checked before.
 */
export const AeadAddress = {
  /** The slab's first byte. */
  Slab: 0,
  /** The message in work. */
  Message: 1,
  /** The 64 bytes before it. */
  Head: 2,
  /** The 64 bytes before its output: the same when it is sealed. */
  OutHead: 3,
  /** OpenSSL's contexts. */
  Cipher: 4,
  Mac: 5,
  /** Places of `AeadArea`. */
  Key: 6,
  Iv: 7,
  Tag: 8,
  PolyKey: 9,
  OutLength: 10,
} as const;
/** Words of `AeadAddress`. */
export const AEAD_ADDRESSES = 11;

/** Bytes of one area. */
export const AEAD_AREA_BYTES = alignUp(AEAD_SECRET_BYTES + 8 * AEAD_ADDRESSES, CACHE_LINE_BYTES);
/** Bytes of scratch that a packet AEAD needs in the slab, at a multiple of 64. */
export const PACKET_AEAD_SCRATCH_BYTES = 2 * AEAD_AREA_BYTES;
