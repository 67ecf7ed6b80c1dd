import { assertEquals } from "@std/assert";
import { DropReason, dropReasonName } from "../../src/base/drop_reason.ts";
import {
  plainGsoOptions,
  type StackGso,
  stackGsoToTunGso,
  StackGsoType,
} from "../../src/offload/gso_options.ts";
import { describeSuperPacket, SuperPacket } from "../../src/offload/super_packet.ts";
import { buildPacket, buildSuperPacket, pattern, TIMESTAMPS } from "./packet_builder.ts";
import { assertSameBytes, expectedSegments, IN, kernels, slab, splitAll } from "./split_harness.ts";

const tcpV4: StackGso = {
  type: StackGsoType.TcpV4,
  needsCsum: true,
  csumOffset: 16,
  mss: 1000,
  l3HeaderBytes: 20,
};

/** Translates options for a packet and returns the reason's name and the result. */
function translate(stack: StackGso, packet: Uint8Array) {
  slab.u8.set(packet, IN);
  const into = plainGsoOptions();
  const reason = stackGsoToTunGso(slab.view, IN, packet.length, stack, into);
  return { reason: dropReasonName(reason), into };
}

const segment = buildPacket({ payload: pattern(3000), tcpOptions: TIMESTAMPS, isPartial: true });

Deno.test("stackGsoToTunGso() takes the TCP header length from the segment", () => {
  for (let words = 5; words < 16; words++) {
    const tcpOptions = new Uint8Array(words * 4 - 20);
    const packet = buildPacket({ payload: pattern(3000), tcpOptions });
    const { reason, into } = translate(tcpV4, packet);
    assertEquals(reason, "None");
    assertEquals(into, {
      type: 1,
      ecn: false,
      hdrLen: 20 + words * 4,
      csumStart: 20,
      csumOffset: 16,
      gsoSize: 1000,
      needsCsum: true,
    });
  }
});

Deno.test("stackGsoToTunGso() translates IPv6", () => {
  const packet = buildPacket({ version: 6, payload: pattern(3000) });
  const stack = { ...tcpV4, type: StackGsoType.TcpV6, l3HeaderBytes: 40 };
  const { reason, into } = translate(stack, packet);
  assertEquals([reason, into.type, into.hdrLen, into.csumStart], ["None", 4, 60, 40]);
});

Deno.test("stackGsoToTunGso() passes plain packets, with and without a checksum to complete", () => {
  const plain = { ...tcpV4, type: StackGsoType.None };
  const { reason, into } = translate(plain, segment);
  assertEquals([reason, into.type, into.needsCsum, into.csumStart], ["None", 0, true, 20]);
  const { into: without } = translate({ ...plain, needsCsum: false }, segment);
  assertEquals(without, plainGsoOptions());
});

Deno.test("stackGsoToTunGso() refuses unknown types", () => {
  for (const type of [3, 4, 5, 255, -1]) {
    assertEquals(translate({ ...tcpV4, type }, segment).reason, "VnetTypeUnknown");
  }
});

Deno.test("stackGsoToTunGso() refuses segments that are too short", () => {
  for (let bytes = 0; bytes < 52; bytes++) {
    assertEquals(translate(tcpV4, segment.slice(0, bytes)).reason, "IpTruncated", `${bytes}`);
    const withoutCsum = { ...tcpV4, needsCsum: false };
    assertEquals(translate(withoutCsum, segment.slice(0, bytes)).reason, "IpTruncated");
  }
  assertEquals(translate(tcpV4, segment.slice(0, 52)).reason, "None");
});

Deno.test("stackGsoToTunGso() refuses impossible headers and an MSS of 0", () => {
  assertEquals(translate({ ...tcpV4, mss: 0 }, segment).reason, "GsoSizeZero");
  assertEquals(translate({ ...tcpV4, l3HeaderBytes: 16 }, segment).reason, "GsoHeaderInvalid");
  assertEquals(translate({ ...tcpV4, csumOffset: 6 }, segment).reason, "GsoHeaderInvalid");
  const plausible = segment.slice();
  plausible[28] = 0x50;
  assertEquals(translate({ ...tcpV4, l3HeaderBytes: 16 }, plausible).reason, "GsoHeaderInvalid");
  const broken = segment.slice();
  broken[32] = 0x40;
  assertEquals(translate(tcpV4, broken).reason, "GsoHeaderInvalid");
});

Deno.test("a translated segment splits as the same super-packet from the TUN does", () => {
  for (const version of [4, 6] as const) {
    const fields = { version, payload: pattern(3300), tcpOptions: TIMESTAMPS };
    const { vnet, packet } = buildSuperPacket(fields, 1000);
    slab.u8.set(packet, IN);
    const type = version === 4 ? StackGsoType.TcpV4 : StackGsoType.TcpV6;
    const stack = { ...tcpV4, type, l3HeaderBytes: version === 4 ? 20 : 40 };
    const sp = new SuperPacket();
    assertEquals(stackGsoToTunGso(slab.view, IN, packet.length, stack, sp.gso), DropReason.None);
    assertEquals(describeSuperPacket(slab, IN, packet.length, sp), DropReason.None);
    const expected = expectedSegments(fields, vnet, packet);
    const packets = splitAll(sp, kernels.wasm, 4);
    for (let i = 0; i < 4; i++) assertSameBytes(packets[i], expected[i], `segment ${i}`);
  }
});
