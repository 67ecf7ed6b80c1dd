import { assertEquals } from "@std/assert";
import { tunnelMtu } from "../../src/daemon/interface_mtu.ts";
import { contains, tunnelRoutes } from "../../src/daemon/tunnel_routes.ts";
import { formatPrefix, parsePrefix } from "../../src/control/address_text.ts";
import type { Prefix } from "../../src/wireguard/configuration.ts";

function prefixes(...texts: string[]): Prefix[] {
  return texts.map((text) => parsePrefix(text)!);
}

Deno.test("a prefix contains itself and what lies inside, in its own family", () => {
  const cases: [string, string, boolean][] = [
    ["10.9.0.1/24", "10.9.0.0/24", true],
    ["10.9.0.1/24", "10.9.0.77/32", true],
    ["10.9.0.1/24", "10.9.1.0/24", false],
    ["10.9.0.1/24", "10.9.0.0/23", false],
    ["10.9.0.1/23", "10.9.1.0/24", true],
    ["0.0.0.0/0", "203.0.113.0/24", true],
    ["0.0.0.0/0", "::/0", false],
    ["fd00::1/64", "fd00::2/128", true],
    ["fd00::1/61", "fd00:0:0:7::/64", true],
    ["fd00::1/61", "fd00:0:0:8::/64", false],
    ["fd00::1/128", "fd00::1/128", true],
  ];
  for (const [outer, inner, expected] of cases) {
    const [a, b] = prefixes(outer, inner);
    assertEquals(contains(a, b), expected, `${outer} contains ${inner}`);
  }
});

Deno.test("the main table needs no routes that the addresses have made already", () => {
  const addresses = prefixes("10.9.0.1/24", "fd09::1/64");
  const wanted = prefixes("10.9.0.2/32", "10.0.0.0/8", "fd09::/64", "fd0a::/64");
  const text = (table?: number) =>
    tunnelRoutes(wanted, addresses, 7, table).map(({ destination, bits, outInterface, table }) =>
      `${formatPrefix({ address: destination, bits })} ${outInterface} ${table}`
    );
  assertEquals(text(), ["10.0.0.0/8 7 undefined", "fd0a::/64 7 undefined"]);
  assertEquals(text(99), [
    "10.9.0.2/32 7 99",
    "10.0.0.0/8 7 99",
    "fd09::/64 7 99",
    "fd0a::/64 7 99",
  ]);
});

Deno.test("the MTU is 80 less than the narrowest way, within its bounds", () => {
  assertEquals(tunnelMtu([1500, 1400, 9000], 1300, false), 1320);
  assertEquals(tunnelMtu([], 1300, false), 1220);
  assertEquals(tunnelMtu([], null, false), 1420);
  assertEquals(tunnelMtu([1300], null, true), 1280, "IPv6 needs 1280");
  assertEquals(tunnelMtu([65_536], null, true), 65_440, "over the loopback");
  assertEquals(tunnelMtu([100], null, false), 68);
});
