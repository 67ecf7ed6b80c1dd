/** Nonces of ChaCha20-Poly1305 (RFC 8439) as WireGuard makes them. */

/** The nonce of message `counter` (below 2^64): 4 zero bytes, then 8 bytes, little-endian. */
export function counterNonce(counter: bigint): Uint8Array<ArrayBuffer> {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(4, counter, true);
  return nonce;
}
