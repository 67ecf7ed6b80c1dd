import { assert, assertEquals } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import { LaneCounter } from "../../src/lane/counters.ts";
import { SimNetwork } from "../sim/node_pair.ts";
import { tcpSuperPacket4 } from "../sim/packets.ts";

const A = 0x0a640001, B = 0x0a640002;

Deno.test("rule 26: a refused coalesced write loses nothing and is the last one of its kind", () => {
  const net = new SimNetwork(3);
  const a = net.add(), b = net.add();
  net.connect(a, b, {
    ofA: [{ address: Uint8Array.of(10, 100, 0, 1), bits: 32 }],
    ofB: [{ address: Uint8Array.of(10, 100, 0, 2), bits: 32 }],
  });
  b.tun.writeErrors.push(-Errno.EINVAL);
  const payload = net.random.fill(new Uint8Array(40 * 1000 + 7));
  a.tun.fromHost.push(tcpSuperPacket4(A, B, payload, 1000));
  net.run();
  a.tun.fromHost.push(tcpSuperPacket4(A, B, payload, 1000));
  net.run();
  assertEquals(b.tun.toHost.length, 82);
  for (const item of b.tun.toHost) assertEquals(item.subarray(0, 10), new Uint8Array(10));
  const received = b.tun.toHost.flatMap((item) => [...item.subarray(10 + 40)]);
  assertEquals(received.length, 2 * payload.length);
  assert(received.every((byte, i) => byte === payload[i % payload.length]));
  const { counters } = b.node.lane.channels;
  assertEquals(counters.value(LaneCounter.TunSegmentationFallbacks), 1);
});
