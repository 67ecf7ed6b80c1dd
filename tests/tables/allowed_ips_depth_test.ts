/** The owner of an address and the length of its prefix, beside the table's own lookups. */
import { assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { AllowedIps, allowedIpsBytes } from "../../src/tables/allowed_ips.ts";
import { ownedPrefixBits, ownerOf } from "../../src/tables/allowed_ips_depth.ts";
import { epochBytes, EpochTable } from "../../src/tables/epoch.ts";

const NODES = 4096;

Deno.test("the longest prefix with an owner is found, as the table finds it", () => {
  const seed = 31;
  const random = new SeededRandom(seed);
  const slab = createSlab(allowedIpsBytes(NODES) + epochBytes(1));
  const epochs = new EpochTable(slab, allowedIpsBytes(NODES), 1);
  const table = new AllowedIps(slab, 0, NODES, epochs);
  const prefixes: { address: Uint8Array; bits: number; peer: number }[] = [];
  const some = () => {
    const address = new Uint8Array(random.below(2) === 0 ? 4 : 16);
    for (let i = 0; i < address.length; i++) {
      address[i] = random.below(4) === 0 ? random.below(256) : 0;
    }
    return address;
  };
  for (let i = 0; i < 400; i++) {
    const address = some();
    const bits = random.below(address.length * 8 + 1);
    const peer = random.below(50);
    table.insert({ address, bits }, peer);
    prefixes.push({ address, bits, peer });
  }
  table.commit();
  for (let run = 0; run < 2000; run++) {
    const address = some();
    const bits = Math.max(
      -1,
      ...prefixes.filter((one) => holds(one, address)).map(({ bits }) => bits),
    );
    assertEquals(ownedPrefixBits(slab, 0, address), bits, `seed ${seed}, run ${run}`);
    assertEquals(ownerOf(slab, 0, address), table.lookup(address), `seed ${seed}, run ${run}`);
  }
});

function holds(one: { address: Uint8Array; bits: number }, other: Uint8Array): boolean {
  const binary = (bytes: Uint8Array) =>
    [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("").slice(0, one.bits);
  return one.address.length === other.length && binary(one.address) === binary(other);
}
