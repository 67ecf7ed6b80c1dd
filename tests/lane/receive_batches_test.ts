import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import { LaneCounter } from "../../src/lane/counters.ts";
import { Ready } from "../../src/lane/lane.ts";
import { RECEIVE_MESSAGES_MAX } from "../../src/lane/limits.ts";
import { QUEUE_INTERVAL_TARGETS, QUEUE_TARGET_MS_MAX } from "../../src/lane/queue_delay.ts";
import { HANDSHAKE_SLOTS } from "../../src/lane/shared_state.ts";
import { AF_INET6 } from "../../src/tables/endpoint.ts";
import { PeerEvent, PeerField, PeerWord } from "../../src/tables/peer_table.ts";
import { buildPacket, UDP } from "../offload/packet_builder.ts";
import { Ecn } from "../../src/wire/ecn.ts";
import { IpProtocol } from "../../src/wire/ip.ts";
import { setIpv4Checksum } from "../../src/wire/ipv4.ts";
import { ipPart, udpPacket4 } from "../sim/packets.ts";
import {
  concat,
  endpoint4,
  endpoint6,
  type FixtureOptions,
  inner,
  LaneFixture,
  OWN,
  type ScriptedUdp,
  type TestKeypair,
} from "./lane_fixture.ts";

function setUp(options: FixtureOptions = {}) {
  const fixture = new LaneFixture(options);
  fixture.addPeer(0);
  fixture.addPeer(1);
  const keypairs = [fixture.addKeypair(0), fixture.addKeypair(1)];
  const arrive = (bytes: Uint8Array, more = {}) => {
    fixture.udp.arrivals.push({ bytes, ...more });
    fixture.run();
  };
  return { fixture, keypairs, udp: fixture.udp, tun: fixture.tun, arrive };
}

/** A packet from a peer to us, without vnet header, as the peer would seal it. */
function packetFrom(peer: number, mark = 1, tos = 0): Uint8Array {
  return ipPart(udpPacket4(inner(peer), OWN, new Uint8Array(84).fill(mark), tos));
}

/** The same with a UDP checksum, without which packets are not coalesced. */
function summedFrom(peer: number, mark = 1): Uint8Array {
  return buildPacket({
    protocol: UDP,
    source: inner(peer),
    destination: OWN,
    payload: new Uint8Array(84).fill(mark),
  });
}

const range = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);

function packet6(payloadBytes: number, mark = 1): Uint8Array {
  const bytes = new Uint8Array(40 + payloadBytes).fill(mark, 40);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x60;
  view.setUint16(4, payloadBytes);
  bytes[6] = 59;
  bytes.set([0xfd, 0, 0, 1], 8);
  return bytes;
}

/** The marks of the packets that reached the TUN, whether joined or not. */
function marks(fixture: LaneFixture): number[] {
  return fixture.tun.toHost.flatMap((item) => {
    const payload = item.subarray(10 + 28);
    return Array.from({ length: payload.length / 84 }, (_, i) => payload[i * 84]);
  });
}

const handshake = (type: number, bytes: number) => {
  const message = new Uint8Array(bytes);
  message[0] = type;
  return message;
};

Deno.test("a message is delivered as the peer sent it, padding cut off", () => {
  const { fixture, keypairs, arrive, tun } = setUp();
  const packet = packetFrom(0);
  const padded = new Uint8Array(packet.length + 13);
  padded.set(packet);
  arrive(fixture.message(keypairs[0], 0, padded));
  assertEquals(tun.toHost.map(ipPart), [packet]);
});

Deno.test("datagrams of no type, or not of their type's length, are counted and forgotten", () => {
  const { fixture, arrive, tun } = setUp();
  const wrong = [
    new Uint8Array(0),
    new Uint8Array(1),
    new Uint8Array(31),
    handshake(4, 31),
    handshake(0, 64),
    handshake(5, 148),
    handshake(1, 147),
    handshake(1, 149),
    handshake(2, 91),
    handshake(2, 148),
    handshake(3, 65),
    new Uint8Array(65_507).fill(0xff),
  ];
  const reserved = handshake(4, 64);
  reserved[2] = 1;
  wrong.push(reserved);
  for (const bytes of wrong) arrive(bytes);
  assertEquals(fixture.dropped(DropReason.MessageInvalid), wrong.length);
  assertEquals([tun.toHost.length, fixture.rings], [0, 0]);
});

Deno.test("a receiver index that we have not given out is counted", () => {
  const { fixture, keypairs, arrive } = setUp();
  for (const index of [0, keypairs[0].localIndex ^ 1 << 30, keypairs[0].localIndex ^ 1 << 8, -1]) {
    arrive(fixture.message({ ...keypairs[0], localIndex: index }, 0, packetFrom(0)));
  }
  assertEquals(fixture.dropped(DropReason.ReceiverUnknown), 4);
  fixture.retire(0, keypairs[0]);
  arrive(fixture.message(keypairs[0], 0, packetFrom(0)));
  assertEquals(fixture.dropped(DropReason.ReceiverUnknown), 5);
});

Deno.test("a key opens until it is 180 s old and not a moment longer", () => {
  const { fixture, keypairs, arrive, tun } = setUp();
  fixture.nowMs += 179_999;
  arrive(fixture.message(keypairs[0], 0, packetFrom(0)));
  assertEquals(tun.toHost.length, 1);
  fixture.nowMs += 1;
  arrive(fixture.message(keypairs[0], 1, packetFrom(0)));
  assertEquals(tun.toHost.length, 1);
  assertEquals(fixture.dropped(DropReason.KeypairExpired), 1);
});

Deno.test("counters from the limit on are refused, however large", () => {
  const { fixture, keypairs, arrive, tun } = setUp();
  const limit = 2n ** 53n - 2n ** 13n - 1n;
  for (const counter of [limit, limit + 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    arrive(fixture.message(keypairs[0], counter, packetFrom(0)));
  }
  assertEquals(fixture.dropped(DropReason.CounterTooLarge), 5);
  arrive(fixture.message(keypairs[0], limit - 1n, packetFrom(0)));
  assertEquals(tun.toHost.length, 1);
});

Deno.test("only authentic messages move the replay window", () => {
  const { fixture, keypairs, arrive, tun } = setUp();
  const forged = fixture.message(
    { ...keypairs[0], receiveKey: new Uint8Array(32) },
    9_000,
    packetFrom(0),
  );
  arrive(forged);
  assertEquals(fixture.dropped(DropReason.AuthenticationFailed), 1);
  for (const counter of [0, 0, 1, 9_000, 9_000, 1_000, 872, 871]) {
    arrive(fixture.message(keypairs[0], counter, packetFrom(0)));
  }
  // 0, 1, 9,000, 1,000 and 872 (8,128 behind) are new; 871 is too old.
  assertEquals(tun.toHost.length, 5);
  assertEquals(fixture.dropped(DropReason.Replayed), 3);
});

Deno.test("a broken inner packet is counted, whatever its lengths claim", () => {
  const { fixture, keypairs, arrive, tun } = setUp();
  const short = packetFrom(0), long = packetFrom(0), options = packetFrom(0);
  new DataView(short.buffer, short.byteOffset).setUint16(2, 19);
  new DataView(long.buffer, long.byteOffset).setUint16(2, long.length + 1);
  options[0] = 0x4f;
  new DataView(options.buffer, options.byteOffset).setUint16(2, 40);
  const tinyHeader = packetFrom(0);
  tinyHeader[0] = 0x44;
  const version5 = packetFrom(0);
  version5[0] = 0x55;
  const long6 = packet6(20);
  new DataView(long6.buffer).setUint16(4, 21);
  const broken = [
    short.slice(),
    long.slice(),
    options.slice(),
    tinyHeader.slice(),
    version5.slice(),
    new Uint8Array(16),
    Uint8Array.of(0x45),
    packetFrom(0).slice(0, 19),
    long6,
    packet6(0).slice(0, 39),
  ];
  broken.forEach((packet, i) => arrive(fixture.message(keypairs[0], i, packet)));
  assertEquals(fixture.dropped(DropReason.InnerIpInvalid), broken.length);
  assertEquals(tun.toHost.length, 0);
});

Deno.test("the inner source must belong to the very peer, also where prefixes overlap", () => {
  const { fixture, keypairs, arrive, tun } = setUp();
  // Peer 0 has 10.101.0.0/16 and peer 1 a part of it.
  fixture.allow(0, 0x0a650000, 16);
  fixture.allow(1, 0x0a650100, 24);
  const from = (source: number) => ipPart(udpPacket4(source, OWN, new Uint8Array(84).fill(1)));
  const sources = [
    { peer: 0, source: 0x0a650001, isAllowed: true },
    { peer: 0, source: 0x0a650101, isAllowed: false },
    { peer: 1, source: 0x0a650101, isAllowed: true },
    { peer: 1, source: 0x0a650001, isAllowed: false },
    { peer: 1, source: inner(0), isAllowed: false },
    { peer: 0, source: 0x08080808, isAllowed: false },
    { peer: 0, source: OWN, isAllowed: false },
    { peer: 0, source: inner(0), isAllowed: true },
  ];
  let delivered = 0, refused = 0;
  sources.forEach(({ peer, source, isAllowed }, i) => {
    arrive(fixture.message(keypairs[peer], i, from(source)));
    if (isAllowed) delivered++;
    else refused++;
    assertEquals([tun.toHost.length, fixture.dropped(DropReason.SourceNotAllowed)], [
      delivered,
      refused,
    ]);
  });
});

Deno.test("the endpoint is that of the last authentic message, whatever became of its packet", () => {
  const { fixture, keypairs, arrive } = setUp();
  arrive(fixture.message(keypairs[0], 0, packetFrom(0)), { endpoint: endpoint4(50, true) });
  assertEquals(fixture.endpointOf(0), endpoint4(50, true));
  arrive(fixture.message(keypairs[0], 1, packetFrom(1)), { endpoint: endpoint4(51) });
  assertEquals(fixture.endpointOf(0), endpoint4(51), "source refused, yet it roams");
  arrive(fixture.message(keypairs[0], 2, new Uint8Array(0)), {
    endpoint: endpoint6(52),
    family: AF_INET6,
  });
  assertEquals(fixture.endpointOf(0), endpoint6(52), "a keepalive, from IPv4 to IPv6");
  arrive(fixture.message(keypairs[0], 2, packetFrom(0)), { endpoint: endpoint4(53) });
  assertEquals(fixture.endpointOf(0), endpoint6(52), "a replay does not");
  const forged = fixture.message(keypairs[0], 3, packetFrom(0));
  forged[30] ^= 1;
  arrive(forged, { endpoint: endpoint4(54) });
  assertEquals(fixture.endpointOf(0), endpoint6(52), "a forgery does not");
  assertEquals(fixture.endpointOf(1), endpoint4(2), "the other peer stays where it was");
});

Deno.test("a keepalive delivers nothing and counts as a sign of life, not as data", () => {
  const { fixture, keypairs, arrive, tun } = setUp();
  const { peers } = fixture.tables;
  peers.setField(0, PeerField.UnansweredSinceMs, 500);
  arrive(fixture.message(keypairs[0], 0, new Uint8Array(0)));
  assertEquals(tun.toHost.length, 0);
  assertEquals(peers.field(0, PeerField.UnansweredSinceMs), 0);
  assertEquals(peers.field(0, PeerField.LastReceivedMs), fixture.nowMs);
  assertEquals(peers.field(0, PeerField.LastDataReceivedMs), 0);
  assertEquals(peers.field(0, PeerField.UnacknowledgedSinceMs), 0);
  assertEquals(peers.field(0, PeerField.RxBytes), 32);
});

Deno.test("congestion marks of the outer header are carried inwards", () => {
  const { fixture, keypairs, arrive, tun } = setUp();
  const cases = [[0, 0], [1, 3], [2, 3], [3, 3], [0xba, 0xbb]];
  cases.forEach(([before], i) => {
    arrive(fixture.message(keypairs[0], i, packetFrom(0, 1, before)), { tos: 3 });
  });
  assertEquals(tun.toHost.map((item) => ipPart(item)[1]), cases.map(([, after]) => after));
  for (const item of tun.toHost) {
    let sum = 0;
    for (let i = 0; i < 20; i += 2) sum += ipPart(item)[i] << 8 | ipPart(item)[i + 1];
    assertEquals((sum & 0xffff) + (sum >>> 16), 0xffff, "the header checksum is right");
  }
  arrive(fixture.message(keypairs[0], 99, packetFrom(0, 1, 2)), { tos: 2 });
  assertEquals(ipPart(tun.toHost.at(-1)!)[1], 2);
});

Deno.test("a run is taken apart: data of two peers, handshakes and garbage, each as if alone", () => {
  const { fixture, keypairs, arrive } = setUp();
  const data = (keypair: TestKeypair, peer: number, counter: number, mark: number) => {
    const packet = new Uint8Array(116);
    packet.set(packetFrom(peer, mark));
    return fixture.message(keypair, counter, packet);
  };
  const forged = data(keypairs[0], 0, 4, 9);
  forged[40] ^= 1;
  const run = concat([
    data(keypairs[0], 0, 0, 1),
    handshake(1, 148),
    data(keypairs[1], 1, 0, 2),
    new Uint8Array(148),
    forged,
    data(keypairs[0], 0, 0, 8),
    data(keypairs[0], 0, 1, 3),
    handshake(1, 148).slice(0, 92).fill(2, 0, 1),
  ]);
  arrive(run, { segmentBytes: 148, endpoint: endpoint4(33) });
  assertEquals(marks(fixture), [1, 2, 3]);
  assertEquals(fixture.dropped(DropReason.MessageInvalid), 1);
  assertEquals(fixture.dropped(DropReason.AuthenticationFailed), 1);
  assertEquals(fixture.dropped(DropReason.Replayed), 1);
  assertEquals(fixture.channels.handshakes.length, 2);
  assertEquals(fixture.rings, 1);
  assertEquals([fixture.endpointOf(0), fixture.endpointOf(1)], [endpoint4(33), endpoint4(33)]);
  assertEquals(fixture.channels.counters.value(LaneCounter.UdpReceiveMessages), 8);
});

Deno.test("the packets of a run of 64 arrive in order", () => {
  const { fixture, keypairs, arrive } = setUp();
  const run = Array.from(
    { length: 64 },
    (_, i) => fixture.message(keypairs[0], i, packetFrom(0, i + 1)),
  );
  arrive(concat(run), { segmentBytes: run[0].length });
  assertEquals(marks(fixture), run.map((_, i) => i + 1));
});

Deno.test("what is held for one item is delivered when the batches or the places run out", () => {
  const messages = 128;
  for (const openBatches of [1, 2, 3, 4, 8]) {
    const { fixture, keypairs, udp } = setUp({ openBatches });
    for (let run = 0; run < 9; run++) {
      const bytes = concat(
        Array.from(
          { length: messages },
          (_, i) => fixture.message(keypairs[0], run * messages + i, packetFrom(0, run + 1)),
        ),
      );
      udp.arrivals.push({ bytes, segmentBytes: bytes.length / messages });
    }
    fixture.run();
    const expected = Array.from({ length: 9 * messages }, (_, i) => 1 + Math.floor(i / messages));
    assertEquals(marks(fixture), expected, `${openBatches} batches`);
  }
});

Deno.test("datagrams that come one by one are coalesced as those of a run are", () => {
  const { fixture, keypairs, udp, tun } = setUp({ openBatches: 32 });
  for (let i = 0; i < 20; i++) {
    udp.arrivals.push({ bytes: fixture.message(keypairs[0], i, summedFrom(0, i + 1)) });
  }
  fixture.run();
  assertEquals(tun.toHost.length, 1);
  assertEquals(marks(fixture), range(1, 20));
});

Deno.test("datagrams of peers that take turns are coalesced for each, and each may roam", () => {
  const { fixture, keypairs, udp, tun } = setUp({ openBatches: 32 });
  for (let i = 0; i < 20; i++) {
    const peer = i % 2;
    const bytes = fixture.message(keypairs[peer], i, summedFrom(peer, i + 1));
    udp.arrivals.push({ bytes, endpoint: endpoint4(10 * (peer + 1) + i) });
  }
  fixture.run();
  assertEquals(tun.toHost.length, 2);
  const isOf = (peer: number) => (mark: number) => (mark - 1) % 2 === peer;
  assertEquals(marks(fixture), [...range(1, 20).filter(isOf(0)), ...range(1, 20).filter(isOf(1))]);
  assertEquals([fixture.endpointOf(0), fixture.endpointOf(1)], [endpoint4(28), endpoint4(39)]);
});

for (const openBatches of [1, 2, 5]) {
  Deno.test(`with ${openBatches} open batches datagrams that come one by one arrive in order`, () => {
    const { fixture, keypairs, udp } = setUp({ openBatches });
    for (let i = 0; i < 100; i++) {
      udp.arrivals.push({ bytes: fixture.message(keypairs[0], i, summedFrom(0, i + 1)) });
    }
    fixture.run();
    assertEquals(marks(fixture), range(1, 100));
  });
}

Deno.test("a turn receives a bounded number of long runs, so that what goes out does not wait", () => {
  const { fixture, keypairs, udp } = setUp();
  const bytes = fixture.message(keypairs[0], 0, new Uint8Array(65_000));
  const keepalives = range(0, 64).map((i) => fixture.message(keypairs[0], i, new Uint8Array(0)));
  for (const run of [{ bytes }, { bytes: concat(keepalives), segmentBytes: 32 }]) {
    udp.arrivals.length = 0;
    for (let i = 0; i < 10; i++) udp.arrivals.push(run);
    fixture.lane.ready |= Ready.Udp4;
    assert(fixture.lane.turn(fixture.nowMs));
    assertEquals(udp.arrivals.length, 6);
  }
});

Deno.test("a run of more messages than a batch holds is cut off and counted", () => {
  const { fixture, keypairs, arrive } = setUp();
  const keepalives = Array.from(
    { length: RECEIVE_MESSAGES_MAX + 72 },
    (_, i) => fixture.message(keypairs[0], i, new Uint8Array(0)),
  );
  arrive(concat(keepalives), { segmentBytes: 32 });
  assertEquals(fixture.dropped(DropReason.NoBuffer), 72);
  assertEquals(
    fixture.tables.peers.field(0, PeerField.RxBytes),
    32 * RECEIVE_MESSAGES_MAX,
  );
});

Deno.test("the largest datagrams, and runs of them, stay inside their buffers", () => {
  const { fixture, keypairs, arrive, tun } = setUp({ openBatches: 2 });
  const big = ipPart(udpPacket4(inner(0), OWN, new Uint8Array(65_507 - 60).fill(5)));
  arrive(fixture.message(keypairs[0], 0, big));
  arrive(fixture.message(keypairs[0], 1, packetFrom(0)));
  assertEquals(tun.toHost.map((item) => item.length), [big.length + 10, 122]);
  assertEquals(ipPart(tun.toHost[0]), big);
});

Deno.test("handshakes that main does not take are counted, and take nothing from the data", () => {
  const { fixture, keypairs, arrive, tun } = setUp();
  for (let i = 0; i < HANDSHAKE_SLOTS + 50; i++) {
    fixture.udp.arrivals.push({ bytes: handshake(1, 148) });
  }
  arrive(fixture.message(keypairs[0], 0, packetFrom(0)));
  assertEquals(fixture.dropped(DropReason.HandshakeQueueFull), 50);
  assertEquals(fixture.channels.handshakes.length, HANDSHAKE_SLOTS);
  assertEquals(tun.toHost.length, 1);
});

Deno.test("the first message under a new key is announced once, an old key of ours once", () => {
  const { fixture, arrive } = setUp();
  const { events } = fixture.channels;
  while (events.take() >= 0);
  const next = fixture.addKeypair(0, { as: PeerWord.Next, isInitiator: false });
  const bitsAfter = (keypair: TestKeypair, counter: number) => {
    arrive(fixture.message(keypair, counter, packetFrom(0)));
    let bits = 0;
    while (events.take() >= 0) bits |= events.takenBits;
    return bits & (PeerEvent.ConfirmedNext | PeerEvent.ReceivedOnOldKey);
  };
  assertEquals(bitsAfter(next, 0), PeerEvent.ConfirmedNext);
  assertEquals(bitsAfter(next, 1), 0);
  const own = fixture.addKeypair(0, { createdMs: fixture.nowMs });
  fixture.nowMs += 165_000;
  assertEquals(bitsAfter(own, 0), 0);
  fixture.nowMs += 1;
  assertEquals(bitsAfter(own, 1), PeerEvent.ReceivedOnOldKey);
  assertEquals(bitsAfter(own, 2), 0);
  assertEquals(bitsAfter(next, 2), 0, "the responder never rekeys by time");
});

Deno.test("random garbage, cut and changed messages never stop the lane or deliver anything", () => {
  const { fixture, keypairs, arrive, tun } = setUp();
  let state = 12345;
  const below = (bound: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 4294967296 * bound);
  };
  for (let i = 0; i < 1500; i++) {
    let bytes = fixture.message(keypairs[i & 1], i, packetFrom(i & 1));
    const kind = below(4);
    if (kind === 0) bytes = bytes.map(() => below(256));
    else if (kind === 1) bytes = bytes.slice(0, below(bytes.length));
    else if (kind === 2) bytes[8 + below(bytes.length - 8)] ^= 1 << below(8);
    else bytes[16 + below(bytes.length - 16)] ^= 1 << below(8);
    arrive(bytes, { segmentBytes: 1 + below(bytes.length + 40), tos: below(256) });
  }
  assertEquals(tun.toHost.length, 0);
  arrive(fixture.message(keypairs[0], 0, packetFrom(0)));
  assertEquals(tun.toHost.length, 1);
});

/** A packet from peer 0 of `bytes` bytes in all, with that TOS byte: TCP's, or UDP's. */
function longPacket(bytes: number, mark: number, tos: number, protocol = 6): Uint8Array {
  const packet = ipPart(udpPacket4(inner(0), OWN, new Uint8Array(bytes - 28).fill(mark), tos));
  const view = new DataView(packet.buffer, packet.byteOffset);
  view.setUint8(9, protocol);
  setIpv4Checksum(view, 0, 20);
  return packet;
}

/** Receives of one turn, of which the first brings something. */
const RECEIVES_PER_TURN = 64;
/** At the low rates here. */
const QUEUE_INTERVAL_MS = QUEUE_INTERVAL_TARGETS * QUEUE_TARGET_MS_MAX;
const LATE_MS = 10 * QUEUE_TARGET_MS_MAX;

/**
 * Puts `first` and as much behind it into the socket as a turn takes, all of which has waited for
 * long: the queue stands until nothing is put behind.
 */
function fillTurn(udp: ScriptedUdp, first: Uint8Array, segmentBytes = first.length): void {
  udp.arrivals.push({ bytes: first, segmentBytes, queuedMs: LATE_MS });
  for (let i = 1; i < RECEIVES_PER_TURN; i++) {
    udp.arrivals.push({ bytes: new Uint8Array(1), queuedMs: LATE_MS });
  }
}

/** One turn per filling, an interval and more apart. */
function takeTurns(fixture: LaneFixture, count: number, ready: number = Ready.Udp4): void {
  for (let i = 0; i < count; i++) {
    fixture.nowMs += 2 * QUEUE_INTERVAL_MS;
    fixture.lane.ready |= ready;
    fixture.lane.turn(fixture.nowMs);
  }
}

/** Lets packets arrive one in a turn, from a queue that stands. */
function arriveLate(packets: readonly Uint8Array[]) {
  const { fixture, keypairs, udp, tun } = setUp();
  packets.forEach((packet, i) => fillTurn(udp, fixture.message(keypairs[0], i, packet)));
  takeTurns(fixture, packets.length);
  return { fixture, delivered: tun.toHost.map(ipPart) };
}

Deno.test("a queue that stands costs packets that know no ECN, and each is counted", () => {
  const packets = [1, 2, 3, 4].map((mark) => longPacket(1000, mark, Ecn.NotEct));
  const { fixture, delivered } = arriveLate(packets);
  assertEquals(delivered, packets.slice(0, 1));
  assertEquals(fixture.dropped(DropReason.QueueDelay), 3);
  assertEquals(fixture.channels.counters.value(LaneCounter.CongestionMarks), 0);
});

Deno.test("a queue of IPv4 that stands is told of beside one of IPv6 that is empty", () => {
  const { fixture, keypairs, udp } = setUp();
  [1, 2, 3, 4].forEach((mark, i) =>
    fillTurn(udp, fixture.message(keypairs[0], i, longPacket(1000, mark, Ecn.NotEct)))
  );
  takeTurns(fixture, 4, Ready.Udp4 | Ready.Udp6);
  assertEquals(fixture.dropped(DropReason.QueueDelay), 3);
});

Deno.test("a queue that stands marks packets that know ECN, and loses none of them", () => {
  const packets = [1, 2, 3].map((mark) => longPacket(1000, mark, Ecn.Ect0));
  const { fixture, delivered } = arriveLate(packets);
  const marked = [1, 2, 3].map((mark) => longPacket(1000, mark, Ecn.Ce));
  assertEquals(delivered, [packets[0], marked[1], marked[2]]);
  assertEquals(fixture.dropped(DropReason.QueueDelay), 0);
  assertEquals(fixture.channels.counters.value(LaneCounter.CongestionMarks), 2);
});

Deno.test("a queue that stands costs nobody a packet who may not slow down for it", () => {
  const packets = [1, 2, 3].map((mark) => longPacket(1000, mark, Ecn.NotEct, 17));
  const { fixture, delivered } = arriveLate(packets);
  assertEquals(delivered, packets);
  assertEquals(fixture.dropped(DropReason.QueueDelay), 0);
});

Deno.test("short packets neither stand for a queue nor suffer from it", () => {
  const packets = [1, 2, 3].flatMap((mark) => [
    longPacket(100, mark, Ecn.NotEct),
    longPacket(100, mark, Ecn.Ect0),
  ]);
  const { fixture, delivered } = arriveLate(packets);
  assertEquals(delivered, packets);
  assertEquals(fixture.dropped(DropReason.QueueDelay), 0);
});

Deno.test("of a run that has waited for too long one packet goes, and the order of the rest stays", () => {
  const { fixture, keypairs, udp, tun } = setUp();
  const packet = (n: number) =>
    fixture.message(keypairs[0], n, longPacket(1000, n, Ecn.NotEct, IpProtocol.Tcp));
  for (let run = 0; run < 2; run++) {
    fillTurn(udp, concat([0, 1, 2, 3].map((i) => packet(4 * run + i))), 1032);
  }
  takeTurns(fixture, 2);
  const order = tun.toHost.flatMap((item) => {
    const payload = item.subarray(10 + 28);
    return Array.from({ length: payload.length / 972 }, (_, i) => payload[i * 972]);
  });
  assertEquals(order, [0, 1, 2, 3, 5, 6, 7]);
  assertEquals(fixture.dropped(DropReason.QueueDelay), 1);
});

Deno.test("what is late because nobody came for it, with nothing behind it, costs nothing", () => {
  const { fixture, keypairs, arrive, tun } = setUp();
  for (let i = 0; i < 100; i++) {
    fixture.nowMs += QUEUE_INTERVAL_MS;
    const bytes = fixture.message(keypairs[0], i, longPacket(1000, i, Ecn.NotEct));
    arrive(bytes, { queuedMs: LATE_MS });
  }
  assertEquals(tun.toHost.length, 100);
  assertEquals(fixture.dropped(DropReason.QueueDelay), 0);
});
