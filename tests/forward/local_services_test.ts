import { assertEquals } from "@std/assert";
import { type LocalService, ServiceTable } from "../../src/forward/local_services.ts";

const HOST = Uint8Array.of(192, 0, 2, 1);

function service(first: number, last: number, fields: Partial<LocalService> = {}): LocalService {
  return { transport: "tcp", firstPort: first, lastPort: last, host: HOST, port: first, ...fields };
}

Deno.test("a port of a range leads to the port at the same place of the other range", () => {
  const table = new ServiceTable([service(5000, 5010, { port: 6000 })]);
  assertEquals(table.find("tcp", 5000, 4)?.port, 6000);
  assertEquals(table.find("tcp", 5010, 6)?.port, 6010);
  assertEquals(table.find("tcp", 5011, 4), null);
  assertEquals(table.find("tcp", 4999, 4), null);
});

Deno.test("TCP and UDP are offered each by itself", () => {
  const table = new ServiceTable([service(53, 53, { transport: "udp" })]);
  assertEquals(table.find("tcp", 53, 4), null);
  assertEquals(table.find("udp", 53, 4)?.addresses, [HOST]);
});

Deno.test("where ranges overlap the later service counts", () => {
  const table = new ServiceTable([service(1, 100), service(80, 80, { port: 8080 })]);
  assertEquals(table.find("tcp", 80, 4)?.port, 8080);
  assertEquals(table.find("tcp", 81, 4)?.port, 81);
});

Deno.test("without a host both loopback addresses are tried, of the flow's family first", () => {
  const table = new ServiceTable([service(80, 80, { host: null })]);
  assertEquals(table.find("tcp", 80, 4)?.addresses.map(({ length }) => length), [4, 16]);
  assertEquals(table.find("tcp", 80, 6)?.addresses.map(({ length }) => length), [16, 4]);
});
