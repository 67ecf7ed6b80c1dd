/**
 * The allowed-IPs trie as it grows: look-ups among 10 and 1,000 prefixes, 1,000 in each iteration, and
 * what changing many prefixes at once takes. Beside a linear search the trie is a stage of `stages/`.
 */
import { SeededRandom } from "../src/base/random.ts";
import { createSlab, RegionAllocator } from "../src/memory/slab.ts";
import { AllowedIps, allowedIpsBytes, lookupV4, lookupV6 } from "../src/tables/allowed_ips.ts";
import { EpochTable } from "../src/tables/epoch.ts";
import { results } from "./stages/stage.ts";

const CALLS = 1000;
const SIZES = [10, 1000];
const regions = new RegionAllocator();
const epochsAt = regions.reserve(1024);
const addressesAt = regions.reserve(CALLS * 16);
const tablesAt = SIZES.map(() => regions.reserve(allowedIpsBytes(8000)));
const bulkAt = regions.reserve(allowedIpsBytes(300_000));
const slab = createSlab(regions.byteLength);
const epochs = new EpochTable(slab, epochsAt, 0);
const random = new SeededRandom(1);

for (const version of [4, 6] as const) {
  const group = `look-ups, IPv${version}`;
  const addressBytes = version === 4 ? 4 : 16;
  const lookup = version === 4 ? lookupV4 : lookupV6;
  for (const [index, size] of SIZES.entries()) {
    const at = tablesAt[index];
    const ips = new AllowedIps(slab, at, 8000, epochs);
    const addresses = Array.from({ length: size }, (_, peer) => {
      const address = random.fill(new Uint8Array(addressBytes));
      const bits = version === 4 ? 16 + random.below(17) : 32 + random.below(97);
      ips.insert({ address, bits }, peer);
      return address;
    });
    ips.commit();
    Deno.bench(`${size} prefixes`, { group, baseline: index === 0 }, (bench) => {
      for (let i = 0; i < CALLS; i++) {
        slab.u8.set(addresses[random.below(size)], addressesAt + i * 16);
      }
      bench.start();
      for (let i = 0; i < CALLS; i++) results.sum += lookup(slab, at, addressesAt + i * 16);
      bench.end();
    });
  }
}

const bulk = new AllowedIps(slab, bulkAt, 300_000, epochs);
Deno.bench("130,560 inserts and their removal, two transactions", { n: 3, warmup: 1 }, () => {
  for (let i = 0; i < 130_560; i++) {
    const address = Uint8Array.of(10 + (i >> 16), i >> 8, i, 0);
    bulk.insert({ address, bits: 24 }, 1);
  }
  bulk.commit();
  bulk.removePeer(1);
  bulk.commit();
});
