import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { GRO_DATAGRAMS_MAX } from "../../src/offload/gro_coalesce.ts";
import { checkCoalesce, checkJoin, coalesce } from "./coalesce_harness.ts";
import {
  ACK,
  buildPacket,
  buildSuperPacket,
  buildVnet,
  FIN,
  type PacketFields,
  pattern,
  PSH,
  TCP,
  TIMESTAMPS,
  UDP,
} from "./packet_builder.ts";
import { assertSameBytes, IN, kernels, parseAt, splitAll } from "./split_harness.ts";

const versions = [4, 6] as const;

/** A batch of packets of a few flows with everything that can go wrong on the way. */
function randomBatch(random: SeededRandom): Uint8Array[] {
  const flows = Array.from({ length: 1 + random.below(5) }, (_, i) => ({
    version: versions[random.below(2)],
    protocol: random.below(3) === 0 ? UDP : TCP,
    sourcePort: 1000 + i,
    tcpOptions: random.below(2) === 0 ? TIMESTAMPS : new Uint8Array(),
    sequence: random.below(2) === 0 ? 0xffffff00 : 7000,
    mss: [1, 100, 100, 333][random.below(4)],
  }));
  const packets: Uint8Array[] = [];
  for (let count = random.below(60); count > 0; count--) {
    const flow = flows[random.below(flows.length)];
    const length = random.below(8) === 0 ? random.below(400) : flow.mss;
    const fields: Partial<PacketFields> = { ...flow, payload: random.fill(new Uint8Array(length)) };
    if (random.below(20) === 0) Object.assign(fields, oddity(random, flow.version));
    const packet = buildPacket(fields);
    if (random.below(30) === 0) packet[random.below(packet.length)] ^= 1 << random.below(8);
    packets.push(packet);
    flow.sequence = (flow.sequence + length) % 2 ** 32;
  }
  // Reordering by one or two places.
  for (let i = 2; i < packets.length; i++) {
    if (random.below(8) > 0) continue;
    const j = i - 1 - random.below(2);
    [packets[i], packets[j]] = [packets[j], packets[i]];
  }
  return packets;
}

function oddity(random: SeededRandom, version: 4 | 6): Partial<PacketFields> {
  const choices: Partial<PacketFields>[] = [
    { flags: ACK | PSH },
    { flags: ACK | FIN },
    { flags: 0x02 },
    { ttl: 9 },
    { tos: 2 },
    { acknowledgment: 5 },
    { window: 1 },
    { payload: new Uint8Array() },
    version === 4 ? { fragmentField: 0x2000 } : { flowLabel: 5 },
    version === 4
      ? { ipOptions: new Uint8Array(8) }
      : { extensions: [{ type: 60, bytes: new Uint8Array(8) }] },
  ];
  return choices[random.below(choices.length)];
}

Deno.test("random batches of several flows agree with the reference in every byte", () => {
  const seed = 19;
  const random = new SeededRandom(seed);
  let merged = 0;
  for (let round = 0; round < 800; round++) {
    const packets = randomBatch(random);
    const options = { tcp: random.below(8) > 0, udp: random.below(8) > 0 };
    const writes = checkCoalesce(packets, `seed ${seed} round ${round}`, options);
    merged += packets.length - writes.length;
  }
  assert(merged > 5000, `only ${merged} were merged`);
});

Deno.test("a reader of streams gets what the reference gives it, of random batches", () => {
  const seed = 27;
  const random = new SeededRandom(seed);
  let merged = 0;
  for (let round = 0; round < 400; round++) {
    const packets = randomBatch(random);
    const options = { tcp: random.below(8) > 0, udp: random.below(8) > 0 };
    const items = checkJoin(packets, `seed ${seed} round ${round}`, options);
    merged += packets.length - items.length;
  }
  assert(merged > 2500, `only ${merged} were merged`);
});

/** The pieces that a device makes of a write: IP packets. */
function resegment(write: Uint8Array): Uint8Array[] {
  const view = new DataView(write.buffer, write.byteOffset);
  const vnet = {
    flags: view.getUint8(0),
    gsoType: view.getUint8(1),
    hdrLen: view.getUint16(2, true),
    gsoSize: view.getUint16(4, true),
    csumStart: view.getUint16(6, true),
    csumOffset: view.getUint16(8, true),
  };
  if (vnet.gsoType === 0) return [write.slice(10)];
  const { reason, sp } = parseAt(IN, vnet, write.slice(10));
  assertEquals(reason, 0);
  return splitAll(sp, kernels.wasm, sp.segmentCount);
}

/** A packet without what the way through a super-packet may change: IPv4 ID and its checksum. */
function withoutId(packet: Uint8Array): Uint8Array {
  const copy = packet.slice();
  if (copy[0] >> 4 === 4 && copy.length >= 20) copy.fill(0, 4, 6).fill(0, 10, 12);
  return copy;
}

Deno.test("rule 18: coalesced and split again, every packet is there with all its bytes", () => {
  const seed = 181;
  const random = new SeededRandom(seed);
  for (let round = 0; round < 300; round++) {
    const packets = randomBatch(random);
    const out = coalesce(packets).flatMap((written) => resegment(written.bytes));
    const key = (packet: Uint8Array) => withoutId(packet).join();
    const where = `seed ${seed} round ${round}`;
    assertEquals(out.map(key).sort(), packets.map(key).sort(), where);
  }
});

/** The order of a batch's UDP packets, which carry their flow in the source port. */
function orderOf(packets: Uint8Array[]): string[] {
  return packets.filter((packet) => packet[0] === 0x45 && packet[9] === UDP)
    .map((packet) => withoutId(packet).join());
}

Deno.test("rule 22: random batches never reorder the datagrams of a flow", () => {
  const seed = 22;
  const random = new SeededRandom(seed);
  for (let round = 0; round < 200; round++) {
    const packets = randomBatch(random).filter((packet) => packet[0] >> 4 === 4);
    const out = coalesce(packets).flatMap((written) => resegment(written.bytes));
    const byFlow = (list: Uint8Array[]) =>
      Map.groupBy(orderOf(list), (text) => text.split(",").slice(12, 24).join());
    assertEquals(byFlow(out), byFlow(packets), `seed ${seed} round ${round}`);
  }
});

Deno.test("rule 18: split and coalesced again, a super-packet is what it was", () => {
  const seed = 180;
  const random = new SeededRandom(seed);
  for (let round = 0; round < 300; round++) {
    const version = versions[random.below(2)];
    const protocol = [TCP, UDP][random.below(2)];
    const gsoSize = 100 + random.below(1300);
    const packetsMax = protocol === TCP ? 250 : GRO_DATAGRAMS_MAX - 1;
    const payloadBytes = gsoSize + 1 + random.below(Math.min(60_000, gsoSize * packetsMax));
    const fields = {
      version,
      protocol,
      id: random.below(65_536),
      sequence: random.nextUint32(),
      flags: random.below(2) === 0 ? ACK : ACK | PSH,
      tcpOptions: random.below(2) === 0 ? TIMESTAMPS : new Uint8Array(),
      payload: random.fill(new Uint8Array(payloadBytes)),
    };
    const { vnet, packet } = buildSuperPacket(fields, gsoSize);
    const { sp } = parseAt(IN, vnet, packet);
    const written = coalesce(splitAll(sp, kernels.wasm, sp.segmentCount));
    const where = `seed ${seed} round ${round}`;
    assertEquals(written.length, 1, where);
    assertSameBytes(written[0].bytes, new Uint8Array([...buildVnet(vnet), ...packet]), where);
  }
});

Deno.test("random bytes go through unchanged and never throw", () => {
  const seed = 4711;
  const random = new SeededRandom(seed);
  for (let round = 0; round < 200; round++) {
    const packets = Array.from({ length: 50 }, () => {
      const bytes = random.fill(new Uint8Array(1 + random.below(120)));
      if (random.below(4) > 0) bytes[0] = random.below(2) === 0 ? 0x45 : 0x60;
      if (random.below(2) > 0) {
        bytes[bytes[0] >> 4 === 4 ? 9 : 6] = random.below(2) === 0 ? TCP : UDP;
      }
      return bytes;
    });
    checkCoalesce(packets, `seed ${seed} round ${round}`);
  }
});

Deno.test("damaged packets of one flow agree with the reference", () => {
  const seed = 4712;
  const random = new SeededRandom(seed);
  for (let round = 0; round < 400; round++) {
    const version = versions[random.below(2)];
    const protocol = [TCP, UDP][random.below(2)];
    const packets = Array.from({ length: 12 }, (_, i) => {
      const payload = pattern(100, i + 1);
      const packet = buildPacket({ version, protocol, payload, sequence: 1000 + i * 100 });
      if (random.below(4) === 0) packet[random.below(60)] = random.below(256);
      return random.below(12) === 0 ? packet.slice(0, 1 + random.below(packet.length)) : packet;
    });
    checkCoalesce(packets, `seed ${seed} round ${round}`);
  }
});
