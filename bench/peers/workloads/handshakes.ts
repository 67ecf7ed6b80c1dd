/** A hundred peers, each of which makes a session per second with one node. */
import { openNativeCrypto } from "../../../src/crypto/native.ts";
import { RESPONSE_BYTES } from "../../../src/wire/wireguard.ts";
import { type Initiation, RoguePeer } from "../../../tests/hostile/rogue_peer.ts";
import { UdpSocket } from "../../../tests/hostile/sockets.ts";
import { configureSide, OUTER } from "../../../tests/netns/pair.ts";
import { newKeyPair } from "../../../tests/netns/wg.ts";
import { makeSpaces } from "../bed.ts";
import { cpuSeconds } from "../meter.ts";
import type { Contestant } from "../programs/spec.ts";
import { isTunnelProgram, startTunnelSide } from "../programs/tunnel_node.ts";
import { median, percentile } from "../statistics.ts";
import { less, more, type Sample, type TurnSettings, type Workload } from "./workload.ts";

const PEERS = 100;
const PER_SECOND = 100;
const PORT = 10_001;
/** An answer that has not come by then is none; a later one would be taken for the next one's. */
const ANSWER_WITHIN_MS = 500;
/** Once for each peer. */
const WARM_SECONDS = 1;

export const HANDSHAKES: Workload = {
  name: "handshakes",
  title: `${PER_SECOND} new sessions per second, each confirmed by its first message`,
  contestants: ["wireguard-go", "boringtun", "longhaul"],
  metrics: [
    more("answeredPercent", "initiations answered, %"),
    less("p50Ms", "initiation to response, p50 ms"),
    less("p99Ms", "initiation to response, p99 ms"),
    less("cpuMs", "CPU ms per session"),
  ],
  accepts: isTunnelProgram,
  turn,
};

async function turn({ a: spec }: Contestant, { seconds }: TurnSettings): Promise<Sample> {
  const spaces = await makeSpaces();
  await using net = spaces.net;
  const node = await startTunnelSide(net, spec, spaces.a, { number: 1, port: PORT });
  const keys = Array.from({ length: PEERS }, newKeyPair);
  await configureSide(
    node,
    keys.map(({ publicKey }, i) => ({ publicKey, allowedIps: [`192.168.242.${i + 1}/32`] })),
  );
  const crypto = openNativeCrypto().crypto ?? undefined;
  const clients = keys.map((key) =>
    new Client(
      new RoguePeer(key, node.key.publicKey, OUTER.a4, PORT, crypto),
      new UdpSocket(spaces.b),
    )
  );
  makeSessions(clients, WARM_SECONDS * PER_SECOND);
  const before = cpuSeconds(node.node.pid);
  const { sent, answeredMs } = makeSessions(clients, Math.round(seconds * PER_SECOND));
  const spent = cpuSeconds(node.node.pid) - before;
  for (const client of clients) client.socket[Symbol.dispose]();
  return {
    answeredPercent: answeredMs.length / sent * 100,
    p50Ms: median(answeredMs),
    p99Ms: percentile(answeredMs, 99),
    cpuMs: spent / answeredMs.length * 1000,
  };
}

/** A peer with a socket of its own, as real ones have. */
class Client {
  constructor(readonly peer: RoguePeer, readonly socket: UdpSocket) {}

  /** Makes a session and confirms it by an empty message; the response's round trip, null without. */
  ask({ message, complete }: Initiation): number | null {
    const sinceMs = performance.now();
    this.socket.send(message, this.peer.to);
    let waitedMs = 0;
    while (waitedMs < ANSWER_WITHIN_MS) {
      const response = this.socket.receive(Math.ceil(ANSWER_WITHIN_MS - waitedMs));
      waitedMs = performance.now() - sinceMs;
      if (response?.length !== RESPONSE_BYTES) continue;
      this.socket.send(complete(response).seal(0, new Uint8Array(0)), this.peer.to);
      return waitedMs;
    }
    return null;
  }
}

/**
 * Sends an initiation whenever one is due, and takes the response before the next one: a late one
 * puts off those behind it.
 */
function makeSessions(
  clients: readonly Client[],
  count: number,
): { sent: number; answeredMs: number[] } {
  // Made before the first is sent, so that under the clock it is the node that computes.
  const client = (i: number) => clients[i % clients.length];
  const prepared = Array.from({ length: count }, (_, i) => client(i).peer.initiation());
  const answeredMs: number[] = [];
  const beginMs = performance.now();
  for (let i = 0; i < count; i++) {
    const nextMs = beginMs + (i + 1) / PER_SECOND * 1000;
    const rttMs = client(i).ask(prepared[i]);
    if (rttMs !== null) answeredMs.push(rttMs);
    restUntil(nextMs);
  }
  return { sent: count, answeredMs };
}

/** Sleeps without the event loop, which has nothing to do here. */
function restUntil(timeMs: number): void {
  const left = timeMs - performance.now();
  if (left > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, left);
}
