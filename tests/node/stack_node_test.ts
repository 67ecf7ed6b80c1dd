import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import type { UdpHandler } from "../../src/netstack/udp_socket.ts";
import { bytesOf } from "../sim/node_pair.ts";
import { hostPrefix } from "../sim/flows.ts";
import { ipPart, udpPacket4 } from "../sim/packets.ts";
import { A4, B4, inner6, makeStackPair } from "../sim/stack_nodes.ts";

const SCRATCH_BYTES = 2048;

/** A place in the node's slab that nobody else uses: main's scratch for system calls. */
const scratchOf = (node: { plan: { mainScratchAt: number } }) =>
  node.plan.mainScratchAt + 128 * 1024 - SCRATCH_BYTES;

for (const [version, remote] of [[4, bytesOf(B4)], [6, inner6(2)]] as const) {
  Deno.test(`a datagram of one stack is answered by the other through WireGuard, IPv${version}`, () => {
    const { net, a, b, stackA, stackB } = makeStackPair();
    const echo: UdpHandler = {
      onDatagram: (socket, datagram) => socket.reply(datagram, datagram.at, datagram.bytes),
    };
    stackB.udp.bind(null, 7, echo);
    const answers: Uint8Array[] = [];
    const socket = stackA.udp.connect(remote, 7, {
      onDatagram: (_socket, { at, bytes }) => answers.push(a.node.slab.u8.slice(at, at + bytes)),
    })!;
    const at = scratchOf(a.node);
    for (const payload of [Uint8Array.of(1, 2, 3), new Uint8Array(1200).fill(9)]) {
      a.node.slab.u8.set(payload, at);
      assert(socket.send(at, payload.length));
    }
    net.run();
    assertEquals(answers.map((bytes) => bytes.length), [3, 1200]);
    assertEquals([...answers[0]], [1, 2, 3]);
    assertEquals(b.node.lane.channels.counters.dropped(DropReason.NoRoute), 0);
  });
}

Deno.test("a stack that queues something on its own asks for a run", () => {
  const { net, a, stackA } = makeStackPair();
  net.run();
  let calls = 0;
  a.node.onWork = () => calls++;
  const socket = stackA.udp.connect(bytesOf(B4), 7, { onDatagram: () => {} })!;
  socket.send(scratchOf(a.node), 5);
  socket.send(scratchOf(a.node), 5);
  assertEquals(calls, 1, "once while something waits");
  net.run();
  socket.send(scratchOf(a.node), 5);
  assertEquals(calls, 2);
});

Deno.test("hazard 72: a packet of one peer for another is not forwarded by a stack", () => {
  const { net, a, b } = makeStackPair();
  const C4 = 0x0a640003;
  const c = net.add({ tun: true });
  net.connect(b, c, { ofA: [hostPrefix(B4), hostPrefix(A4)], ofB: [hostPrefix(C4)] });
  // The first node believes that the third one is behind the second.
  net.introduce(a, b, [hostPrefix(C4)]);
  const host = net.add({ tun: true });
  net.connect(host, b, { ofA: [hostPrefix(0x0a640009)], ofB: [hostPrefix(C4), hostPrefix(B4)] });
  host.tun.fromHost.push(udpPacket4(0x0a640009, C4, Uint8Array.of(1)));
  net.run();
  assertEquals(c.tun.toHost.map(ipPart), []);
  const { counters } = b.node.lane.channels;
  assertEquals(counters.dropped(DropReason.IpDestinationForeign), 1);
});

Deno.test("hazard 71: a peer that uses another's address is not heard by the stack", () => {
  const { net, b, stackB } = makeStackPair();
  const heard: number[] = [];
  stackB.udp.bind(null, 2000, { onDatagram: (_socket, { bytes }) => heard.push(bytes) });
  const host = net.add({ tun: true });
  net.connect(host, b, { ofA: [hostPrefix(0x0a640009)], ofB: [hostPrefix(B4)] });
  host.tun.fromHost.push(udpPacket4(A4, B4, Uint8Array.of(1)));
  host.tun.fromHost.push(udpPacket4(0x0a640009, B4, Uint8Array.of(1, 2)));
  net.run();
  assertEquals(heard, [2]);
  assertEquals(b.node.lane.channels.counters.dropped(DropReason.SourceNotAllowed), 1);
});

Deno.test("a node with a TUN and a stack gives each what is its own, and both send", () => {
  const { net, a, stackA } = makeStackPair();
  const SERVED = 0x0a140001, HOST = 0x0a640004;
  const hybrid = net.add({ tun: true, node: { stack: { addresses: [hostPrefix(SERVED)] } } });
  net.connect(a, hybrid, { ofA: [hostPrefix(A4)], ofB: [hostPrefix(SERVED), hostPrefix(HOST)] });
  hybrid.node.control.policy.setDivert([{ address: Uint8Array.of(10, 20, 0, 0), bits: 16 }]);
  const answers: number[] = [];
  const connectTo = (address: number) =>
    stackA.udp.connect(bytesOf(address), 2000, {
      onDatagram: (_socket, { bytes }) => answers.push(bytes),
    })!;
  hybrid.node.stack!.udp.bind(null, 2000, {
    onDatagram: (socket, datagram) => socket.reply(datagram, datagram.at, datagram.bytes),
  });
  connectTo(SERVED).send(scratchOf(a.node), 11);
  const toHost = connectTo(HOST);
  toHost.send(scratchOf(a.node), 22);
  net.run();
  assertEquals(answers, [11]);
  assertEquals(hybrid.tun.toHost.map((bytes) => bytes.length), [10 + 28 + 22]);
  const reply = udpPacket4(HOST, A4, new Uint8Array(33));
  new DataView(reply.buffer).setUint16(10 + 20, 2000);
  new DataView(reply.buffer).setUint16(10 + 22, toHost.localPort);
  hybrid.tun.fromHost.push(reply);
  net.run();
  assertEquals(answers, [11, 33]);
});
