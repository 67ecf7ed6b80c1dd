import { assertEquals } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import { SimNetwork } from "../sim/node_pair.ts";
import { udpPacket4 } from "../sim/packets.ts";

const A = 0x0a640001, B = 0x0a640002;

function makePair() {
  const net = new SimNetwork(5);
  const a = net.add(), b = net.add();
  net.connect(a, b, {
    ofA: [{ address: Uint8Array.of(10, 100, 0, 1), bits: 32 }],
    ofB: [{ address: Uint8Array.of(10, 100, 0, 2), bits: 32 }],
  });
  return { net, a, b };
}

Deno.test("a handshake message that finds the socket full goes out a moment later", () => {
  const { net, a, b } = makePair();
  a.udp.sendErrors.push(-Errno.EAGAIN);
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1)));
  net.run();
  assertEquals(b.tun.toHost.length, 0);
  net.runFor(10);
  assertEquals(b.tun.toHost.length, 1);
});

Deno.test("a handshake message whose sticky source is gone leaves from another address", () => {
  const { net, a, b } = makePair();
  a.udp.sendErrors.push(-Errno.EINVAL);
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1)));
  net.run();
  assertEquals(b.tun.toHost.length, 1);
});

Deno.test("handshake messages wait for the sockets to open, but not when they are stale", () => {
  const { net, a, b } = makePair();
  a.node.control.onSocketsClosed();
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1)));
  net.run();
  a.node.control.udp = a.udp;
  a.node.control.onSocketsOpen(51820);
  net.run();
  assertEquals(b.tun.toHost.length, 1);
  const { net: net2, a: a2 } = makePair();
  a2.node.control.onSocketsClosed();
  a2.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1)));
  net2.run();
  net2.clock.advance(60_000);
  a2.node.control.udp = a2.udp;
  a2.node.control.onSocketsOpen(51820);
  assertEquals(net2.log.filter(({ bytes }) => bytes[0] === 1).length, 0);
});

Deno.test("the status tells the port that the kernel has chosen while the sockets are open", () => {
  const { a } = makePair();
  a.node.control.onSocketsOpen(40_123);
  assertEquals(a.node.control.status().listenPort, 40_123);
  a.node.control.onSocketsClosed();
  assertEquals(a.node.control.status().listenPort, 51_820);
});
