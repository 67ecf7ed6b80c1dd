import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { SeededRandom } from "../../src/base/random.ts";
import { firstHost, freeNetworks } from "../../src/config/free_network.ts";
import { networkOf, nextAddresses, overlaps } from "../../src/config/next_address.ts";
import { formatPrefix, parsePrefix } from "../../src/control/address_text.ts";

const prefix = (text: string) => parsePrefix(text)!;
const next = (networks: string[], taken: string[]) =>
  nextAddresses(networks.map(prefix), taken.map(prefix))?.map(formatPrefix) ?? null;

Deno.test("the next address is the lowest number that is free in all networks", () => {
  const networks = ["10.7.3.1/24", "fd12::1/64"];
  const own = ["10.7.3.1/32", "fd12::1/128"];
  assertEquals(next(networks, own), ["10.7.3.2/32", "fd12::2/128"]);
  assertEquals(next(networks, [...own, "fd12::2/128", "10.7.3.3/32"]), [
    "10.7.3.4/32",
    "fd12::4/128",
  ]);
  assertEquals(next(networks, [...own, "10.7.3.0/25"]), ["10.7.3.128/32", "fd12::80/128"]);
  assertEquals(next(["10.7.3.1/30"], ["10.7.3.1/32", "10.7.3.2/32"]), null, "full");
  assertEquals(next(["10.7.3.0/31"], ["10.7.3.0/32"]), ["10.7.3.1/32"]);
  assertEquals(next(["10.7.3.1/24"], ["0.0.0.0/0"]), null);
  assertEquals(next(["255.255.255.254/24"], []), ["255.255.255.1/32"]);
});

Deno.test("the search agrees with trying one number after the other", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(255), fc.integer({ min: 24, max: 32 })), { maxLength: 20 }),
      fc.integer({ min: 26, max: 31 }),
      (parts, bits) => {
        const taken = parts.map(([host, bits]) => networkOf(prefix(`10.0.0.${host}/${bits}`)));
        const network = prefix(`10.0.0.64/${bits}`);
        const last = 64 + 2 ** (32 - bits) - 1 - (bits < 31 ? 1 : 0);
        let expected: string | null = null;
        for (let host = last; host > 64; host--) {
          const candidate = prefix(`10.0.0.${host}/32`);
          if (!taken.some((one) => overlaps(one, candidate))) expected = formatPrefix(candidate);
        }
        const found = nextAddresses([network], taken);
        assertEquals(found === null ? null : formatPrefix(found[0]), expected);
      },
    ),
  );
});

Deno.test("65,000 peers are gone through in no time", () => {
  const taken = Array.from({ length: 65_000 }, (_, i) => prefix(`10.7.${i >> 8}.${i & 255}/32`));
  assertEquals(nextAddresses([prefix("10.7.0.0/16")], taken)?.map(formatPrefix), [
    "10.7.253.232/32",
  ]);
});

Deno.test("free networks keep away from everything that is taken", () => {
  for (let seed = 0; seed < 200; seed++) {
    const random = new SeededRandom(seed);
    const halves = Array.from({ length: 128 }, (_, i) => prefix(`10.${i * 2}.0.0/16`));
    const taken = [prefix("0.0.0.0/0"), prefix("::/0"), ...halves, prefix("fd00::/9")];
    const { v4, v6 } = freeNetworks(taken, random);
    assert(v4 !== null && v4.address[0] === 10 && v4.address[1] % 2 === 1, `seed ${seed}`);
    assert(v6.address[0] === 0xfd && (v6.address[1] & 0x80) !== 0, `seed ${seed}`);
    assertEquals([v4!.bits, v6.bits], [24, 64]);
  }
  const { v4 } = freeNetworks([prefix("10.0.0.0/8")], new SeededRandom(1));
  assert(v4 !== null && v4.address[0] === 100 && v4.address[1] >= 64 && v4.address[1] < 128);
  assertEquals(freeNetworks([prefix("0.0.0.0/1")], new SeededRandom(1)).v4, null);
  assertEquals(formatPrefix(firstHost(prefix("10.5.6.0/24"))), "10.5.6.1/24");
});
