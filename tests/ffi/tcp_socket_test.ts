import { assert, assertEquals, assertThrows } from "@std/assert";
import { closeFd, pollFd, POLLIN } from "../../ffi/descriptor.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { fixedBytes } from "../../ffi/memory.ts";
import { localPort } from "../../ffi/socket.ts";
import {
  acceptTcp,
  connectTcp,
  listenTcp,
  receiveTcp,
  sendTcp,
  shutdownTcp,
} from "../../ffi/tcp_socket.ts";
import { Errno } from "../../src/base/errno.ts";

const LOOPBACK_V4 = Uint8Array.of(127, 0, 0, 1);

Deno.test("bytes go through a connection to one listener, and its end is told", () => {
  const listener = listenTcp(0);
  assertEquals(acceptTcp(listener), -Errno.EAGAIN);
  const near = connectTcp(LOOPBACK_V4, localPort(listener), 5000);
  assert(near >= 0, String(near));
  pollFd(listener, POLLIN, 5000);
  const far = acceptTcp(listener);
  const target = fixedBytes(16);
  assertEquals(receiveTcp(far, target), -Errno.EAGAIN);
  const text = fixedBytes(5);
  text.set([1, 2, 3, 4, 5]);
  assertEquals(sendTcp(near, text), 5);
  pollFd(far, POLLIN, 5000);
  assertEquals(receiveTcp(far, target), 5);
  assertEquals(target.slice(0, 5), text);
  shutdownTcp(near);
  pollFd(far, POLLIN, 5000);
  assertEquals(receiveTcp(far, target), 0);
  for (const fd of [near, far, listener]) closeFd(fd);
});

Deno.test("a port where nobody listens refuses, and a port in use says what to do", () => {
  const listener = listenTcp(0);
  const port = localPort(listener);
  const error = assertThrows(() => listenTcp(port), SystemCallError, "choose another port");
  assertEquals(error.errno, Errno.EADDRINUSE);
  closeFd(listener);
  assertEquals(connectTcp(LOOPBACK_V4, port, 5000), -Errno.ECONNREFUSED);
});
