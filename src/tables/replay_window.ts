/**
 * The anti-replay window of one receiving key: which message counters have been seen, kept as a ring
 * of bits that moves on by whole words (RFC 6479).
 *
 * The ring holds 8,192 bits. A counter may lag behind the greatest one by up to 8,128, as in the
 * other WireGuard implementations; the rest of the ring is slack, so that moving on never clears a
 * word that is still needed. A region of zeros is a fresh window. The data plane calls this only
 * for messages whose tag was right.
 *
 * Region: f64 greatest counter seen (on a cache line of its own), then 256 words of bits.
 */
import type { Slab } from "../memory/slab.ts";

const RING_BITS = 8192;
const WORD_BITS = 32;
const RING_WORDS = RING_BITS / WORD_BITS;
const RING_AT = 64;

/** How far a counter may lag behind the greatest one. */
export const REPLAY_WINDOW_SIZE = 8128;

/** Bytes of slab that a window needs, at a multiple of 8. */
export const REPLAY_WINDOW_BYTES = RING_AT + RING_BITS / 8;

/**
 * Whether `counter`, a non-negative integer, is neither a replay nor too old, in the window at `at`;
 * marks it as seen. Counters of 2^53 and more, which a double cannot tell apart, are refused.
 */
export function replayAccept(slab: Slab, at: number, counter: number): boolean {
  const greatest = slab.f64[at >> 3];
  const words = slab.i32;
  const ring = (at + RING_AT) >> 2;
  // `| 0` keeps the low 32 bits of a counter up to 2^53, and only the low 13 matter in the ring.
  const position = (counter | 0) & (RING_BITS - 1);
  if (counter > greatest) {
    if (counter > Number.MAX_SAFE_INTEGER) return false;
    const step = counter - greatest;
    const oldPosition = (greatest | 0) & (RING_BITS - 1);
    let entered = RING_WORDS;
    if (step < RING_BITS) entered = ((oldPosition & (WORD_BITS - 1)) + step) >>> 5;
    for (let i = 1; i <= entered; i++) {
      words[ring + (((oldPosition >>> 5) + i) & (RING_WORDS - 1))] = 0;
    }
    slab.f64[at >> 3] = counter;
  } else if (greatest - counter > REPLAY_WINDOW_SIZE) {
    return false;
  }
  const word = ring + (position >>> 5);
  const bit = 1 << (position & (WORD_BITS - 1));
  const seen = words[word];
  words[word] = seen | bit;
  return (seen & bit) === 0;
}
