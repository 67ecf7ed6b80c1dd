import { assertEquals } from "@std/assert";
import { datagrams, patched, segments, shape, withChecksum } from "./coalesce_harness.ts";
import { ACK, type PacketFields, pattern, PSH, TCP, TIMESTAMPS, UDP } from "./packet_builder.ts";

const versions = [4, 6] as const;

Deno.test("rule 19: IPv4 options keep a packet alone", () => {
  assertEquals(shape(segments([100, 100, 100], { ipOptions: pattern(4) })), [1, 1, 1]);
  const options = (i: number) => i === 1 ? { ipOptions: pattern(4) } : {};
  assertEquals(shape(segments([100, 100, 100], {}, options)), [1, 1, 1]);
});

Deno.test("rule 19: IPv6 extension headers keep a packet alone", () => {
  for (const type of [0, 43, 44, 51, 60, 135]) {
    const extensions = [{ type, bytes: new Uint8Array(8) }];
    assertEquals(shape(segments([100, 100], { version: 6, extensions })), [1, 1]);
  }
});

Deno.test("rule 19: a length field that does not match keeps a packet alone", () => {
  for (const version of versions) {
    const at = version === 4 ? 2 : 4;
    for (const length of [0, 10, 139, 141, 5000]) {
      const [a, b, c] = segments([100, 100, 100], { version });
      assertEquals(shape([a, patched(b, at, length >> 8, length & 255), c]), [1, 1, 1]);
    }
  }
});

Deno.test("rule 19: a UDP length that does not match keeps a datagram alone", () => {
  const [a, b, c] = datagrams([100, 100, 100]);
  for (const length of [0, 7, 8, 107, 109]) {
    const wrong = withChecksum(patched(b, 24, 0, length), 20, UDP);
    assertEquals(shape([a, wrong, c]), [1, 1, 1]);
    assertEquals(shape([wrong, wrong]), [1, 1]);
    assertEquals(shape([a, a, a, wrong, a]), [3, 1, 1]);
  }
});

Deno.test("rule 19: fragments are never merged", () => {
  for (const fragmentField of [0x2000, 0x2001, 0x0001, 0x1fff]) {
    assertEquals(shape(segments([100, 100], { fragmentField })), [1, 1]);
    assertEquals(shape(datagrams([100, 100], { fragmentField })), [1, 1]);
  }
});

Deno.test("rule 19: packets without payload are never merged", () => {
  for (const version of versions) {
    assertEquals(shape(segments([0, 0, 0], { version })), [1, 1, 1]);
    assertEquals(shape(datagrams([0, 0, 0], { version })), [1, 1, 1]);
    assertEquals(shape(segments([100, 0, 100], { version })), [1, 1, 1]);
  }
});

Deno.test("rule 19: only ACK, or ACK and PSH, may be merged", () => {
  for (let flags = 0; flags < 256; flags++) {
    const merged = flags === ACK || flags === (ACK | PSH);
    const second = (i: number) => ({ flags: i === 1 ? flags : ACK });
    assertEquals(shape(segments([100, 100], {}, second)), merged ? [2] : [1, 1], `flags ${flags}`);
    const first = (i: number) => ({ flags: i === 0 ? flags : ACK });
    assertEquals(shape(segments([100, 100], {}, first)), flags === ACK ? [2] : [1, 1]);
  }
});

Deno.test("rule 19: the flag bits beside the data offset must be zero", () => {
  for (let bit = 1; bit < 16; bit <<= 1) {
    const [a, b] = segments([100, 100]);
    const sum = b[36] * 256 + b[37] - bit * 256;
    const both = patched(patched(b, 32, b[32] | bit), 36, (sum >> 8) & 255, sum & 255);
    assertEquals(shape([a, both]), [1, 1]);
  }
});

Deno.test("rule 19: a TCP header shorter than 20 bytes or longer than the packet stays alone", () => {
  for (const words of [0, 1, 4, 13, 15]) {
    const packets = segments([30, 30], {}, (i) => ({ sequence: 5000 + i * (50 - words * 4) }))
      .map((packet) => withChecksum(patched(packet, 32, words << 4), 20, TCP));
    assertEquals(shape(packets), [1, 1], `${words} words`);
  }
});

Deno.test("rule 19: TCP and UDP can be switched off separately", () => {
  const packets = [...segments([100, 100]), ...datagrams([100, 100])];
  assertEquals(shape(packets, { tcp: true, udp: true }), [2, 2]);
  assertEquals(shape(packets, { tcp: false, udp: true }), [1, 1, 2]);
  assertEquals(shape(packets, { tcp: true, udp: false }), [2, 1, 1]);
  assertEquals(shape(packets, { tcp: false, udp: false }), [1, 1, 1, 1]);
});

Deno.test("rule 20: another flow is never merged (hazard 65)", () => {
  const changes: Partial<PacketFields>[] = [
    { source: 9 },
    { destination: 9 },
    { sourcePort: 9 },
    { destinationPort: 9 },
    { acknowledgment: 78 },
  ];
  for (const version of versions) {
    for (const change of changes) {
      const packets = segments([100, 100], { version }, (i) => i === 1 ? change : {});
      assertEquals(shape(packets), [1, 1], `v${version} ${JSON.stringify(change)}`);
    }
  }
  for (const version of versions) {
    const [first, second] = segments([100, 100], { version });
    const [udp] = datagrams([112], { version });
    assertEquals(shape([first, udp, second, udp]), [2, 2]);
  }
});

Deno.test("rule 20: every byte of an IPv6 address tells flows apart (hazard 65)", () => {
  for (let at = 8; at < 40; at++) {
    const [a, b] = datagrams([100, 100], { version: 6 });
    b[at] ^= 1;
    withChecksum(b, 40, UDP);
    assertEquals(shape([a, b, a, b]), [2, 2], `byte ${at}`);
    assertEquals(shape([a, b]), [1, 1], `byte ${at}`);
  }
});

Deno.test("rule 20: another TOS, flow label, DF, TTL, window or options are never merged", () => {
  const [other] = [pattern(12, 9)];
  const cases: [4 | 6, Partial<PacketFields>, Partial<PacketFields>][] = [
    [4, {}, { tos: 4 }],
    [4, {}, { tos: 3 }],
    [4, {}, { ttl: 63 }],
    [4, {}, { fragmentField: 0 }],
    [4, {}, { fragmentField: 0xc000 }],
    [6, {}, { tos: 4 }],
    [6, {}, { tos: 1 }],
    [6, {}, { ttl: 63 }],
    [6, {}, { flowLabel: 5 }],
    [4, {}, { window: 502 }],
    [4, { tcpOptions: TIMESTAMPS }, { tcpOptions: other }],
    [6, { tcpOptions: TIMESTAMPS }, { tcpOptions: other }],
    [4, { tcpOptions: TIMESTAMPS }, { tcpOptions: new Uint8Array() }],
    [4, { tcpOptions: new Uint8Array() }, { tcpOptions: TIMESTAMPS }],
  ];
  for (const [version, common, change] of cases) {
    const packets = segments([100, 100], { version, ...common }, (i) => i === 1 ? change : {});
    assertEquals(shape(packets), [1, 1], `v${version} ${JSON.stringify(change)}`);
  }
});

Deno.test("rule 20: UDP with another TOS, DF or TTL is never merged", () => {
  for (const change of [{ tos: 4 }, { ttl: 9 }, { fragmentField: 0 }]) {
    const [a] = datagrams([100]);
    const [b] = datagrams([100], change);
    assertEquals(shape([a, b, a]), [1, 1, 1]);
  }
});

Deno.test("rule 20: every word of the TCP options counts", () => {
  const options = pattern(40, 6);
  for (let word = 0; word < 10; word++) {
    const changed = options.slice();
    changed[word * 4 + (word % 4)] ^= 0x10;
    const change = (i: number) => ({ tcpOptions: i === 1 ? changed : options });
    assertEquals(shape(segments([100, 100], {}, change)), [1, 1], `word ${word}`);
  }
});
