import { assert, assertEquals, assertThrows } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { segmentBytes, splitSegments } from "../../src/offload/gso_split.ts";
import { SuperPacket } from "../../src/offload/super_packet.ts";
import type { ChecksumKernel } from "../../src/wire/checksum_kernel.ts";
import { isIpv4HeaderValid, isTransportValid } from "../reference/checksum_reference.ts";
import {
  ACK,
  buildPacket,
  buildSuperPacket,
  CWR,
  FIN,
  type PacketFields,
  pattern,
  PSH,
  TCP,
  TIMESTAMPS,
  UDP,
} from "./packet_builder.ts";
import {
  assertSameBytes,
  checkSplit,
  expectedSegments,
  IN,
  kernels,
  OUT,
  parseAt,
  slab,
  splitAll,
} from "./split_harness.ts";

const versions = [4, 6] as const;
const protocols = [TCP, UDP];

/** Splits a TCP super-packet of 5 segments and returns a byte of each segment's header. */
function splitFive(fields: Partial<PacketFields>): Uint8Array[] {
  const { vnet, packet } = buildSuperPacket({ payload: pattern(450), ...fields }, 100);
  return splitAll(parseAt(IN, vnet, packet).sp, kernels.wasm, 5);
}

/** Completes one packet with every kernel and compares with the reference. */
function checkOne(fields: Partial<PacketFields>, packet: Uint8Array, vnet: Partial<VnetOf>): void {
  const full = {
    flags: 0,
    gsoType: 0,
    hdrLen: 0,
    gsoSize: 0,
    csumStart: 0,
    csumOffset: 0,
    ...vnet,
  };
  const [expected] = expectedSegments(fields, full, packet);
  const { sp } = parseAt(IN, full, packet);
  for (const kernel of Object.values(kernels)) {
    assertSameBytes(splitAll(sp, kernel, 1)[0], expected, JSON.stringify(vnet));
  }
}

type VnetOf = ReturnType<typeof buildSuperPacket>["vnet"];

Deno.test("rule 7: GSO_NONE without NEEDS_CSUM is passed on unchanged, wrong checksum and all", () => {
  for (const version of versions) {
    for (const protocol of protocols) {
      const fields = { version, protocol, payload: pattern(333) };
      const packet = buildPacket(fields);
      packet[packet.length - 1] ^= 1;
      checkOne(fields, packet, {});
    }
  }
});

Deno.test("rule 7: GSO_NONE with NEEDS_CSUM gets its checksum completed", () => {
  for (const version of versions) {
    for (const protocol of protocols) {
      for (const length of [0, 1, 2, 3, 15, 16, 17, 100, 1001, 1400]) {
        const fields = { version, protocol, payload: pattern(length) };
        const { vnet, packet } = buildSuperPacket(fields, 0);
        checkOne(fields, packet, { ...vnet, gsoType: 0 });
        const { sp } = parseAt(IN, { ...vnet, gsoType: 0 }, packet);
        const [out] = splitAll(sp, kernels.scalar, 1);
        assert(isTransportValid(out, vnet.csumStart, protocol));
      }
    }
  }
});

Deno.test("rule 7: the sum goes from csumStart to the end, wherever csumStart is", () => {
  const packet = buildPacket({ protocol: 132, payload: pattern(100) });
  for (let csumStart = 0; csumStart < 100; csumStart++) {
    for (const csumOffset of [0, 2, 8]) {
      checkOne({ protocol: 132 }, packet, { flags: 1, csumStart, csumOffset });
    }
  }
});

Deno.test("rule 11: a GSO packet not larger than gsoSize is one packet with its own ID and flags", () => {
  for (const version of versions) {
    for (const protocol of protocols) {
      for (const length of [1, 99, 100]) {
        const flags = ACK | PSH | FIN | CWR;
        const fields = { version, protocol, flags, payload: pattern(length) };
        checkSplit(fields, 100, `v${version} protocol ${protocol} payload ${length}`);
      }
    }
  }
});

Deno.test("rule 11: a small GSO packet without NEEDS_CSUM keeps its checksum", () => {
  const fields = { payload: pattern(50) };
  const packet = buildPacket(fields);
  checkOne(fields, packet, { flags: 0, gsoType: 1, gsoSize: 100 });
});

Deno.test("rule 12: IPv4 IDs count up from the super-packet's and wrap", () => {
  const ids = splitFive({ id: 0xfffe }).map((bytes) => bytes[4] * 256 + bytes[5]);
  assertEquals(ids, [0xfffe, 0xffff, 0, 1, 2]);
  checkSplit({ id: 0xfffe, payload: pattern(450) }, 100, "ID wrap");
});

Deno.test("rule 12: the IPv4 checksum covers the options", () => {
  for (let length = 0; length <= 40; length += 4) {
    const packets = splitFive({ ipOptions: pattern(length, 3) });
    assert(packets.every(isIpv4HeaderValid), `${length} bytes of options`);
  }
});

Deno.test("rule 12: total length and payload length are each segment's own", () => {
  for (const bytes of splitFive({})) assertEquals(bytes[2] * 256 + bytes[3], bytes.length);
  for (const bytes of splitFive({ version: 6 })) {
    assertEquals(bytes[4] * 256 + bytes[5], bytes.length - 40);
  }
});

Deno.test("rule 12: IPv6 extension headers stand in every segment", () => {
  const destinationOptions = { type: 60, bytes: pattern(24) };
  destinationOptions.bytes[1] = 2;
  const hopByHop = { type: 0, bytes: new Uint8Array(8) };
  for (const protocol of protocols) {
    for (const extensions of [[hopByHop], [destinationOptions], [hopByHop, destinationOptions]]) {
      const fields = { version: 6 as const, protocol, extensions, payload: pattern(1000) };
      checkSplit(fields, 300, `${extensions.length} extensions, protocol ${protocol}`);
    }
  }
});

Deno.test("rule 13: sequence numbers go up by gsoSize and wrap", () => {
  const sequences = splitFive({ sequence: 0xffffff38 }).map((bytes) =>
    new DataView(bytes.buffer).getUint32(24)
  );
  assertEquals(sequences, [0xffffff38, 0xffffff9c, 0, 100, 200]);
});

Deno.test("rule 13: FIN and PSH stand only on the last segment (hazard 64)", () => {
  const flags = splitFive({ flags: ACK | FIN | PSH }).map((bytes) => bytes[33]);
  assertEquals(flags, [ACK, ACK, ACK, ACK, ACK | FIN | PSH]);
});

Deno.test("rule 13: CWR stands only on the first segment (hazard 64)", () => {
  for (const ecn of [0, 0x80]) {
    const { vnet, packet } = buildSuperPacket({ flags: ACK | CWR, payload: pattern(450) }, 100);
    const { sp } = parseAt(IN, { ...vnet, gsoType: vnet.gsoType | ecn }, packet);
    assertEquals(sp.ecn, ecn !== 0);
    const flags = splitAll(sp, kernels.wasm, 5).map((bytes) => bytes[33]);
    assertEquals(flags, [ACK | CWR, ACK, ACK, ACK, ACK]);
  }
});

Deno.test("rule 13: every combination of flags agrees with the reference (hazard 64)", () => {
  for (let flags = 0; flags < 256; flags++) {
    checkSplit({ flags, urgent: 7, payload: pattern(250) }, 100, `flags ${flags}`);
  }
});

Deno.test("rule 13: the UDP length is each datagram's own", () => {
  const lengths = splitFive({ protocol: UDP }).map((bytes) => bytes[24] * 256 + bytes[25]);
  assertEquals(lengths, [108, 108, 108, 108, 58]);
});

Deno.test("rule 14: checksums are right whatever the field held before", () => {
  for (const version of versions) {
    for (const protocol of protocols) {
      const { vnet, packet } = buildSuperPacket({ version, protocol, payload: pattern(950) }, 300);
      const at = vnet.csumStart + vnet.csumOffset;
      packet[at] ^= 0x5a;
      const { sp } = parseAt(IN, vnet, packet);
      for (const bytes of splitAll(sp, kernels.wasm, 4)) {
        assert(isTransportValid(bytes, vnet.csumStart, protocol));
      }
    }
  }
});

/** A payload for which the checksum of every datagram of `gsoSize` bytes comes out as 0. */
function payloadOfZeroChecksum(version: 4 | 6, gsoSize: number, count: number): Uint8Array {
  const fields = { version, protocol: UDP, payload: new Uint8Array(gsoSize) };
  const single = buildPacket(fields);
  const at = (version === 4 ? 20 : 40) + 6;
  const payload = new Uint8Array(gsoSize * count);
  // Adding the checksum itself to the data makes the sum all ones.
  for (let i = 0; i < count; i++) payload.set(single.subarray(at, at + 2), i * gsoSize);
  return payload;
}

Deno.test("rule 14: a computed UDP checksum of 0 is sent as 0xFFFF (hazard 49)", () => {
  for (const version of versions) {
    const payload = payloadOfZeroChecksum(version, 64, 4);
    const fields = { version, protocol: UDP, payload };
    checkSplit(fields, 64, `v${version}`);
    const { vnet, packet } = buildSuperPacket(fields, 64);
    for (const bytes of splitAll(parseAt(IN, vnet, packet).sp, kernels.wasm, 4)) {
      const at = vnet.csumStart + 6;
      assertEquals([bytes[at], bytes[at + 1]], [0xff, 0xff]);
    }
  }
});

Deno.test("rules 7 and 14: a completed UDP checksum of 0 is sent as 0xFFFF (hazard 49)", () => {
  for (const version of versions) {
    const fields = { version, protocol: UDP, payload: payloadOfZeroChecksum(version, 64, 1) };
    const { vnet, packet } = buildSuperPacket(fields, 0);
    const [bytes] = splitAll(parseAt(IN, { ...vnet, gsoType: 0 }, packet).sp, kernels.scalar, 1);
    const at = vnet.csumStart + 6;
    assertEquals([bytes[at], bytes[at + 1]], [0xff, 0xff]);
  }
});

Deno.test("rule 15: any number of segments is carried by several calls, from any first one", () => {
  const payload = pattern(65_535 - 52);
  for (const gsoSize of [88, 511, 512, 517, 1348, 16_000]) {
    for (const step of [1, 45, 64, 128]) {
      if (gsoSize === 88 && step === 1) continue;
      checkSplit({ payload, tcpOptions: TIMESTAMPS }, gsoSize, `MSS ${gsoSize} by ${step}`, {
        step,
      });
    }
  }
});

Deno.test("rule 15: a gsoSize of one byte is carried too", () => {
  for (const version of versions) {
    for (const protocol of protocols) {
      checkSplit({ version, protocol, payload: pattern(300) }, 1, "1 byte each", { step: 64 });
    }
  }
});

Deno.test("rule 15: asking for segments that do not exist is a bug", () => {
  const { vnet, packet } = buildSuperPacket({ payload: pattern(450) }, 100);
  const { sp } = parseAt(IN, vnet, packet);
  const split = (first: number, count: number, at = OUT, stride = 200) => () =>
    splitSegments(slab, kernels.wasm, sp, first, count, at, stride);
  assertThrows(split(0, 6), Error, "segments exist");
  assertThrows(split(5, 1), Error, "segments exist");
  assertThrows(split(-1, 1), Error, "segments exist");
  assertThrows(split(0, 5, OUT, 139), Error, "do not overlap");
  assertThrows(split(0, 4, sp.at), Error, "in place");
  assertThrows(split(0, 5, sp.at - 4), Error, "in place");
  split(2, 0)();
});

/** Splits in place, at `offset` behind the super-packet's own place. */
function checkInPlace(
  kernel: ChecksumKernel,
  fields: Partial<PacketFields>,
  gsoSize: number,
  offset: number,
  padding: number,
): void {
  const { vnet, packet } = buildSuperPacket(fields, gsoSize);
  const expected = expectedSegments(fields, vnet, packet);
  const { sp } = parseAt(IN, vnet, packet);
  const stride = segmentBytes(sp, 0) + padding;
  const lengths = expected.map((_, i) => segmentBytes(sp, i));
  splitSegments(slab, kernel, sp, 0, sp.segmentCount, sp.at + offset, stride);
  const where = `gsoSize ${gsoSize}, offset ${offset}, padding ${padding}`;
  for (let i = 0; i < expected.length; i++) {
    const at = IN + 10 + offset + i * stride;
    assertSameBytes(slab.u8.slice(at, at + lengths[i]), expected[i], `${where}, segment ${i}`);
  }
}

Deno.test("rule 16: a split in place loses neither bytes nor PSH and FIN of the last segment", () => {
  const flags = ACK | PSH | FIN | CWR;
  for (const kernel of Object.values(kernels)) {
    for (const version of versions) {
      for (const protocol of protocols) {
        for (const length of [80, 100, 101, 250, 4000]) {
          const fields = { version, protocol, flags, payload: pattern(length) };
          for (const offset of [0, 4, 16, 30, 1000]) {
            for (const padding of [0, 32]) checkInPlace(kernel, fields, 100, offset, padding);
          }
        }
      }
    }
  }
});

Deno.test("rule 16: 64 KB are split in place", () => {
  const fields = { flags: ACK | PSH, payload: pattern(65_495), tcpOptions: new Uint8Array() };
  checkInPlace(kernels.wasm, fields, 1380, 0, 32);
});

Deno.test("rule 16: one plain packet may stay where it is", () => {
  const { vnet, packet } = buildSuperPacket({ payload: pattern(700) }, 0);
  const plain = { ...vnet, gsoType: 0 };
  const [expected] = expectedSegments({}, plain, packet);
  for (const kernel of Object.values(kernels)) {
    for (const offset of [0, 1, 100]) {
      const { sp } = parseAt(IN, plain, packet);
      splitSegments(slab, kernel, sp, 0, 1, sp.at + offset, 0);
      const at = IN + 10 + offset;
      assertSameBytes(slab.u8.slice(at, at + packet.length), expected, `offset ${offset}`);
    }
  }
});

Deno.test("rule 18: every byte agrees over header lengths, options, sizes and tails, TCP", () => {
  const tcpOptionSets = [new Uint8Array(), pattern(4), TIMESTAMPS, pattern(40)];
  for (const version of versions) {
    for (const ipOptionBytes of version === 4 ? [0, 4, 12, 40] : [0]) {
      for (const tcpOptions of tcpOptionSets) {
        for (const gsoSize of [1, 7, 88, 536, 1399]) {
          for (const tail of [0, 1, gsoSize - 1]) {
            const payload = pattern(gsoSize * 3 + tail, gsoSize);
            const ipOptions = pattern(ipOptionBytes, 5);
            const fields = { version, ipOptions, tcpOptions, payload, sequence: 0xfffffff0 };
            const where = `v${version} ${ipOptionBytes} ${tcpOptions.length} ${gsoSize}+${tail}`;
            checkSplit(fields, gsoSize, where);
          }
        }
      }
    }
  }
});

Deno.test("rule 18: every byte agrees over header lengths, options, sizes and tails, UDP", () => {
  for (const version of versions) {
    for (const ipOptionBytes of version === 4 ? [0, 4, 12, 40] : [0]) {
      for (const gsoSize of [1, 7, 88, 512, 1200, 1392]) {
        for (const tail of [0, 1, gsoSize - 1]) {
          const payload = pattern(gsoSize * 3 + tail, gsoSize);
          const fields = { version, protocol: UDP, ipOptions: pattern(ipOptionBytes), payload };
          checkSplit(fields, gsoSize, `v${version} ${ipOptionBytes} ${gsoSize}+${tail}`);
        }
      }
    }
  }
});

Deno.test("rule 18: every alignment of input and output gives the same bytes", () => {
  for (let offset = 0; offset < 16; offset++) {
    for (const padding of [0, 1, 2, 3, 32]) {
      const fields = { payload: pattern(700), tcpOptions: TIMESTAMPS };
      const options = { at: IN + offset, padding };
      checkSplit(fields, 333, `at + ${offset}, padding ${padding}`, options);
    }
  }
});

Deno.test("rule 18: random super-packets agree in every byte", () => {
  const seed = 18;
  const random = new SeededRandom(seed);
  for (let round = 0; round < 600; round++) {
    const version = versions[random.below(2)];
    const fields = {
      version,
      protocol: protocols[random.below(2)],
      tos: random.below(256),
      ttl: random.below(256),
      flowLabel: random.below(1 << 20),
      id: random.below(65_536),
      fragmentField: random.below(2) * 0x4000,
      source: random.below(1 << 16),
      destination: random.below(1 << 16),
      sourcePort: random.below(65_536),
      destinationPort: random.below(65_536),
      sequence: random.nextUint32(),
      acknowledgment: random.nextUint32(),
      flags: random.below(256),
      window: random.below(65_536),
      urgent: random.below(65_536),
      ipOptions: random.fill(new Uint8Array(version === 4 ? random.below(11) * 4 : 0)),
      tcpOptions: random.fill(new Uint8Array(random.below(11) * 4)),
      payload: random.fill(new Uint8Array(1 + random.below(6000))),
    };
    const options = { at: IN + random.below(64), step: 1 + random.below(64) };
    checkSplit(fields, 20 + random.below(1500), `seed ${seed} round ${round}`, options);
  }
});

Deno.test("splitSegments() allocates no state: two super-packets may be split by turns", () => {
  const a = buildSuperPacket({ payload: pattern(900, 2), id: 1 }, 100);
  const b = buildSuperPacket({ payload: pattern(900, 4), id: 9, version: 6 }, 100);
  const [spA, spB] = [new SuperPacket(), new SuperPacket()];
  Object.assign(spA, parseAt(IN, a.vnet, a.packet).sp);
  Object.assign(spB, parseAt(IN + 4096, b.vnet, b.packet).sp);
  const expectedA = expectedSegments({}, a.vnet, a.packet);
  const expectedB = expectedSegments({ version: 6 }, b.vnet, b.packet);
  for (let i = 0; i < 9; i++) {
    splitSegments(slab, kernels.wasm, spA, i, 1, OUT, 0);
    splitSegments(slab, kernels.wasm, spB, i, 1, OUT + 4096, 0);
    assertSameBytes(slab.u8.slice(OUT, OUT + segmentBytes(spA, i)), expectedA[i], `a ${i}`);
    const atB = OUT + 4096;
    assertSameBytes(slab.u8.slice(atB, atB + segmentBytes(spB, i)), expectedB[i], `b ${i}`);
  }
});
