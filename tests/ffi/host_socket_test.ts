/** Host sockets over loopback, with Deno's own sockets at the other end. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { assert, assertEquals } from "@std/assert";
import { pollFd, POLLIN } from "../../ffi/descriptor.ts";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "../../ffi/epoll.ts";
import { HOST_SOCKET_SCRATCH_BYTES, HostSocketSet } from "../../ffi/host_socket.ts";
import { createFfiMemory, type FfiMemory } from "../../ffi/memory.ts";
import { Errno } from "../../src/base/errno.ts";
import { HostEvent } from "../../src/forward/host_sockets.ts";
import { Pieces } from "../../src/netstack/inbound.ts";
import { waitFor } from "../netns/command.ts";

const V4 = Uint8Array.of(127, 0, 0, 1);
const V6 = Uint8Array.from({ length: 16 }, (_, i) => i === 15 ? 1 : 0);
const DATA = 8192;
const TOKEN = 7;
const WAIT_MS = 5000;

function makeSet(): { memory: FfiMemory; sockets: HostSocketSet } {
  const memory = createFfiMemory(4 * 1024 * 1024);
  assert(HOST_SOCKET_SCRATCH_BYTES <= DATA);
  return { memory, sockets: new HostSocketSet(memory, 0) };
}

/** Waits for events of the one socket that is watched; the bits of all that came with `bit`. */
function waitEvents(sockets: HostSocketSet, bit: number): number {
  const endMs = performance.now() + WAIT_MS;
  let events = 0;
  while ((events & bit) === 0) {
    assert(performance.now() < endMs, `no event ${bit}, only ${events}`);
    pollFd(sockets.pollFd, POLLIN, 100);
    const count = sockets.poll();
    for (let i = 0; i < count; i++) {
      assertEquals(sockets.tokenAt(i), TOKEN);
      events |= sockets.eventsAt(i);
    }
  }
  return events;
}

function dial(sockets: HostSocketSet, address: Uint8Array, port: number): number {
  const fd = sockets.connectTcp(address, port, TOKEN);
  assert(fd >= 0, `connect: ${fd}`);
  waitEvents(sockets, EPOLLOUT);
  assertEquals(sockets.connectResult(fd), 0);
  return fd;
}

Deno.test("the event bits of the forwarder are epoll's", () => {
  assertEquals(
    [HostEvent.Readable, HostEvent.Writable, HostEvent.Error, HostEvent.HungUp, HostEvent.Ended],
    [EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP],
  );
});

for (const [name, address, hostname] of [["IPv4", V4, "127.0.0.1"], ["IPv6", V6, "::1"]] as const) {
  Deno.test(`bytes go both ways and each direction ends by itself over ${name}`, async () => {
    const { memory, sockets } = makeSet();
    using listener = Deno.listen({ hostname, port: 0 });
    const fd = dial(sockets, address, (listener.addr as Deno.NetAddr).port);
    using peer = await listener.accept();
    const pieces = new Pieces();
    memory.u8.set([1, 2, 3, 4, 5], DATA);
    pieces.add(DATA + 3, 2);
    pieces.add(DATA, 3);
    assertEquals(sockets.writePieces(fd, pieces), 5);
    assertEquals(sockets.write(fd, DATA + 4, 1), 1);
    assertEquals(sockets.shutdownWrite(fd), 0);
    assertEquals(
      new Uint8Array(await new Response(peer.readable).arrayBuffer()),
      Uint8Array.of(4, 5, 1, 2, 3, 5),
    );
    sockets.close(fd);
    sockets.dispose();
  });
}

Deno.test("a read says EAGAIN while nothing is there, then the bytes, then 0 for the end", async () => {
  const { memory, sockets } = makeSet();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const fd = dial(sockets, V4, listener.addr.port);
  const peer = await listener.accept();
  assertEquals(sockets.read(fd, DATA, 100), -Errno.EAGAIN);
  await peer.write(Uint8Array.of(9, 8, 7));
  waitEvents(sockets, EPOLLIN);
  assertEquals(sockets.read(fd, DATA, 100), 3);
  assertEquals([...memory.u8.subarray(DATA, DATA + 3)], [9, 8, 7]);
  peer.close();
  waitEvents(sockets, EPOLLRDHUP);
  assertEquals(sockets.read(fd, DATA, 100), 0);
  sockets.close(fd);
  sockets.dispose();
});

Deno.test("a port that nobody listens at is refused", () => {
  const { sockets } = makeSet();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const fd = sockets.connectTcp(V4, port, TOKEN);
  if (fd >= 0) {
    waitEvents(sockets, EPOLLERR);
    assertEquals(sockets.connectResult(fd), -Errno.ECONNREFUSED);
    sockets.close(fd);
  } else assertEquals(fd, -Errno.ECONNREFUSED);
  sockets.dispose();
});

Deno.test("a write fills the socket, says EAGAIN, and an event tells when there is room", async () => {
  const { sockets } = makeSet();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const fd = dial(sockets, V4, listener.addr.port);
  using peer = await listener.accept();
  let written = 0;
  for (;;) {
    const n = sockets.write(fd, DATA, 1024 * 1024);
    if (n < 0) {
      assertEquals(n, -Errno.EAGAIN);
      break;
    }
    written += n;
    assert(written < 1e9);
  }
  sockets.poll();
  const buffer = new Uint8Array(256 * 1024);
  for (let read = 0; read < written;) read += await peer.read(buffer) ?? 0;
  waitEvents(sockets, EPOLLOUT);
  assert(sockets.write(fd, DATA, 10) === 10);
  sockets.close(fd);
  sockets.dispose();
});

Deno.test("an aborted connection is reset, and writing to a reset one is an error, not a signal", async () => {
  const { sockets } = makeSet();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const first = dial(sockets, V4, listener.addr.port);
  using peer = await listener.accept();
  sockets.abort(first);
  let message = "";
  await peer.read(new Uint8Array(1)).catch((error) => message = String(error));
  assert(/reset/i.test(message), message);

  const second = dial(sockets, V4, listener.addr.port);
  const other = await listener.accept();
  await other.closeWrite();
  other.close();
  waitEvents(sockets, EPOLLRDHUP);
  sockets.write(second, DATA, 1);
  waitEvents(sockets, EPOLLHUP);
  const result = sockets.write(second, DATA, 1);
  assert(result === -Errno.EPIPE || result === -Errno.ECONNRESET, String(result));
  sockets.close(second);
  sockets.dispose();
});

Deno.test("datagrams keep their bounds, an empty one included, and a dead port is told", async () => {
  const { memory, sockets } = makeSet();
  const peer = createSocket("udp4");
  peer.bind(0, "127.0.0.1");
  await once(peer, "listening");
  const { port } = peer.address();
  const fd = sockets.connectUdp(V4, port, TOKEN);
  memory.u8.set([5, 6], DATA);
  const asked = once(peer, "message");
  assertEquals(sockets.write(fd, DATA, 2), 2);
  const [bytes, from] = await asked;
  assertEquals([...bytes], [5, 6]);
  peer.send(new Uint8Array(0), from.port, from.address);
  peer.send(Uint8Array.of(1, 2, 3), from.port, from.address);
  const lengths: number[] = [];
  await waitFor("both are read", WAIT_MS, () => {
    const n = sockets.read(fd, DATA, 65_535);
    if (n !== -Errno.EAGAIN) lengths.push(n);
    return lengths.length === 2;
  });
  assertEquals(lengths, [0, 3]);
  assertEquals(sockets.read(fd, DATA, 65_535), -Errno.EAGAIN);
  peer.close();
  await once(peer, "close");
  assertEquals(sockets.write(fd, DATA, 1), 1);
  waitEvents(sockets, EPOLLERR);
  assertEquals(sockets.read(fd, DATA, 10), -Errno.ECONNREFUSED);
  sockets.close(fd);
  sockets.dispose();
});
