/**
 * Numbers of a new connection that others must not guess: the initial sequence number (RFC 6528), the
 * beginning of its timestamps (RFC 7323) and the local port (RFC 6056). Secrets live as long as the
 * object.
 */
import type { RandomSource } from "../../base/random.ts";
import { SipHash } from "../../base/siphash.ts";

/** RFC 9293 section 3.4.1: the clock of the ISN steps about every 4 us. */
const ISN_STEPS_PER_MS = 250;

/** Makes initial sequence numbers. */
export class IsnGenerator {
  /**
   * After `isn`: what the timestamps of that connection are ahead of the clock. A flow that is used
   * again goes on where it has ended, so what is old shows as old.
   */
  stampOffset = 0;
  readonly #hash: SipHash;

  constructor(random: RandomSource) {
    this.#hash = SipHash.withRandomKey(random);
  }

  /**
   * The initial sequence number of a connection, as a signed 32-bit integer. RFC 6528 section 3:
   * "ISN = M + F(localip, localport, remoteip, remoteport, secretkey)".
   */
  isn(
    local: Uint8Array,
    localPort: number,
    remote: Uint8Array,
    remotePort: number,
    nowMs: number,
  ): number {
    const hash = this.#hash;
    hash.begin();
    hash.addAddress(local);
    hash.addAddress(remote);
    hash.addWord((localPort << 16) | remotePort);
    const low = hash.finish();
    this.stampOffset = hash.high;
    // Only the low 32 bits count: ToInt32 takes them from any number below 2^53.
    return (low + Math.floor(nowMs * ISN_STEPS_PER_MS)) | 0;
  }
}

/** The ports that connections of our own come from. */
export const EPHEMERAL_PORT_FIRST = 32_768;
/** The last of them. */
export const EPHEMERAL_PORT_LAST = 60_999;

/** Counters of the double hash: connections to places of different counters disturb no sequence. */
const COUNTERS = 1024;
/** Steps of a counter are 1 to this, so that the number of other connections does not show. */
const STEP_MAX = 8;

/**
 * Chooses local ports by RFC 6056 algorithm 4 (double hash) with the random steps of algorithm 5: to
 * one remote port they go upward, so that a port comes back late, and elsewhere they begin elsewhere.
 */
export class PortChooser {
  readonly #offsets: SipHash;
  readonly #indices: SipHash;
  readonly #counters = new Uint16Array(COUNTERS);
  readonly #byte = new Uint8Array(1);

  constructor(
    readonly random: RandomSource,
    readonly firstPort = EPHEMERAL_PORT_FIRST,
    readonly lastPort = EPHEMERAL_PORT_LAST,
  ) {
    this.#offsets = SipHash.withRandomKey(random);
    this.#indices = SipHash.withRandomKey(random);
  }

  /**
   * A port for a connection from `local` to `remotePort` of `remote` for which `isFree` says yes, or
   * 0 when it never does. `isFree` is asked at most once for each port.
   */
  choose(
    local: Uint8Array,
    remote: Uint8Array,
    remotePort: number,
    isFree: (port: number) => boolean,
  ): number {
    const offset = this.#hashOf(this.#offsets, local, remote, remotePort);
    const index = this.#hashOf(this.#indices, local, remote, remotePort) & (COUNTERS - 1);
    this.random.fill(this.#byte);
    this.#counters[index] += 1 + this.#byte[0] % STEP_MAX;
    const portCount = this.lastPort - this.firstPort + 1;
    for (let tries = 0; tries < portCount; tries++) {
      const port = this.firstPort + ((offset >>> 0) + this.#counters[index]) % portCount;
      if (isFree(port)) return port;
      this.#counters[index]++;
    }
    return 0;
  }

  #hashOf(hash: SipHash, local: Uint8Array, remote: Uint8Array, remotePort: number): number {
    hash.begin();
    hash.addAddress(local);
    hash.addAddress(remote);
    hash.addWord(remotePort);
    return hash.finish();
  }
}
