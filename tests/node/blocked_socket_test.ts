import { assertEquals } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import { SimNetwork } from "../sim/node_pair.ts";
import { tcpSuperPacket4, udpPacket4 } from "../sim/packets.ts";

const A = 0x0a640001, B = 0x0a640002;

/** Two nodes with a session between them. */
function connected(seed: number) {
  const net = new SimNetwork(seed);
  const a = net.add(), b = net.add();
  net.connect(a, b, {
    ofA: [{ address: Uint8Array.of(10, 100, 0, 1), bits: 32 }],
    ofB: [{ address: Uint8Array.of(10, 100, 0, 2), bits: 32 }],
  });
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1)));
  net.run();
  return { net, a, b };
}

Deno.test("what a waiting batch depends on is not given to others before the socket takes it", () => {
  const { net, a } = connected(9);
  const { lane, control } = a.node;
  const epochs = control.tables.epochs;
  const turn = () => {
    lane.turn(net.clock.nowMs());
    lane.prepareSleep();
  };
  for (let i = 0; i < 3; i++) a.udp.sendErrors.push(-Errno.EAGAIN);
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(2)));
  lane.ready |= 1;
  turn();
  const retired = epochs.advance();
  turn();
  assertEquals([lane.isSocketFull, epochs.hasPassed(retired)], [true, false]);
  turn();
  assertEquals([lane.isSocketFull, epochs.hasPassed(retired)], [true, false]);
  turn();
  assertEquals([lane.isSocketFull, epochs.hasPassed(retired)], [false, true]);
});

Deno.test("requests that have to wait for the socket do not keep the lane awake", () => {
  const { net, a, b } = connected(10);
  const { lane, control } = a.node;
  const waiting = Array.from({ length: 64 }, () => -Errno.EAGAIN);
  a.udp.sendErrors.push(...waiting);
  // More segments than all batches hold: the rest of the packet stays in hand.
  a.tun.fromHost.push(tcpSuperPacket4(A, B, new Uint8Array(3000), 1));
  lane.ready |= 1;
  lane.turn(net.clock.nowMs());
  assertEquals(lane.isSocketFull, true);
  control.apply({ peers: [{ publicKey: b.publicKey, keepaliveSeconds: 25, allowedIps: [] }] });
  lane.turn(net.clock.nowMs());
  assertEquals([lane.isSocketFull, lane.prepareSleep()], [true, true]);
  a.udp.sendErrors.length = 0;
  net.run();
  const payloadBytes = b.tun.toHost.slice(1).map((item) => item.length - 10 - 40);
  assertEquals(payloadBytes.reduce((sum, bytes) => sum + bytes, 0), 3000);
});
