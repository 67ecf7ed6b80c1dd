/**
 * The checksum's inner loops: WebAssembly SIMD beside the JavaScript kernel and a plain loop over
 * 16-bit words as baseline. `deno bench -A bench/kernels_bench.ts`
 */
import { SeededRandom } from "../src/base/random.ts";
import { instantiateKernels } from "../src/kernels/kernels.ts";
import { createSlab } from "../src/memory/slab.ts";
import { ScalarChecksumKernel } from "../src/wire/checksum.ts";
import type { ChecksumKernel } from "../src/wire/checksum_kernel.ts";

const FROM = 4096;
// Not a multiple of 4096 away: loads would wait for stores to the same place in another page.
const TO = 1_001_500;
const slab = createSlab(1 << 21);
new SeededRandom(1).fill(slab.u8.subarray(FROM, FROM + 65_536));

const plainLoop: ChecksumKernel = {
  sum(at, length, initial) {
    let sum = initial;
    for (let i = 0; i + 1 < length; i += 2) sum += slab.view.getUint16(at + i, true);
    return length & 1 ? sum + slab.u8[at + length - 1] : sum;
  },
  copySum(to, from, length, initial) {
    let sum = initial;
    for (let i = 0; i < length; i++) {
      const byte = slab.u8[from + i];
      slab.u8[to + i] = byte;
      sum += i & 1 ? byte << 8 : byte;
    }
    return sum;
  },
};

const kernels: Record<string, ChecksumKernel> = {
  "plain loop": plainLoop,
  "JavaScript kernel": new ScalarChecksumKernel(slab),
  "WebAssembly": instantiateKernels(slab.memory),
};

let sink = 0;
for (const length of [40, 1400, 65_000]) {
  for (const [name, kernel] of Object.entries(kernels)) {
    const baseline = name === "plain loop";
    Deno.bench(`${name}: sum ${length}`, { group: `sum ${length}`, baseline }, () => {
      sink ^= kernel.sum(FROM, length, sink);
    });
    Deno.bench(`${name}: copySum ${length}`, { group: `copySum ${length}`, baseline }, () => {
      sink ^= kernel.copySum(TO, FROM, length, sink);
    });
  }
}
