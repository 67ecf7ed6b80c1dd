import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import { LaneCounter } from "../../src/lane/counters.ts";
import { FilterAction, FilterDirection } from "../../src/nat/filter.ts";
import { bytesOf, SimNetwork, type SimNode } from "../sim/node_pair.ts";
import { ipPart, tcpSuperPacket4, udpPacket4 } from "../sim/packets.ts";
import { hostPrefix } from "../sim/flows.ts";
import { isIpv4HeaderValid, isTransportValid } from "../reference/checksum_reference.ts";

const A = 0x0a640001, B = 0x0a640002, A_AT_B = 0xac100009;
const { In, Out } = FilterDirection;
const { Allow, Deny } = FilterAction;

function makePair(): { net: SimNetwork; a: SimNode; b: SimNode } {
  const net = new SimNetwork();
  const a = net.add(), b = net.add();
  net.connect(a, b, { ofA: [hostPrefix(A), hostPrefix(A_AT_B)], ofB: [hostPrefix(B)] });
  return { net, a, b };
}

const packetsAt = (node: SimNode) => node.tun.toHost.map(ipPart);
const denied = (node: SimNode) => node.node.lane.channels.counters.dropped(DropReason.FilterDenied);

Deno.test("a denied packet does not leave, is counted, and the next one leaves", () => {
  const { net, a, b } = makePair();
  a.node.control.policy.setFilter([
    { action: Deny, directions: Out, protocol: 17, ports: { first: 2000, last: 2000 } },
  ]);
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1)));
  a.tun.fromHost.push(tcpSuperPacket4(A, B, new Uint8Array(3000), 1000));
  net.run();
  assertEquals(packetsAt(b).map((packet) => packet[9]), [6]);
  assertEquals(denied(a), 1);
  a.node.control.policy.setFilter([]);
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(2)));
  net.run();
  assertEquals(packetsAt(b).length, 2);
});

Deno.test("a packet that waited for its handshake is not judged twice", () => {
  const { net, a, b } = makePair();
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1)));
  net.fate = () => [];
  net.run();
  a.node.control.policy.setFilter([{ action: Deny, directions: Out }]);
  net.fate = (datagram) => [datagram];
  net.runFor(10_000);
  assertEquals([packetsAt(b).length, denied(a)], [1, 0]);
});

Deno.test("what comes in is judged once per item and counted per packet", () => {
  const { net, a, b } = makePair();
  b.node.control.policy.setFilter([
    { action: Allow, directions: In, prefix: hostPrefix(A_AT_B) },
    { action: Deny, directions: In, protocol: 6 },
  ]);
  a.tun.fromHost.push(tcpSuperPacket4(A, B, new Uint8Array(5000), 1000));
  a.tun.fromHost.push(tcpSuperPacket4(A_AT_B, B, new Uint8Array(2000), 1000));
  net.run();
  assertEquals(packetsAt(b).length, 1);
  assertEquals(denied(b), 5);
});

Deno.test("a peer sees the address that it knows us by, and reaches us there", () => {
  const { net, a, b } = makePair();
  a.node.control.policy.setNat(b.publicKey, [{ own: bytesOf(A), theirs: bytesOf(A_AT_B) }]);
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(1, 2, 3)));
  a.tun.fromHost.push(tcpSuperPacket4(A, B, net.random.fill(new Uint8Array(4000)), 1000));
  net.run();
  const [udp, tcp] = packetsAt(b);
  for (const packet of [udp, tcp]) {
    assertEquals([...packet.subarray(12, 20)], [...bytesOf(A_AT_B), ...bytesOf(B)]);
    assert(isIpv4HeaderValid(packet));
  }
  assertEquals([udp[26], udp[27]], [0, 0], "a UDP checksum of 0 means none and stays");
  b.tun.fromHost.push(udpPacket4(B, A_AT_B, Uint8Array.of(4)));
  b.tun.fromHost.push(tcpSuperPacket4(B, A_AT_B, new Uint8Array(900), 1000));
  net.run();
  for (const packet of packetsAt(a)) {
    assertEquals([...packet.subarray(12, 20)], [...bytesOf(B), ...bytesOf(A)]);
    assert(isIpv4HeaderValid(packet));
  }
  assert(isTransportValid(packetsAt(a)[1], 20, 6));
});

Deno.test("a translation follows its peer to another slot, and leaves none behind", () => {
  const { net, a, b } = makePair();
  const other = net.add();
  a.node.control.policy.setNat(b.publicKey, [{ own: bytesOf(A), theirs: bytesOf(A_AT_B) }]);
  a.node.control.apply({ peers: [{ publicKey: b.publicKey, remove: true, allowedIps: [] }] });
  net.runFor(5000);
  net.connect(a, other, { ofA: [hostPrefix(A)], ofB: [hostPrefix(0x0a640003)] });
  net.introduce(a, b, [hostPrefix(B)]);
  a.tun.fromHost.push(udpPacket4(A, 0x0a640003, Uint8Array.of(1)));
  a.tun.fromHost.push(udpPacket4(A, B, Uint8Array.of(2)));
  net.runFor(10_000);
  const sourceAt = (node: SimNode) => packetsAt(node).map((packet) => [...packet.subarray(12, 16)]);
  assertEquals(sourceAt(other), [[...bytesOf(A)]]);
  assertEquals(sourceAt(b), [[...bytesOf(A_AT_B)]]);
});

Deno.test("flows are counted per packet after the split, both ways, until they are extracted", () => {
  const { net, a, b } = makePair();
  const { policy } = a.node.control;
  assertEquals(policy.extractFlows(), []);
  policy.startFlowStatistics();
  a.tun.fromHost.push(tcpSuperPacket4(A, B, new Uint8Array(4500), 1000));
  a.tun.fromHost.push(udpPacket4(A, B, new Uint8Array(100)));
  net.run();
  b.tun.fromHost.push(tcpSuperPacket4(B, A, new Uint8Array(2000), 1000));
  net.run();
  const counts = policy.extractFlows()!;
  const flow = (protocol: number, localPort: number) =>
    counts.find((count) => count.protocol === protocol && count.localPort === localPort)!;
  assertEquals(counts.length, 3);
  const tcp = flow(6, 1000);
  assertEquals([...tcp.localAddress, ...tcp.remoteAddress], [...bytesOf(A), ...bytesOf(B)]);
  assertEquals(tcp.remotePort, 2000);
  assertEquals([tcp.packetsOut, tcp.bytesOut], [5, 4500 + 5 * 40]);
  // The builder's ports are the same in both directions, so the answer is another flow here.
  const answer = flow(6, 2000);
  assertEquals([answer.packetsOut, answer.packetsIn, answer.bytesIn], [0, 2, 2000 + 2 * 40]);
  assertEquals([flow(17, 1000).packetsOut, flow(17, 1000).bytesOut], [1, 128]);
  assertEquals(policy.extractFlows(), []);
  const out = a.node.lane.channels.counters.value(LaneCounter.PacketsOut);
  assertEquals(out, 6);
});

Deno.test("stopped statistics give what they had, and count nothing more", () => {
  const { net, a } = makePair();
  const { policy } = a.node.control;
  policy.startFlowStatistics();
  a.tun.fromHost.push(udpPacket4(A, B, new Uint8Array(1)));
  net.run();
  policy.stopFlowStatistics();
  a.tun.fromHost.push(udpPacket4(A, B, new Uint8Array(1)));
  net.run();
  assertEquals(policy.extractFlows()!.map((count) => count.packetsOut), [1]);
  assertEquals(policy.extractFlows(), []);
  policy.startFlowStatistics();
  net.run();
  assertEquals(policy.extractFlows(), []);
});

Deno.test("flows beyond the table are counted together, so that sums stay right", () => {
  const { net, a } = makePair();
  const { policy } = a.node.control;
  a.tun.fromHost.push(udpPacket4(A, B, new Uint8Array(1)));
  net.run();
  policy.startFlowStatistics();
  const flows = 6000;
  for (let i = 0; i < flows; i++) {
    const packet = udpPacket4(A, B, new Uint8Array(1));
    new DataView(packet.buffer).setUint16(10 + 20, i);
    a.tun.fromHost.push(packet);
    if (i % 500 === 0) net.run();
  }
  net.run();
  const counts = policy.extractFlows()!;
  assert(counts.length <= 4096);
  assertEquals(counts.reduce((sum, count) => sum + count.packetsOut, 0), flows);
  assertEquals(counts.filter((count) => count.localAddress.length === 0).length, 1);
});

Deno.test("whoever asked is told of an address's activity, once a second, by main", () => {
  const { net, a, b } = makePair();
  const { policy } = a.node.control;
  const told: number[] = [];
  const stop = policy.watchActivity(bytesOf(B), (lastMs) => told.push(lastMs));
  policy.watchActivity(bytesOf(0x01020304), () => told.push(-1));
  const beginMs = net.clock.nowMs();
  const send = () => {
    a.tun.fromHost.push(udpPacket4(A, B, new Uint8Array(1)));
    net.run();
  };
  send();
  net.runFor(300);
  send();
  net.runFor(900);
  b.tun.fromHost.push(udpPacket4(B, A, new Uint8Array(1)));
  net.run();
  assertEquals(told, [beginMs]);
  net.runFor(1000);
  send();
  assertEquals(told, [beginMs, beginMs + 2200]);
  assertEquals(policy.lastActivityMs, beginMs + 2200);
  stop();
  net.runFor(5000);
  send();
  assertEquals(told.length, 2);
});
