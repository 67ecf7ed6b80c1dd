/** Stages that touch a packet's bytes: parse, split, copy with checksum, coalesce. 64 KB per call. */
import { instantiateKernels } from "../../src/kernels/kernels.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { GroCoalescer, type GroSink } from "../../src/offload/gro_coalesce.ts";
import { splitSegments } from "../../src/offload/gso_split.ts";
import { parseSuperPacket, SuperPacket } from "../../src/offload/super_packet.ts";
import { networkSum } from "../../tests/reference/checksum_reference.ts";
import { coalesceReference } from "../../tests/reference/gro_coalesce_reference.ts";
import { splitReference } from "../../tests/reference/gso_split_reference.ts";
import {
  BULK_SLAB_BYTES,
  BulkPackets,
  GSO_SIZE,
  HEADER_BYTES,
  IN_AT,
  IOVECS_AT,
  OUT_AT,
  PACKETS,
  STRIDE,
} from "../bulk_packets.ts";
import { results, stage } from "./stage.ts";

const CALLS = 1000;

const slab = createSlab(BULK_SLAB_BYTES);
const kernel = instantiateKernels(slab.memory);
const bulk = new BulkPackets(slab);
const { cut, packet, segments, totalBytes, vnetAt } = bulk;
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

stage("split", () => {
  results.sum += splitReference(packet, cut).length;
}, () => {
  splitSegments(slab, kernel, sp, 0, sp.segmentCount, OUT_AT, STRIDE);
});

stage("copy and checksum", () => {
  // A constant of another module costs a load each time.
  const bytes = GSO_SIZE;
  for (let k = 0; k < PACKETS; k++) {
    const from = IN_AT + HEADER_BYTES + k * bytes, to = OUT_AT + k * STRIDE;
    let sum = 0;
    for (let i = 0; i < bytes; i++) {
      const byte = slab.u8[from + i];
      slab.u8[to + i] = byte;
      sum += i & 1 ? byte << 8 : byte;
    }
    results.sum += sum;
  }
}, () => {
  for (let k = 0; k < PACKETS; k++) {
    const from = IN_AT + HEADER_BYTES + k * GSO_SIZE;
    results.sum += kernel.copySum(OUT_AT + k * STRIDE, from, GSO_SIZE, 0);
  }
});

const options = { tcp: true, udp: true };
const coalescer = new GroCoalescer(slab, kernel, IOVECS_AT, { slabAddress: 0, ...options });
const sink: GroSink = {
  write(_iovecAt, iovecCount) {
    results.sum += iovecCount;
  },
};
stage("coalesce", () => {
  results.sum += coalesceReference(segments, options).length;
}, () => bulk.coalesce(coalescer, sink));

// Splitting needs the description of the super-packet.
parseSuperPacket(slab, vnetAt, totalBytes, sp);
