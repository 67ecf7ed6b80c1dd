/**
 * SYN cookies (RFC 4987 section 3.6, after D. J. Bernstein): when the SYN queue is full, all that is
 * known of a SYN is put into the sequence number of the SYN-ACK, and read from the acknowledgment.
 *
 * ```
 * cookie = F(flow) + [period mod 32 : 5][MSS class : 3][MAC of flow, IRS, period, class : 24]
 * ```
 * A cookie is good in its period of a minute and the next one, so for two minutes at most. Window
 * scale and SACK go into the low bits of the timestamp that the other end sends back; without
 * timestamps the connection has neither.
 */
import type { RandomSource } from "../../base/random.ts";
import { SipHash } from "../../base/siphash.ts";

/** MSS values that a cookie can tell; a SYN gets the largest that is not above its own. */
const MSS_CLASSES = [64, 536, 1200, 1220, 1240, 1340, 1440, 1460] as const;
const PERIOD_MS = 60_000;
const PERIODS = 32;

/** Makes and checks cookies. */
export class SynCookies {
  readonly #mac: SipHash;
  readonly #mask: SipHash;

  constructor(random: RandomSource) {
    this.#mac = SipHash.withRandomKey(random);
    this.#mask = SipHash.withRandomKey(random);
  }

  /**
   * The initial sequence number of a SYN-ACK to a SYN with sequence number `irs` whose MSS option,
   * after clamping, is `mss`.
   */
  make(
    local: Uint8Array,
    localPort: number,
    remote: Uint8Array,
    remotePort: number,
    irs: number,
    mss: number,
    nowMs: number,
  ): number {
    let mssClass = MSS_CLASSES.length - 1;
    while (mssClass > 0 && MSS_CLASSES[mssClass] > mss) mssClass--;
    const period = Math.floor(nowMs / PERIOD_MS);
    const mac = this.#macOf(local, localPort, remote, remotePort, irs, period, mssClass);
    const mask = this.#maskOf(local, localPort, remote, remotePort);
    return (mask + ((period % PERIODS) << 27 | mssClass << 24 | mac)) | 0;
  }

  /**
   * What the ACK that ends a handshake proves: `irs` is its sequence number - 1 and `cookie` its
   * acknowledgment number - 1. Returns the MSS of the SYN, or 0 when we have made no such cookie
   * lately.
   */
  check(
    local: Uint8Array,
    localPort: number,
    remote: Uint8Array,
    remotePort: number,
    irs: number,
    cookie: number,
    nowMs: number,
  ): number {
    const plain = (cookie - this.#maskOf(local, localPort, remote, remotePort)) | 0;
    const mssClass = (plain >>> 24) & 7;
    const now = Math.floor(nowMs / PERIOD_MS);
    const age = (now - (plain >>> 27)) & (PERIODS - 1);
    if (age > 1 || age > now) return 0;
    const mac = this.#macOf(local, localPort, remote, remotePort, irs, now - age, mssClass);
    return mac === (plain & 0xffffff) ? MSS_CLASSES[mssClass] : 0;
  }

  #maskOf(local: Uint8Array, localPort: number, remote: Uint8Array, remotePort: number): number {
    return beginFlow(this.#mask, local, localPort, remote, remotePort).finish();
  }

  #macOf(
    local: Uint8Array,
    localPort: number,
    remote: Uint8Array,
    remotePort: number,
    irs: number,
    period: number,
    mssClass: number,
  ): number {
    const hash = beginFlow(this.#mac, local, localPort, remote, remotePort);
    hash.addWord(irs);
    hash.addWord(period);
    hash.addWord(mssClass);
    return hash.finish() & 0xffffff;
  }
}

function beginFlow(
  hash: SipHash,
  local: Uint8Array,
  localPort: number,
  remote: Uint8Array,
  remotePort: number,
): SipHash {
  hash.begin();
  hash.addAddress(local);
  hash.addAddress(remote);
  hash.addWord((localPort << 16) | remotePort);
  return hash;
}

const SCALE_BITS = 0x0f;
const NO_SCALE = 15;
const SACK_BIT = 0x10;
const TIMESTAMP_BITS = 0x1f;

/**
 * A timestamp for a SYN-ACK that carries what the SYN offered: `scale` is its window scale, -1 for
 * none. At most 32 ticks before `tsNow`, and never behind it.
 */
export function cookieTimestamp(tsNow: number, scale: number, hasSack: boolean): number {
  const bits = (scale < 0 ? NO_SCALE : scale) | (hasSack ? SACK_BIT : 0);
  const stamp = (tsNow & ~TIMESTAMP_BITS) | bits;
  return ((stamp - tsNow) | 0) > 0 ? (stamp - TIMESTAMP_BITS - 1) | 0 : stamp;
}

/** The window scale in a timestamp that came back, or -1 for none. */
export function cookieScale(tsEcr: number): number {
  const scale = tsEcr & SCALE_BITS;
  return scale === NO_SCALE ? -1 : scale;
}

/** Whether SACK is permitted by a timestamp that came back. */
export function cookieHasSack(tsEcr: number): boolean {
  return (tsEcr & SACK_BIT) !== 0;
}
