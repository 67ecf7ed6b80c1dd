/** Which addresses are this host's own, asked of the host at most once a second for each. */
import type { TurnTime } from "./tcp_forwarder.ts";

const LIFETIME_MS = 1000;
const ENTRIES_MAX = 4096;

/** Remembers answers for a second: a host's addresses come and go, but not with every flow. */
export class OwnAddresses {
  readonly #ask: (address: Uint8Array) => boolean;
  readonly #time: TurnTime;
  readonly #answers = new Map<string, boolean>();
  #sinceMs = -Infinity;

  constructor(ask: (address: Uint8Array) => boolean, time: TurnTime) {
    this.#ask = ask;
    this.#time = time;
  }

  /** Whether this host answers at the address. */
  has(address: Uint8Array): boolean {
    const { nowMs } = this.#time;
    if (nowMs - this.#sinceMs >= LIFETIME_MS || this.#answers.size >= ENTRIES_MAX) {
      this.#answers.clear();
      this.#sinceMs = nowMs;
    }
    const key = String(address);
    let answer = this.#answers.get(key);
    if (answer === undefined) this.#answers.set(key, answer = this.#ask(address));
    return answer;
  }
}
