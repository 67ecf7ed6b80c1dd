import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { NatTable, natTableBytes } from "../../src/nat/nat_table.ts";
import { translateInbound, translateOutbound } from "../../src/nat/translate.ts";
import { describeSuperPacket, SuperPacket } from "../../src/offload/super_packet.ts";
import {
  buildPacket,
  buildSuperPacket,
  type PacketFields,
  pattern,
  TCP,
  transportOffset,
  UDP,
} from "../offload/packet_builder.ts";
import { assertSameBytes } from "../offload/split_harness.ts";
import {
  internetChecksum,
  isTransportValid,
  pseudoHeader,
} from "../reference/checksum_reference.ts";
import { withAddress } from "../reference/nat_reference.ts";

const PEER = 3;
const TABLE = 64, COPY = 8192, PACKET = 1 << 16, PAYLOAD = 3 << 16;
const slab = createSlab(1 << 19);
const table = new NatTable(slab, TABLE);
const versions = [4, 6] as const;
const random = new SeededRandom(77);
assert(TABLE + natTableBytes(16) <= COPY);

interface Pair {
  readonly own: Uint8Array;
  readonly theirs: Uint8Array;
}

function randomPair(version: 4 | 6): Pair {
  const bytes = version === 4 ? 4 : 16;
  return {
    own: random.fill(new Uint8Array(bytes)),
    theirs: random.fill(new Uint8Array(bytes)),
  };
}

const sourceOf = (version: number) => version === 4 ? 12 : 8;
const destinationOf = (version: number) => version === 4 ? 16 : 24;

/** Puts a packet into the slab, the part behind `apart` elsewhere, and describes it. */
function place(packet: Uint8Array, apart = packet.length): SuperPacket {
  slab.u8.set(packet, PACKET);
  const sp = new SuperPacket();
  const reason = describeSuperPacket(slab, PACKET, packet.length, sp);
  assertEquals(reason, 0);
  if (apart < packet.length) {
    slab.u8.set(packet.subarray(apart), PAYLOAD);
    slab.u8.fill(0xee, PACKET + apart, PACKET + packet.length);
    sp.headerBytes = apart;
    sp.payloadAt = PAYLOAD;
    sp.payloadBytes = packet.length - apart;
  }
  return sp;
}

function taken(sp: SuperPacket): Uint8Array {
  const front = sp.contiguousBytes;
  return Uint8Array.from([
    ...slab.u8.subarray(PACKET, PACKET + front),
    ...slab.u8.subarray(sp.payloadAt, sp.payloadAt + (sp.isContiguous ? 0 : sp.payloadBytes)),
  ]);
}

/** Translates in one direction and returns the bytes, or null when nothing was changed. */
function translate(
  direction: "out" | "in",
  packet: Uint8Array,
  pair: Pair,
  options: { isPartial?: boolean; apart?: number } = {},
): Uint8Array | null {
  table.set(PEER, [pair]);
  const families = table.read(PEER, COPY);
  const sp = place(packet, options.apart);
  const run = direction === "out" ? translateOutbound : translateInbound;
  const changed = run(slab, sp, COPY, families, options.isPartial ?? false);
  return changed ? taken(sp) : null;
}

function from(fields: Partial<PacketFields>, address: Uint8Array, isPartial = false) {
  const { version = 4, protocol = TCP } = fields;
  const packet = buildPacket({ ...fields, isPartial });
  const transport = transportOffset(fields);
  return withAddress(packet, sourceOf(version), address, transport, protocol, isPartial);
}

function to(fields: Partial<PacketFields>, address: Uint8Array) {
  const { version = 4, protocol = TCP } = fields;
  const transport = transportOffset(fields);
  return withAddress(buildPacket(fields), destinationOf(version), address, transport, protocol);
}

Deno.test("rule 17: our address becomes the one the peer knows, in full checksums and in partial ones", () => {
  for (let run = 0; run < 400; run++) {
    const version = versions[run & 1];
    const fields = {
      version,
      protocol: run & 2 ? UDP : TCP,
      payload: pattern(random.below(200), run),
      ipOptions: new Uint8Array(version === 4 ? 4 * random.below(11) : 0).fill(1),
    };
    const pair = randomPair(version);
    const isPartial = (run & 4) !== 0;
    const expected = from(fields, pair.theirs, isPartial);
    const out = translate("out", from(fields, pair.own, isPartial), pair, { isPartial });
    assertSameBytes(out!, expected, `seed 77, run ${run}`);
  }
});

Deno.test("rule 17: what comes for the address the peer knows is for ours", () => {
  for (let run = 0; run < 200; run++) {
    const version = versions[run & 1];
    const fields = { version, protocol: run & 2 ? UDP : TCP, payload: pattern(50, run) };
    const pair = randomPair(version);
    const out = translate("in", to(fields, pair.theirs), pair);
    assertSameBytes(out!, to(fields, pair.own), `seed 77, run ${run}`);
  }
});

Deno.test("rule 17: all 16 bytes of an IPv6 address are exchanged (hazard 49)", () => {
  for (let i = 0; i < 16; i++) {
    const own = new Uint8Array(16).fill(0x11), theirs = own.slice();
    theirs[i] = 0xee;
    const fields = { version: 6 as const, payload: pattern(9) };
    const out = translate("out", from(fields, own), { own, theirs });
    assertSameBytes(out!, from(fields, theirs), `byte ${i}`);
    const onlyOne = own.slice();
    onlyOne[i] = 0x22;
    assertEquals(translate("out", from(fields, onlyOne), { own, theirs }), null, `byte ${i}`);
  }
});

Deno.test("rule 17: an IPv4 UDP checksum of 0 stays 0 (hazard 49)", () => {
  const pair = randomPair(4);
  const packet = from({ protocol: UDP, payload: pattern(30) }, pair.own);
  packet[26] = packet[27] = 0;
  const out = translate("out", packet, pair)!;
  assertEquals([out[26], out[27]], [0, 0]);
  assertEquals([...out.subarray(12, 16)], [...pair.theirs]);
});

Deno.test("rule 17: a UDP checksum that comes out as 0 is written as 0xFFFF (hazard 49)", () => {
  for (const version of versions) {
    const pair = randomPair(version);
    const fields = { version, protocol: UDP, payload: new Uint8Array(2) };
    const probe = from(fields, pair.theirs);
    const at = transportOffset(fields) + 6;
    const payload = probe.slice(at, at + 2);
    const expected = from({ ...fields, payload }, pair.theirs);
    assertEquals([expected[at], expected[at + 1]], [0xff, 0xff]);
    assertSameBytes(translate("out", from({ ...fields, payload }, pair.own), pair)!, expected, "");
  }
});

Deno.test("checksums stay right for addresses made of 0x0000 and 0xFFFF (hazard 49)", () => {
  const halves = [0x0000, 0xffff, 0x0001, 0xfffe];
  for (const a of halves) {
    for (const b of halves) {
      for (const protocol of [TCP, UDP]) {
        const own = Uint8Array.of(a >> 8, a, b >> 8, b), theirs = Uint8Array.of(b >> 8, b, 1, a);
        const fields = { protocol, payload: pattern(7) };
        const out = translate("out", from(fields, own), { own, theirs });
        assert(isTransportValid(out!, 20, protocol), `${a} ${b} ${protocol}`);
        assertEquals(internetChecksum(out!.subarray(0, 20)), 0);
      }
    }
  }
});

Deno.test("a super-packet is translated once, with its partial sum", () => {
  for (const version of versions) {
    const pair = randomPair(version);
    const fields = { version, payload: pattern(5000) };
    const { packet } = buildSuperPacket(fields, 1000);
    const transport = transportOffset(fields);
    const set = (address: Uint8Array) =>
      withAddress(packet, sourceOf(version), address, transport, TCP, true);
    const out = translate("out", set(pair.own), pair, { isPartial: true });
    assertSameBytes(out!, set(pair.theirs), `v${version}`);
  }
});

Deno.test("a packet whose payload stands apart is translated in its headers", () => {
  const pair = randomPair(6);
  const fields = { version: 6 as const, payload: pattern(500) };
  const out = translate("out", from(fields, pair.own), pair, { apart: 60 });
  assertSameBytes(out!, from(fields, pair.theirs), "");
});

Deno.test("later fragments are translated without a transport checksum", () => {
  const pair = randomPair(4);
  const packet = from({ payload: pattern(100), fragmentField: 10 }, pair.own);
  const expected = withAddress(packet, 12, pair.theirs, 20, 0);
  assertSameBytes(translate("out", packet, pair)!, expected, "");
});

Deno.test("other sources, other destinations and families without a pair stay as they are", () => {
  const pair = randomPair(4);
  const other = Uint8Array.of(203, 0, 113, 1);
  assertEquals(translate("out", from({}, other), pair), null);
  assertEquals(translate("out", to({}, pair.own), pair), null);
  assertEquals(translate("in", to({}, pair.own), pair), null);
  assertEquals(translate("out", buildPacket({ version: 6 }), pair), null);
});

/** An ICMP error about `quoted`, checksum computed from nothing. */
function icmpError(
  version: 4 | 6,
  source: Uint8Array,
  destination: Uint8Array,
  quoted: Uint8Array,
) {
  const transport = version === 4 ? 20 : 40;
  const bytes = new Uint8Array(transport + 8 + quoted.length);
  const view = new DataView(bytes.buffer);
  if (version === 4) {
    bytes.set([0x45, 0, bytes.length >> 8, bytes.length, 0, 0, 0, 0, 64, 1]);
    bytes.set(source, 12);
    bytes.set(destination, 16);
    view.setUint16(10, internetChecksum(bytes.subarray(0, 20)));
  } else {
    bytes.set([0x60, 0, 0, 0, 0, 0, 58, 64]);
    view.setUint16(4, bytes.length - 40);
    bytes.set(source, 8);
    bytes.set(destination, 24);
  }
  bytes.set([version === 4 ? 3 : 1, version === 4 ? 1 : 3], transport);
  bytes.set(quoted, transport + 8);
  const icmp = bytes.subarray(transport);
  const checksum = version === 4
    ? internetChecksum(icmp)
    : internetChecksum(pseudoHeader(bytes, 58, icmp.length), icmp);
  view.setUint16(transport + 2, checksum);
  return bytes;
}

Deno.test("an ICMP error tells of the packet as we sent it, however much of it is quoted", () => {
  for (const version of versions) {
    const pair = randomPair(version);
    const router = random.fill(new Uint8Array(version === 4 ? 4 : 16));
    for (const protocol of [TCP, UDP]) {
      const fields = { version, protocol, payload: pattern(300) };
      const sent = from(fields, pair.own), known = from(fields, pair.theirs);
      const transport = transportOffset(fields);
      for (const quoted of [transport, transport + 8, transport + 16, transport + 18, 200, 321]) {
        const error = icmpError(version, router, pair.theirs, known.subarray(0, quoted));
        const expected = icmpError(version, router, pair.own, sent.subarray(0, quoted));
        const out = translate("in", error, pair);
        assertSameBytes(out!, expected, `v${version}, protocol ${protocol}, ${quoted} bytes`);
      }
    }
  }
});

Deno.test("an ICMP error of ours tells of the packet as the peer sent it", () => {
  for (const version of versions) {
    const pair = randomPair(version);
    const remote = random.fill(new Uint8Array(version === 4 ? 4 : 16));
    const fields = { version, protocol: UDP, payload: pattern(300) };
    const got = to(fields, pair.own), known = to(fields, pair.theirs);
    const error = icmpError(version, pair.own, remote, got.subarray(0, 120));
    const expected = icmpError(version, pair.theirs, remote, known.subarray(0, 120));
    assertSameBytes(translate("out", error, pair)!, expected, `v${version}`);
    const transport = version === 4 ? 20 : 40;
    const apart = translate("out", error, pair, { apart: transport + 8 });
    assertSameBytes(apart!, expected, `v${version}, apart`);
  }
});

Deno.test("an ICMP error that quotes something else keeps its quotation", () => {
  const pair = randomPair(4);
  const router = Uint8Array.of(9, 9, 9, 9);
  const quoted = from({}, Uint8Array.of(1, 2, 3, 4));
  for (const bytes of [quoted, quoted.subarray(0, 19), new Uint8Array(40), new Uint8Array(0)]) {
    const out = translate("in", icmpError(4, router, pair.theirs, bytes), pair);
    assertSameBytes(out!, icmpError(4, router, pair.own, bytes), `${bytes.length}`);
  }
});

Deno.test("random bytes behind an IP header are translated without a fault", () => {
  for (let run = 0; run < 2000; run++) {
    const version = versions[run & 1];
    const pair = randomPair(version);
    const packet = from(
      { version, payload: random.fill(new Uint8Array(random.below(90))) },
      pair.own,
    );
    const protocols = [1, 6, 17, 58, 0, 43, 44, 60];
    packet[version === 4 ? 9 : 6] = protocols[random.below(protocols.length)];
    slab.u8.set(packet, PACKET);
    const sp = new SuperPacket();
    if (describeSuperPacket(slab, PACKET, packet.length, sp) !== 0) continue;
    table.set(PEER, [pair]);
    translateOutbound(slab, sp, COPY, table.read(PEER, COPY), false);
  }
});

Deno.test("the table counts who has a record, and forgets it", () => {
  const fresh = createSlab(1 << 16);
  const nat = new NatTable(fresh, 64);
  const v4 = { own: Uint8Array.of(1, 2, 3, 4), theirs: Uint8Array.of(5, 6, 7, 8) };
  const v6 = { own: new Uint8Array(16).fill(1), theirs: new Uint8Array(16).fill(2) };
  assertEquals([nat.isActive, nat.read(2, 32_768)], [false, 0]);
  nat.set(2, [v4, v6]);
  assertEquals([nat.isActive, nat.read(2, 32_768)], [true, 3]);
  assertEquals([...fresh.u8.subarray(32_768 + 8, 32_768 + 16)], [1, 2, 3, 4, 5, 6, 7, 8]);
  nat.set(2, [v6]);
  assertEquals([nat.isActive, nat.read(2, 32_768)], [true, 2]);
  nat.set(2, []);
  nat.set(2, []);
  assertEquals([nat.isActive, nat.read(2, 32_768)], [false, 0]);
});
