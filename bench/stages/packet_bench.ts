/** Stages that touch a packet's bytes: parse, split, copy with checksum, coalesce. 64 KB per call. */
import { SeededRandom } from "../../src/base/random.ts";
import { instantiateKernels } from "../../src/kernels/kernels.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { GroCoalescer, type GroSink } from "../../src/offload/gro_coalesce.ts";
import { splitSegments } from "../../src/offload/gso_split.ts";
import { parseSuperPacket, SuperPacket } from "../../src/offload/super_packet.ts";
import {
  buildSuperPacket,
  buildVnet,
  TIMESTAMPS,
  transportOffset,
} from "../../tests/offload/packet_builder.ts";
import { networkSum } from "../../tests/reference/checksum_reference.ts";
import { coalesceReference } from "../../tests/reference/gro_coalesce_reference.ts";
import { splitReference } from "../../tests/reference/gso_split_reference.ts";
import { results, stage } from "./stage.ts";

const PACKETS = 45;
const HEADER_BYTES = 52;
const GSO_SIZE = 1420 - HEADER_BYTES;
/** Header, padded packet and tag of a WireGuard data message. */
const STRIDE = 16 + 1424 + 16;
const CALLS = 1000;
const IOVECS = 4096;
const IN = 1 << 16;
// Not a multiple of 4096 away: loads would wait for stores to the same place in another page.
const OUT = (1 << 20) + 1040;
const RECEIVED = 1 << 21;
const RECEIVED_STRIDE = 1488;

const slab = createSlab(1 << 22);
const kernel = instantiateKernels(slab.memory);
const payload = new SeededRandom(1).fill(new Uint8Array(PACKETS * GSO_SIZE));
const fields = { payload, tcpOptions: TIMESTAMPS };
const { vnet, packet } = buildSuperPacket(fields, GSO_SIZE);
const vnetBytes = buildVnet(vnet);
const vnetAt = IN - vnetBytes.length;
slab.u8.set(vnetBytes, vnetAt);
slab.u8.set(packet, IN);
const totalBytes = vnetBytes.length + packet.length;
const sp = new SuperPacket();

/** The headers as objects, the way a parser is written at first. */
function parseNaively(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const gso = { type: bytes[1], size: view.getUint16(4, true), start: view.getUint16(6, true) };
  const ip = bytes.subarray(10);
  const transport = ip.subarray((ip[0] & 15) * 4);
  return {
    gso,
    source: [...ip.subarray(12, 16)].join("."),
    destination: [...ip.subarray(16, 20)].join("."),
    protocol: ip[9],
    ports: [transport[0] << 8 | transport[1], transport[2] << 8 | transport[3]],
    headerBytes: ip.length - transport.length + (transport[12] >> 4) * 4,
    isHeaderRight: networkSum(ip.subarray(0, 20)) === 0xffff,
  };
}

const copy = slab.u8.slice(vnetAt, vnetAt + totalBytes);
stage("parse", () => {
  for (let i = 0; i < CALLS; i++) results.sum += parseNaively(copy).headerBytes;
}, () => {
  for (let i = 0; i < CALLS; i++) results.sum += parseSuperPacket(slab, vnetAt, totalBytes, sp);
});

const cut = {
  isGso: true,
  needsCsum: true,
  csumStart: vnet.csumStart,
  csumOffset: vnet.csumOffset,
  gsoSize: GSO_SIZE,
  protocol: 6,
  transport: transportOffset(fields),
};
stage("split", () => {
  results.sum += splitReference(packet, cut).length;
}, () => {
  splitSegments(slab, kernel, sp, 0, sp.segmentCount, OUT, STRIDE);
});

stage("copy and checksum", () => {
  for (let k = 0; k < PACKETS; k++) {
    const from = IN + HEADER_BYTES + k * GSO_SIZE, to = OUT + k * STRIDE;
    let sum = 0;
    for (let i = 0; i < GSO_SIZE; i++) {
      const byte = slab.u8[from + i];
      slab.u8[to + i] = byte;
      sum += i & 1 ? byte << 8 : byte;
    }
    results.sum += sum;
  }
}, () => {
  for (let k = 0; k < PACKETS; k++) {
    const from = IN + HEADER_BYTES + k * GSO_SIZE;
    results.sum += kernel.copySum(OUT + k * STRIDE, from, GSO_SIZE, 0);
  }
});

const segments = splitReference(packet, cut);
segments.forEach((segment, i) => slab.u8.set(segment, RECEIVED + i * RECEIVED_STRIDE));
const headers = segments[0].slice(0, HEADER_BYTES);
const options = { tcp: true, udp: true };
const coalescer = new GroCoalescer(slab, kernel, IOVECS, { slabAddress: 0, ...options });
const sink: GroSink = {
  write(_iovecAt, iovecCount) {
    results.sum += iovecCount;
  },
};
stage("coalesce", () => {
  results.sum += coalesceReference(segments, options).length;
}, () => {
  // The last round left its merged headers in the first packet.
  for (let i = 0; i < HEADER_BYTES; i++) slab.u8[RECEIVED + i] = headers[i];
  for (let i = 0; i < PACKETS; i++) coalescer.add(RECEIVED + i * RECEIVED_STRIDE, 1420);
  coalescer.flush(sink);
});

// Splitting needs the description of the super-packet.
parseSuperPacket(slab, vnetAt, totalBytes, sp);
