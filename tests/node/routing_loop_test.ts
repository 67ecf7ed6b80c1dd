/** Hazard 74: the way to a peer's endpoint leads into the tunnel itself. */
import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import { STAGED_PACKETS_MAX } from "../../src/lane/limits.ts";
import { Flow, hostPrefix } from "../sim/flows.ts";
import type { Datagram } from "../sim/memory_ports.ts";
import { type Fate, SimNetwork } from "../sim/node_pair.ts";
import { udpPacket4 } from "../sim/packets.ts";

const A = 0x0a640001, B = 0x0a640002;
const MTU = 1420;

/** A pair where A's datagrams come back out of A's TUN while `loop.isOn`. */
function makeLoop() {
  const net = new SimNetwork(1);
  const a = net.add(), b = net.add();
  net.connect(a, b, {
    ofA: [hostPrefix(A)],
    ofB: [hostPrefix(B), hostPrefix(b.udp.address)],
  });
  const loop = { isOn: true, sends: 0 };
  const fate: Fate = (datagram: Datagram) => {
    if (!loop.isOn || datagram.fromAddress !== a.udp.address) return [datagram];
    loop.sends++;
    const packet = udpPacket4(datagram.fromAddress, datagram.toAddress, datagram.bytes);
    if (packet.length <= MTU + 10) a.tun.fromHost.push(packet);
    return [];
  };
  net.fate = fate;
  return { net, a, b, loop, there: new Flow(a, A, B) };
}

Deno.test("a loop before the first session stays at one handshake each 5 s", () => {
  const { net, a, b, loop, there } = makeLoop();
  there.send(3);
  net.runFor(60_000);
  assert(loop.sends <= 13, `${loop.sends} datagrams`);
  loop.isOn = false;
  net.runFor(10_000);
  assertEquals(there.arrivedAt(b), [0, 1, 2], "and heals when the route is mended");
  assert(a.node.lane.channels.counters.dropped(DropReason.StagedOverflow) <= STAGED_PACKETS_MAX);
});

Deno.test("a loop under a session ends when the packets have outgrown the MTU", () => {
  const { net, b, loop, there } = makeLoop();
  loop.isOn = false;
  there.send();
  net.runFor(1000);
  loop.isOn = true;
  for (let second = 0; second < 300; second++) {
    if (second % 10 === 0) there.send();
    net.runFor(1000);
  }
  // Each datagram goes round at most MTU / 60 times.
  assert(loop.sends < (30 + 70) * MTU / 60, `${loop.sends} datagrams`);
  loop.isOn = false;
  net.runFor(10_000);
  there.send();
  net.runFor(10_000);
  assertEquals(there.arrivedAt(b).at(-1), there.sent - 1);
});
