/**
 * GSO split and GRO coalesce of one bulk TCP flow, with the WebAssembly and the JavaScript checksum
 * kernel, beside the naive references of the tests. `deno bench -A bench/offload_bench.ts`
 *
 * One iteration handles 45 packets of 1,420 bytes, so divide by 45 for the cost per packet.
 */
import { instantiateKernels } from "../src/kernels/kernels.ts";
import { createSlab } from "../src/memory/slab.ts";
import { GroCoalescer, type GroSink } from "../src/offload/gro_coalesce.ts";
import { splitSegments } from "../src/offload/gso_split.ts";
import { parseSuperPacket, SuperPacket } from "../src/offload/super_packet.ts";
import { ScalarChecksumKernel } from "../src/wire/checksum.ts";
import type { ChecksumKernel } from "../src/wire/checksum_kernel.ts";
import { coalesceReference } from "../tests/reference/gro_coalesce_reference.ts";
import { splitReference } from "../tests/reference/gso_split_reference.ts";
import {
  BULK_SLAB_BYTES,
  BulkPackets,
  GSO_SIZE,
  HEADER_BYTES,
  IN_AT,
  IOVECS_AT,
  OUT_AT,
  PACKETS,
  RECEIVED_AT,
  RECEIVED_STRIDE,
  STRIDE,
} from "./bulk_packets.ts";

const slab = createSlab(BULK_SLAB_BYTES);
const bulk = new BulkPackets(slab);
const { cut, packet, segments, totalBytes, vnetAt } = bulk;
const sp = new SuperPacket();

const kernels: Record<string, ChecksumKernel> = {
  "WebAssembly kernel": instantiateKernels(slab.memory),
  "JavaScript kernel": new ScalarChecksumKernel(slab),
};

const split = { group: "split 45 segments" };
Deno.bench("naive reference: split", { ...split, baseline: true }, () => {
  splitReference(packet, cut);
});
for (const [name, kernel] of Object.entries(kernels)) {
  Deno.bench(`${name}: parse and split`, split, () => {
    parseSuperPacket(slab, vnetAt, totalBytes, sp);
    splitSegments(slab, kernel, sp, 0, sp.segmentCount, OUT_AT, STRIDE);
  });
}
const wasm = kernels["WebAssembly kernel"];
Deno.bench("WebAssembly kernel: copy and sum of the payloads alone", split, () => {
  for (let i = 0; i < PACKETS; i++) {
    const from = IN_AT + HEADER_BYTES + i * GSO_SIZE;
    wasm.copySum(OUT_AT + HEADER_BYTES + i * STRIDE, from, GSO_SIZE, 0);
  }
});

const sink: GroSink & { total: number } = {
  total: 0,
  write(_iovecAt, iovecCount, bytes) {
    this.total += iovecCount + bytes;
  },
};

const options = { tcp: true, udp: true };
const coalesce = { group: "coalesce 45 packets" };
Deno.bench("naive reference: coalesce", { ...coalesce, baseline: true }, () => {
  coalesceReference(segments, options);
});
for (const [name, kernel] of Object.entries(kernels)) {
  const coalescer = new GroCoalescer(slab, kernel, IOVECS_AT, { slabAddress: 0, ...options });
  Deno.bench(`${name}: coalesce`, coalesce, () => bulk.coalesce(coalescer, sink));
}
Deno.bench("WebAssembly kernel: sums alone", coalesce, () => {
  for (let i = 0; i < PACKETS; i++) wasm.sum(RECEIVED_AT + i * RECEIVED_STRIDE + 20, 1400, 0);
});
