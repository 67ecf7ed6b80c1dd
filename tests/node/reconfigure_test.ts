import { assertEquals } from "@std/assert";
import { SimNetwork } from "../sim/node_pair.ts";
import { udpPacket4 } from "../sim/packets.ts";

const A = 0x0a640001, B = 0x0a640002;

Deno.test("a peer that is removed and added again, many times, always gets its session", () => {
  const net = new SimNetwork(11);
  const a = net.add(), b = net.add();
  const ofA = [{ address: Uint8Array.of(10, 100, 0, 1), bits: 32 }];
  const ofB = [{ address: Uint8Array.of(10, 100, 0, 2), bits: 32 }];
  net.connect(a, b, { ofA, ofB });
  for (let i = 0; i < 40; i++) {
    a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(i)));
    net.runFor(20);
    assertEquals(b.tun.toHost.length, i + 1, `round ${i}`);
    a.node.control.apply({ peers: [{ publicKey: b.publicKey, remove: true, allowedIps: [] }] });
    if (i % 2 === 0) net.runFor(15);
    net.introduce(a, b, ofB);
    net.clock.advance(30);
  }
});
