/**
 * Bytes per second of each peer, over the time between the last two samples. The node takes one with
 * each beat of its lanes, so that asking costs nothing and needs no second question.
 */
import type { PeerTraffic } from "../wireguard/device.ts";

/** Bytes per second in both directions. */
export interface Rates {
  readonly rxBytesPerSecond: number;
  readonly txBytesPerSecond: number;
}

const NONE: Rates = { rxBytesPerSecond: 0, txBytesPerSecond: 0 };

/** Keeps the last sample and the rates that follow from it. */
export class RateMeter {
  #atMs = 0;
  #bytes = new Map<string, PeerTraffic>();
  #rates = new Map<string, Rates>();

  /** Takes a sample; `nowMs` is on CLOCK_BOOTTIME. */
  sample(peers: Iterable<PeerTraffic>, nowMs: number): void {
    const seconds = (nowMs - this.#atMs) / 1000;
    const isFirst = this.#atMs === 0 || seconds <= 0;
    const bytes = new Map<string, PeerTraffic>(), rates = new Map<string, Rates>();
    for (const peer of peers) {
      bytes.set(peer.keyText, peer);
      const before = this.#bytes.get(peer.keyText);
      if (isFirst || before === undefined) continue;
      // A peer that was removed and added again counts from zero.
      const rx = Math.max(0, peer.rxBytes - before.rxBytes);
      const tx = Math.max(0, peer.txBytes - before.txBytes);
      if (rx + tx === 0) continue;
      rates.set(peer.keyText, { rxBytesPerSecond: rx / seconds, txBytesPerSecond: tx / seconds });
    }
    this.#atMs = nowMs;
    this.#bytes = bytes;
    this.#rates = rates;
  }

  /** The rates of a peer whose public key is given in hexadecimal. */
  of(keyText: string): Rates {
    return this.#rates.get(keyText) ?? NONE;
  }
}
