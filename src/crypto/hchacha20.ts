/**
 * HChaCha20 (draft-irtf-cfrg-xchacha-03, section 2.2): makes of a key and the first 16 bytes of a
 * 24-byte nonce the key that XChaCha20 goes on with. libcrypto does not have it.
 */
import { hchacha } from "@noble/ciphers/chacha.js";

/** "expand 32-byte k", the constant of every 256-bit ChaCha. */
const SIGMA = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);

/** The 32-byte subkey of a 32-byte key and a nonce of at least 16 bytes; the caller wipes it. */
export function hchacha20(key: Uint8Array, nonce: Uint8Array): Uint8Array<ArrayBuffer> {
  const keyWords = words(key, 8);
  const out = new Uint32Array(8);
  hchacha(SIGMA, keyWords, words(nonce, 4), out);
  keyWords.fill(0);
  return new Uint8Array(out.buffer);
}

/** What remains of a 24-byte XChaCha20 nonce for the ChaCha20 under the subkey: 12 bytes. */
export function xchachaInnerNonce(nonce: Uint8Array): Uint8Array<ArrayBuffer> {
  const inner = new Uint8Array(12);
  inner.set(nonce.subarray(16, 24), 4);
  return inner;
}

function words(bytes: Uint8Array, count: number): Uint32Array<ArrayBuffer> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint32Array.from({ length: count }, (_, i) => view.getUint32(4 * i, true));
}
