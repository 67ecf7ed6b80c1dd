/** Forwarding on the real stack: what must hold whatever packets, host and peer do. */
import { assert, assertEquals } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import { TcpEnd } from "../../src/netstack/tcp/tcp_socket.ts";
import { bytes, WEB } from "./scene.ts";
import { PeerApp, StackPair } from "./stack_pair.ts";

const MINUTE_MS = 60_000;

/** A flow that is open on both sides. */
function open(pair: StackPair) {
  const app = new PeerApp(pair).connect(80);
  pair.step();
  const socket = pair.host.last;
  pair.host.dialled(socket);
  pair.step();
  assert(app.isConnected);
  return { app, socket };
}

function assertEmpty(pair: StackPair): void {
  assertEquals(pair.host.open.length, 0);
  assertEquals(pair.forwarder.flowCount, 0);
  pair.pass(2 * MINUTE_MS);
  assertEquals(pair.here.pool.usedBytes, pair.idleBytes, "buffers were given back");
  assertEquals(pair.here.stack.tcp.connectionCount, 0);
}

Deno.test("a SYN that is sent again and again dials once", () => {
  const pair = new StackPair([WEB], 1);
  const app = new PeerApp(pair).connect(80);
  pair.pass(7500);
  assertEquals(pair.host.sockets.length, 1);
  pair.host.dialled(pair.host.last);
  pair.step();
  assert(app.isConnected);
  app.write([1, 2, 3]);
  pair.step();
  assertEquals(pair.host.last.written, [1, 2, 3]);
  assertEquals(pair.host.sockets.length, 1);
});

Deno.test("what the host refuses, and what is not offered, is refused to the peer at once", () => {
  const pair = new StackPair([WEB], 2);
  const refused = new PeerApp(pair).connect(80);
  const foreign = new PeerApp(pair).connect(81);
  pair.step();
  pair.host.dialled(pair.host.last, -Errno.ECONNREFUSED);
  pair.step();
  assertEquals([refused.end, foreign.end], [TcpEnd.Refused, TcpEnd.Refused]);
  assertEmpty(pair);
});

Deno.test("a black hole behind the host is told by ICMP after some seconds", () => {
  const pair = new StackPair([WEB], 3);
  const app = new PeerApp(pair).connect(80);
  pair.pass(12_000);
  assertEquals(pair.host.open.length, 0);
  pair.pass(6 * MINUTE_MS);
  assertEquals(app.end, TcpEnd.Unreachable);
});

Deno.test("a reset of the host reaches the peer, and one of the peer the host", () => {
  const pair = new StackPair([WEB], 4);
  const first = open(pair);
  pair.host.fail(first.socket, Errno.ECONNRESET);
  pair.step();
  assertEquals(first.app.end, TcpEnd.Reset);
  const second = open(pair);
  second.app.connection!.abort();
  pair.step();
  assertEquals(second.socket.state, "aborted");
  assertEmpty(pair);
});

Deno.test("a flood of SYNs from many addresses is bounded, and a peer still gets through", () => {
  const limits = { dialsMax: 64, dialsPerClientMax: 8 };
  const pair = new StackPair([WEB], 5, limits);
  for (let i = 0; i < 3000; i++) pair.here.receive(syn(0x0a000100 + i, 1024 + i));
  pair.step();
  assert(pair.host.open.length <= 64, `${pair.host.open.length} dials`);
  // The black hole's dials time out; then there is room for the one that retries.
  const app = new PeerApp(pair).connect(80);
  pair.pass(20_000);
  for (const socket of pair.host.open) pair.host.dialled(socket);
  pair.pass(20_000);
  assert(app.isConnected);
  assert(pair.here.pool.peakBytes < 4 << 20, `${pair.here.pool.peakBytes} bytes of buffers`);
});

Deno.test("a peer that never reads costs its send buffer and no more, until it is given up", () => {
  const pair = new StackPair([WEB], 6);
  const { app, socket } = open(pair);
  app.reads = false;
  pair.host.give(socket, new Array(12_000_000).fill(7));
  pair.step();
  const { usedBytes } = pair.here.pool;
  pair.pass(10_000);
  assertEquals(pair.here.pool.usedBytes, usedBytes);
  assert(socket.toRead.length > 1_000_000, "the host has to wait");
  pair.pass(15 * MINUTE_MS);
  assertEquals(socket.state, "aborted");
  assertEmpty(pair);
});

for (const lossPerMille of [0, 10, 50]) {
  Deno.test(`whatever the host and the peer do, each gets every byte of the other; loss ${lossPerMille} of 1,000`, () => {
    for (let seed = 1; seed <= 12; seed++) {
      try {
        playExchange(seed, lossPerMille);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
  });
}

/** Both ends send and end as chance has it, the host taking little at a time. */
function playExchange(seed: number, lossPerMille: number): void {
  const pair = new StackPair([WEB], seed);
  const { random } = pair;
  const { app, socket } = open(pair);
  pair.lossPerMille = lossPerMille;
  const upBytes = random.below(300_000);
  const downBytes = random.below(300_000);
  let up = 0, down = 0, isUpEnded = false, isDownEnded = false;
  for (let i = 0; i < 20_000; i++) {
    if (isUpEnded && isDownEnded && app.hasFin && socket.isWriteShut) break;
    switch (random.below(5)) {
      case 0: {
        const some = Math.min(random.below(40_000), upBytes - up);
        if (!isUpEnded) app.write(bytes(some, up), isUpEnded = up + some === upBytes);
        up += some;
        break;
      }
      case 1: {
        const some = Math.min(random.below(40_000), downBytes - down);
        if (!isDownEnded) {
          pair.host.give(socket, bytes(some, down), isDownEnded = down + some === downBytes);
        }
        down += some;
        break;
      }
      case 2:
        if (socket.state === "open") pair.host.makeRoom(socket, random.below(30_000));
        break;
      case 3:
        app.reads = random.below(2) === 0;
        if (app.reads && app.end === null) app.readAll(app.connection!);
        break;
      case 4:
        pair.pass(random.below(400));
    }
    pair.step();
  }
  if (socket.state === "open") pair.host.makeRoom(socket);
  app.reads = true;
  if (app.end === null) app.readAll(app.connection!);
  pair.pass(MINUTE_MS);
  assertEquals(socket.written.length, upBytes);
  assertEquals(socket.written, bytes(upBytes));
  assertEquals(app.received, bytes(downBytes));
  assertEquals(app.end, TcpEnd.Closed);
  assertEquals(socket.state, "closed");
  assertEmpty(pair);
}

/** A SYN to port 80 from an IPv4 address and port, by hand. */
function syn(source: number, port: number): Uint8Array {
  const packet = new Uint8Array(40);
  const view = new DataView(packet.buffer);
  packet.set([0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6]);
  view.setUint32(12, source);
  packet.set([10, 0, 0, 1], 16);
  view.setUint16(10, checksum(view, 0, 20, 0));
  view.setUint16(20, port);
  view.setUint16(22, 80);
  view.setUint32(24, source ^ port);
  packet.set([0x50, 0x02, 0xff, 0xff], 32);
  let pseudo = 6 + 20;
  for (let at = 12; at < 20; at += 2) pseudo += view.getUint16(at);
  view.setUint16(36, checksum(view, 20, 40, pseudo));
  return packet;
}

function checksum(view: DataView, from: number, to: number, initial: number): number {
  let sum = initial;
  for (let at = from; at < to; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
