import { assert, assertEquals } from "@std/assert";
import { TcpEnd } from "../../../src/netstack/tcp/tcp_socket.ts";
import { LOST, type NetOptions, transfer } from "./tcp_pair.ts";

const MIB = 1 << 20;

function check(options: NetOptions, totalBytes: number, lossShare = 0, takes = true): number {
  const { net, client, server } = transfer(options, totalBytes, takes);
  const startMs = net.nowMs;
  net.fate = () => net.random.below(10_000) < lossShare * 10_000 ? LOST : 0;
  const isDone = net.run(() => client.end >= 0 && server.end >= 0);
  const what = `seed ${options.seed ?? 1}`;
  assert(isDone, `not done: ${server.readBytes} of ${totalBytes}, ${what}`);
  assertEquals(server.faultAt, -1, what);
  assertEquals(server.readBytes, totalBytes, what);
  assertEquals(client.end, TcpEnd.Closed);
  assertEquals(server.end, TcpEnd.Closed);
  return net.nowMs - startMs;
}

Deno.test("a stream of 20 MiB arrives whole, taken in place", () => {
  check({}, 20 * MIB);
});

Deno.test("a stream arrives whole through the receive buffer", () => {
  check({}, 20 * MIB, 0, false);
});

Deno.test("a stream arrives whole without GSO", () => {
  check({ gso: false }, 10 * MIB);
});

Deno.test("a stream arrives whole at 0.5 %, 3 % and 20 % loss", () => {
  for (const loss of [0.005, 0.03]) {
    for (let seed = 1; seed <= 5; seed++) check({ seed }, 5 * MIB, loss);
  }
  for (let seed = 1; seed <= 3; seed++) check({ seed }, MIB / 4, 0.2);
});
