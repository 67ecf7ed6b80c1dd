import { assert, assertEquals, assertThrows } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { Ready } from "../../src/lane/lane.ts";
import { SEND_BYTES_MAX, SEND_MESSAGES_MAX } from "../../src/lane/limits.ts";
import { EVEN_BYTES_MAX, paddedBytes } from "../../src/lane/send_batches.ts";
import { LaneWord } from "../../src/lane/shared_state.ts";
import { PeerCommand, PeerField } from "../../src/tables/peer_table.ts";
import { tcpSuperPacket4, udpPacket4 } from "../sim/packets.ts";
import {
  counterOf,
  type FixtureOptions,
  inner,
  LaneFixture,
  OWN,
  receiverOf,
  type TestKeypair,
} from "./lane_fixture.ts";

function setUp(options: FixtureOptions = {}) {
  const fixture = new LaneFixture(options);
  for (const peer of [0, 1, 2]) fixture.addPeer(peer);
  const keypairs = [0, 1, 2].map((peer) => fixture.addKeypair(peer));
  return { fixture, keypairs, udp: fixture.udp, tun: fixture.tun };
}

/** A UDP packet of exactly `bytes` bytes, IP header included, filled with `mark`. */
function packet(bytes: number, mark = 1, peer = 0, tos = 0): Uint8Array {
  return udpPacket4(OWN, inner(peer), new Uint8Array(bytes - 28).fill(mark), tos);
}

/** The lengths of the datagrams of each send. */
function shapes(fixture: LaneFixture): number[][] {
  return fixture.udp.taken.map(({ messages }) => messages.map(({ length }) => length));
}

function superPacket(count: number, size: number, peer = 0): Uint8Array {
  return tcpSuperPacket4(OWN, inner(peer), new Uint8Array(count * size).fill(7), size);
}

/** What wireguard-go's rule says, worked out from scratch: pad, but never beyond the MTU. */
function paddedSlowly(bytes: number, mtu: number): number {
  let whole = 0, rest = bytes;
  if (mtu > 0 && bytes > mtu) {
    while (rest >= mtu) {
      rest -= mtu;
      whole += mtu;
    }
  }
  let padded = rest;
  while (padded % 16 !== 0) padded++;
  return whole + (mtu > 0 && padded > mtu ? mtu : padded);
}

Deno.test("padding goes up to 16 bytes and never beyond the MTU, for every length", () => {
  for (const mtu of [0, 1, 15, 16, 17, 576, 1000, 1279, 1280, 1419, 1420, 1421, 9000, 65_535]) {
    for (let bytes = 20; bytes <= 4500; bytes++) {
      const padded = paddedBytes(bytes, mtu);
      if (padded !== paddedSlowly(bytes, mtu)) {
        assertEquals(padded, paddedSlowly(bytes, mtu), `${bytes} bytes, MTU ${mtu}`);
      }
    }
  }
});

for (const mtu of [1420, 1000, 1417, 0]) {
  Deno.test(`with an MTU of ${mtu} every packet is padded by zeros to the wanted length`, () => {
    const { fixture, keypairs, udp, tun } = setUp();
    fixture.channels.setWord(LaneWord.Mtu, mtu);
    const random = new SeededRandom(5);
    // Batches hold older, longer packets, whose bytes must not show in the padding.
    const lengths = [1420, 1419, 1405, 1404, 1001, 1000, 999, 29, 44, 45, 28, 576];
    for (const bytes of [...lengths, ...lengths.reverse()]) {
      udp.taken.length = 0;
      const sent = packet(bytes, 1 + random.below(255));
      tun.fromHost.push(sent);
      fixture.run();
      const plain = fixture.decrypt(keypairs[0], udp.messages[0]);
      assertEquals(plain.length, paddedSlowly(bytes, mtu));
      assertEquals(plain.subarray(0, bytes), sent.subarray(10));
      assertEquals(plain.subarray(bytes), new Uint8Array(plain.length - bytes));
    }
  });
}

Deno.test("segments that are padded to one length share a batch, their padding is zero", () => {
  const { fixture, keypairs, udp, tun } = setUp();
  tun.fromHost.push(packet(1420, 0xff), packet(1420, 0xff));
  fixture.run();
  udp.taken.length = 0;
  tun.fromHost.push(tcpSuperPacket4(OWN, inner(0), new Uint8Array(995).fill(9), 100));
  fixture.run();
  // Nine segments of 140 bytes and one of 135, all 144 with padding.
  assertEquals(shapes(fixture), [Array(10).fill(144 + 32)]);
  udp.messages.forEach((message, i) => {
    const plain = fixture.decrypt(keypairs[0], message);
    const bytes = i < 9 ? 140 : 135;
    assertEquals(plain.subarray(bytes), new Uint8Array(144 - bytes));
  });
});

Deno.test("packets of several reads share a send; a shorter one is its last", () => {
  const { fixture, tun } = setUp();
  tun.fromHost.push(packet(400), packet(400), packet(100), packet(400));
  fixture.run();
  assertEquals(shapes(fixture), [[432, 432, 144], [432]]);
});

Deno.test("small packets that wait together leave 64 to a send", () => {
  const { fixture, tun } = setUp();
  for (let i = 0; i < 130; i++) tun.fromHost.push(packet(92));
  fixture.run();
  assertEquals(shapes(fixture).map((shape) => shape.length), [64, 64, 2]);
});

Deno.test("a turn takes a few super-packets only, so that what comes in is not kept waiting", () => {
  const { fixture, tun } = setUp({ mtu: 1420 });
  for (let i = 0; i < 10; i++) tun.fromHost.push(superPacket(47, 1368));
  fixture.lane.ready |= Ready.Tun;
  assert(fixture.lane.turn(fixture.nowMs));
  assertEquals(tun.fromHost.length, 6);
});

Deno.test("packets that differ by little share a send, whichever comes first", () => {
  const { fixture, tun } = setUp();
  const shapesOf = (...lengths: number[]) => {
    fixture.udp.taken.length = 0;
    for (const bytes of lengths) tun.fromHost.push(packet(bytes));
    fixture.run();
    return shapes(fixture);
  };
  assertEquals(shapesOf(100, 60, 90, 100), [Array(4).fill(112 + 32)]);
  assertEquals(shapesOf(60, 64, 76, 90, 112, 60), [Array(6).fill(112 + 32)]);
  // 48 and 128 are 80 apart, however they are approached.
  assertEquals(shapesOf(48, 80, 112, 128, 48), [Array(3).fill(112 + 32), [128 + 32, 48 + 32]]);
  // Long ones are not moved apart, but a shorter one still joins them.
  assertEquals(shapesOf(600, 640, 590), [[608 + 32], [640 + 32, 640 + 32]]);
});

Deno.test("packets of random lengths arrive unchanged and in order, with little padding of zeros", () => {
  const seed = 77;
  const random = new SeededRandom(seed);
  const { fixture, keypairs, udp, tun } = setUp();
  for (let round = 0; round < 40; round++) {
    udp.taken.length = 0;
    const least = 28 + random.below(600), spread = 1 + random.below(200);
    const sent = Array.from(
      { length: 1 + random.below(150) },
      () =>
        random.below(30) === 0
          ? superPacket(1 + random.below(20), 1 + random.below(1300))
          : packet(least + random.below(spread), random.below(256)),
    );
    tun.fromHost.push(...sent);
    fixture.run();
    const plains = udp.messages.map((message) => fixture.decrypt(keypairs[0], message));
    const where = `seed ${seed} round ${round}`;
    const datagrams = plains.filter((plain) => plain[9] === 17).map((plain) => {
      const bytes = plain[2] << 8 | plain[3];
      assert(plain.length <= paddedSlowly(bytes, 1420) + EVEN_BYTES_MAX, where);
      assert(plain.subarray(bytes).every((byte) => byte === 0), where);
      return plain.slice(0, bytes);
    });
    assertEquals(
      datagrams,
      sent.filter((one) => one[19] === 17).map((one) => one.slice(10)),
      where,
    );
    for (const { messages } of udp.taken) {
      assert(messages.slice(0, -1).every(({ length }) => length === messages[0].length), where);
      assert(messages.at(-1)!.length <= messages[0].length, where);
    }
  }
});

Deno.test("a longer packet closes the batch", () => {
  const { fixture, tun } = setUp();
  tun.fromHost.push(packet(100), packet(100), packet(400));
  fixture.run();
  assertEquals(shapes(fixture), [[144, 144], [432]]);
});

Deno.test("another ECN mark closes the batch; CE goes out as ECT(0) and DSCP stays inside", () => {
  const { fixture, udp, tun } = setUp();
  const sendsFor = (...marks: number[]) => {
    udp.taken.length = 0;
    for (const tos of marks) tun.fromHost.push(packet(100, 1, 0, tos));
    fixture.run();
    return udp.taken.map((send) => [send.tos, send.messages.length]);
  };
  assertEquals(sendsFor(0, 0xb8, 1), [[0, 2], [1, 1]]);
  assertEquals(sendsFor(2, 3, 0xbb), [[2, 3]]);
});

Deno.test("a send has at most 64 messages and 65,507 bytes", () => {
  const { fixture, udp, tun } = setUp({ mtu: 9000 });
  for (const size of [10, 500, 983, 984, 1380, 5000, 8900]) {
    const count = Math.floor(60_000 / size);
    udp.taken.length = 0;
    tun.fromHost.push(superPacket(count, size));
    fixture.run();
    assertEquals(udp.messages.length, count);
    for (const { messages } of udp.taken) {
      assert(messages.length <= SEND_MESSAGES_MAX);
      assert(messages.reduce((sum, { length }) => sum + length, 0) <= SEND_BYTES_MAX);
    }
    const full = Math.min(64, Math.floor(SEND_BYTES_MAX / udp.messages[0].length));
    assertEquals(udp.taken[0].messages.length, Math.min(full, count), `size ${size}`);
  }
});

Deno.test("a packet of 65,535 bytes does not run over its batch", () => {
  const { fixture, keypairs, udp, tun } = setUp({ mtu: 65_535 });
  tun.fromHost.push(packet(65_475, 3), packet(65_535, 4), packet(100, 5));
  fixture.run();
  assertEquals(udp.messages.map(({ length }) => length), [65_488 + 32, 65_535 + 32, 112 + 32]);
  const plains = udp.messages.map((message) => fixture.decrypt(keypairs[0], message));
  assertEquals(plains.map((plain) => plain[40]), [3, 4, 5]);
  assert(plains[1].every((byte, i) => i < 28 || byte === 4));
});

Deno.test("peers that take turns keep a batch each, every flow in order", () => {
  const { fixture, keypairs, udp, tun } = setUp();
  for (let i = 0; i < 4; i++) {
    for (const peer of [0, 1, 2]) tun.fromHost.push(packet(200, 10 + i, peer));
  }
  for (let i = 0; i < 3; i++) fixture.lane.turn(fixture.nowMs);
  fixture.run();
  for (const peer of [0, 1, 2]) {
    const own = udp.messages.filter((message) => receiverOf(message) === 0x1000 + peer);
    assertEquals(own.map((message) => Number(counterOf(message))), [0, 1, 2, 3]);
    const marks = own.map((message) => fixture.decrypt(keypairs[peer], message)[30]);
    assertEquals(marks, [10, 11, 12, 13]);
  }
  assert(udp.taken.length < 12, "some sends were shared");
});

Deno.test("with fewer batches than peers everything still goes out in order", () => {
  const { fixture, keypairs, udp, tun } = setUp({ sealBatches: 1 });
  for (let i = 0; i < 30; i++) tun.fromHost.push(superPacket(1 + i % 7, 100 + i, i % 3));
  fixture.run();
  for (const peer of [0, 1, 2]) {
    const own = udp.messages.filter((message) => receiverOf(message) === 0x1000 + peer);
    own.forEach((message, i) => {
      assertEquals(Number(counterOf(message)), i);
      fixture.decrypt(keypairs[peer], message);
    });
  }
});

Deno.test("nonces run on without a gap, and a new key begins at zero with its own index", () => {
  const { fixture, keypairs, udp, tun } = setUp();
  const used = new Set<string>();
  const check = (keypair: TestKeypair, first: number) => {
    udp.messages.forEach((message, i) => {
      assertEquals(receiverOf(message), keypair.remoteIndex);
      assertEquals(Number(counterOf(message)), first + i);
      fixture.decrypt(keypair, message);
      const nonce = `${keypair.slot}/${counterOf(message)}`;
      assert(!used.has(nonce), `nonce ${nonce} is used once`);
      used.add(nonce);
    });
    const count = udp.messages.length;
    udp.taken.length = 0;
    return first + count;
  };
  let next = 0;
  for (let i = 0; i < 5; i++) {
    tun.fromHost.push(superPacket(70, 50), packet(500), packet(600));
    fixture.run();
    next = check(keypairs[0], next);
  }
  const fresh = fixture.addKeypair(0);
  tun.fromHost.push(superPacket(70, 50), packet(500));
  fixture.run();
  check(fresh, 0);
});

Deno.test("a key that changes while a batch waits for the socket does not touch that batch", () => {
  const { fixture, keypairs, udp, tun } = setUp();
  udp.answer = () => -11;
  tun.fromHost.push(superPacket(5, 100));
  fixture.run();
  const fresh = fixture.addKeypair(0);
  fixture.retire(0, keypairs[0]);
  fixture.tables.keypairs.wipe(keypairs[0].slot);
  udp.answer = () => 0;
  tun.fromHost.push(packet(300));
  fixture.run();
  udp.messages.slice(0, 5).forEach((message) => fixture.decrypt(keypairs[0], message));
  fixture.decrypt(fresh, udp.messages[5]);
});

Deno.test("a super-packet that waits for a batch goes on under the session that is there then", () => {
  const { fixture, keypairs, udp, tun } = setUp({ sealBatches: 1 });
  udp.answer = () => -11;
  tun.fromHost.push(superPacket(150, 100));
  fixture.run();
  fixture.retire(0, keypairs[0]);
  fixture.tables.keypairs.wipe(keypairs[0].slot);
  const fresh = fixture.addKeypair(0);
  udp.answer = () => 0;
  fixture.run();
  assertEquals(udp.messages.length, 150);
  udp.messages.forEach((message, i) => fixture.decrypt(i < 64 ? keypairs[0] : fresh, message));
});

Deno.test("a super-packet that waits for a batch ends with its session: nothing is sealed with zeros", () => {
  const { fixture, keypairs, udp, tun } = setUp({ sealBatches: 1 });
  udp.answer = () => -11;
  tun.fromHost.push(superPacket(150, 100));
  fixture.run();
  fixture.retire(0, keypairs[0]);
  fixture.tables.keypairs.wipe(keypairs[0].slot);
  udp.answer = () => 0;
  fixture.run();
  assertEquals(udp.messages.length, 64);
  udp.messages.forEach((message) => fixture.decrypt(keypairs[0], message));
});

Deno.test("a super-packet that waits for a batch follows its prefix to another peer", () => {
  const { fixture, keypairs, udp, tun } = setUp({ sealBatches: 1 });
  udp.answer = () => -11;
  tun.fromHost.push(superPacket(150, 100));
  fixture.run();
  fixture.allow(2, inner(0), 32);
  udp.answer = () => 0;
  fixture.run();
  udp.messages.slice(64).forEach((message) => fixture.decrypt(keypairs[2], message));
  assertThrows(() => fixture.decrypt(keypairs[0], udp.messages[64]));
});

Deno.test("a keepalive is an empty message; behind packets it is the shorter last of their send", () => {
  const { fixture, keypairs, udp, tun } = setUp();
  const { commands } = fixture.channels;
  commands.post(0, PeerCommand.SendKeepalive);
  fixture.run();
  assertEquals(shapes(fixture), [[32]]);
  assertEquals(fixture.decrypt(keypairs[0], udp.messages[0]).length, 0);
  assertEquals(fixture.tables.peers.field(0, PeerField.LastDataSentMs), 0);
  assertEquals(fixture.tables.peers.field(0, PeerField.LastSentMs), fixture.nowMs);
  tun.fromHost.push(packet(100));
  fixture.run();
  assertEquals(fixture.tables.peers.field(0, PeerField.LastDataSentMs), fixture.nowMs);
  assertEquals(udp.messages.map((message) => Number(counterOf(message))), [0, 1]);
});
