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
  a.node.control.udp = null;
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1)));
  net.run();
  a.node.control.udp = a.udp;
  a.node.control.onSocketsOpen(51820);
  net.run();
  assertEquals(b.tun.toHost.length, 1);
  const { net: net2, a: a2 } = makePair();
  a2.node.control.udp = null;
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
  a.node.control.onInterfaceDown();
  assertEquals(a.node.control.status().listenPort, 51_820);
});

Deno.test("going down ends the sessions, and going up begins anew without waiting", () => {
  const { net, a, b } = makePair();
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1)));
  net.run();
  a.node.control.onInterfaceDown();
  net.runFor(50);
  a.node.control.udp = a.udp;
  a.node.control.onSocketsOpen(51820);
  a.node.control.onInterfaceUp();
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(2)));
  net.run();
  assertEquals(net.log.filter(({ bytes }) => bytes[0] === 1).length, 2);
  assertEquals(b.tun.toHost.length, 2);
});

Deno.test("going up greets the peers that are to be kept alive", () => {
  const { net, a, b } = makePair();
  a.node.control.udp = null;
  const keepalive = { publicKey: b.publicKey, keepaliveSeconds: 25, allowedIps: [] };
  a.node.control.apply({ peers: [keepalive] });
  a.node.control.onInterfaceDown();
  a.node.control.udp = a.udp;
  a.node.control.onSocketsOpen(51820);
  assertEquals(net.log.length, 0);
  a.node.control.onInterfaceUp();
  net.run();
  assertEquals(net.log.filter(({ bytes }) => bytes[0] === 1).length, 1);
});

Deno.test("an answer in the turn that confirms a session is sealed with that session's key", () => {
  const { net, a, b } = makePair();
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1)));
  net.run();
  // a forgets its session; b still holds the old one when the first packet of the new one comes.
  a.node.control.onInterfaceDown();
  a.node.control.udp = a.udp;
  net.clock.advance(50);
  const takeMail = b.node.control.onMail.bind(b.node.control);
  let heldBack = 0;
  b.node.control.onMail = () => {
    const isAnswerDue = b.tun.toHost.length > 1 && heldBack++ === 0;
    if (!isAnswerDue) return takeMail();
    b.tun.fromHost.push(udpPacket4(B, A, Uint8Array.of(7)));
    b.node.lane.ready |= 1;
    b.node.lane.turn(net.clock.nowMs());
    return takeMail();
  };
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(2)));
  net.run();
  assertEquals([b.tun.toHost.length, a.tun.toHost.length], [2, 1]);
});
