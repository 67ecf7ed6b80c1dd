import { assertEquals } from "@std/assert";
import { parseConfig } from "../../src/config/parse.ts";
import { networksOf, placePeer } from "../../src/config/peer_address.ts";
import { formatPrefix, parsePrefix } from "../../src/control/address_text.ts";
import { formatKeyBase64 } from "../../src/control/key_text.ts";

function config(address: string, ...allowedIps: string[]) {
  const peers = allowedIps.map((ips, i) =>
    `[Peer]\nPublicKey = ${formatKeyBase64(new Uint8Array(32).fill(i + 1))}\nAllowedIPs = ${ips}\n`
  );
  const text = `[Interface]\nAddress = ${address}\n${peers.join("")}`;
  return parseConfig(text, { file: "test" }).config!;
}

function place(node: ReturnType<typeof config>, ...asked: string[]) {
  const found = placePeer(node, asked.map((text) => parsePrefix(text)!));
  return found === null
    ? null
    : [found.addresses.map(formatPrefix), found.allowedIps.map(formatPrefix)];
}

Deno.test("a peer gets the next address of each family, and what is behind it", () => {
  const node = config("10.7.0.1/24, fd07::1/64, 10.8.0.1/24", "10.7.0.2/32, fd07::2/128");
  assertEquals(place(node), [["10.7.0.3/32", "fd07::3/128"], ["10.7.0.3/32", "fd07::3/128"]]);
  assertEquals(place(node, "192.168.0.0/24", "10.7.0.99/32"), [
    ["10.7.0.99/32", "fd07::3/128"],
    ["10.7.0.99/32", "fd07::3/128", "192.168.0.0/24"],
  ]);
});

Deno.test("a peer that is a way out does not have each address", () => {
  const node = config("10.7.0.1/24", "0.0.0.0/0, 10.7.0.2/32", "10.7.0.0/24");
  assertEquals(place(node)?.[0], ["10.7.0.3/32"]);
});

Deno.test("where there is no network an address has to be asked for", () => {
  assertEquals(place(config("10.7.0.1/32")), null);
  assertEquals(place(config("10.7.0.1/30", "10.7.0.2/32")), null);
  assertEquals(place(config("10.7.0.1/30", "10.7.0.2/32"), "10.7.0.3/32")?.[0], ["10.7.0.3/32"]);
});

Deno.test("what leads to this end are its networks, each once", () => {
  const node = config("10.7.0.1/24, 10.7.0.9/24, fd07::1/64, 10.9.9.9/32");
  assertEquals(networksOf(node).map(formatPrefix), ["10.7.0.0/24", "fd07::/64", "10.9.9.9/32"]);
});
