/** Streams that share a bottleneck share it about equally, also when one has come much later. */
import { assert } from "@std/assert";
import { TcpNetwork } from "./tcp_network.ts";
import { StreamApp } from "./tcp_stream.ts";

const BYTES_PER_MS = 2500;
const FIRST_PORT = 80;

/** Bytes that each of `count` streams has got in the last half of `seconds`; they begin 2 s apart. */
function shares(count: number, seconds: number, rttMs: number): number[] {
  const bottleneck = { bytesPerMs: BYTES_PER_MS, queueBytes: BYTES_PER_MS * rttMs };
  const network = new TcpNetwork(1, {
    aToB: { delayMs: rttMs / 2, ...bottleneck },
    bToA: { delayMs: rttMs / 2 },
    isSingle: false,
  });
  const clients: StreamApp[] = [];
  const servers: StreamApp[] = [];
  network.onMoment = () => {
    for (const app of [...clients, ...servers]) app.turn();
  };
  for (let i = 0; i < count; i++) {
    const server = new StreamApp(network.b, 0, true);
    const client = new StreamApp(network.a, 1 << 30, true);
    network.b.layer.listen(null, FIRST_PORT + i, {
      onSyn: (pending) => server.connection = pending.accept(server),
      onPendingGone: () => {},
    });
    const { layer } = network.a;
    client.connection = layer.connect(network.b.address, FIRST_PORT + i, client, network.nowMs);
    clients.push(client);
    servers.push(server);
    network.run(() => false, network.nowMs + 2000);
  }
  network.run(() => false, network.nowMs + seconds * 500);
  const before = servers.map(({ received }) => received);
  network.run(() => false, network.nowMs + seconds * 500);
  return servers.map(({ received }, i) => received - before[i]);
}

for (const rttMs of [10, 50]) {
  for (const count of [2, 5]) {
    Deno.test(`${count} streams over ${rttMs} ms share a bottleneck and fill it`, () => {
      const got = shares(count, 60, rttMs);
      const sum = got.reduce((a, b) => a + b, 0);
      const squares = got.reduce((a, b) => a + b * b, 0);
      // Jain's index: 1 for equal shares, 1 / count when one has everything.
      const fairness = sum * sum / (count * squares);
      const text = `${got.map((bytes) => (bytes / sum).toFixed(2))}, ${sum / 30_000} bytes/ms`;
      assert(fairness >= 0.8, text);
      assert(sum / 30_000 >= 0.85 * BYTES_PER_MS, text);
    });
  }
}
