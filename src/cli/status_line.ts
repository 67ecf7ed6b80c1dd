/** What runs, in one line that is renewed every second; for `up` on a terminal. */
import { systemClock } from "../../ffi/clock.ts";
import { formatRate } from "../control/rate_text.ts";
import { formatAge } from "../control/status_text.ts";
import { liveLine } from "../daemon/live_line.ts";
import type { PeerTraffic } from "../wireguard/device.ts";

const INTERVAL_MS = 1000;

/** What the line is about. */
export interface StatusLineSource {
  readonly interfaceName: string;
  /** The peers and their traffic as it stands. */
  readonly traffic: () => Iterable<PeerTraffic>;
}

/** Sums over all peers. */
export interface TrafficTotal {
  readonly atMs: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly peers: number;
  readonly sessions: number;
  /** Nanoseconds since 1970, 0 for never. */
  readonly lastHandshakeWallNs: bigint;
}

/** Draws the line until the returned function is called; nothing where there is no terminal. */
export function startStatusLine(source: StatusLineSource): () => void {
  if (!liveLine.isPossible) return () => {};
  let before = totalOf(source.traffic(), systemClock.nowMs());
  const draw = () => {
    const total = totalOf(source.traffic(), systemClock.nowMs());
    liveLine.show(statusLine(source.interfaceName, before, total, systemClock.wallNs()));
    before = total;
  };
  draw();
  const timer = setInterval(draw, INTERVAL_MS);
  return () => {
    clearInterval(timer);
    liveLine.show("");
  };
}

/** Adds up what all peers have done. */
export function totalOf(traffic: Iterable<PeerTraffic>, atMs: number): TrafficTotal {
  let rxBytes = 0, txBytes = 0, peers = 0, sessions = 0, lastHandshakeWallNs = 0n;
  for (const peer of traffic) {
    rxBytes += peer.rxBytes;
    txBytes += peer.txBytes;
    peers++;
    if (peer.hasSession) sessions++;
    if (peer.lastHandshakeWallNs > lastHandshakeWallNs) {
      lastHandshakeWallNs = peer.lastHandshakeWallNs;
    }
  }
  return { atMs, rxBytes, txBytes, peers, sessions, lastHandshakeWallNs };
}

/** The text of the line, from two sums one after the other. */
export function statusLine(
  name: string,
  before: TrafficTotal,
  now: TrafficTotal,
  nowWallNs: bigint,
): string {
  const seconds = (now.atMs - before.atMs) / 1000;
  // Counters of a peer that has been removed are gone from the sum.
  const rate = (bytes: number) => formatRate(seconds <= 0 ? 0 : Math.max(bytes, 0) / seconds);
  const handshake = now.lastHandshakeWallNs === 0n
    ? "no handshake yet"
    : `last handshake ${formatAge(now.lastHandshakeWallNs, nowWallNs).toLowerCase()}`;
  const peers = now.peers === 0 ? "no peers" : `${now.sessions} of ${now.peers} peers`;
  return [
    name,
    `↓ ${rate(now.rxBytes - before.rxBytes)}`,
    `↑ ${rate(now.txBytes - before.txBytes)}`,
    peers,
    handshake,
  ].join("  ");
}
