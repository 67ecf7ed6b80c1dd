import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import type { UdpHandler } from "../../src/netstack/udp_socket.ts";
import { bytesOf } from "../sim/node_pair.ts";
import { B4, inner6, makeStackPair } from "../sim/stack_nodes.ts";

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
