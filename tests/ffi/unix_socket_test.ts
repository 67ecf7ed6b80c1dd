import { assert, assertEquals, assertThrows } from "@std/assert";
import { closeFd, pollFd, POLLIN } from "../../ffi/descriptor.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { fileStatus } from "../../ffi/files.ts";
import { fixedBytes } from "../../ffi/memory.ts";
import { PathWatch } from "../../ffi/path_watch.ts";
import {
  acceptUnix,
  connectUnix,
  exchangeUnix,
  isUnixLive,
  listenUnix,
  readSocket,
  unixListenerProcess,
  writeSocket,
} from "../../ffi/unix_socket.ts";
import { Errno } from "../../src/base/errno.ts";

/** Runs a test with a path for a socket, in a folder that is removed afterwards. */
function withPath(action: (path: string) => void): () => void {
  return () => {
    const folder = Deno.makeTempDirSync({ prefix: "longhaul-test-" });
    try {
      action(`${folder}/wg0.sock`);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  };
}

function text(value: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(value);
}

Deno.test(
  "a listening socket belongs to its user alone and carries bytes both ways",
  withPath((path) => {
    const listener = listenUnix(path);
    assertEquals([fileStatus(path)!.kind, fileStatus(path)!.mode & 0o077], ["socket", 0]);
    assertEquals(acceptUnix(listener), -Errno.EAGAIN);
    const client = connectUnix(path);
    assertEquals(pollFd(listener, POLLIN, 1000), POLLIN);
    const server = acceptUnix(listener);
    const buffer = fixedBytes(100);
    assertEquals(readSocket(server, buffer), -Errno.EAGAIN);
    assertEquals(writeSocket(client, text("get=1\n\n")), 7);
    assertEquals(readSocket(server, buffer), 7);
    assertEquals(new TextDecoder().decode(buffer.subarray(0, 7)), "get=1\n\n");
    writeSocket(server, text("errno=0\n\n"));
    assertEquals(readSocket(client, buffer), 9);
    closeFd(server);
    assertEquals(readSocket(client, buffer), 0);
    closeFd(client);
    closeFd(listener);
  }),
);

Deno.test(
  "a client that has gone is EPIPE, not a signal, and the listener goes on",
  withPath((path) => {
    const listener = listenUnix(path);
    closeFd(connectUnix(path));
    const server = acceptUnix(listener);
    assertEquals(writeSocket(server, text("x")), -Errno.EPIPE);
    assertEquals(readSocket(server, fixedBytes(8)), 0);
    closeFd(server);
    assert(isUnixLive(path));
    closeFd(listener);
  }),
);

Deno.test(
  "a stale socket is replaced, a live one and an ordinary file are refused",
  withPath((path) => {
    closeFd(listenUnix(path));
    assertEquals(isUnixLive(path), false);
    const listener = listenUnix(path);
    const error = assertThrows(() => listenUnix(path), SystemCallError) as SystemCallError;
    assertEquals(error.errno, Errno.EADDRINUSE);
    assert(error.message.includes("Another program is listening there"), error.message);
    assert(isUnixLive(path), "the refused one has not removed it");
    closeFd(listener);
    Deno.removeSync(path);
    Deno.writeTextFileSync(path, "precious");
    assertThrows(() => listenUnix(path), SystemCallError, "not a socket");
    assertEquals(Deno.readTextFileSync(path), "precious");
  }),
);

Deno.test(
  "a listener whose queue is full still counts as live",
  withPath((path) => {
    const listener = listenUnix(path);
    const clients: number[] = [];
    try {
      for (let i = 0; i < 200; i++) clients.push(connectUnix(path));
    } catch (error) {
      assertEquals((error as SystemCallError).errno, Errno.EAGAIN);
    }
    assert(clients.length < 200);
    assert(isUnixLive(path));
    for (const fd of [...clients, listener]) closeFd(fd);
  }),
);

Deno.test(
  "PathWatch notices that the socket's file was deleted while it listens",
  withPath((path) => {
    const listener = listenUnix(path);
    const watch = new PathWatch(path);
    closeFd(connectUnix(path));
    assertEquals(watch.isGone(), false);
    Deno.removeSync(path);
    assertEquals(pollFd(watch.fd, POLLIN, 1000), POLLIN);
    assertEquals(watch.isGone(), true);
    watch.close();
    closeFd(listener);
  }),
);

Deno.test(
  "connecting where no one listens tells ENOENT or ECONNREFUSED",
  withPath((path) => {
    const errnoOf = () =>
      (assertThrows(() => connectUnix(path), SystemCallError) as SystemCallError).errno;
    assertEquals(errnoOf(), Errno.ENOENT);
    closeFd(listenUnix(path));
    assertEquals(errnoOf(), Errno.ECONNREFUSED);
  }),
);

Deno.test("a path of more than 107 bytes is refused with a fix", () => {
  const path = "/tmp/" + "x".repeat(103);
  assertThrows(() => listenUnix(path), SystemCallError, "1 to 107 bytes");
});

Deno.test(
  "exchangeUnix() gives up in time when no answer comes",
  withPath((path) => {
    const listener = listenUnix(path);
    const limits = { timeoutMs: 30, answerBytesMax: 1000 };
    const error = assertThrows(() => exchangeUnix(path, text("get=1\n\n"), limits));
    assertEquals((error as SystemCallError).errno, Errno.ETIMEDOUT);
    closeFd(listener);
  }),
);

Deno.test("exchangeUnix() returns an answer that comes in parts", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "longhaul-test-" });
  const path = `${folder}/wg0.sock`;
  // It blocks its thread: the server is Deno's own, in another process.
  const server = `
    const listener = Deno.listen({ transport: "unix", path: ${JSON.stringify(path)} });
    console.log("ready");
    for (let i = 0; i < 2; i++) {
      const connection = await listener.accept();
      await connection.read(new Uint8Array(100));
      const bytes = new TextEncoder().encode("a=1\\n" + "x".repeat(100_000) + "\\n\\n");
      for (let at = 0; at < bytes.length; at += 30_000) {
        await connection.write(bytes.subarray(at, at + 30_000));
      }
      if (i === 0) connection.close();
      else await connection.read(new Uint8Array(1));
    }
  `;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", server],
    stdout: "piped",
  }).spawn();
  try {
    const reader = child.stdout.getReader();
    await reader.read();
    reader.releaseLock();
    const expected = "a=1\n" + "x".repeat(100_000) + "\n\n";
    const endsBlank = (answer: Uint8Array) => answer.at(-1) === 10 && answer.at(-2) === 10;
    for (const isComplete of [undefined, endsBlank]) {
      const limits = { timeoutMs: 5000, answerBytesMax: 200_000, isComplete };
      const answer = exchangeUnix(path, text("get=1\n\n"), limits);
      assertEquals(new TextDecoder().decode(answer), expected);
    }
  } finally {
    child.kill("SIGKILL");
    await child.stdout.cancel();
    await child.status;
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test(
  "unixListenerProcess() tells who listens, or that nobody does",
  withPath((path) => {
    assertEquals(unixListenerProcess(path), undefined);
    const listener = listenUnix(path);
    assertEquals(unixListenerProcess(path), Deno.pid);
    closeFd(listener);
    assertEquals(unixListenerProcess(path), undefined);
  }),
);
