import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import { Errno } from "../../src/base/errno.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { LaneCounter } from "../../src/lane/counters.ts";
import { Divert } from "../../src/lane/inbound_sink.ts";
import { DIVERT_NODES } from "../../src/lane/shared_state.ts";
import { NodePolicy } from "../../src/node/node_policy.ts";
import { AllowedIps } from "../../src/tables/allowed_ips.ts";
import { PeerCommand } from "../../src/tables/peer_table.ts";
import { splitReference } from "../reference/gso_split_reference.ts";
import { pattern } from "../offload/packet_builder.ts";
import { ipPart, tcpSuperPacket4, udpPacket4 } from "../sim/packets.ts";
import { inner, LaneFixture, OWN } from "./lane_fixture.ts";
import { RecordingStack } from "./recording_stack.ts";

const MSS = 1368;
const TCP4 = { headerBytes: 40, l3HeaderBytes: 20 };
const UDP4 = { headerBytes: 28, l3HeaderBytes: 20, csumOffset: 6, needsCsum: false };

interface Setup {
  readonly fixture: LaneFixture;
  readonly stack: RecordingStack;
}

function setUp(
  options: ConstructorParameters<typeof LaneFixture>[0] & { linkCapacity?: number } = {},
): Setup {
  let stack!: RecordingStack;
  const fixture = new LaneFixture({
    tun: false,
    ...options,
    makeStack: (slab, at) => stack = new RecordingStack(slab, at, options.linkCapacity),
  });
  fixture.addPeer(1);
  return { fixture, stack };
}

/** The packets that a TCP segment over IPv4 becomes, which is cut if `isGso` is set. */
function cut(packet: Uint8Array, gsoSize: number, isGso = true): Uint8Array[] {
  return splitReference(packet, {
    isGso,
    needsCsum: true,
    csumStart: 20,
    csumOffset: 16,
    gsoSize,
    protocol: 6,
    transport: 20,
  });
}

/** A TCP segment from the stack to peer 1, and the packets that it has to become. */
function tcpSegment(payloadBytes: number, seed = 1, destination = inner(1)) {
  const packet = ipPart(tcpSuperPacket4(OWN, destination, pattern(payloadBytes, seed), MSS));
  const isGso = payloadBytes > MSS;
  const segments = cut(packet, MSS, isGso);
  return { packet, segments, gso: { ...TCP4, type: isGso ? 1 : 0, mss: MSS } };
}

/** The packets that peer 1 got, padding cut off. */
function sentPackets(fixture: LaneFixture, keypair: Parameters<LaneFixture["decrypt"]>[0]) {
  return fixture.udp.messages.map((message) => {
    const packet = fixture.decrypt(keypair, message);
    return packet.subarray(0, new DataView(packet.buffer, packet.byteOffset).getUint16(2));
  });
}

Deno.test("a segment of the stack leaves as the reference's packets, in one send", () => {
  const { fixture, stack } = setUp();
  const keypair = fixture.addKeypair(1);
  const { packet, segments, gso } = tcpSegment(40 * MSS + 11);
  assert(stack.send(packet, gso));
  fixture.run();
  assertEquals(sentPackets(fixture, keypair), segments);
  assertEquals(fixture.udp.taken.length, 1);
  assertEquals(stack.pool.usedBytes, 0);
  const { counters } = fixture.channels;
  assertEquals(counters.value(LaneCounter.StackSegments), 1);
  assertEquals(counters.value(LaneCounter.StackSegmentPackets), 41);
  assertEquals(counters.value(LaneCounter.PacketsOut), 41);
});

Deno.test("segments of the stack and reads of the TUN share sends, and neither starves the other", () => {
  const { fixture, stack } = setUp({ tun: true });
  const keypair = fixture.addKeypair(1);
  for (let i = 0; i < 20; i++) {
    const { packet, gso } = tcpSegment(46 * MSS, i);
    assert(stack.send(packet, gso));
  }
  const marks: number[] = [];
  for (let i = 0; i < 5; i++) {
    fixture.tun.fromHost.push(udpPacket4(OWN, inner(1), Uint8Array.of(i)));
  }
  fixture.run();
  sentPackets(fixture, keypair).forEach((bytes, i) => {
    if (bytes[9] === 17) marks.push(i);
  });
  assertEquals(marks.length, 5);
  assert(marks[4] < 6 * 3 * 46, `the last read of the TUN was packet ${marks[4]}`);
  assert(marks[0] < marks[1] - 2 * 46, "the link has its turn between two reads");
});

Deno.test("rule 33: while the socket is full, segments stay on the link, and the stack sees it full", () => {
  const { fixture, stack } = setUp({ linkCapacity: 8 });
  const keypair = fixture.addKeypair(1);
  let wanted = 40;
  const expected: Uint8Array[] = [];
  stack.onFlush = () => {
    while (wanted > 0) {
      const { packet, segments, gso } = tcpSegment(30 * MSS, wanted);
      if (!stack.send(packet, gso)) return;
      expected.push(...segments);
      wanted--;
    }
  };
  fixture.udp.answer = () => -Errno.EAGAIN;
  fixture.run();
  assert(stack.link.isFull, "the queue is full, nothing was dropped");
  assert(wanted > 0);
  for (const reason of [DropReason.NoBuffer, DropReason.SendFailed]) {
    assertEquals(fixture.dropped(reason), 0);
  }
  fixture.udp.answer = () => 0;
  fixture.run();
  assertEquals(wanted, 0);
  assertEquals(sentPackets(fixture, keypair), expected);
});

Deno.test("segments for a peer without a session are staged as a TUN would give them", () => {
  const { fixture, stack } = setUp();
  const first = tcpSegment(3 * MSS + 5, 1), second = tcpSegment(100, 2);
  stack.send(first.packet, first.gso);
  stack.send(second.packet, second.gso);
  fixture.run();
  assertEquals(fixture.udp.taken.length, 0);
  assertEquals(stack.link.numQueued, 0);
  assertEquals(stack.pool.usedBytes, 0);
  const keypair = fixture.addKeypair(1);
  fixture.channels.commands.post(1, PeerCommand.SendStagedOrKeepalive);
  fixture.run();
  assertEquals(sentPackets(fixture, keypair), [...first.segments, ...second.segments]);
});

Deno.test("a segment that no peer owns is counted and answered by ICMP into the stack", () => {
  const { fixture, stack } = setUp();
  const { packet, gso } = tcpSegment(3 * MSS, 1, 0x08080808);
  stack.send(packet, gso);
  fixture.run();
  assertEquals(fixture.dropped(DropReason.NoRoute), 3);
  assertEquals(stack.items.length, 1);
  const { bytes } = stack.items[0];
  assertEquals([bytes[9], bytes[20], bytes[21]], [1, 3, 1]);
  assertEquals(bytes.subarray(28), packet.subarray(0, 576 - 28));
  assert(stack.link.isEmpty);
});

Deno.test("one bad segment is counted, and the next one leaves", () => {
  const { fixture, stack } = setUp();
  const keypair = fixture.addKeypair(1);
  const bad = tcpSegment(500), good = tcpSegment(600);
  stack.send(bad.packet, { ...bad.gso, type: 9 });
  stack.send(bad.packet, { ...bad.gso, headerBytes: 20 });
  stack.send(bad.packet.subarray(0, 300), bad.gso);
  stack.send(good.packet, good.gso);
  fixture.run();
  assertEquals(sentPackets(fixture, keypair), good.segments);
  const dropped = fixture.dropped(DropReason.VnetTypeUnknown) +
    fixture.dropped(DropReason.GsoHeaderInvalid) + fixture.dropped(DropReason.IpTruncated);
  assertEquals(dropped, 3);
  assertEquals(stack.pool.usedBytes, 0);
});

/** A TCP super-packet from the peer, cut into 5 packets of 1,000 bytes as it would have been sealed. */
function fiveSegments(): { whole: Uint8Array; packets: Uint8Array[] } {
  const whole = ipPart(tcpSuperPacket4(inner(1), OWN, pattern(5000), 1000));
  return { whole, packets: cut(whole, 1000) };
}

Deno.test("without a TUN the stack gets every item, a run as one with its payloads where they are", () => {
  const { fixture, stack } = setUp();
  const keypair = fixture.addKeypair(1);
  const { whole, packets } = fiveSegments();
  packets.forEach((packet, i) => {
    fixture.udp.arrivals.push({ bytes: fixture.message(keypair, i, packet) });
    fixture.run();
  });
  const run = packets.map((packet, i) => fixture.message(keypair, 10 + i, packet));
  fixture.udp.arrivals.push({
    bytes: Uint8Array.from(run.flatMap((message) => [...message])),
    segmentBytes: run[0].length,
  });
  fixture.run();
  assertEquals(stack.items.map(({ packetCount }) => packetCount), [1, 1, 1, 1, 1, 5]);
  const single = stack.items[0];
  assertEquals(single.bytes, packets[0]);
  assertEquals([single.headerBytes, single.gsoSize, single.isVerified], [0, 0, false]);
  const merged = stack.items[5];
  assertEquals(merged.bytes.subarray(40), whole.subarray(40));
  assertEquals([merged.headerBytes, merged.gsoSize, merged.isVerified], [40, 1000, true]);
  assertEquals(merged.pieces, [1000, 1000, 1000, 1000, 1000]);
  assertEquals(merged.arrivedMs, fixture.nowMs);
});

Deno.test("packets of several receives of one turn are one item", () => {
  const { fixture, stack } = setUp({ openBatches: 4 });
  const keypair = fixture.addKeypair(1);
  const { whole, packets } = fiveSegments();
  fixture.udp.arrivals.push(
    ...packets.slice(0, 4).map((packet, i) => ({
      bytes: fixture.message(keypair, i, packet),
    })),
  );
  fixture.run();
  assertEquals(stack.items.map(({ packetCount }) => packetCount), [4]);
  assertEquals(stack.items[0].bytes.subarray(40), whole.subarray(40, 4040));
});

/** A stream of 80,000 bytes from the peer, as two super-packets, in packets of 1,000 bytes. */
function longStream(): Uint8Array[] {
  return [0, 1].flatMap((i) => {
    const whole = ipPart(tcpSuperPacket4(inner(1), OWN, pattern(40_000, i), 1000));
    new DataView(whole.buffer, whole.byteOffset).setUint32(24, 5000 + i * 40_000);
    return cut(whole, 1000);
  });
}

/** How many packets each item has when `packets` come in two runs within a turn. */
function itemsOf({ fixture, stack }: Setup, packets: readonly Uint8Array[]): number[] {
  const keypair = fixture.addKeypair(1);
  for (const half of [packets.slice(0, 40), packets.slice(40)]) {
    const run = half.map((packet) => fixture.message(keypair, counter++, packet));
    fixture.udp.arrivals.push({
      bytes: Uint8Array.from(run.flatMap((message) => [...message])),
      segmentBytes: run[0].length,
    });
  }
  fixture.run();
  return stack.items.map(({ packetCount }) => packetCount);
}

let counter = 0;

Deno.test("without a TUN an item is all that a turn has brought of a stream", () => {
  const setup = setUp({ openBatches: 4 });
  const packets = longStream();
  assertEquals(itemsOf(setup, packets), [80]);
  const [{ bytes, pieces, headerBytes, isVerified }] = setup.stack.items;
  assertEquals([headerBytes, isVerified], [40, true]);
  assertEquals(pieces, Array(80).fill(1000));
  assertEquals(
    bytes.subarray(40),
    Uint8Array.from(packets.flatMap((one) => [...one.subarray(40)])),
  );
});

Deno.test("what a TUN or a policy may have to see is never longer than an IP packet", () => {
  const packets = longStream();
  const withTun = setUp({ openBatches: 4, tun: true });
  assertEquals(itemsOf(withTun, packets), []);
  assertEquals(withTun.fixture.tun.toHost.map(({ length }) => length), [65_050, 15_050]);
  const withPolicy = setUp({ openBatches: 4 });
  const { tables, channels } = withPolicy.fixture;
  new NodePolicy(tables, [channels], () => 1).startFlowStatistics();
  assertEquals(itemsOf(withPolicy, packets), [65, 15]);
});

Deno.test("with a TUN and a stack, the divert table decides by the longest prefix", () => {
  const { fixture, stack } = setUp({ tun: true });
  const keypair = fixture.addKeypair(1);
  const divert = new AllowedIps(
    fixture.slab,
    fixture.plan.divertAt,
    DIVERT_NODES,
    fixture.tables.epochs,
  );
  divert.insert({ address: Uint8Array.of(10, 20, 0, 0), bits: 16 }, Divert.Stack);
  divert.insert({ address: Uint8Array.of(10, 20, 9, 0), bits: 24 }, Divert.Tun);
  divert.commit();
  const destinations = [0x0a140001, 0x0a140901, OWN];
  destinations.forEach((destination, i) => {
    const packet = ipPart(udpPacket4(inner(1), destination, Uint8Array.of(i)));
    fixture.udp.arrivals.push({ bytes: fixture.message(keypair, i, packet) });
  });
  fixture.run();
  assertEquals(stack.items.map(({ bytes }) => bytes[28]), [0]);
  assertEquals(fixture.tun.toHost.map((bytes) => bytes[38]), [1, 2]);
});

Deno.test("a turn answers what came in: items, then timers, then one flush, then the link", () => {
  const { fixture, stack } = setUp();
  const keypair = fixture.addKeypair(1);
  const question = ipPart(udpPacket4(inner(1), OWN, Uint8Array.of(7)));
  const answer = ipPart(udpPacket4(OWN, inner(1), Uint8Array.of(8)));
  for (let i = 0; i < 3; i++) {
    fixture.udp.arrivals.push({ bytes: fixture.message(keypair, i, question) });
  }
  let owed = 0;
  stack.onItemSeen = () => owed++;
  stack.onFlush = () => {
    for (; owed > 0; owed--) stack.send(answer, UDP4);
  };
  stack.deadlineMs = fixture.nowMs;
  fixture.lane.ready = 7;
  fixture.lane.turn(fixture.nowMs);
  assertEquals(stack.calls.slice(0, 5), ["item", "item", "item", "timeout", "flush"]);
  assertEquals(fixture.udp.taken.length, 1, "three answers in one send");
  assertEquals(fixture.udp.messages.length, 3);
});

Deno.test("the lane's deadline is the earlier one of the stack and of the host's sockets", () => {
  const { fixture, stack } = setUp();
  assertEquals(fixture.lane.nextTimeoutMs(), Infinity);
  stack.deadlineMs = 5000;
  assertEquals(fixture.lane.nextTimeoutMs(), 5000);
  let polls = 0;
  fixture.lane.hostWork = { poll: () => polls++ < 3, nextTimeoutMs: () => 4000 };
  assertEquals(fixture.lane.nextTimeoutMs(), 4000);
  fixture.run();
  assertEquals(polls, 4, "it is polled until it has nothing more");
});

Deno.test("rule 34: an item carries the time when it came in, not when the stage gave it back", () => {
  const { fixture, stack } = setUp({
    makeStage: (encryptor) => {
      const waiting: number[] = [];
      let isOpen = false;
      stageGate.open = () => isOpen = true;
      return {
        submit: (batch) => waiting.push(batch),
        takeCompleted: () => {
          if (!isOpen || waiting.length === 0) return -1;
          const batch = waiting.shift()!;
          encryptor.process(batch);
          return batch;
        },
        hasCompleted: () => isOpen && waiting.length > 0,
        forgetKeys: () => {},
        isStuck: () => false,
      };
    },
  });
  const keypair = fixture.addKeypair(1);
  const packet = ipPart(udpPacket4(inner(1), OWN, Uint8Array.of(7)));
  fixture.udp.arrivals.push({ bytes: fixture.message(keypair, 0, packet) });
  fixture.lane.ready = 7;
  fixture.lane.turn(fixture.nowMs);
  assertEquals(stack.items.length, 0);
  const arrivedMs = fixture.nowMs;
  fixture.nowMs += 250;
  stageGate.open();
  fixture.run();
  assertEquals(stack.items.map((item) => item.arrivedMs), [arrivedMs]);
});

const stageGate = { open: () => {} };

Deno.test("what stands on the link at the end is sent, and nothing more is asked of the stack", () => {
  const { fixture, stack } = setUp();
  const keypair = fixture.addKeypair(1);
  const { packet, segments, gso } = tcpSegment(2 * MSS);
  stack.send(packet, gso);
  const flushes = stack.calls.length;
  assert(fixture.lane.finish(fixture.nowMs));
  assertEquals(sentPackets(fixture, keypair), segments);
  assertEquals(stack.calls.length, flushes);
});

/** A UDP datagram of the stack to peer 1 with this payload. */
function datagram(payload: Uint8Array) {
  return { packet: ipPart(udpPacket4(OWN, inner(1), payload)), gso: UDP4 };
}

Deno.test("hazard 74: a message of ours that the stack sends back into the tunnel goes round once", () => {
  const { fixture, stack } = setUp();
  const keypair = fixture.addKeypair(1);
  const { packet, gso } = tcpSegment(100);
  stack.send(packet, gso);
  fixture.run();
  const [message] = fixture.udp.messages;
  const looped = datagram(message);
  stack.send(looped.packet, looped.gso);
  stack.send(looped.packet, { ...looped.gso, headerBytes: 20 });
  fixture.run();
  assertEquals(fixture.dropped(DropReason.RoutingLoop), 2);
  assertEquals(fixture.udp.messages.length, 1);
  const other = message.slice();
  other[4] ^= 1;
  const nested = datagram(other);
  stack.send(nested.packet, nested.gso);
  const short = datagram(message.subarray(0, 15));
  stack.send(short.packet, short.gso);
  fixture.run();
  assertEquals(fixture.udp.messages.length, 3, "a tunnel within the tunnel may be carried");
  assertEquals(keypair.remoteIndex, 0x1000);
});

Deno.test("hazard 64: PSH and FIN of a segment stand on its last packet, CWR on its first", () => {
  const { fixture, stack } = setUp();
  const keypair = fixture.addKeypair(1);
  const { packet, gso } = tcpSegment(3 * MSS);
  packet[33] = 0x10 | 0x80 | 0x08 | 0x01;
  stack.send(packet, gso);
  fixture.run();
  const flags = sentPackets(fixture, keypair).map((bytes) => bytes[33]);
  assertEquals(flags, [0x90, 0x10, 0x19]);
});

Deno.test("a peer without an endpoint is told to the stack as unreachable", () => {
  const { fixture, stack } = setUp();
  fixture.setEndpoint(1, new Uint8Array(64));
  const { packet, gso } = tcpSegment(2 * MSS);
  stack.send(packet, gso);
  fixture.run();
  assertEquals(fixture.dropped(DropReason.NoEndpoint), 2);
  assertEquals(stack.items.map(({ bytes }) => [bytes[20], bytes[21]]), [[3, 1]]);
});

Deno.test("errors into the stack are limited, however much it sends to nowhere", () => {
  const { fixture, stack } = setUp();
  for (let i = 0; i < 300; i++) {
    const { packet, gso } = tcpSegment(10, i, 0x08080808);
    stack.send(packet, gso);
  }
  fixture.run();
  assertEquals(fixture.dropped(DropReason.NoRoute), 300);
  assertEquals(stack.items.length, 100);
});

Deno.test("a segment in hand whose peer is removed is dropped, and gives its memory back", () => {
  const { fixture, stack } = setUp({ sealBatches: 1 });
  fixture.addKeypair(1);
  fixture.udp.answer = () => -Errno.EAGAIN;
  const { packet, gso } = tcpSegment(46 * MSS);
  stack.send(packet, gso);
  fixture.run();
  assertEquals(stack.link.numQueued, 1, "a part of it waits for a batch");
  fixture.allowedIps.removePeer(1);
  fixture.allowedIps.commit();
  fixture.run();
  assert(fixture.dropped(DropReason.NoRoute) > 0);
  assertEquals([stack.link.numQueued, stack.pool.usedBytes], [0, 0]);
});

Deno.test("a stack may send while an item is given to it", () => {
  const { fixture, stack } = setUp({ linkCapacity: 8 });
  const keypair = fixture.addKeypair(1);
  const answer = datagram(Uint8Array.of(5));
  stack.onItemSeen = () => void stack.send(answer.packet, answer.gso);
  for (let i = 0; i < 20; i++) {
    const question = ipPart(udpPacket4(inner(1), OWN, Uint8Array.of(i)));
    fixture.udp.arrivals.push({ bytes: fixture.message(keypair, i, question) });
    if (i % 7 === 0) fixture.run();
  }
  fixture.run();
  assertEquals(stack.items.length, 20);
  assertEquals(fixture.udp.messages.length, 20);
});

/** Five packets of one run from peer 1, the third one changed. */
function changedRun(change: (packet: Uint8Array) => void): Uint8Array[] {
  const { packets } = fiveSegments();
  change(packets[2]);
  return packets;
}

const CHANGES: Record<string, (packet: Uint8Array) => void> = {
  "another TTL": (packet) => changeWord(packet, 8, -256, 10),
  "another TOS": (packet) => changeWord(packet, 0, 4, 10),
  "another window": (packet) => changeWord(packet, 34, 1, 36),
  "another acknowledgment": (packet) => changeWord(packet, 30, 1, 36),
  "a wrong checksum": (packet) => void (packet[500] ^= 1),
};

/** Adds to a word of a packet and keeps the checksum at `checksumAt` right. */
function changeWord(packet: Uint8Array, at: number, by: number, checksumAt: number): void {
  const view = new DataView(packet.buffer);
  const before = view.getUint16(at), after = before + by;
  const sum = (~view.getUint16(checksumAt) & 0xffff) + (~before & 0xffff) + after;
  view.setUint16(at, after);
  const folded = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(checksumAt, ~((folded & 0xffff) + (folded >>> 16)) & 0xffff);
}

for (const [name, change] of Object.entries(CHANGES)) {
  Deno.test(`hazard 65: a packet with ${name} comes to the stack by itself, unchanged`, () => {
    const { fixture, stack } = setUp();
    const keypair = fixture.addKeypair(1);
    const packets = changedRun(change);
    const run = packets.map((packet, i) => fixture.message(keypair, i, packet));
    fixture.udp.arrivals.push({
      bytes: Uint8Array.from(run.flatMap((message) => [...message])),
      segmentBytes: run[0].length,
    });
    fixture.run();
    assertEquals(stack.items.map((item) => item.packetCount), [2, 1, 2]);
    assertEquals(stack.items[1].bytes, packets[2]);
    assertEquals(stack.items.map((item) => item.isVerified), [true, false, true]);
  });
}

for (const mss of [1, 99, 511, 512, 536]) {
  Deno.test(`rule 15: a segment of the stack is carried whole at an MSS of ${mss}, by few batches`, () => {
    const { fixture, stack } = setUp({ sealBatches: 2 });
    const keypair = fixture.addKeypair(1);
    const payload = pattern(Math.min(60_000, mss * 700 + 1));
    const packet = ipPart(tcpSuperPacket4(OWN, inner(1), payload, mss));
    stack.send(packet, { ...TCP4, type: 1, mss });
    fixture.run();
    const sent = sentPackets(fixture, keypair).flatMap((bytes) => [...bytes.subarray(40)]);
    assertEquals(sent.length, payload.length);
    assert(payload.every((byte, i) => byte === sent[i]));
    assert(stack.link.isEmpty);
  });
}

Deno.test("damaged segments are counted or carried, and never end the loop", () => {
  const seed = 99;
  const random = new SeededRandom(seed);
  const { fixture, stack } = setUp({ sealBatches: 3 });
  fixture.addKeypair(1);
  fixture.allow(1, 0, 0);
  for (let run = 0; run < 3000; run++) {
    const { packet, gso } = tcpSegment(random.below(4000), run);
    for (let i = random.below(4); i > 0; i--) packet[random.below(60)] = random.below(256);
    const headerBytes = random.below(4) > 0 ? gso.headerBytes : random.below(65);
    const sent = stack.send(packet.subarray(0, Math.max(headerBytes, packet.length)), {
      type: random.below(8) === 0 ? random.below(256) : gso.type,
      mss: random.below(8) === 0 ? random.below(3) : gso.mss,
      needsCsum: random.below(8) > 0,
      csumOffset: random.below(8) === 0 ? random.below(256) : 16,
      l3HeaderBytes: random.below(8) === 0 ? random.below(256) : 20,
      headerBytes: Math.min(headerBytes, packet.length),
    });
    assert(sent);
    if (run % 10 === 0) fixture.run();
  }
  fixture.run();
  assertEquals([stack.link.numQueued, stack.pool.usedBytes], [0, 0], `seed ${seed}`);
  const { packet, gso } = tcpSegment(100);
  const before = fixture.udp.messages.length;
  stack.send(packet, gso);
  fixture.run();
  assertEquals(fixture.udp.messages.length, before + 1, "a good one leaves as ever");
});

Deno.test("an error quotes the ports of a segment whose transport header stands apart", () => {
  const { fixture, stack } = setUp();
  const packet = ipPart(udpPacket4(OWN, 0x08080808, Uint8Array.of(1, 2, 3)));
  stack.send(packet, { ...UDP4, headerBytes: 20 });
  fixture.run();
  assertEquals(stack.items[0].bytes.subarray(28), packet);
});

Deno.test("a link that is closed takes the segment in hand with it", () => {
  const { fixture, stack } = setUp({ sealBatches: 1 });
  const keypair = fixture.addKeypair(1);
  fixture.udp.answer = () => -Errno.EAGAIN;
  const { packet, segments, gso } = tcpSegment(90 * MSS % 60_000);
  stack.send(packet, gso);
  stack.send(packet, gso);
  fixture.run();
  stack.link.close();
  fixture.udp.answer = () => 0;
  fixture.run();
  const sent = sentPackets(fixture, keypair);
  assert(sent.length < 2 * segments.length);
  assertEquals(sent, segments.slice(0, sent.length), "what had its place is sent");
  assertEquals(stack.pool.usedBytes, 0);
});

Deno.test("a link may be closed by what the error about its segment sets off", () => {
  const { fixture, stack } = setUp();
  fixture.addKeypair(1);
  const { packet, gso } = tcpSegment(3 * MSS, 1, 0x08080808);
  for (let i = 0; i < 3; i++) stack.send(packet, gso);
  stack.onItemSeen = () => stack.link.close();
  fixture.run();
  assertEquals(stack.items.length, 1);
  assertEquals(stack.pool.usedBytes, 0);
});
