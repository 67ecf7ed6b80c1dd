/**
 * The netstack's IP layer without TCP: a merged run of 64 KB on its way in, the same bytes packet by
 * packet, a super-segment on its way out and the same as single packets, UDP echoes, reassembly.
 * `deno bench -A bench/ip_bench.ts`
 */
import { SeededRandom } from "../src/base/random.ts";
import { instantiateKernels } from "../src/kernels/kernels.ts";
import { createSlab } from "../src/memory/slab.ts";
import { BufferPool } from "../src/netstack/buffer_pool.ts";
import { InboundItem } from "../src/netstack/inbound.ts";
import { LinkEndpoint } from "../src/netstack/link_endpoint.ts";
import { Stack } from "../src/netstack/stack.ts";
import { buildPacket, TIMESTAMPS } from "../tests/offload/packet_builder.ts";
import {
  address,
  icmp4,
  ip4,
  OWN4,
  OWN6,
  PEER4,
  PEER6,
  udp,
  udpPacket,
} from "../tests/netstack/packets.ts";

const PACKETS = 45;
const HEADER_BYTES = 52;
const GSO_SIZE = 1420 - HEADER_BYTES;
const STRIDE = 1488;
const LINK = 1 << 14;
const IN = 1 << 20;
const POOL = 1 << 22;

const slab = createSlab(POOL + (16 << 20));
const pool = new BufferPool(POOL, 16 << 20);
const link = new LinkEndpoint(slab, pool, LINK, { mtu: 1420 });
const stack = new Stack({
  slab,
  kernel: instantiateKernels(slab.memory),
  pool,
  link,
  random: new SeededRandom(1),
  counters: { drop: () => {} },
  addresses: [{ address: address(OWN4), bits: 24 }, { address: address(OWN6), bits: 64 }],
});
// What TCP does with a segment is another bench's subject.
stack.tcp.onDatagram = () => {};

/** Puts packets into the slab as they are decrypted. */
function place(packets: Uint8Array[]): void {
  packets.forEach((packet, i) => slab.u8.set(packet, IN + i * STRIDE));
}

function tcpPackets(version: 4 | 6): Uint8Array[] {
  return Array.from({ length: PACKETS }, (_, i) => {
    const payload = new SeededRandom(i).fill(new Uint8Array(GSO_SIZE));
    const packet = buildPacket({ version, payload, tcpOptions: TIMESTAMPS, sequence: i });
    packet.set(address(version === 4 ? PEER4 : PEER6), version === 4 ? 12 : 8);
    packet.set(address(version === 4 ? OWN4 : OWN6), version === 4 ? 16 : 24);
    if (version === 4) packet.set(ip4({ id: 0x1234, protocol: 6 }, packet.slice(20)).slice(0, 12));
    return packet;
  });
}

const run = new InboundItem();
const single = new InboundItem();

function describeRun(headerBytes: number): void {
  run.at = IN;
  run.bytes = headerBytes + PACKETS * GSO_SIZE;
  run.packetCount = PACKETS;
  run.headerBytes = headerBytes;
  run.gsoSize = GSO_SIZE;
  run.isVerified = true;
  run.pieces.clear();
  for (let i = 0; i < PACKETS; i++) run.pieces.add(IN + i * STRIDE + headerBytes, GSO_SIZE);
}

function onSingle(at: number, bytes: number): void {
  single.at = at;
  single.bytes = bytes;
  single.pieces.clear();
  single.pieces.add(at, bytes);
  stack.onItem(single, 1000);
}

for (const version of [4, 6] as const) {
  const group = `64 KB in, IPv${version}`;
  const packets = tcpPackets(version);
  const { length } = packets[0];
  Deno.bench("one merged run", { group }, (b) => {
    place(packets);
    describeRun(version === 4 ? HEADER_BYTES : HEADER_BYTES + 20);
    b.start();
    for (let i = 0; i < 1000; i++) stack.onItem(run, 1000);
    b.end();
  });
  Deno.bench("packet by packet", { group, baseline: true }, (b) => {
    place(packets);
    b.start();
    for (let i = 0; i < 1000; i++) {
      for (let k = 0; k < PACKETS; k++) onSingle(IN + k * STRIDE, length);
    }
    b.end();
  });
}

for (const [version, remote] of [[4, PEER4], [6, PEER6]] as const) {
  const path = stack.output.makePath(address(remote))!;
  const group = `64 KB out, IPv${version}`;
  const block = pool.allocate(1 << 16);
  const out = (bytes: number) => {
    stack.output.begin(path);
    stack.output.commitTcp(path, 32, block, bytes, GSO_SIZE, block);
    link.pop();
  };
  Deno.bench("one super-segment", { group }, () => {
    for (let i = 0; i < 1000; i++) out(PACKETS * GSO_SIZE);
  });
  Deno.bench("packets of the MTU", { group, baseline: true }, () => {
    for (let i = 0; i < 1000; i++) for (let k = 0; k < PACKETS; k++) out(GSO_SIZE);
  });
}

stack.udp.bind(null, 7, {
  onDatagram: (socket, datagram) => socket.reply(datagram, datagram.at, datagram.bytes),
});
stack.udp.connect(
  address(PEER4),
  9,
  { onDatagram: (socket, { at, bytes }) => socket.send(at, bytes) },
  undefined,
  9,
);
const ECHOES: Record<string, Uint8Array> = {
  "UDP, bound socket": udpPacket({ destinationPort: 7, payload: new Uint8Array(1200) }),
  "UDP, socket of a flow": udpPacket({
    sourcePort: 9,
    destinationPort: 9,
    payload: new Uint8Array(1200),
  }),
  "ICMP echo": ip4({ protocol: 1 }, icmp4(8, 0, 1, new Uint8Array(1200))),
};
for (const [name, packet] of Object.entries(ECHOES)) {
  Deno.bench(name, { group: "1,000 echoes of 1,200 bytes" }, (b) => {
    place([packet]);
    b.start();
    for (let i = 0; i < 1000; i++) {
      onSingle(IN, packet.length);
      link.pop();
    }
    b.end();
  });
}

const whole = udp({ destinationPort: 8, payload: new Uint8Array(60_000) });
const fragments: Uint8Array[] = [];
for (let offset = 0; offset < whole.length; offset += 1400) {
  const hasMore = offset + 1400 < whole.length;
  const fragment = (hasMore ? 0x2000 : 0) | (offset / 8);
  fragments.push(ip4({ fragment }, whole.slice(offset, offset + 1400)));
}
stack.udp.bind(null, 8, { onDatagram: () => {} });
Deno.bench("60,000 bytes in 43 fragments", { group: "reassembly" }, (b) => {
  place(fragments);
  b.start();
  for (let k = 0; k < fragments.length; k++) onSingle(IN + k * STRIDE, fragments[k].length);
  b.end();
});
