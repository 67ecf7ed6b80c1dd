/** A forwarded connection from its first byte to its end. */
import { assert, assertEquals } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import { TcpEnd } from "../../src/netstack/tcp/tcp_socket.ts";
import { bytes, Scene } from "./scene.ts";

const MINUTE_MS = 60_000;

Deno.test("what GRO has merged goes to the host in one write", () => {
  const scene = new Scene();
  const { socket, connection } = scene.open();
  connection.deliver([1, 2], [3], [4, 5, 6]);
  assertEquals(socket.written, [1, 2, 3, 4, 5, 6]);
  assertEquals(socket.writes, 1);
});

Deno.test("what the host does not take at once waits, and all of it arrives in order", () => {
  const scene = new Scene();
  const { socket, connection } = scene.open();
  socket.room = 5;
  connection.deliver(bytes(3), bytes(4, 3));
  connection.deliver(bytes(10, 7));
  assertEquals(connection.waitingBytes, 12);
  scene.host.makeRoom(socket, 4);
  scene.settle();
  scene.host.makeRoom(socket);
  scene.settle();
  assertEquals(socket.written, bytes(17));
  connection.deliver(bytes(2, 17));
  assertEquals(socket.written, bytes(19));
});

Deno.test("a host that takes nothing is not asked again before it has room", () => {
  const scene = new Scene();
  const { socket, connection } = scene.open();
  socket.room = 0;
  connection.deliver([1]);
  const { writes } = socket;
  for (let i = 0; i < 50; i++) {
    connection.deliver([2]);
    scene.turn();
  }
  assertEquals(socket.writes, writes);
});

Deno.test("bytes of the host go to the peer, corked until the host has no more", () => {
  const scene = new Scene();
  const { socket, connection } = scene.open({}, 1000);
  scene.host.give(socket, bytes(1000));
  scene.settle();
  assert(connection.isCorked, "the send buffer was filled: there may be more");
  connection.acknowledge(1000);
  scene.settle();
  assert(!connection.isCorked, "the host said that there is no more");
  assertEquals(connection.sent, bytes(1000));
});

Deno.test("less than was asked for is all there was: the host is not asked twice", () => {
  const scene = new Scene();
  const { socket, connection } = scene.open();
  scene.host.give(socket, bytes(10));
  scene.settle();
  assertEquals(socket.reads, 1);
  assert(!connection.isCorked);
  assertEquals(connection.sent, bytes(10));
});

Deno.test("a full send buffer stops the reading until the peer has acknowledged", () => {
  const scene = new Scene();
  const { socket, connection } = scene.open({}, 100);
  scene.host.give(socket, bytes(250));
  scene.settle();
  const { reads } = socket;
  for (let i = 0; i < 50; i++) scene.turn();
  assertEquals(socket.reads, reads);
  assertEquals(connection.sent.length, 100);
  connection.acknowledge(100);
  scene.settle();
  connection.acknowledge(100);
  scene.settle();
  assertEquals(connection.sent, bytes(250));
});

Deno.test("room that a timer of the stack makes after the turn is used without waiting for packets", () => {
  const scene = new Scene();
  const { socket, connection } = scene.open({}, 100);
  scene.host.give(socket, bytes(150));
  scene.settle();
  assert(scene.forwarder.nextTimeoutMs() > scene.nowMs, "nothing can be done");
  connection.acknowledge(100);
  assert(scene.forwarder.nextTimeoutMs() <= scene.nowMs, "the lane must not sleep");
  scene.pass(1);
  assertEquals(connection.sent, bytes(150));
  assert(scene.forwarder.nextTimeoutMs() > scene.nowMs);
});

Deno.test("nothing is read from the host before the handshake is complete", () => {
  const scene = new Scene();
  const pending = scene.syn();
  const socket = scene.host.last;
  scene.host.dialled(socket);
  scene.settle();
  scene.host.give(socket, [1, 2, 3]);
  scene.settle();
  assertEquals(socket.reads, 0);
  pending.connection!.establish();
  scene.settle();
  assertEquals(pending.connection!.sent, [1, 2, 3]);
});

Deno.test("a flow with bytes without end does not starve another one", () => {
  const scene = new Scene();
  const greedy = scene.open({}, 1e9);
  const modest = scene.open();
  scene.host.give(greedy.socket, new Array(3_000_000).fill(1));
  scene.host.give(modest.socket, [9]);
  scene.turn();
  assertEquals(modest.connection.sent, [9]);
  assert(greedy.connection.sent.length < 3_000_000);
});

Deno.test("the peer's end reaches the host behind the last byte, and the host may go on", () => {
  const scene = new Scene();
  const { socket, connection } = scene.open();
  socket.room = 2;
  connection.deliver([1, 2, 3]);
  connection.deliverFin();
  assert(!socket.isWriteShut);
  scene.host.makeRoom(socket);
  scene.settle();
  assertEquals(socket.written, [1, 2, 3]);
  assert(socket.isWriteShut);
  assert(!connection.hasFin);
  scene.host.give(socket, [4, 5]);
  scene.settle();
  assertEquals(connection.sent, [4, 5]);
  scene.host.give(socket, [6], true);
  scene.settle();
  assertEquals(connection.sent, [4, 5, 6]);
  assert(connection.hasFin);
  assertEquals(socket.state, "closed");
  connection.finish(TcpEnd.Closed);
  scene.assertEmpty();
});

Deno.test("the host's end reaches the peer, and the peer may go on", () => {
  const scene = new Scene();
  const { socket, connection } = scene.open();
  scene.host.give(socket, [1], true);
  scene.settle();
  assertEquals(connection.sent, [1]);
  assert(connection.hasFin && !connection.isCorked);
  connection.deliver([2, 3]);
  assertEquals(socket.written, [2, 3]);
  connection.deliverFin();
  assertEquals(socket.state, "closed");
  connection.finish(TcpEnd.Closed);
  scene.assertEmpty();
});

Deno.test("any error of the host but EAGAIN resets the peer and frees the flow", () => {
  for (const errno of [Errno.EPIPE, Errno.ECONNRESET, Errno.ETIMEDOUT, Errno.EIO]) {
    const onRead = new Scene();
    const a = onRead.open();
    onRead.host.fail(a.socket, errno);
    onRead.settle();
    assertEquals(a.connection.end, "aborted");
    onRead.assertEmpty();

    const onWrite = new Scene();
    const b = onWrite.open();
    b.socket.error = -errno;
    b.connection.deliver([1]);
    assertEquals(b.connection.end, "aborted");
    assertEquals(b.socket.writes, 1);
    onWrite.assertEmpty();

    const buffered = new Scene();
    const c = buffered.open();
    c.socket.room = 0;
    c.connection.deliver([1]);
    c.socket.error = -errno;
    buffered.host.makeRoom(c.socket);
    buffered.settle();
    assertEquals(c.connection.end, "aborted");
    buffered.assertEmpty();
  }
});

Deno.test("a reset of the peer resets the host", () => {
  for (const end of [TcpEnd.Reset, TcpEnd.TimedOut, TcpEnd.Unreachable]) {
    const scene = new Scene();
    const { socket, connection } = scene.open();
    scene.host.give(socket, [1, 2, 3]);
    connection.finish(end);
    assertEquals(socket.state, "aborted");
    scene.assertEmpty();
    scene.settle();
  }
});

Deno.test("a half-closed flow over which nothing moves ends after some minutes", () => {
  for (const isHost of [true, false]) {
    const scene = new Scene();
    const { socket, connection } = scene.open();
    if (isHost) scene.host.give(socket, [], true);
    else connection.deliverFin();
    scene.settle();
    scene.pass(4 * MINUTE_MS);
    if (isHost) connection.deliver([1]);
    else scene.host.give(socket, [1]);
    scene.settle();
    scene.pass(4 * MINUTE_MS);
    assertEquals(connection.end, null, "bytes had moved");
    scene.pass(7 * MINUTE_MS);
    assertEquals(connection.end, "aborted");
    scene.assertEmpty();
  }
});

Deno.test("an idle flow lives, and its peer is probed by keepalives", () => {
  const scene = new Scene();
  const { connection } = scene.open();
  scene.pass(24 * 60 * MINUTE_MS);
  assertEquals(connection.end, null);
  assertEquals(connection.keepaliveMs, 120 * MINUTE_MS);
});

Deno.test("a peer whose window stays zero for ever is bounded in memory and time", () => {
  const scene = new Scene();
  const { socket, connection } = scene.open({}, 1000);
  scene.host.give(socket, bytes(5000));
  scene.settle();
  assertEquals(connection.sent.length, 1000);
  scene.pass(12 * MINUTE_MS);
  assertEquals(connection.end, "aborted");
  scene.assertEmpty();
});

Deno.test("a slow peer that acknowledges now and then is not taken for a dead one", () => {
  const scene = new Scene();
  const { socket, connection } = scene.open({}, 1000);
  scene.host.give(socket, bytes(1000));
  scene.settle();
  for (let i = 0; i < 20; i++) {
    scene.pass(4 * MINUTE_MS);
    connection.acknowledge(10);
  }
  assertEquals(connection.end, null);
});

Deno.test("a host that stops reading is bounded in time", () => {
  const scene = new Scene();
  const { socket, connection } = scene.open();
  socket.room = 0;
  connection.deliver([1]);
  scene.pass(12 * MINUTE_MS);
  assertEquals(connection.end, "aborted");
  scene.assertEmpty();
});

Deno.test("a peer that never completes its handshake frees the host", () => {
  const scene = new Scene();
  const pending = scene.syn();
  scene.host.dialled(scene.host.last);
  scene.settle();
  pending.connection!.finish(TcpEnd.TimedOut);
  assertEquals(scene.host.last.state, "aborted");
  scene.assertEmpty();
});

Deno.test("a thousand flows one after the other leave nothing behind", () => {
  const scene = new Scene();
  for (let i = 0; i < 1000; i++) {
    const { socket, connection } = scene.open();
    connection.deliver([1]);
    scene.host.give(socket, [2], true);
    scene.settle();
    connection.deliverFin();
    connection.finish(TcpEnd.Closed);
    scene.assertEmpty();
  }
  assertEquals(new Set(scene.host.sockets.map(({ token }) => token)).size, 1);
});

Deno.test("closing the forwarder resets every flow and ends every dial", () => {
  const scene = new Scene();
  const { connection } = scene.open();
  scene.syn();
  scene.forwarder.close();
  assertEquals(connection.end, "aborted");
  scene.assertEmpty();
});
