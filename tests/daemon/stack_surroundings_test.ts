import { assert, assertEquals } from "@std/assert";
import { resolvConfServers, StackSurroundings } from "../../src/daemon/stack_surroundings.ts";
import { RESOLVER } from "../../src/forward/local_services.ts";
import type { SocketAddress } from "../../src/wireguard/configuration.ts";
import type { StackConfig } from "../../src/worker/stack_config.ts";

const CONFIG: StackConfig = { addresses: [], mtu: 1420, gso: true, services: [] };
const SERVED = [{ address: new Uint8Array(4), bits: 0 }];
const DNS = { transport: "udp", firstPort: 53, lastPort: 53, host: RESOLVER, port: 53 } as const;

Deno.test("a stack is told of the peers' endpoints while it serves prefixes, and of changes", () => {
  const endpoints: SocketAddress[] = [{ address: Uint8Array.of(203, 0, 113, 7), port: 51_820 }];
  const surroundings = new StackSurroundings(() => endpoints);
  const config = { ...CONFIG, served: SERVED };
  assertEquals(surroundings.complete(config), { ...config, resolvers: [], endpoints });
  assert(!surroundings.hasChanged(config));
  endpoints[0] = { address: Uint8Array.of(203, 0, 113, 8), port: 51_820 };
  assert(surroundings.hasChanged(config));
  assertEquals(surroundings.complete(config).endpoints, endpoints);
  assert(!surroundings.hasChanged(config));
});

Deno.test("what nobody needs is not looked up", () => {
  const surroundings = new StackSurroundings(() => {
    throw new Error("nobody serves anything");
  });
  assertEquals(surroundings.complete(CONFIG), { ...CONFIG, resolvers: [], endpoints: [] });
});

Deno.test("name servers are told where a service leads to them", () => {
  const surroundings = new StackSurroundings(() => []);
  const { resolvers } = surroundings.complete({ ...CONFIG, services: [DNS] });
  assertEquals(resolvers, resolvConfServers());
});

Deno.test("with thousands of peers a stack is told of a thousand endpoints", () => {
  const endpoints = Array.from({ length: 5000 }, (_, i) => ({
    address: Uint8Array.of(198, 18, i >> 8, i & 255),
    port: 51_820,
  }));
  const surroundings = new StackSurroundings(() => endpoints);
  assertEquals(surroundings.complete({ ...CONFIG, served: SERVED }).endpoints?.length, 1024);
});
