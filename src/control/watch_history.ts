/** What `status --watch` remembers of an interface between its samples: byte counts and rates. */
import { toHex } from "../wireguard/bytes.ts";
import type { DeviceStatus } from "../wireguard/configuration.ts";
import type { NodeReport } from "./node_report.ts";

/** Rates that are kept: more than any terminal has columns. */
const SAMPLES_MAX = 512;

/** One look at an interface. */
export interface WatchSample {
  /** Milliseconds on a clock that never jumps. */
  readonly atMs: number;
  readonly status: DeviceStatus;
  /** Null where another program runs. */
  readonly report: NodeReport | null;
}

/** The rates of one direction each, in bytes per second, the newest last. */
export class RateHistory {
  readonly rx: number[] = [];
  readonly tx: number[] = [];

  push(rxBytesPerSecond: number, txBytesPerSecond: number): void {
    this.rx.push(rxBytesPerSecond);
    this.tx.push(txBytesPerSecond);
    if (this.rx.length > SAMPLES_MAX) this.rx.shift();
    if (this.tx.length > SAMPLES_MAX) this.tx.shift();
  }

  /** The newest rates; 0 before the second sample. */
  get last(): { rx: number; tx: number } {
    return { rx: this.rx.at(-1) ?? 0, tx: this.tx.at(-1) ?? 0 };
  }
}

/** The history of one interface and its peers. */
export class WatchHistory {
  readonly total = new RateHistory();
  readonly #peers = new Map<string, RateHistory>();
  #latest: WatchSample | null = null;
  #previous: WatchSample | null = null;

  /** The newest sample. */
  get latest(): WatchSample | null {
    return this.#latest;
  }

  /** The one before it. */
  get previous(): WatchSample | null {
    return this.#previous;
  }

  /** The history of the peer with that public key in hexadecimal. */
  peer(keyText: string): RateHistory {
    let history = this.#peers.get(keyText);
    if (history === undefined) this.#peers.set(keyText, history = new RateHistory());
    return history;
  }

  /** Takes the next sample. */
  push(sample: WatchSample): void {
    const before = this.#latest;
    this.#previous = before;
    this.#latest = sample;
    if (before === null || sample.atMs <= before.atMs) return;
    const seconds = (sample.atMs - before.atMs) / 1000;
    const earlier = new Map(before.status.peers.map((peer) => [toHex(peer.publicKey), peer]));
    let rxTotal = 0, txTotal = 0;
    for (const peer of sample.status.peers) {
      const keyText = toHex(peer.publicKey);
      const then = earlier.get(keyText);
      // A peer that was removed and added again counts from zero.
      const rx = Math.max(0, peer.rxBytes - (then?.rxBytes ?? peer.rxBytes)) / seconds;
      const tx = Math.max(0, peer.txBytes - (then?.txBytes ?? peer.txBytes)) / seconds;
      this.peer(keyText).push(rx, tx);
      rxTotal += rx;
      txTotal += tx;
    }
    this.total.push(rxTotal, txTotal);
  }

  /** Packets dropped since the sample before, over all reasons. */
  get newDrops(): number {
    const count = (sample: WatchSample | null) =>
      sample?.report?.drops.reduce((sum, { packets }) => sum + packets, 0) ?? 0;
    return this.#previous === null ? 0 : Math.max(0, count(this.#latest) - count(this.#previous));
  }
}
