import { assert, assertEquals } from "@std/assert";
import { DropReason, dropReasonName } from "../../src/base/drop_reason.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { segmentBytes, splitSegments } from "../../src/offload/gso_split.ts";
import {
  describeSuperPacket,
  parseSuperPacket,
  SuperPacket,
} from "../../src/offload/super_packet.ts";
import { buildPacket, buildSuperPacket, pattern, TCP, UDP } from "./packet_builder.ts";
import { IN, kernels, OUT, parseAt, refusal, slab } from "./split_harness.ts";

const payload = pattern(3000);

Deno.test("rule 6: a read shorter than a virtio header is refused", () => {
  for (let bytes = 0; bytes < 10; bytes++) {
    const reason = parseSuperPacket(slab, IN, bytes, new SuperPacket());
    assertEquals(dropReasonName(reason), "VnetHeaderTruncated");
  }
});

Deno.test("rule 6: a virtio header without a packet is refused", () => {
  assertEquals(refusal({}, new Uint8Array()), "IpTruncated");
});

Deno.test("rule 6: every GSO type but the four is refused, UDP fragmentation too", () => {
  const { vnet, packet } = buildSuperPacket({ payload }, 1000);
  for (let gsoType = 0; gsoType < 256; gsoType++) {
    const isKnown = [0, 1, 4, 5, 0x81, 0x84].includes(gsoType);
    const isUnknown = refusal({ ...vnet, gsoType }, packet) === "VnetTypeUnknown";
    assertEquals(isUnknown, !isKnown, `type ${gsoType}`);
  }
});

Deno.test("rule 6: after a refused read the next one is parsed as ever", () => {
  const { vnet, packet } = buildSuperPacket({ payload }, 1000);
  const sp = new SuperPacket();
  for (let i = 0; i < 3; i++) {
    slab.u8.fill(0xff, IN, IN + 200);
    assert(parseSuperPacket(slab, IN, 200, sp) !== DropReason.None);
    assertEquals(parseAt(IN, vnet, packet).reason, DropReason.None);
  }
});

Deno.test("rule 8: hdrLen is not believed, whatever it says", () => {
  const { vnet, packet } = buildSuperPacket({ payload, tcpOptions: pattern(12) }, 1000);
  for (const hdrLen of [0, 1, 20, 40, 52, 1052, 0xffff]) {
    const { reason, sp } = parseAt(IN, { ...vnet, hdrLen }, packet);
    assertEquals(reason, DropReason.None);
    assertEquals(sp.headerBytes, 52);
    assertEquals(sp.segmentCount, 3);
  }
});

Deno.test("rule 8: the TCP header length is csumStart plus data offset, 20 to 60 bytes", () => {
  const { vnet, packet } = buildSuperPacket({ payload }, 1000);
  for (let words = 0; words < 16; words++) {
    packet[32] = words << 4;
    const { reason, sp } = parseAt(IN, vnet, packet);
    assertEquals(dropReasonName(reason), words < 5 ? "GsoHeaderInvalid" : "None");
    if (words >= 5) assertEquals(sp.headerBytes, 20 + words * 4);
  }
});

Deno.test("rule 8: the UDP header ends at csumStart plus 8", () => {
  for (const version of [4, 6] as const) {
    const { vnet, packet } = buildSuperPacket({ version, protocol: UDP, payload }, 1000);
    const { sp } = parseAt(IN, vnet, packet);
    assertEquals(sp.headerBytes, version === 4 ? 28 : 48);
  }
});

Deno.test("rule 9: IP version and GSO type must agree", () => {
  const v4 = buildSuperPacket({ payload }, 1000);
  const v6 = buildSuperPacket({ version: 6, payload }, 1000);
  assertEquals(refusal({ ...v4.vnet, gsoType: 4 }, v4.packet), "VnetMismatch");
  assertEquals(refusal({ ...v6.vnet, gsoType: 1 }, v6.packet), "VnetMismatch");
});

Deno.test("rule 9: protocol and GSO type must agree", () => {
  const tcp = buildSuperPacket({ payload }, 1000);
  const udp = buildSuperPacket({ protocol: UDP, payload }, 1000);
  assertEquals(refusal({ ...tcp.vnet, gsoType: 5, csumOffset: 6 }, tcp.packet), "VnetMismatch");
  assertEquals(refusal({ ...udp.vnet, gsoType: 1, csumOffset: 16 }, udp.packet), "VnetMismatch");
});

Deno.test("rule 10: a checksum field outside the packet is refused", () => {
  const { vnet, packet } = buildSuperPacket({ payload }, 1000);
  const plain = { flags: 1, csumOffset: 16 };
  const last = packet.length - 18;
  assertEquals(refusal({ ...plain, csumStart: last - 1 }, packet), "None");
  assertEquals(refusal({ ...plain, csumStart: last + 1 }, packet), "GsoHeaderInvalid");
  assertEquals(refusal({ ...plain, csumStart: 0xffff }, packet), "GsoHeaderInvalid");
  assertEquals(
    refusal({ ...plain, csumStart: 20, csumOffset: 0xffff }, packet),
    "GsoHeaderInvalid",
  );
  assertEquals(refusal({ ...vnet, csumStart: 0xffff }, packet), "GsoHeaderInvalid");
  assertEquals(refusal({ ...vnet, csumOffset: 0xfffe }, packet), "GsoHeaderInvalid");
});

Deno.test("rule 10: the boundary is csumStart + csumOffset + 1 >= length", () => {
  const packet = buildPacket({ protocol: UDP, payload: pattern(10) });
  for (let csumStart = 0; csumStart < 60; csumStart++) {
    const reason = refusal({ flags: 1, csumStart, csumOffset: 6 }, packet);
    const isOutside = csumStart + 6 + 1 >= packet.length;
    assertEquals(reason, isOutside ? "GsoHeaderInvalid" : "None", `csumStart ${csumStart}`);
  }
});

Deno.test("rule 10: a checksum field between two words is refused", () => {
  const packet = buildPacket({ protocol: UDP, payload: pattern(100) });
  for (let csumOffset = 0; csumOffset < 20; csumOffset++) {
    const reason = refusal({ flags: 1, csumStart: 20, csumOffset }, packet);
    assertEquals(reason, csumOffset % 2 === 0 ? "None" : "GsoHeaderInvalid");
  }
});

Deno.test("rule 10: headers longer than the packet are refused", () => {
  const packet = buildPacket({ payload: new Uint8Array() });
  packet[32] = 0xf0;
  const vnet = { flags: 1, gsoType: 1, gsoSize: 100, csumStart: 20, csumOffset: 16 };
  assertEquals(refusal(vnet, packet), "GsoHeaderInvalid");
});

Deno.test("rule 10: TCP with fewer than csumStart + 20 bytes is refused", () => {
  for (const version of [4, 6] as const) {
    const { vnet, packet } = buildSuperPacket({ version, payload }, 1000);
    const start = vnet.csumStart;
    for (let bytes = start; bytes < start + 20; bytes++) {
      const cut = packet.slice(0, bytes);
      const view = new DataView(cut.buffer);
      view.setUint16(version === 4 ? 2 : 4, version === 4 ? bytes : bytes - 40);
      assertEquals(refusal(vnet, cut), "GsoHeaderInvalid", `${bytes} bytes`);
    }
  }
});

Deno.test("rule 10: versions other than 4 and 6 are refused", () => {
  const { vnet, packet } = buildSuperPacket({ payload }, 1000);
  for (let version = 0; version < 16; version++) {
    packet[0] = (version << 4) | 5;
    const expected = version === 4 ? "None" : version === 6 ? "IpTruncated" : "IpVersionUnknown";
    const reason = refusal(vnet, packet);
    // As IPv6 the lengths make no sense, in whichever way.
    if (version === 6) assert(reason !== "None");
    else assertEquals(reason, expected);
  }
});

Deno.test("rule 10: gsoSize 0 with a GSO type is refused at once (hazard 16)", () => {
  for (const version of [4, 6] as const) {
    for (const protocol of [TCP, UDP]) {
      const { vnet, packet } = buildSuperPacket({ version, protocol, payload }, 0);
      assertEquals(refusal(vnet, packet), "GsoSizeZero");
    }
  }
});

Deno.test("rule 10: a csumStart that is not the transport header's place is refused", () => {
  const { vnet, packet } = buildSuperPacket({ payload }, 1000);
  for (const csumStart of [0, 18, 19, 21, 22, 24, 40]) {
    assertEquals(refusal({ ...vnet, csumStart }, packet), "GsoHeaderInvalid");
  }
});

Deno.test("rule 11: what is not larger than gsoSize is one packet", () => {
  for (const bytes of [0, 1, 999, 1000]) {
    const { vnet, packet } = buildSuperPacket({ payload: pattern(bytes) }, 1000);
    const { sp } = parseAt(IN, vnet, packet);
    assertEquals(sp.segmentCount, 1);
    assertEquals(segmentBytes(sp, 0), packet.length);
  }
  const { vnet, packet } = buildSuperPacket({ payload: pattern(1001) }, 1000);
  assertEquals(parseAt(IN, vnet, packet).sp.segmentCount, 2);
});

Deno.test("rule 15: segment counts are right up to and beyond a batch of 128", () => {
  const longest = pattern(65_495);
  for (const [gsoSize, count] of [[512, 128], [511, 129], [1400, 47], [517, 127], [88, 745]]) {
    const { vnet, packet } = buildSuperPacket({ payload: longest }, gsoSize);
    const { sp } = parseAt(IN, vnet, packet);
    assertEquals(sp.segmentCount, count, `gsoSize ${gsoSize}`);
    let payloadBytes = 0;
    for (let i = 0; i < count; i++) payloadBytes += segmentBytes(sp, i) - sp.headerBytes;
    assertEquals(payloadBytes, longest.length);
  }
});

Deno.test("hazard 41: broken IPv4 lengths are refused", () => {
  const packet = buildPacket({ payload: pattern(100) });
  const broken = (change: (bytes: Uint8Array) => void) => {
    const copy = packet.slice();
    change(copy);
    return refusal({}, copy);
  };
  for (let ihl = 0; ihl < 5; ihl++) {
    assertEquals(broken((bytes) => bytes[0] = 0x40 | ihl), "IpTruncated");
  }
  assertEquals(broken((bytes) => bytes.set([0xff, 0xff], 2)), "IpTruncated");
  assertEquals(broken((bytes) => bytes.set([0, 19], 2)), "IpTruncated");
  for (let bytes = 1; bytes < packet.length; bytes++) {
    assertEquals(refusal({}, packet.slice(0, bytes)), "IpTruncated");
  }
});

Deno.test("hazard 41: truncated IPv6 packets are refused", () => {
  const packet = buildPacket({ version: 6, payload: pattern(100) });
  for (let bytes = 1; bytes < packet.length; bytes++) {
    assertEquals(refusal({}, packet.slice(0, bytes)), "IpTruncated");
  }
});

Deno.test("hazard 43: a hundred extension headers are refused", () => {
  const extensions = Array.from({ length: 100 }, () => ({ type: 60, bytes: new Uint8Array(8) }));
  assertEquals(refusal({}, buildPacket({ version: 6, extensions, payload })), "IpTruncated");
});

Deno.test("hazard 43: a GSO packet with segments left to route is refused", () => {
  const routing = new Uint8Array(24);
  routing.set([0, 2, 0, 1]);
  const fields = { version: 6 as const, extensions: [{ type: 43, bytes: routing }], payload };
  const { vnet, packet } = buildSuperPacket(fields, 1000);
  assertEquals(refusal(vnet, packet), "GsoHeaderInvalid");
  assertEquals(refusal({}, packet), "None");
  packet[43] = 0;
  assertEquals(refusal(vnet, packet), "None");
});

Deno.test("hazard 42: a fragment is never split", () => {
  for (const fragmentField of [0x2000, 0x0001, 0x3fff]) {
    const { vnet, packet } = buildSuperPacket({ fragmentField, payload }, 1000);
    assertEquals(refusal(vnet, packet), "GsoHeaderInvalid");
    const { sp } = parseAt(IN, {}, packet);
    assert(sp.isFragment);
    assertEquals(sp.portsAt, (fragmentField & 0x1fff) === 0 ? sp.at + 20 : 0);
  }
});

Deno.test("parseSuperPacket() tells the places of addresses and ports", () => {
  const hopByHop = { type: 0, bytes: new Uint8Array(16).fill(1, 1, 2) };
  const v4 = parseAt(IN, {}, buildPacket({ ipOptions: pattern(8), payload })).sp;
  assertEquals([v4.sourceAt - v4.at, v4.destinationAt - v4.at, v4.portsAt - v4.at], [12, 16, 28]);
  assertEquals([v4.protocol, v4.ipVersion, v4.isFragment], [TCP, 4, false]);
  const fields = { version: 6 as const, protocol: UDP, extensions: [hopByHop], payload };
  const v6 = parseAt(IN, {}, buildPacket(fields)).sp;
  assertEquals([v6.sourceAt - v6.at, v6.destinationAt - v6.at, v6.portsAt - v6.at], [8, 24, 56]);
  assertEquals([v6.protocol, v6.ipVersion, v6.isFragment], [UDP, 6, false]);
});

Deno.test("parseSuperPacket() cuts off bytes behind the packet", () => {
  const packet = buildPacket({ payload: pattern(100) });
  const padded = new Uint8Array(packet.length + 12);
  padded.set(packet);
  assertEquals(parseAt(IN, {}, padded).sp.bytes, packet.length);
});

Deno.test("describeSuperPacket() takes a packet without a virtio header", () => {
  const packet = buildPacket({ version: 6, payload: pattern(100) });
  slab.u8.set(packet, IN);
  const sp = new SuperPacket();
  assertEquals(describeSuperPacket(slab, IN, packet.length, sp), DropReason.None);
  assertEquals([sp.at, sp.bytes, sp.segmentCount], [IN, packet.length, 1]);
});

/** Whatever passes the parser can be split without a fault and within its bounds. */
function splitWhatPasses(sp: SuperPacket, totalBytes: number, where: string): void {
  assert(sp.bytes <= totalBytes - 10, where);
  assert(sp.segmentCount >= 1 && sp.segmentCount <= 65_535, where);
  assert(sp.headerBytes + sp.payloadBytes === sp.bytes, where);
  const count = Math.min(sp.segmentCount, 128);
  for (const first of [0, sp.segmentCount - count]) {
    for (const index of [first, first + count - 1]) {
      assert(segmentBytes(sp, index) > 0 && segmentBytes(sp, index) <= sp.bytes, where);
    }
    splitSegments(slab, kernels.wasm, sp, first, count, OUT, segmentBytes(sp, 0) + 32);
  }
}

Deno.test("random bytes are refused or split, and never throw", () => {
  const seed = 20_260;
  const random = new SeededRandom(seed);
  const sp = new SuperPacket();
  for (let round = 0; round < 20_000; round++) {
    const totalBytes = random.below(200);
    random.fill(slab.u8.subarray(IN, IN + totalBytes));
    // Most rounds get past the first checks.
    if (round % 4 !== 0) {
      slab.u8[IN] &= 1;
      slab.u8[IN + 1] = [0, 1, 4, 5][random.below(4)];
      slab.u8[IN + 10] = random.below(2) === 0 ? 0x45 : 0x60;
    }
    const reason = parseSuperPacket(slab, IN, totalBytes, sp);
    if (reason === DropReason.None) splitWhatPasses(sp, totalBytes, `seed ${seed} ${round}`);
  }
});

Deno.test("damaged super-packets are refused or split, and never throw", () => {
  const seed = 20_261;
  const random = new SeededRandom(seed);
  const sp = new SuperPacket();
  let passed = 0;
  for (let round = 0; round < 6000; round++) {
    const version = random.below(2) === 0 ? 4 : 6;
    const protocol = random.below(2) === 0 ? TCP : UDP;
    const fields = { version, protocol, payload: pattern(random.below(900)) } as const;
    const { vnet, packet } = buildSuperPacket(fields, 1 + random.below(400));
    parseAt(IN, vnet, packet);
    for (let i = random.below(4); i > 0; i--) {
      slab.u8[IN + random.below(70)] = random.below(256);
    }
    const totalBytes = 10 + packet.length - (random.below(4) === 0 ? random.below(60) : 0);
    const reason = parseSuperPacket(slab, IN, totalBytes, sp);
    if (reason !== DropReason.None) continue;
    passed++;
    splitWhatPasses(sp, totalBytes, `seed ${seed} ${round}`);
  }
  assert(passed > 1000, `${passed} passed`);
});
