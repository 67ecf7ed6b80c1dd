import { assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { prefixKey } from "../../src/config/peers.ts";
import { PrefixIndex } from "../../src/daemon/prefix_index.ts";
import { contains } from "../../src/daemon/tunnel_routes.ts";
import type { Prefix } from "../../src/wireguard/configuration.ts";

Deno.test("an address is found in the prefixes that contain it, longest first", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new SeededRandom(seed);
    // Few values, so that many prefixes contain many addresses.
    const address = (length: number) => Uint8Array.from({ length }, () => random.below(2) * 128);
    const prefixes: Prefix[] = Array.from({ length: 1 + random.below(30) }, () => {
      const length = random.below(2) === 0 ? 4 : 16;
      return { address: address(length), bits: random.below(length * 8 + 1) };
    });
    const index = new PrefixIndex(prefixes);
    for (let i = 0; i < 10; i++) {
      const wanted = address(random.below(2) === 0 ? 4 : 16);
      const host = { address: wanted, bits: wanted.length * 8 };
      const expected = new Set(
        prefixes.filter((prefix) => contains(prefix, host)).sort((a, b) => b.bits - a.bits)
          .map(prefixKey),
      );
      assertEquals(index.containing(wanted).map(prefixKey), [...expected], `seed ${seed}`);
    }
  }
});
