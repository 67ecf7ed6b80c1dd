import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { GRO_IOVECS_MAX, GRO_PACKETS_MAX } from "../../src/offload/gro_coalesce.ts";
import {
  addAll,
  checkCoalesce,
  checkJoin,
  coalesce,
  datagrams,
  GatheringSink,
  makeCoalescer,
  patched,
  segments,
  shape,
  slab,
  withChecksum,
} from "./coalesce_harness.ts";
import {
  ACK,
  buildPacket,
  CWR,
  FIN,
  type PacketFields,
  pattern,
  PSH,
  TCP,
  TIMESTAMPS,
  UDP,
} from "./packet_builder.ts";

const versions = [4, 6] as const;

Deno.test("TCP segments in order become one super-packet, both versions", () => {
  for (const version of versions) {
    for (const tcpOptions of [new Uint8Array(), TIMESTAMPS, pattern(40)]) {
      const packets = segments([1400, 1400, 1400, 700], { version, tcpOptions });
      assertEquals(shape(packets), [4]);
    }
  }
});

Deno.test("UDP datagrams of one length become one super-packet, both versions", () => {
  for (const version of versions) {
    assertEquals(shape(datagrams([900, 900, 900, 5], { version })), [4]);
  }
});

Deno.test("rule 21: a gap, an overlap or a repetition is never merged", () => {
  for (const sequence of [5099, 5101, 5000, 4999, 6000]) {
    const packets = segments([100, 100], {}, (i) => i === 1 ? { sequence } : {});
    assertEquals(shape(packets), [1, 1]);
  }
});

Deno.test("rule 21: sequence numbers wrap within an item (hazard 61)", () => {
  assertEquals(shape(segments([100, 100, 100], { sequence: 0xffffff9c })), [3]);
  assertEquals(shape(segments([100, 100, 100], { sequence: 0xffffffff })), [3]);
  assertEquals(shape(segments([100, 100], { sequence: 0xffffff9c }).reverse()), [2]);
});

Deno.test("rule 21: PSH goes into the head and closes the item", () => {
  const packets = segments([100, 100, 100, 100], {}, (i) => ({ flags: i === 1 ? ACK | PSH : ACK }));
  assertEquals(shape(packets), [2, 2]);
  const [first, second] = coalesce(packets);
  assertEquals(first.bytes[10 + 33], ACK | PSH);
  assertEquals(second.bytes[10 + 33], ACK);
});

Deno.test("rule 21: nothing is appended to a head with PSH", () => {
  assertEquals(shape(segments([100, 100], {}, (i) => ({ flags: i === 0 ? ACK | PSH : ACK }))), [
    1,
    1,
  ]);
});

Deno.test("rule 21: a short tail closes the item, a longer segment opens another", () => {
  assertEquals(shape(segments([100, 100, 50, 50])), [3, 1]);
  assertEquals(shape(segments([100, 101])), [1, 1]);
  assertEquals(shape(segments([100, 100, 150, 150])), [2, 2]);
});

Deno.test("rule 21: a segment that comes late is put before its successor", () => {
  const [a, b, c] = segments([100, 100, 100]);
  assertEquals(shape([b, a]), [2]);
  assertEquals(shape([c, b, a]), [3]);
  assertEquals(shape([b, a, c]), [3]);
  assertEquals(shape([b, c, a]), [3]);
});

Deno.test("rule 21: a single shorter segment becomes the tail of the one put before it", () => {
  const [a, b] = segments([100, 60]);
  assertEquals(shape([b, a]), [2]);
  const [x, y, z] = segments([100, 60, 60]);
  assertEquals(shape([y, x, z]), [2, 1]);
  const pushed = segments([100, 60], {}, (i) => ({ flags: i === 1 ? ACK | PSH : ACK }));
  assertEquals(shape(pushed.reverse()), [2]);
  assertEquals(coalesce(pushed)[0].bytes[10 + 33], ACK | PSH);
});

Deno.test("rule 21: a shorter segment, or one with PSH, is never put before another", () => {
  const [a, b] = segments([50, 100]);
  assertEquals(shape([b, a]), [1, 1]);
  const pushed = segments([100, 100], {}, (i) => ({ flags: i === 0 ? ACK | PSH : ACK }));
  assertEquals(shape(pushed.reverse()), [1, 1]);
});

Deno.test("rule 21: before a merged item only an equally long segment is put", () => {
  const [a, b, c] = segments([120, 100, 100]);
  assertEquals(shape([b, c, a]), [2, 1]);
  const [x, y, z] = segments([100, 100, 60]);
  assertEquals(shape([y, z, x]), [3]);
});

Deno.test("rule 22: datagrams are compared with their flow's last item only", () => {
  const [a] = datagrams([100]);
  const [b] = datagrams([50]);
  const [c] = datagrams([200]);
  assertEquals(shape([a, a, b, a, a]), [3, 2]);
  assertEquals(shape([a, c, a, c]), [1, 2, 1]);
  const [other] = datagrams([100], { sourcePort: 7 });
  assertEquals(shape([a, other, a, other]), [2, 2]);
});

Deno.test("rule 22: datagrams leave in the order they came in", () => {
  const random = new SeededRandom(22);
  const lengths = Array.from({ length: 200 }, () => [100, 100, 100, 40, 130][random.below(5)]);
  const packets = datagrams(lengths);
  const payloads = coalesce(packets).flatMap((written) => [...written.bytes.subarray(38)]);
  assertEquals(payloads, packets.flatMap((packet) => [...packet.subarray(28)]));
});

Deno.test("rule 23: a packet with a bad checksum is passed on alone, as it came (hazard 65)", () => {
  for (const version of versions) {
    for (const protocol of [TCP, UDP]) {
      const make = protocol === TCP ? segments : datagrams;
      for (let bad = 0; bad < 4; bad++) {
        const packets = make([100, 100, 100, 100], { version });
        packets[bad][packets[bad].length - 1] ^= 0x40;
        const expected = [[1, 3], [1, 1, 2], [2, 1, 1], [3, 1]][bad];
        assertEquals(shape(packets), expected, `v${version} protocol ${protocol} bad ${bad}`);
        const alone = coalesce(packets).filter((written) => written.iovecs.length === 1);
        const isThere = alone.some((written) =>
          written.bytes.subarray(10).every((byte, i) => byte === packets[bad][i])
        );
        assert(isThere);
      }
    }
  }
});

Deno.test("rule 23: a bad IPv4 header checksum keeps a packet alone", () => {
  for (let bad = 0; bad < 2; bad++) {
    const packets = segments([100, 100]);
    packets[bad][10] ^= 1;
    assertEquals(shape(packets), [1, 1]);
  }
});

Deno.test("rule 23: every damaged byte is found", () => {
  const [a, b] = segments([61, 61], { tcpOptions: TIMESTAMPS });
  for (let at = 0; at < b.length; at++) {
    // The flow's own bytes make another flow, and the IPv4 ID is covered by the header checksum.
    for (const bit of [1, 0x80]) {
      assertEquals(shape([a, patched(b, at, b[at] ^ bit)]), [1, 1], `byte ${at}`);
    }
  }
});

Deno.test("rules 17 and 23: UDP without a checksum is never merged and stays without", () => {
  const packets = datagrams([100, 100]).map((packet) => patched(packet, 26, 0, 0));
  assertEquals(shape(packets), [1, 1]);
  assertEquals([...coalesce(packets)[0].bytes.subarray(36, 38)], [0, 0]);
});

Deno.test("rules 17 and 23: a UDP checksum of zero means none, even where the sum is right", () => {
  const payload = new Uint8Array(100);
  const fields = { protocol: UDP, payload };
  // The checksum itself as part of the data makes the sum all ones.
  payload.set(buildPacket(fields).subarray(26, 28));
  const packet = withChecksum(buildPacket(fields), 20, UDP);
  assertEquals([packet[26], packet[27]], [0, 0]);
  assertEquals(shape([packet, packet]), [1, 1]);
  assertEquals(shape([patched(packet, 26, 0xff, 0xff), packet]), [1, 1]);
  const [ones, again] = [patched(packet, 26, 0xff, 0xff), patched(packet, 26, 0xff, 0xff)];
  assertEquals(shape([ones, again, again, packet, again]), [3, 1, 1]);
});

Deno.test("rule 24: a merged packet never exceeds 65,535 bytes (hazard 15)", () => {
  for (const version of versions) {
    for (const length of [1460, 9000, 16_000, 32_000]) {
      const packets = segments(Array(50).fill(length), { version });
      const writes = checkCoalesce(packets, `v${version} ${length}`);
      assert(writes.every((bytes) => bytes.length - 10 <= 65_535));
      const headerBytes = version === 4 ? 40 : 60;
      const fitting = Math.floor((65_535 - headerBytes) / length);
      assertEquals(writes[0].length, 10 + headerBytes + fitting * length);
    }
  }
});

Deno.test("rule 24: 65,535 bytes exactly are allowed", () => {
  assertEquals(shape(segments([32_748, 32_747])), [2]);
  assertEquals(shape(segments([32_748, 32_748])), [1, 1]);
});

Deno.test("rule 24: an item has no more iovecs than packets fit a flush, and writev takes them", () => {
  assert(GRO_PACKETS_MAX <= GRO_IOVECS_MAX);
  assertEquals(shape(segments(Array(GRO_PACKETS_MAX).fill(1))), [GRO_PACKETS_MAX]);
});

Deno.test("an item has no more datagrams than the kernel takes in one write", () => {
  for (const version of versions) {
    const packets = datagrams(Array(GRO_PACKETS_MAX).fill(12), { version });
    assertEquals(shape(packets), Array(GRO_PACKETS_MAX / 64).fill(64));
    checkCoalesce(packets, `version ${version}`);
  }
  assertEquals(shape(datagrams([...Array(63).fill(9), 5, 9])), [64, 1]);
  assertEquals(shape(datagrams([...Array(64).fill(9), 5, 9])), [64, 1, 1]);
});

Deno.test("a full coalescer takes nothing until it is flushed", () => {
  const coalescer = makeCoalescer();
  const packets = segments(Array(GRO_PACKETS_MAX).fill(10));
  const places = addAll(coalescer, packets);
  assert(coalescer.isFull);
  assertEquals(coalescer.add(places[0], packets[0].length), false);
  const sink = new GatheringSink(() => coalescer);
  coalescer.flush(sink);
  assertEquals(sink.written.map((written) => written.iovecs.length), [GRO_PACKETS_MAX]);
  assert(!coalescer.isFull);
});

Deno.test("rule 25: every merged packet asks for its checksum (hazard 15)", () => {
  for (const version of versions) {
    for (const packets of [segments([100, 100], { version }), datagrams([100, 100], { version })]) {
      const [written] = coalesce(packets);
      const vnet = new DataView(written.bytes.buffer);
      const isTcp = packets[0].length !== (version === 4 ? 128 : 148);
      assertEquals(vnet.getUint8(0), 1);
      assertEquals(vnet.getUint8(1), isTcp ? (version === 4 ? 1 : 4) : 5);
      assertEquals(vnet.getUint16(2, true), written.item.headerBytes);
      assertEquals(vnet.getUint16(4, true), 100);
      assertEquals(vnet.getUint16(6, true), version === 4 ? 20 : 40);
      assertEquals(vnet.getUint16(8, true), isTcp ? 16 : 6);
    }
  }
});

Deno.test("rule 25: an unmerged packet has an all-zero virtio header and is unchanged", () => {
  const packets = [
    ...segments([100], { flags: ACK | FIN }),
    ...datagrams([77], { sourcePort: 3 }),
    new Uint8Array([0x45, 1, 2]),
    pattern(60),
  ];
  const written = coalesce(packets);
  assertEquals(written.length, packets.length);
  for (let i = 0; i < packets.length; i++) {
    assertEquals(written[i].bytes, new Uint8Array([...new Uint8Array(10), ...packets[i]]));
  }
});

Deno.test("the first iovec covers virtio header and first packet, later ones payloads alone", () => {
  const coalescer = makeCoalescer();
  const sink = new GatheringSink(() => coalescer);
  const packets = segments([100, 100, 30]);
  const [a, b, c] = addAll(coalescer, [packets[1], packets[0], packets[2]]);
  coalescer.flush(sink);
  assertEquals(sink.written[0].iovecs, [
    { at: b - 10, bytes: 150 },
    { at: a + 40, bytes: 100 },
    { at: c + 40, bytes: 30 },
  ]);
  // What stands before a packet that is not the first is left alone.
  assertEquals([...slab.u8.subarray(a - 10, a)], Array(10).fill(0xee));
});

Deno.test("a sink can see the item that it is given", () => {
  const packets = [...segments([100, 100, 30]), ...datagrams([10])];
  const [merged, single] = coalesce(packets).map((written) => ({ ...written.item, at: 0 }));
  assertEquals(merged, {
    at: 0,
    bytes: 270,
    packetCount: 3,
    headerBytes: 40,
    gsoSize: 100,
    isVerified: true,
  });
  assertEquals([single.bytes, single.packetCount, single.gsoSize, single.isVerified], [
    38,
    1,
    0,
    false,
  ]);
});

Deno.test("rule 26: the switches may change between two flushes", () => {
  const coalescer = makeCoalescer();
  const counts = [true, false, true].map((isOn) => {
    coalescer.tcp = isOn;
    coalescer.udp = isOn;
    const sink = new GatheringSink(() => coalescer);
    addAll(coalescer, [...segments([100, 100]), ...datagrams([100, 100])]);
    coalescer.flush(sink);
    return sink.written.length;
  });
  assertEquals(counts, [2, 4, 2]);
});

Deno.test("rule 27: a flush delivers everything, whatever the number of flows", () => {
  for (const flows of [1, 2, 100, 256]) {
    const packets = Array.from({ length: 256 }, (_, i) => {
      const flow = i % flows;
      const sequence = 1000 + Math.floor(i / flows) * 50;
      return buildPacket({ sourcePort: 1000 + flow, sequence, payload: pattern(50, i + 1) });
    });
    assertEquals(shape(packets).length, flows);
  }
});

Deno.test("rule 27: what closed the items of one flush does not close those of the next", () => {
  const coalescer = makeCoalescer();
  const fragment = buildPacket({ source: 99, fragmentField: 3, payload: pattern(40) });
  const counts = [[...segments([100, 100]), fragment], segments([100, 100, 100])].map((packets) => {
    const sink = new GatheringSink(() => coalescer);
    addAll(coalescer, packets);
    coalescer.flush(sink);
    return sink.written.map((written) => written.iovecs.length);
  });
  assertEquals(counts, [[2, 1], [3]]);
});

/** Six segments of which the fourth is different; long enough for a run to be under way. */
function sixWith(change: Partial<PacketFields>, fields: Partial<PacketFields> = {}) {
  return segments(Array(6).fill(100), fields, (i) => i === 3 ? change : {});
}

Deno.test("rules 20 to 23: whatever differs in the midst of a run ends it", () => {
  for (const version of versions) {
    const common = { version, tcpOptions: TIMESTAMPS };
    const changes: Partial<PacketFields>[] = [
      { tos: 3 },
      { ttl: 1 },
      { acknowledgment: 78 },
      { window: 9 },
      { flags: ACK | FIN },
      { tcpOptions: pattern(12, 9) },
      { tcpOptions: new Uint8Array() },
      { tcpOptions: new Uint8Array([...TIMESTAMPS.subarray(0, 11), 99]) },
      { sequence: 5299 },
      { payload: new Uint8Array() },
      version === 4 ? { fragmentField: 0 } : { flowLabel: 7 },
    ];
    for (const change of changes) {
      const counts = shape(sixWith(change, common));
      assertEquals(counts, [3, 1, 2], `v${version} ${JSON.stringify(change)}`);
    }
    assertEquals(shape(sixWith({ flags: ACK | PSH }, common)), [4, 2]);
    assertEquals(shape(sixWith({ sourcePort: 9 }, common)), [3, 1, 2]);
    assertEquals(shape(sixWith({ destination: 9 }, common)), [3, 1, 2]);
  }
});

Deno.test("rule 23: every damaged byte is found in the midst of a run", () => {
  for (const protocol of [TCP, UDP]) {
    const make = protocol === TCP ? segments : datagrams;
    const packets = make(Array(6).fill(61), { tcpOptions: TIMESTAMPS });
    for (let at = 0; at < packets[3].length; at++) {
      const damaged = packets.slice();
      damaged[3] = patched(packets[3], at, packets[3][at] ^ 0x10);
      const counts = shape(damaged);
      assert(counts.includes(1), `protocol ${protocol} byte ${at}`);
      assertEquals(counts.reduce((a, b) => a + b), 6);
    }
  }
});

Deno.test("IPv4 IDs may be anything in the midst of a run", () => {
  for (const ids of [[1, 2, 3, 4, 5], [0, 0, 0, 0, 0], [9, 0xffff, 0, 5, 0x8000]]) {
    assertEquals(shape(segments(Array(5).fill(100), {}, (i) => ({ id: ids[i] }))), [5]);
  }
});

Deno.test("two flows by turns are both merged", () => {
  const a = segments(Array(8).fill(100));
  const b = datagrams(Array(8).fill(100), { version: 6 });
  assertEquals(shape(a.flatMap((packet, i) => [packet, b[i]])), [8, 8]);
  assertEquals(shape([...a.slice(0, 4), ...b.slice(0, 4), ...a.slice(4), ...b.slice(4)]), [8, 8]);
});

Deno.test("rule 27: nothing of one flush is left for the next", () => {
  const coalescer = makeCoalescer();
  const packets = segments(Array(20).fill(100));
  const counts = [5, 1, 10, 4].map((count) => {
    const sink = new GatheringSink(() => coalescer);
    addAll(coalescer, packets.splice(0, count));
    coalescer.flush(sink);
    coalescer.flush(sink);
    return sink.written.map((written) => written.iovecs.length);
  });
  assertEquals(counts, [[5], [1], [10], [4]]);
});

Deno.test("a packet that cannot be merged is not overtaken by later ones of its flow", () => {
  const cases: Partial<PacketFields>[] = [
    { flags: ACK | FIN },
    { flags: ACK | CWR },
    { ipOptions: pattern(4) },
    { fragmentField: 0x2000 },
  ];
  for (const fields of cases) {
    const packets = segments([100, 100, 100, 100], {}, (i) => i === 2 ? fields : {});
    assertEquals(shape(packets), [2, 1, 1], JSON.stringify(fields));
  }
  // Right behind it comes what could have been appended to the item before.
  const [a, b] = segments([100, 100]);
  const [fin] = segments([0], { flags: ACK | FIN, sequence: 9999 });
  assertEquals(shape([a, fin, b]), [1, 1, 1]);
});

Deno.test("a packet of another flow does not close an item", () => {
  const [a, b] = segments([100, 100]);
  const [fin] = segments([0], { flags: ACK | FIN, sourcePort: 5 });
  const icmp = buildPacket({ protocol: 1, payload: pattern(20) });
  assertEquals(shape([a, fin, icmp, b]), [2, 1, 1]);
});

Deno.test("a packet that may be of any flow closes all items", () => {
  const [a, b] = segments([100, 100]);
  const [u] = datagrams([100]);
  const laterFragment = buildPacket({ source: 99, fragmentField: 3, payload: pattern(40) });
  const extensions = [{ type: 60, bytes: new Uint8Array(8) }];
  const extended = buildPacket({ version: 6, extensions, payload: pattern(40) });
  for (const packet of [laterFragment, extended]) {
    assertEquals(shape([a, u, packet, b, u, u]), [1, 1, 1, 1, 2]);
  }
});

Deno.test("a reader of streams gets all that came in order as one item", () => {
  const push = (index: number) => (i: number) => ({ flags: i === index ? ACK | PSH : ACK });
  for (const version of versions) {
    const joined = (lengths: number[], index = -1) =>
      checkJoin(segments(lengths, { version }, push(index)), `version ${version}`);
    assertEquals(joined([100, 100, 100, 100], 1), [4], "over PSH");
    assertEquals(joined([100, 100, 100], 0), [3], "over PSH in the first");
    assertEquals(joined([100, 60, 100, 180, 100, 100]), [6], "of any length");
    assertEquals(joined(Array(GRO_PACKETS_MAX).fill(1228)), [256], "longer than an IP packet");
    assertEquals(
      checkJoin(datagrams(Array(GRO_PACKETS_MAX).fill(1200), { version }), "UDP"),
      [54, 54, 54, 54, 40],
      "datagrams as ever",
    );
  }
});

Deno.test("what a reader of streams gets ends at a gap, at FIN and where headers differ", () => {
  const gap = segments([100, 100, 100, 100]);
  gap.splice(1, 1);
  assertEquals(checkJoin(gap, "gap"), [1, 2]);
  const changed = (field: Partial<PacketFields>) =>
    segments([100, 100, 100, 100], {}, (i) => i >= 2 ? field : {});
  assertEquals(checkJoin(changed({ acknowledgment: 5 }), "acknowledgment"), [2, 2]);
  assertEquals(checkJoin(changed({ window: 5 }), "window"), [2, 2]);
  assertEquals(checkJoin(changed({ tos: 3 }), "congestion mark"), [2, 2]);
  assertEquals(checkJoin(changed({ flags: ACK | FIN }), "FIN"), [2, 1, 1]);
});
