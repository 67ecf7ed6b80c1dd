/**
 * Keepalive (RFC 9293 section 3.8.4): off at first, probes after so much idle time, and one that is
 * lost is not the end.
 */
import type { TcpLimits } from "./limits.ts";

/** What is to be done when the deadline has come. */
export const KeepaliveAction = { Wait: 0, Probe: 1, End: 2 } as const;
/** One of the values of `KeepaliveAction`. */
export type KeepaliveAction = (typeof KeepaliveAction)[keyof typeof KeepaliveAction];

/** State of one connection. Times in ms. */
export class Keepalive {
  /** The next deadline, or Infinity. */
  atMs = Infinity;
  #idleMs = 0;
  #probes = 0;

  constructor(readonly limits: TcpLimits) {}

  /** Probes after `idleMs` without a segment; 0 for never. */
  set(idleMs: number, nowMs: number): void {
    this.#idleMs = idleMs;
    this.restart(nowMs);
  }

  /** The connection is open, or lives again. */
  restart(nowMs: number): void {
    this.#probes = 0;
    this.atMs = this.#idleMs > 0 ? nowMs + this.#idleMs : Infinity;
  }

  /** Something acceptable came. */
  onHeard(nowMs: number): void {
    if (this.#probes > 0) this.restart(nowMs);
  }

  /** No more. */
  stop(): void {
    this.#idleMs = 0;
    this.atMs = Infinity;
  }

  /** `heardMs`: when something last came. `isAskedAnyway`: what is in flight is being asked about. */
  onTimer(nowMs: number, heardMs: number, isAskedAnyway: boolean): KeepaliveAction {
    if (this.#probes === 0 && nowMs < heardMs + this.#idleMs) {
      this.atMs = heardMs + this.#idleMs;
      return KeepaliveAction.Wait;
    }
    if (this.#probes >= this.limits.keepaliveProbes) return KeepaliveAction.End;
    this.atMs = nowMs + this.limits.keepaliveIntervalMs;
    if (isAskedAnyway) return KeepaliveAction.Wait;
    this.#probes++;
    return KeepaliveAction.Probe;
  }
}
