/**
 * The userspace stack: IP input and output, and TCP at both ends. The plain way is the same stack with
 * packets of the MSS in the place of segments of 64 KB.
 */
import { SeededRandom } from "../../src/base/random.ts";
import { instantiateKernels } from "../../src/kernels/kernels.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { BufferPool } from "../../src/netstack/buffer_pool.ts";
import { InboundItem } from "../../src/netstack/inbound.ts";
import { LinkEndpoint } from "../../src/netstack/link_endpoint.ts";
import { Stack } from "../../src/netstack/stack.ts";
import { address, ip4, OWN4, PEER4 } from "../../tests/netstack/packets.ts";
import { buildPacket, TIMESTAMPS } from "../../tests/offload/packet_builder.ts";
import { TcpPair } from "../tcp_pair.ts";
import { stage } from "./stage.ts";

const PACKETS = 45;
const HEADER_BYTES = 52;
const GSO_SIZE = 1420 - HEADER_BYTES;
const STRIDE = 1488;
const CALLS = 100;
const STREAM_BYTES = 4 << 20;
const LINK = 1 << 14;
const IN = 1 << 20;
const POOL = 1 << 22;
const POOL_BYTES = 16 << 20;

const slab = createSlab(POOL + POOL_BYTES);
const pool = new BufferPool(POOL, POOL_BYTES);
const link = new LinkEndpoint(slab, pool, LINK, { mtu: 1420 });
const stack = new Stack({
  slab,
  kernel: instantiateKernels(slab.memory),
  pool,
  link,
  random: new SeededRandom(1),
  counters: { drop: () => {} },
  addresses: [{ address: address(OWN4), bits: 24 }],
});
// What TCP does with a segment is the third stage's subject.
stack.tcp.onDatagram = () => {};

for (let i = 0; i < PACKETS; i++) {
  const payload = new SeededRandom(i).fill(new Uint8Array(GSO_SIZE));
  const packet = buildPacket({ payload, tcpOptions: TIMESTAMPS, sequence: i });
  packet.set(address(PEER4), 12);
  packet.set(address(OWN4), 16);
  packet.set(ip4({ id: 0x1234, protocol: 6 }, packet.slice(20)).slice(0, 12));
  slab.u8.set(packet, IN + i * STRIDE);
}

const single = new InboundItem();
const run = new InboundItem();
run.at = IN;
run.bytes = HEADER_BYTES + PACKETS * GSO_SIZE;
run.packetCount = PACKETS;
run.headerBytes = HEADER_BYTES;
run.gsoSize = GSO_SIZE;
run.isVerified = true;
for (let i = 0; i < PACKETS; i++) run.pieces.add(IN + i * STRIDE + HEADER_BYTES, GSO_SIZE);

stage("IP input", () => {
  for (let i = 0; i < CALLS; i++) {
    for (let k = 0; k < PACKETS; k++) {
      single.at = IN + k * STRIDE;
      single.bytes = HEADER_BYTES + GSO_SIZE;
      single.pieces.clear();
      single.pieces.add(single.at, single.bytes);
      stack.onItem(single, 1000);
    }
  }
}, () => {
  for (let i = 0; i < CALLS; i++) stack.onItem(run, 1000);
});

const path = stack.output.makePath(address(PEER4))!;
const block = pool.allocate(1 << 16);
function out(bytes: number): void {
  stack.output.begin(path);
  stack.output.commitTcp(path, 32, block, bytes, GSO_SIZE, block);
  link.pop();
}
stage("IP output", () => {
  for (let i = 0; i < CALLS; i++) for (let k = 0; k < PACKETS; k++) out(GSO_SIZE);
}, () => {
  for (let i = 0; i < CALLS; i++) out(PACKETS * GSO_SIZE);
});

const packetsOnly = new TcpPair(false, false);
const segments = new TcpPair(true, true);
stage(
  "TCP, both ends",
  () => packetsOnly.stream(STREAM_BYTES),
  () => segments.stream(STREAM_BYTES),
);
