/** Requests and responses: nobody waits for a timer that is not needed. */
import { assert } from "@std/assert";
import type { TcpConnection, TcpEnd, TcpHandler } from "../../src/netstack/tcp/tcp_socket.ts";
import { type HostOptions, type SimHost, TcpNetwork } from "./tcp_network.ts";

const RTT_MS = 20;
const EXCHANGES = 60;

/** Sends `sendBytes` for every `readBytes` that have come; the client begins. */
class Talker implements TcpHandler {
  connection: TcpConnection | null = null;
  exchanges = 0;
  #toWrite = 0;
  #read = 0;

  constructor(
    readonly host: SimHost,
    readonly sendBytes: number,
    readonly readBytes: number,
    readonly begins: boolean,
  ) {}

  onConnected(): void {
    if (this.begins) this.#toWrite = this.sendBytes;
  }
  onReadable(): void {}
  onWritable(): void {}
  onEnd(_connection: TcpConnection, _end: TcpEnd): void {}

  turn(): void {
    const { connection } = this;
    if (connection === null) return;
    for (let span = connection.readSpan(); span > 0; span = connection.readSpan()) {
      connection.consume(span);
      this.#read += span;
    }
    if (this.#read >= this.readBytes) {
      this.#read -= this.readBytes;
      this.exchanges++;
      this.#toWrite += this.sendBytes;
    }
    while (this.#toWrite > 0) {
      const room = connection.writeSpan(this.#toWrite);
      if (room === 0) return;
      connection.commitWrite(room);
      this.#toWrite -= room;
    }
  }
}

/** How long the last third of the exchanges took on average. */
function exchangeMs(request: number, response: number, host: HostOptions): number {
  const link = { delayMs: RTT_MS / 2 };
  const network = new TcpNetwork(1, { a: host, b: host, aToB: link, bToA: link });
  const client = new Talker(network.a, request, response, true);
  const server = new Talker(network.b, response, request, false);
  network.b.layer.listen(null, 80, {
    onSyn: (pending) => server.connection = pending.accept(server),
    onPendingGone: () => {},
  });
  client.connection = network.a.layer.connect(network.b.address, 80, client, network.nowMs);
  network.onMoment = () => {
    client.turn();
    server.turn();
  };
  const first = EXCHANGES * 2 / 3;
  assert(network.run(() => client.exchanges >= first, network.nowMs + 1e6));
  const startMs = network.nowMs;
  const done = client.exchanges;
  assert(network.run(() => client.exchanges >= EXCHANGES, network.nowMs + 1e6));
  return (network.nowMs - startMs) / (client.exchanges - done);
}

const SHAPES: Readonly<Record<string, HostOptions>> = {
  "super-segments": {},
  "single packets": { gso: false, gro: false },
};

for (const [name, host] of Object.entries(SHAPES)) {
  for (const size of [1, 100, 1447, 1448, 1449, 2896, 2897, 10_000, 14_480, 14_481, 60_000]) {
    Deno.test(`an exchange of ${size} bytes takes one round trip once the window is open, ${name}`, () => {
      for (const [request, response] of [[size, 1], [1, size], [size, size]]) {
        const tookMs = exchangeMs(request, response, host);
        const text = `${request} bytes there, ${response} back: ${tookMs.toFixed(1)} ms`;
        assert(tookMs <= 1.05 * RTT_MS, text);
      }
    });
  }
}
