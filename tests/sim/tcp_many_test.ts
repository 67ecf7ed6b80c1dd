/** Many connections at once between two layers: no stream gets a byte of another, nothing is left. */
import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { TcpEnd } from "../../src/netstack/tcp/tcp_socket.ts";
import { TcpNetwork } from "./tcp_network.ts";
import { StreamApp } from "./tcp_stream.ts";

/** Two applications that talk to each other. */
interface Pair {
  readonly client: StreamApp;
  readonly server: StreamApp;
  /** When the client gives up, or Infinity. */
  readonly abortMs: number;
}

const PORTS = [80, 81, 82];

class Crowd {
  readonly network: TcpNetwork;
  readonly random: SeededRandom;
  readonly pairs: Pair[] = [];
  /** Pairs by the client's port, which the server sees. */
  readonly #byPort = new Map<string, Pair>();

  constructor(seed: number, lost: number) {
    const limits = { dataTimeoutMs: 1e9, synTimeoutMs: 1e9, synAckRetries: 30 };
    const faults = { delayMs: 20, lost, duplicated: 0.02, reordered: 0.05, reorderMs: 10 };
    this.network = new TcpNetwork(seed, {
      a: { limits },
      b: { limits },
      aToB: faults,
      bToA: faults,
      isSingle: false,
    });
    this.random = new SeededRandom(seed + 1000);
    for (const port of PORTS) {
      this.network.b.layer.listen(null, port, {
        onSyn: (pending) => {
          const { server } = this.#byPort.get(`${pending.flow.remotePort} ${port}`)!;
          server.connection = pending.accept(server);
        },
        onPendingGone: () => {},
      });
    }
    this.network.onMoment = () => this.#turn();
  }

  open(abortShare: number): void {
    const { network, random } = this;
    const takes = random.below(2) === 0;
    const client = new StreamApp(network.a, random.below(40_000), takes);
    const server = new StreamApp(network.b, random.below(20_000), !takes);
    const isAborted = random.below(1000) < abortShare * 1000;
    const abortMs = isAborted ? network.nowMs + random.below(400) : Infinity;
    const pair = { client, server, abortMs };
    const port = PORTS[random.below(PORTS.length)];
    const { layer } = network.a;
    client.connection = layer.connect(network.b.address, port, client, network.nowMs);
    this.#byPort.set(`${client.connection.flow.localPort} ${port}`, pair);
    this.pairs.push(pair);
  }

  #turn(): void {
    for (const { client, server, abortMs } of this.pairs) {
      if (client.end === null && this.network.nowMs >= abortMs) client.connection!.abort();
      client.turn();
      server.turn();
    }
  }

  isOver(): boolean {
    return this.pairs.every(({ client, server, abortMs }) =>
      client.end !== null && (server.end !== null || abortMs !== Infinity)
    );
  }
}

for (const lost of [0, 0.02, 0.1]) {
  Deno.test(`three hundred connections at once are exact at ${lost * 100} % loss`, () => {
    const crowd = new Crowd(17, lost);
    const { network } = crowd;
    for (let i = 0; i < 300; i++) {
      crowd.open(0.1);
      if (i % 10 === 0) network.run(() => false, network.nowMs + 5);
    }
    assert(network.run(() => crowd.isOver(), network.nowMs + 1e8), "all of them end");
    for (const { client, server, abortMs } of crowd.pairs) {
      if (abortMs !== Infinity) continue;
      assertEquals([client.end, server.end], [TcpEnd.Closed, TcpEnd.Closed]);
      assertEquals(client.received, server.totalBytes);
      assertEquals(server.received, client.totalBytes);
    }
    // TIME-WAIT, and the ends of those whose peer has gone.
    for (const { server } of crowd.pairs) server.connection?.abort();
    network.run(() => false, network.nowMs + 400_000);
    assertEquals([network.a.pool.usedBytes, network.b.pool.usedBytes], [0, 0]);
    assertEquals([...network.a.layer.connections(), ...network.b.layer.connections()], []);
    assertEquals([network.a.layer.connectionCount, network.b.layer.connectionCount], [0, 0]);
    assertEquals([network.a.layer.halfOpenCount, network.b.layer.halfOpenCount], [0, 0]);
  });
}
