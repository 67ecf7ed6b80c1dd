/**
 * TAI64N timestamps: what keeps an initiation from being replayed. A responder answers only to a
 * stamp greater than the last one it has seen from that peer, so stamps must never go back, neither
 * when the wall clock does nor over a restart.
 *
 * 8 bytes of seconds since 1970 plus 2^62 + 10, then 4 bytes of nanoseconds, big-endian. The low 24
 * bits of the nanoseconds are cleared, so that stamps do not tell how long something took: a second
 * has 60 of these ticks, about as many as initiations are answered in it.
 */
import { TIMESTAMP_BYTES } from "./constants.ts";

const TICK_BITS = 24n;
const TICKS_PER_SECOND = 60;
const NANOSECONDS_PER_SECOND = 1_000_000_000n;
/** 2^62, and the 10 s by which TAI was ahead of UTC in 1970. */
const LABEL_HIGH = 0x40000000;
const LABEL_LOW = 10;
/** How far behind its last stamp the wall clock may be before that counts as a jump back. */
const JUMP_TICKS = 2 * TICKS_PER_SECOND;

function ticksOf(wallNs: bigint): number {
  const nanoseconds = wallNs % NANOSECONDS_PER_SECOND;
  return Number(wallNs / NANOSECONDS_PER_SECOND) * TICKS_PER_SECOND +
    Number(nanoseconds >> TICK_BITS);
}

function encode(ticks: number): Uint8Array {
  const stamp = new Uint8Array(TIMESTAMP_BYTES);
  const view = new DataView(stamp.buffer);
  const seconds = Math.floor(ticks / TICKS_PER_SECOND) + LABEL_LOW;
  view.setUint32(0, LABEL_HIGH + Math.floor(seconds / 2 ** 32));
  view.setUint32(4, seconds % 2 ** 32);
  view.setUint32(8, (ticks % TICKS_PER_SECOND) << Number(TICK_BITS));
  return stamp;
}

/** The greatest tick that is not later than a stamp; foreign low bits are cut off. */
function decode(stamp: Uint8Array): number {
  const view = new DataView(stamp.buffer, stamp.byteOffset, stamp.byteLength);
  const seconds = (view.getUint32(0) - LABEL_HIGH) * 2 ** 32 + view.getUint32(4) - LABEL_LOW;
  return seconds * TICKS_PER_SECOND + (view.getUint32(8) >>> Number(TICK_BITS));
}

/** Gives out the stamps of one device. */
export class TimestampSource {
  #lastTicks = 0;

  /** `last` is what `last()` returned before a restart: every stamp will be greater. */
  constructor(last?: Uint8Array) {
    if (last !== undefined) this.#lastTicks = decode(last) + 1;
  }

  /**
   * A stamp for `wallNs`, nanoseconds since 1970: not less than any given out before, and greater
   * than `previous`, the stamp of the same peer's last initiation (null for none).
   */
  next(wallNs: bigint, previous: Uint8Array | null): Uint8Array {
    let ticks = Math.max(ticksOf(wallNs), this.#lastTicks);
    if (previous !== null) ticks = Math.max(ticks, decode(previous) + 1);
    this.#lastTicks = ticks;
    return encode(ticks);
  }

  /** Seconds by which the wall clock has fallen behind the last stamp; 0 when it has not jumped. */
  secondsBehind(wallNs: bigint): number {
    const behind = this.#lastTicks - ticksOf(wallNs);
    return behind > JUMP_TICKS ? Math.floor(behind / TICKS_PER_SECOND) : 0;
  }

  /** The greatest stamp so far, to be stored and given to the constructor after a restart. */
  last(): Uint8Array {
    return encode(this.#lastTicks);
  }
}
