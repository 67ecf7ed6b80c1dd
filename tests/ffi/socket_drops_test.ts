import { assert, assertEquals } from "@std/assert";
import { createSocket } from "node:dgram";
import { socketDrops } from "../../ffi/socket.ts";
import { closeUdpSockets, openUdpSockets } from "../../ffi/udp_open.ts";
import { waitFor } from "../netns/command.ts";

Deno.test("datagrams that find a socket's buffer full are counted, those that fit are not", async () => {
  const sockets = openUdpSockets({ port: 0, bufferBytes: 4096, gro: false });
  const sender = createSocket("udp4");
  try {
    assertEquals(socketDrops(sockets.v4), 0);
    sender.send(new Uint8Array(100), sockets.port, "127.0.0.1");
    assertEquals(socketDrops(sockets.v4), 0);
    for (let i = 0; i < 200; i++) sender.send(new Uint8Array(1000), sockets.port, "127.0.0.1");
    await waitFor("the buffer is full", 5000, () => socketDrops(sockets.v4) > 100);
    assert(socketDrops(sockets.v4) <= 200);
    assertEquals(socketDrops(sockets.v6), 0);
  } finally {
    sender.close();
    closeUdpSockets(sockets);
  }
  assertEquals(socketDrops(sockets.v4), 0, "a socket that is closed tells nothing");
});
