import { assertEquals } from "@std/assert";
import { dropReasonName } from "../../src/base/drop_reason.ts";
import { SeededRandom } from "../../src/base/random.ts";
import type { StackGso } from "../../src/offload/gso_options.ts";
import { describeStackSegment, SuperPacket } from "../../src/offload/super_packet.ts";
import {
  buildSuperPacket,
  CWR,
  FIN,
  type PacketFields,
  pattern,
  PSH,
  TCP,
  transportOffset,
  UDP,
} from "./packet_builder.ts";
import { assertSameBytes, expectedSegments, IN, kernels, slab, splitAll } from "./split_harness.ts";

/** Where payloads stand that are not behind their headers. */
const PAYLOAD = 3 << 20;
const versions = [4, 6] as const;

interface Segment {
  readonly sp: SuperPacket;
  readonly reason: string;
  readonly packet: Uint8Array;
  readonly expected: Uint8Array[];
}

/** Puts a segment as the stack makes it into the slab, headers at `IN`, and describes it. */
function describe(
  fields: Partial<PacketFields>,
  mss: number,
  change: { payloadAt?: number; stack?: Partial<StackGso>; headerBytes?: number } = {},
): Segment {
  const { vnet, packet } = buildSuperPacket(fields, mss);
  const isTcp = (fields.protocol ?? TCP) === TCP;
  const transport = transportOffset(fields);
  const headerBytes = change.headerBytes ?? vnet.hdrLen;
  const payloadAt = change.payloadAt ?? PAYLOAD;
  const payloadBytes = packet.length - headerBytes;
  const isPlain = !isTcp || payloadBytes <= mss;
  slab.u8.fill(0xee, IN, IN + 256);
  slab.u8.set(packet.subarray(0, headerBytes), IN);
  slab.u8.set(packet.subarray(headerBytes), payloadAt);
  const type = (fields.version ?? 4) === 4 ? 1 : 2;
  const stack = {
    type: isPlain ? 0 : type,
    needsCsum: true,
    csumOffset: isTcp ? 16 : 6,
    mss,
    l3HeaderBytes: transport,
    ...change.stack,
  };
  const sp = new SuperPacket();
  const reason = describeStackSegment(slab, IN, headerBytes, payloadAt, payloadBytes, stack, sp);
  const full = { ...vnet, gsoType: isPlain ? 0 : vnet.gsoType };
  const expected = expectedSegments(fields, full, packet);
  return { sp, reason: dropReasonName(reason), packet, expected };
}

/** Splits with every kernel and demands the reference's bytes. */
function check(fields: Partial<PacketFields>, mss: number, where: string, step = Infinity): void {
  const { sp, reason, packet, expected } = describe(fields, mss);
  assertEquals(reason, "None", where);
  assertEquals(sp.segmentCount, expected.length, where);
  for (const [name, kernel] of Object.entries(kernels)) {
    const packets = splitAll(sp, kernel, Math.min(step, sp.segmentCount));
    expected.forEach((bytes, i) => assertSameBytes(packets[i], bytes, `${where}, ${name}, ${i}`));
  }
  const payload = packet.subarray(sp.headerBytes);
  assertSameBytes(slab.u8.slice(PAYLOAD, PAYLOAD + payload.length), payload, `${where}: input`);
}

Deno.test("a payload that stands apart is cut like one behind its headers, for every header length", () => {
  for (const version of versions) {
    for (let options = 0; options <= 40; options += 4) {
      for (const length of [1, 99, 100, 101, 200, 1234]) {
        const tcpOptions = pattern(options, options);
        const fields = { version, tcpOptions, payload: pattern(length), flags: PSH | FIN | CWR };
        check(fields, 100, `v${version}, ${options} option bytes, ${length} payload`);
      }
    }
  }
});

Deno.test("a payload that stands apart may follow IPv4 options and IPv6 extension headers", () => {
  for (let bytes = 4; bytes <= 40; bytes += 4) {
    const ipOptions = new Uint8Array(bytes).fill(1);
    check({ ipOptions, payload: pattern(777) }, 100, `${bytes} bytes of IP options`);
  }
  const extensions = [{ type: 60, bytes: Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0) }];
  check({ version: 6, extensions, payload: pattern(777) }, 100, "a destination option");
});

Deno.test("a segment without payload is its headers, with the checksum completed", () => {
  for (const version of versions) check({ version }, 1000, `v${version}`);
});

Deno.test("a UDP datagram whose payload stands apart gets its checksum completed", () => {
  for (const version of versions) {
    for (const length of [0, 1, 2, 3, 1400]) {
      check({ version, protocol: UDP, payload: pattern(length) }, 0, `v${version}, ${length}`);
    }
  }
});

Deno.test("a UDP checksum that comes out as 0 is sent as 0xFFFF with a payload apart too", () => {
  const fields = { protocol: UDP, payload: new Uint8Array(2) };
  const { expected } = describe(fields, 0);
  const view = new DataView(expected[0].buffer);
  const payload = new Uint8Array(2);
  new DataView(payload.buffer).setUint16(0, view.getUint16(26));
  check({ protocol: UDP, payload }, 0, "zero sum");
  const { sp } = describe({ protocol: UDP, payload }, 0);
  assertEquals([...splitAll(sp, kernels.scalar, 1)[0].subarray(26, 28)], [0xff, 0xff]);
});

Deno.test("64 KB whose payload stands apart are cut in steps of one send and of one packet", () => {
  for (const version of versions) {
    const payload = pattern(65_535 - 20 - (version === 4 ? 20 : 40));
    check({ version, payload }, 1360, `v${version}, 45`, 45);
    check({ version, payload: payload.subarray(0, 9000) }, 1360, `v${version}, 1`, 1);
  }
});

Deno.test("a segment whose payload follows its headers may call any part of them headers", () => {
  for (const protocol of [TCP, UDP]) {
    for (const length of [0, 1, 700, 2500]) {
      const fields = { protocol, payload: pattern(length) };
      const isGso = protocol === TCP && length > 1000;
      const headerBytes = isGso ? 40 : 20;
      const payloadAt = IN + headerBytes;
      const { sp, reason, expected } = describe(fields, 1000, { headerBytes, payloadAt });
      assertEquals([reason, sp.isContiguous], ["None", true]);
      const packets = splitAll(sp, kernels.wasm, sp.segmentCount);
      expected.forEach((bytes, i) => assertSameBytes(packets[i], bytes, `${protocol}, ${length}`));
    }
  }
});

Deno.test("a segment without NEEDS_CSUM is joined unchanged", () => {
  const { sp, packet } = describe({ payload: pattern(500) }, 1000, { stack: { needsCsum: false } });
  for (const kernel of Object.values(kernels)) {
    assertSameBytes(splitAll(sp, kernel, 1)[0], packet, "unchanged");
  }
});

Deno.test("a segment whose IP length is not that of its two parts is refused", () => {
  for (const headerBytes of [38, 42, 20]) {
    const { reason } = describe({ payload: pattern(500) }, 100, { headerBytes });
    assertEquals(reason === "None", false, `${headerBytes}`);
  }
  const sp = new SuperPacket();
  const { sp: right } = describe({ payload: pattern(500) }, 100);
  const stack = { type: 1, needsCsum: true, csumOffset: 16, mss: 100, l3HeaderBytes: 20 };
  for (const payloadBytes of [499, 501]) {
    const reason = describeStackSegment(slab, right.at, 40, PAYLOAD, payloadBytes, stack, sp);
    assertEquals(reason === 0, false, `${payloadBytes}`);
  }
});

Deno.test("a checksum that would have to be completed in the payload is refused", () => {
  const stack = { csumOffset: 20, type: 0 };
  assertEquals(describe({ payload: pattern(500) }, 1000, { stack }).reason, "GsoHeaderInvalid");
  const elsewhere = { l3HeaderBytes: 24, type: 0 };
  const { reason } = describe({ payload: pattern(500) }, 1000, { stack: elsewhere });
  assertEquals(reason, "GsoHeaderInvalid");
});

Deno.test("random segments with payloads at any place agree in every byte", () => {
  const seed = 20_260;
  const random = new SeededRandom(seed);
  for (let run = 0; run < 300; run++) {
    const fields = {
      version: versions[random.below(2)],
      tcpOptions: pattern(4 * random.below(11), run),
      payload: pattern(random.below(5000), run),
      flags: random.below(256),
      sequence: random.nextUint32(),
      id: random.below(65_536),
    };
    const mss = 1 + random.below(1500);
    const payloadAt = PAYLOAD + random.below(64);
    const { sp, reason, expected } = describe(fields, mss, { payloadAt });
    assertEquals(reason, "None", `seed ${seed}, run ${run}`);
    const packets = splitAll(sp, kernels.wasm, 1 + random.below(sp.segmentCount));
    expected.forEach((bytes, i) => {
      assertSameBytes(packets[i], bytes, `seed ${seed}, run ${run}, segment ${i}`);
    });
  }
});
