/**
 * GSO split and GRO coalesce of one bulk TCP flow, with the WebAssembly and the JavaScript checksum
 * kernel, beside the naive references of the tests. `deno bench -A bench/offload_bench.ts`
 *
 * One iteration handles 45 packets of 1,420 bytes, so divide by 45 for the cost per packet.
 */
import { SeededRandom } from "../src/base/random.ts";
import { instantiateKernels } from "../src/kernels/kernels.ts";
import { createSlab } from "../src/memory/slab.ts";
import { GroCoalescer, type GroSink } from "../src/offload/gro_coalesce.ts";
import { splitSegments } from "../src/offload/gso_split.ts";
import { parseSuperPacket, SuperPacket } from "../src/offload/super_packet.ts";
import { ScalarChecksumKernel } from "../src/wire/checksum.ts";
import type { ChecksumKernel } from "../src/wire/checksum_kernel.ts";
import {
  buildSuperPacket,
  buildVnet,
  TIMESTAMPS,
  transportOffset,
} from "../tests/offload/packet_builder.ts";
import { coalesceReference } from "../tests/reference/gro_coalesce_reference.ts";
import { splitReference } from "../tests/reference/gso_split_reference.ts";

const PACKETS = 45;
const HEADER_BYTES = 52;
const GSO_SIZE = 1420 - HEADER_BYTES;
/** Header, padded packet and tag of a WireGuard data message. */
const STRIDE = 16 + 1424 + 16;
const IOVECS = 4096;
const IN = 1 << 16;
// Not a multiple of 4096 away: loads would wait for stores to the same place in another page.
const OUT = (1 << 20) + 1040;
/** Decrypted packets stand this far apart: packet, rounded up, and 64 bytes of headroom. */
const RECEIVED_STRIDE = 1488;
const RECEIVED = 1 << 21;

const slab = createSlab(1 << 22);
const payload = new SeededRandom(1).fill(new Uint8Array(PACKETS * GSO_SIZE));
const fields = { payload, tcpOptions: TIMESTAMPS };
const { vnet, packet } = buildSuperPacket(fields, GSO_SIZE);
const vnetAt = IN - 10;
slab.u8.set(buildVnet(vnet), vnetAt);
slab.u8.set(packet, IN);
const totalBytes = 10 + packet.length;
const sp = new SuperPacket();

const kernels: Record<string, ChecksumKernel> = {
  "WebAssembly kernel": instantiateKernels(slab.memory),
  "JavaScript kernel": new ScalarChecksumKernel(slab),
};

const reference = {
  isGso: true,
  needsCsum: true,
  csumStart: vnet.csumStart,
  csumOffset: vnet.csumOffset,
  gsoSize: GSO_SIZE,
  protocol: 6,
  transport: transportOffset(fields),
};
const split = { group: "split 45 segments" };
Deno.bench("naive reference: split", { ...split, baseline: true }, () => {
  splitReference(packet, reference);
});
for (const [name, kernel] of Object.entries(kernels)) {
  Deno.bench(`${name}: parse and split`, split, () => {
    parseSuperPacket(slab, vnetAt, totalBytes, sp);
    splitSegments(slab, kernel, sp, 0, sp.segmentCount, OUT, STRIDE);
  });
}
const wasm = kernels["WebAssembly kernel"];
Deno.bench("WebAssembly kernel: copy and sum of the payloads alone", split, () => {
  for (let i = 0; i < PACKETS; i++) {
    wasm.copySum(OUT + HEADER_BYTES + i * STRIDE, IN + HEADER_BYTES + i * GSO_SIZE, GSO_SIZE, 0);
  }
});

const segments = splitReference(packet, reference);
segments.forEach((segment, i) => slab.u8.set(segment, RECEIVED + i * RECEIVED_STRIDE));
const headers = segments[0].slice(0, HEADER_BYTES);

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
  const coalescer = new GroCoalescer(slab, kernel, IOVECS, { slabAddress: 0, ...options });
  Deno.bench(`${name}: coalesce`, coalesce, () => {
    // The last round left its merged headers in the first packet.
    for (let i = 0; i < HEADER_BYTES; i++) slab.u8[RECEIVED + i] = headers[i];
    for (let i = 0; i < PACKETS; i++) coalescer.add(RECEIVED + i * RECEIVED_STRIDE, 1420);
    coalescer.flush(sink);
  });
}
Deno.bench("WebAssembly kernel: sums alone", coalesce, () => {
  for (let i = 0; i < PACKETS; i++) wasm.sum(RECEIVED + i * RECEIVED_STRIDE + 20, 1400, 0);
});
