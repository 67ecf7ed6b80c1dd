/** Served TCP flows whose ends do not behave, on whole stacks and in virtual time. */
import { assert, assertEquals } from "@std/assert";
import { address } from "../netstack/packets.ts";
import { WEB } from "./scene.ts";
import { PeerApp, StackPair } from "./stack_pair.ts";

const MINUTE_MS = 60_000;
const LAN = address("192.168.1.9");
const EVERYTHING = { address: new Uint8Array(4), bits: 0 };

/** A flow to a host of the LAN, open on both sides. */
function open(pair: StackPair, port = 80) {
  const app = new PeerApp(pair);
  const { stack, nowMs } = pair.there;
  app.connection = stack.tcp.connect(LAN, port, app, nowMs);
  pair.step();
  const socket = pair.host.last;
  assertEquals([String(socket.address), socket.port], [String(LAN), port]);
  pair.host.dialled(socket);
  pair.step();
  assert(app.isConnected);
  return { app, socket };
}

function servingPair(seed: number): StackPair {
  const pair = new StackPair([WEB], seed);
  pair.forwarder.setReachable({
    services: [],
    addresses: pair.here.stack.addresses,
    served: [EVERYTHING],
  });
  pair.here.stack.acceptsAny = true;
  pair.here.stack.destinations = pair.forwarder.targets.policy;
  return pair;
}

function assertEmpty(pair: StackPair): void {
  assertEquals(pair.host.open.length, 0);
  assertEquals(pair.forwarder.flowCount, 0);
  pair.pass(2 * MINUTE_MS);
  assertEquals(pair.here.pool.usedBytes, pair.idleBytes, "buffers were given back");
  assertEquals(pair.here.stack.tcp.connectionCount, 0);
}

Deno.test("a served stream is exact both ways, each direction with its own end", () => {
  const pair = servingPair(1);
  const { app, socket } = open(pair);
  pair.lossPerMille = 30;
  const up = Array.from({ length: 100_000 }, (_, i) => i * 7 & 255);
  const down = Array.from({ length: 150_000 }, (_, i) => i * 11 & 255);
  app.write(up, true);
  pair.pass(10_000);
  assert(socket.isWriteShut);
  pair.host.give(socket, down, true);
  pair.pass(20_000);
  assertEquals(socket.written, up);
  assertEquals(app.received, down);
  assert(app.hasFin);
  assertEmpty(pair);
});

Deno.test("hazard 59: a peer whose window stays shut costs one buffer, until it is given up", () => {
  const pair = servingPair(2);
  const { app, socket } = open(pair);
  app.reads = false;
  pair.host.give(socket, new Array(12_000_000).fill(7));
  pair.step();
  const { usedBytes } = pair.here.pool;
  pair.pass(5 * MINUTE_MS);
  assert(pair.here.pool.usedBytes <= usedBytes, "it does not grow");
  assert(socket.toRead.length > 1_000_000, "the host has to wait");
  const other = open(pair, 81);
  other.app.write([1, 2, 3]);
  pair.step();
  assertEquals(other.socket.written, [1, 2, 3]);
  other.app.connection!.abort();
  pair.pass(15 * MINUTE_MS);
  assertEquals(socket.state, "aborted");
  assertEmpty(pair);
});

Deno.test("hazard 59: a host that takes nothing shuts the peer's window, and both are given up", () => {
  const pair = servingPair(3);
  const { app, socket } = open(pair);
  socket.room = 0;
  app.write(new Array(9_000_000).fill(1));
  pair.pass(MINUTE_MS);
  assert(pair.here.pool.usedBytes < 10 << 20, `${pair.here.pool.usedBytes} bytes`);
  pair.pass(10 * MINUTE_MS);
  assertEquals(socket.state, "aborted");
  assert(app.end !== null);
  assertEmpty(pair);
});

Deno.test("hazard 60: half a close that is held for ever ends after minutes without progress", () => {
  for (const who of ["peer", "host"]) {
    const pair = servingPair(4);
    const { app, socket } = open(pair);
    if (who === "peer") app.write([1], true);
    else pair.host.give(socket, [1], true);
    pair.pass(4 * MINUTE_MS);
    assertEquals(
      socket.state,
      "open",
      `the other direction of the ${who}'s flow may still be used`,
    );
    pair.pass(8 * MINUTE_MS);
    assert(socket.state !== "open", `${who}: ${socket.state}`);
    assertEmpty(pair);
  }
});

Deno.test("hazard 60: bytes that trickle keep a flow, silence in one direction does not end it", () => {
  const pair = servingPair(5);
  const { app, socket } = open(pair);
  for (let minute = 0; minute < 30; minute++) {
    app.write([minute]);
    pair.pass(MINUTE_MS);
  }
  assertEquals([socket.state, socket.written.length], ["open", 30]);
  app.connection!.abort();
  pair.step();
  assertEmpty(pair);
});
