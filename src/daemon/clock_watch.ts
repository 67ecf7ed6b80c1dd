/**
 * Notices jumps of the wall clock. Nothing here depends on it but the stamps of our handshakes, and
 * those never go back; but a peer that has seen a stamp of the future refuses older ones after our
 * restart, so an operator wants to know.
 */
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import { formatDuration } from "../control/status_text.ts";

/** NTP slews smaller differences away without a jump. */
const JUMP_SECONDS_MIN = 10;

/** Compares the wall clock with the one that never jumps. */
export class ClockWatch {
  readonly #clock: Clock;
  readonly #log: Log;
  #offsetMs: number;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
    this.#offsetMs = this.#offset();
  }

  /** Looks; to be called every few seconds. */
  look(): void {
    const offsetMs = this.#offset();
    const seconds = Math.round((offsetMs - this.#offsetMs) / 1000);
    if (Math.abs(seconds) < JUMP_SECONDS_MIN) return;
    this.#offsetMs = offsetMs;
    const far = formatDuration(Math.abs(seconds));
    const effect = seconds > 0
      ? "timers are not affected; peers remember the stamps of handshakes made from now on, and " +
        "after a restart with the right time they refuse us until that time has come"
      : "timers are not affected, and handshakes go on with the later stamps given out before";
    this.#log.warn(
      `the wall clock jumped ${seconds > 0 ? "forward" : "back"} by ${far}: ${effect}`,
      { event: "clock-jumped", seconds },
    );
  }

  /** By how much the wall clock is ahead, in milliseconds. */
  #offset(): number {
    return Number(this.#clock.wallNs() / 1_000_000n) - this.#clock.nowMs();
  }
}
