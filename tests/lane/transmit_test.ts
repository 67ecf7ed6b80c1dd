import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import { Errno } from "../../src/base/errno.ts";
import { LaneCounter } from "../../src/lane/counters.ts";
import { LaneCommand, LaneNotice, LaneWord } from "../../src/lane/shared_state.ts";
import { PeerCommand } from "../../src/tables/peer_table.ts";
import { tcpSuperPacket4, udpPacket4 } from "../sim/packets.ts";
import {
  counterOf,
  endpoint4,
  endpoint6,
  type FixtureOptions,
  inner,
  LaneFixture,
  OWN,
  type Send,
} from "./lane_fixture.ts";

const RETRY_COALESCING_MS = 600_000;

/** A lane with two peers that have sessions. */
function setUp(options: FixtureOptions = {}, endpoint = endpoint4(1)) {
  const fixture = new LaneFixture(options);
  fixture.addPeer(0, endpoint);
  fixture.addPeer(1);
  const keypairs = [fixture.addKeypair(0), fixture.addKeypair(1)];
  return { fixture, keypairs, udp: fixture.udp, tun: fixture.tun };
}

/** A super-packet of `count` segments of `size` bytes to a peer. */
function superPacket(count: number, size = 1000, peer = 0): Uint8Array {
  return tcpSuperPacket4(OWN, inner(peer), new Uint8Array(count * size).fill(7), size);
}

function smallPacket(mark: number, peer = 0): Uint8Array {
  return udpPacket4(OWN, inner(peer), Uint8Array.of(mark));
}

function counters(messages: readonly Uint8Array[]): number[] {
  return messages.map((message) => Number(counterOf(message)));
}

function range(count: number, first = 0): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

const isRun = ({ messages }: Send) => messages.length > 1;
/** Refuses runs, or runs of messages of at least so many bytes. */
const refuseRuns = (errno: number, fromBytes = 0) => (send: Send) =>
  isRun(send) && send.segmentBytes >= fromBytes ? -errno : 0;

Deno.test("a batch goes out as one send with its stride, TOS and endpoint", () => {
  const { fixture, udp, tun } = setUp();
  tun.fromHost.push(superPacket(10));
  fixture.run();
  assertEquals(udp.taken.length, 1);
  assertEquals(udp.taken[0].messages.length, 10);
  assertEquals(udp.taken[0].segmentBytes, 1040 + 32);
  assertEquals(udp.taken[0].endpoint, endpoint4(1));
  assertEquals(counters(udp.messages), range(10));
});

Deno.test("hazard 10: while the socket is full the TUN is not read, and all goes out in order after", () => {
  const { fixture, udp, tun } = setUp();
  udp.answer = () => -Errno.EAGAIN;
  for (let i = 0; i < 160; i++) tun.fromHost.push(smallPacket(i, i % 2));
  fixture.run();
  const unread = tun.fromHost.length;
  assert(unread > 0, "reading has stopped");
  assert(fixture.lane.isSocketFull);
  for (let i = 0; i < 20; i++) fixture.run();
  assertEquals(tun.fromHost.length, unread);
  assertEquals(fixture.dropped(DropReason.SendFailed), 0);
  udp.answer = () => 0;
  fixture.run();
  assertEquals(tun.fromHost.length, 0);
  assert(!fixture.lane.isSocketFull);
  for (const index of [0x1000, 0x1001]) {
    const own = udp.messages.filter((message) =>
      new DataView(message.buffer).getUint32(4, true) === index
    );
    assertEquals(counters(own), range(80));
  }
});

Deno.test("a port that cannot be read while the socket is full is no reason to wake up", () => {
  const { fixture, udp, tun } = setUp();
  udp.answer = () => -Errno.EAGAIN;
  for (let i = 0; i < 80; i++) tun.fromHost.push(smallPacket(i));
  fixture.run();
  assertEquals(fixture.lane.deferred, fixture.lane.ready & 1);
  assert(fixture.lane.deferred !== 0);
  udp.answer = () => 0;
  fixture.run();
  assertEquals(fixture.lane.deferred, 0);
});

Deno.test("a socket that stays full does not keep main's requests to the lane waiting", () => {
  const { fixture, udp, tun } = setUp({ sealBatches: 2 });
  udp.answer = () => -Errno.EAGAIN;
  tun.fromHost.push(superPacket(60, 1380), superPacket(60, 1380));
  fixture.run();
  fixture.channels.commands.post(0, PeerCommand.SendKeepalive);
  fixture.channels.setWord(LaneWord.Beat, 5);
  fixture.channels.request(LaneCommand.Beat | LaneCommand.Stop);
  fixture.lane.turn(fixture.nowMs);
  assertEquals(fixture.channels.word(LaneWord.BeatAnswer), 5);
  assert(fixture.lane.isStopping);
});

Deno.test("hazard 26: a send that stops half-way is resumed at the right message", () => {
  const { fixture, udp, tun } = setUp();
  // Runs are refused, so messages go one by one; after every third the socket is full once.
  let attempts = 0;
  udp.answer = (send) => {
    if (isRun(send)) return -Errno.EMSGSIZE;
    return ++attempts % 4 === 0 ? -Errno.EAGAIN : 0;
  };
  tun.fromHost.push(superPacket(30));
  for (let i = 0; i < 20; i++) fixture.run();
  assertEquals(counters(udp.messages), range(30));
});

Deno.test("hazard 26: EINTR repeats the send at once", () => {
  const { fixture, udp, tun } = setUp();
  udp.answer = () => udp.attempts < 4 ? -Errno.EINTR : 0;
  tun.fromHost.push(superPacket(3));
  fixture.run();
  assertEquals(counters(udp.messages), range(3));
});

Deno.test("hazard 22: ENOBUFS is tried again, in order, but not for ever", () => {
  const { fixture, udp, tun } = setUp();
  udp.answer = () => udp.attempts < 30 ? -Errno.ENOBUFS : 0;
  tun.fromHost.push(smallPacket(0), superPacket(5));
  for (let i = 0; i < 40; i++) fixture.run();
  assertEquals(counters(udp.messages), range(6));
  assertEquals(fixture.channels.counters.value(LaneCounter.SendRetries), 29);

  udp.answer = () => -Errno.ENOBUFS;
  tun.fromHost.push(superPacket(5));
  for (let i = 0; i < 300; i++) fixture.run();
  assertEquals(fixture.dropped(DropReason.SendFailed), 5);
  assert(!fixture.lane.isSocketFull);
  udp.answer = () => 0;
  tun.fromHost.push(smallPacket(0));
  fixture.run();
  assertEquals(counters(udp.messages), [...range(6), 11]);
});

Deno.test("hazard 20: EIO on a run ends runs for good, resends one by one and tells main once", () => {
  const { fixture, udp, tun } = setUp();
  udp.answer = refuseRuns(Errno.EIO);
  tun.fromHost.push(superPacket(10));
  fixture.run();
  assertEquals(counters(udp.messages), range(10));
  udp.answer = () => 0;
  fixture.nowMs += 10 * RETRY_COALESCING_MS;
  for (const peer of [0, 1]) fixture.addKeypair(peer);
  tun.fromHost.push(superPacket(10), superPacket(10, 500, 1));
  fixture.run();
  assert(udp.taken.every((send) => !isRun(send)));
  assertEquals(udp.messages.length, 30);
  const { events, laneSubject } = fixture.channels;
  assertEquals(events.take(), 0);
  const notices = [];
  for (let subject = events.take(); subject >= 0; subject = events.take()) {
    if (subject === laneSubject) notices.push(events.takenBits);
  }
  assertEquals(notices, [LaneNotice.SendFallback]);
});

for (const errno of [Errno.EMSGSIZE, Errno.EINVAL]) {
  const name = errno === Errno.EMSGSIZE ? "EMSGSIZE" : "EINVAL";
  Deno.test(`rule 31: ${name} on a run is remembered for that peer and size, for ten minutes`, () => {
    const { fixture, udp, tun } = setUp();
    udp.answer = refuseRuns(errno, 1000);
    tun.fromHost.push(superPacket(10, 1380));
    fixture.run();
    assertEquals(counters(udp.messages), range(10), "resent one by one, none twice");
    assertEquals(fixture.channels.counters.value(LaneCounter.SegmentationFallbacks), 1);

    const attemptsFor = (packet: Uint8Array) => {
      const before = udp.attempts;
      tun.fromHost.push(packet);
      fixture.run();
      return udp.attempts - before;
    };
    assertEquals(attemptsFor(superPacket(10, 1380)), 10, "remembered");
    assertEquals(attemptsFor(superPacket(10, 500)), 1, "smaller ones go as a run");
    udp.answer = () => 0;
    assertEquals(attemptsFor(superPacket(10, 1380, 1)), 1, "other peers are not affected");
    fixture.nowMs += RETRY_COALESCING_MS - 1;
    fixture.addKeypair(0);
    assertEquals(attemptsFor(superPacket(10, 1380)), 10, "still remembered");
    fixture.nowMs += 1;
    assertEquals(attemptsFor(superPacket(10, 1380)), 1, "tried again");
    assertEquals(fixture.dropped(DropReason.SendFailed), 0);
  });
}

Deno.test("rule 31: what a path cannot carry as a run is forgotten when the peer roams", () => {
  const { fixture, keypairs, udp, tun } = setUp();
  udp.answer = refuseRuns(Errno.EMSGSIZE);
  tun.fromHost.push(superPacket(10));
  fixture.run();
  udp.answer = () => 0;
  const packet = udpPacket4(inner(0), OWN, Uint8Array.of(1)).subarray(10);
  udp.arrivals.push({
    bytes: fixture.message(keypairs[0], 0, packet),
    endpoint: endpoint4(77),
  });
  fixture.run();
  const before = udp.attempts;
  tun.fromHost.push(superPacket(10));
  fixture.run();
  assertEquals(udp.attempts - before, 1);
  assertEquals(udp.taken.at(-1)!.endpoint, endpoint4(77));
});

Deno.test("hazard 19: a run that only the kernel's limit refuses still arrives whole", () => {
  const { fixture, udp, tun } = setUp();
  udp.answer = ({ messages }) => messages.length > 8 ? -Errno.EINVAL : 0;
  tun.fromHost.push(superPacket(40));
  fixture.run();
  assertEquals(counters(udp.messages), range(40));
});

const removedSources = [
  { family: "IPv4", errno: "ENETUNREACH", endpoint: endpoint4(1, true) },
  { family: "IPv6", errno: "EINVAL", endpoint: endpoint6(1, true) },
  { family: "IPv6", errno: "EADDRNOTAVAIL", endpoint: endpoint6(1, true) },
  { family: "IPv4", errno: "ENODEV", endpoint: endpoint4(1, true) },
] as const;
for (const { family, errno, endpoint } of removedSources) {
  for (const count of [1, 12]) {
    Deno.test(`rule 32: a source that is gone (${family}, ${errno}) is forgotten and ${count} resent`, () => {
      const { fixture, udp, tun } = setUp({}, endpoint);
      const withoutSource = family === "IPv4" ? endpoint4(1) : endpoint6(1);
      udp.answer = (send) => send.endpoint[32] !== 0 ? -Errno[errno] : 0;
      tun.fromHost.push(superPacket(count));
      fixture.run();
      assertEquals(counters(udp.messages), range(count));
      assertEquals(udp.taken.map((send) => send.endpoint), [withoutSource], "as one send");
      assertEquals(fixture.endpointOf(0), withoutSource);
      assertEquals(fixture.channels.counters.value(LaneCounter.SourceForgotten), 1);
      const before = udp.attempts;
      tun.fromHost.push(superPacket(count));
      fixture.run();
      assertEquals(udp.attempts - before, 1, "nothing is left to forget or to remember");
    });
  }
}

Deno.test("rule 32: without a source the same errors drop the batch, once, and are counted", () => {
  const { fixture, udp, tun } = setUp();
  udp.answer = () => -Errno.ENETUNREACH;
  tun.fromHost.push(superPacket(12));
  fixture.run();
  assertEquals([udp.attempts, fixture.dropped(DropReason.SendFailed)], [1, 12]);
});

for (const errno of ["EPERM", "ECONNREFUSED", "EHOSTUNREACH", "ENETDOWN", "EACCES"] as const) {
  Deno.test(`hazards 23, 24: ${errno} is counted and ends nothing`, () => {
    const { fixture, udp, tun } = setUp();
    udp.answer = () => -Errno[errno];
    tun.fromHost.push(superPacket(12), smallPacket(1, 1));
    fixture.run();
    assertEquals(fixture.dropped(DropReason.SendFailed), 13);
    udp.answer = () => 0;
    tun.fromHost.push(superPacket(12), smallPacket(1, 1));
    fixture.run();
    assertEquals(counters(udp.messages), [...range(12, 12), 1]);
  });
}

Deno.test("where the kernel cannot segment no run is ever tried", () => {
  const { fixture, udp, tun } = setUp({ sendMessagesMax: 1 });
  tun.fromHost.push(superPacket(30));
  fixture.run();
  assert(udp.taken.every((send) => !isRun(send)));
  assertEquals(counters(udp.messages), range(30));
});

Deno.test("a random order of refusals never loses, repeats or reorders a message of a peer", () => {
  const errors = [
    Errno.EAGAIN,
    Errno.ENOBUFS,
    Errno.EINTR,
    Errno.EMSGSIZE,
    Errno.EINVAL,
  ];
  for (let seed = 1; seed <= 8; seed++) {
    let state = seed * 2654435761 >>> 0;
    const below = (bound: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor(state / 4294967296 * bound);
    };
    const { fixture, udp, tun } = setUp({ sealBatches: 2 + below(6) });
    udp.answer = (send) => {
      const error = errors[below(errors.length)];
      if (below(3) !== 0) return 0;
      // A message alone is refused only for a while.
      return isRun(send) || (error !== Errno.EMSGSIZE && error !== Errno.EINVAL) ? -error : 0;
    };
    const sent = [0, 0];
    for (let i = 0; i < 40; i++) {
      const peer = below(2), count = 1 + below(50);
      tun.fromHost.push(superPacket(count, 100 + below(1200), peer));
      sent[peer] += count;
      if (below(3) === 0) fixture.run();
    }
    for (let i = 0; i < 200; i++) fixture.run();
    for (const peer of [0, 1]) {
      const own = udp.messages.filter((message) =>
        new DataView(message.buffer).getUint32(4, true) === 0x1000 + peer
      );
      assertEquals(counters(own), range(sent[peer]), `seed ${seed}`);
    }
  }
});
