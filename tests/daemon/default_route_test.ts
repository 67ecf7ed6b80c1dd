import { assertEquals } from "@std/assert";
import { formatPrefix, parseAddress, parsePrefix } from "../../src/control/address_text.ts";
import { capturedEndpoints, divideRoutes } from "../../src/daemon/default_route.ts";
import type { Prefix } from "../../src/wireguard/configuration.ts";

const prefixes = (...texts: string[]): Prefix[] => texts.map((text) => parsePrefix(text)!);
const addresses = (...texts: string[]) => texts.map((text) => parseAddress(text)!);

function divide(routes: string[], endpoints: string[], main: string[]): [string[], string[]] {
  const divided = divideRoutes(prefixes(...routes), addresses(...endpoints), prefixes(...main));
  return [divided.own.map(formatPrefix), divided.main.map(formatPrefix)];
}

const LAN = ["0.0.0.0/0", "192.168.1.0/24", "::/0", "fe80::/64"];

Deno.test("default routes and their halves need a table, ordinary routes do not", () => {
  assertEquals(divide(["0.0.0.0/0", "10.0.0.0/8", "::/0"], ["203.0.113.5"], LAN), [
    ["0.0.0.0/0", "::/0"],
    ["10.0.0.0/8"],
  ]);
  assertEquals(divide(["0.0.0.0/1", "128.0.0.0/1", "2000::/3", "fd00::/8"], [], LAN), [
    ["0.0.0.0/1", "128.0.0.0/1", "2000::/3"],
    ["fd00::/8"],
  ]);
});

Deno.test("a route that an endpoint lies in needs a table if only a default route leads there", () => {
  assertEquals(divide(["203.0.113.0/24", "198.51.100.0/24"], ["203.0.113.5"], LAN), [
    ["203.0.113.0/24"],
    ["198.51.100.0/24"],
  ]);
  assertEquals(divide(["203.0.113.0/24"], ["203.0.113.5"], []), [["203.0.113.0/24"], []]);
  // The local network leads to the endpoint all the same.
  assertEquals(divide(["192.168.0.0/16"], ["192.168.1.9"], LAN), [[], ["192.168.0.0/16"]]);
});

Deno.test("an endpoint is captured by a route that is longer than every other way to it", () => {
  const captured = (routes: string[], endpoint: string, main: string[]) =>
    capturedEndpoints(prefixes(...routes), addresses(endpoint), prefixes(...main))
      .map(({ route }) => formatPrefix(route));
  assertEquals(captured(["192.168.1.8/30"], "192.168.1.9", LAN), ["192.168.1.8/30"]);
  assertEquals(captured(["192.168.0.0/16"], "192.168.1.9", LAN), []);
  assertEquals(captured(["192.168.1.0/24"], "192.168.1.9", LAN), []);
  assertEquals(captured(["10.0.0.0/8"], "192.168.1.9", LAN), []);
});
