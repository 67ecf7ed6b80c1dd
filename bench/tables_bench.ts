/**
 * The tables of the data plane beside their naive counterparts: the replay window beside a Set, the
 * allowed-IPs trie beside a linear scan, at 10 and 1,000 prefixes. Each figure is for 1,000 calls.
 */
import { SeededRandom } from "../src/base/random.ts";
import { createSlab, RegionAllocator } from "../src/memory/slab.ts";
import { AllowedIps, allowedIpsBytes, lookupV4, lookupV6 } from "../src/tables/allowed_ips.ts";
import { EpochTable } from "../src/tables/epoch.ts";
import { REPLAY_WINDOW_BYTES, replayAccept } from "../src/tables/replay_window.ts";
import { AllowedIpsReference } from "../tests/reference/allowed_ips_reference.ts";

const CALLS = 1000;
const regions = new RegionAllocator();
const windowAt = regions.reserve(REPLAY_WINDOW_BYTES);
const epochsAt = regions.reserve(1024);
const addressesAt = regions.reserve(CALLS * 16);
const tablesAt = [10, 1000].map(() => regions.reserve(allowedIpsBytes(8000)));
const bulkAt = regions.reserve(allowedIpsBytes(300_000));
const slab = createSlab(regions.byteLength);
const epochs = new EpochTable(slab, epochsAt, 0);
const random = new SeededRandom(1);

let counter = 0;
Deno.bench("replay window, in order", { group: "replay", baseline: true }, () => {
  for (let i = 0; i < CALLS; i++) replayAccept(slab, windowAt, counter++);
});

const seen = new Set<number>();
let seenCounter = 0;
Deno.bench("a Set that forgets what is too old", { group: "replay" }, () => {
  for (let i = 0; i < CALLS; i++) {
    if (!seen.has(seenCounter)) seen.add(seenCounter);
    seen.delete(seenCounter++ - 8128);
  }
});

let sink = 0;
for (const [index, size] of [10, 1000].entries()) {
  for (const bytes of [4, 16]) {
    const at = tablesAt[index];
    const reference = new AllowedIpsReference();
    const ips = new AllowedIps(slab, at, 8000, epochs);
    const addresses: Uint8Array[] = [];
    for (let i = 0; i < size; i++) {
      const address = random.fill(new Uint8Array(bytes));
      const bits = bytes === 4 ? 16 + random.below(17) : 32 + random.below(97);
      ips.insert({ address, bits }, i);
      reference.insert(address, bits, i);
      addresses.push(address);
    }
    ips.commit();
    const lookup = bytes === 4 ? lookupV4 : lookupV6;
    const group = `${size} prefixes of IPv${bytes === 4 ? 4 : 6}`;
    Deno.bench(`trie, ${group}`, { group, baseline: true }, (bench) => {
      for (let i = 0; i < CALLS; i++) {
        slab.u8.set(addresses[random.below(size)], addressesAt + i * 16);
      }
      bench.start();
      for (let i = 0; i < CALLS; i++) sink += lookup(slab, at, addressesAt + i * 16);
      bench.end();
    });
    Deno.bench(`linear scan, ${group}`, { group, n: 10, warmup: 1 }, () => {
      for (let i = 0; i < CALLS; i++) sink += reference.lookup(addresses[i % size]);
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

addEventListener("unload", () => {
  if (sink === 0.5) throw new Error("unreachable: keeps the results in use");
});
