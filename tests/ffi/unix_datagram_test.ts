import { assertEquals, assertThrows } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { DatagramSender } from "../../ffi/unix_datagram.ts";
import { DatagramListener } from "../daemon/datagram_listener.ts";

const encode = (text: string) => new TextEncoder().encode(text);

Deno.test("datagrams reach a path and an abstract name whole and in order", () => {
  const folder = Deno.makeTempDirSync();
  for (const name of [`${folder}/socket`, `@longhaul-datagram-${Deno.pid}`]) {
    using listener = new DatagramListener(name);
    const sender = new DatagramSender(name);
    const texts = ["one", "two\nlines", "x".repeat(60_000)];
    assertEquals(texts.map((text) => sender.send(encode(text))), texts.map(({ length }) => length));
    assertEquals(listener.received, texts);
    sender.close();
  }
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("a receiver that is not there, has gone or does not read gives an error number", () => {
  const folder = Deno.makeTempDirSync();
  const sender = new DatagramSender(`${folder}/socket`);
  assertEquals(sender.send(encode("x")), -Errno.ENOENT);
  {
    using _listener = new DatagramListener(`${folder}/socket`);
    let result = 1;
    for (let i = 0; i < 100_000 && result > 0; i++) result = sender.send(encode("x"));
    assertEquals(result, -Errno.EAGAIN);
  }
  assertEquals(sender.send(encode("x")), -Errno.ECONNREFUSED);
  sender.close();
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("a name that no socket can have is refused", () => {
  for (const name of ["", `/${"x".repeat(107)}`, `@${"x".repeat(108)}`]) {
    assertThrows(() => new DatagramSender(name), SystemCallError);
  }
});
