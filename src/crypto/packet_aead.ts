/**
 * ChaCha20-Poly1305 (RFC 8439) over the slab, as the data plane uses it: no associated data, a
 * nonce of 4 zero bytes and the message counter in 8 little-endian bytes.
 *
 * Implementations work on places in the slab and allocate nothing. All of them need 64 bytes of
 * headroom before a message and 128 behind it inside the slab.
 */
export interface PacketAead {
  /** What status shows: `openssl-composed`, `openssl-evp`, `noble`. */
  readonly name: string;

  /**
   * Encrypts `length` bytes at `at` in place and writes the 16-byte tag behind them. Bytes outside
   * `at .. at + length + 16` are as before when it returns, but may change meanwhile: no other
   * thread may use the 64 bytes before the message or the 128 behind it. `counter` is an integer
   * below 2^53.
   */
  seal(keyAt: number, counter: number, at: number, length: number): void;

  /**
   * Checks the tag that follows the `length` bytes of ciphertext at `at` and decrypts them to
   * `outAt`; returns whether the tag was right. On false nothing of the plaintext is left at
   * `outAt`. The 64 bytes before `at` and before `outAt` and up to 127 bytes behind the output are
   * overwritten; ciphertext and tag stay as they are. The two ranges must not overlap, and
   * of a run of messages the first is opened first, with at least 64 bytes between one plaintext
   * and the next.
   */
  open(keyAt: number, counter: number, at: number, length: number, outAt: number): boolean;

  /**
   * Wipes the keys of the last messages wherever this object keeps them. It can be used on; call it
   * when a session has ended.
   */
  forgetKeys(): void;

  /** Wipes the keys and frees what the garbage collector does not. */
  close(): void;
}
