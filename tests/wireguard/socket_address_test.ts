import { assertEquals } from "@std/assert";
import { decodeEndpoint, encodeEndpoint } from "../../src/wireguard/socket_address.ts";

Deno.test("an IPv4 record is a sockaddr_in and its length", () => {
  const address = { address: Uint8Array.of(1, 2, 3, 4), port: 0x1234 };
  const record = encodeEndpoint(address);
  assertEquals([...record.slice(0, 8)], [2, 0, 0x12, 0x34, 1, 2, 3, 4]);
  assertEquals(record[28], 16);
  assertEquals(decodeEndpoint(record), address);
});

Deno.test("an IPv6 record is a sockaddr_in6 with its scope", () => {
  const address = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
  const record = encodeEndpoint({ address, port: 53, scopeId: 0x0102 });
  assertEquals([...record.slice(0, 8)], [10, 0, 0, 53, 0, 0, 0, 0]);
  assertEquals(record.slice(8, 24), address);
  assertEquals([...record.slice(24, 32)], [2, 1, 0, 0, 28, 0, 0, 0]);
  assertEquals(decodeEndpoint(record), { address, port: 53, scopeId: 0x0102 });
  assertEquals(decodeEndpoint(encodeEndpoint({ address, port: 53 })), { address, port: 53 });
});

Deno.test("an empty record is no address", () => {
  assertEquals(decodeEndpoint(new Uint8Array(64)), null);
});
