import { assertEquals, assertThrows } from "@std/assert";
import { createSlab } from "../../src/memory/slab.ts";
import { ConfigurationError } from "../../src/wireguard/configuration.ts";
import {
  readStackConfig,
  STACK_CONFIG_BYTES,
  type StackConfig,
  writeStackConfig,
} from "../../src/worker/stack_config.ts";

const AT = 64;
const CONFIG: StackConfig = {
  addresses: [{ address: Uint8Array.of(10, 0, 0, 1), bits: 24 }],
  mtu: 1420,
  gso: true,
  services: [
    { transport: "tcp", firstPort: 22, lastPort: 22, host: null, port: 22 },
    { transport: "udp", firstPort: 5, lastPort: 9, host: new Uint8Array(16).fill(1), port: 5 },
  ],
  bulk: { id: 1, remote: Uint8Array.of(10, 0, 0, 2), port: 5001, durationMs: 100 },
};

Deno.test("what main writes is what the lane reads, each version of it", () => {
  const slab = createSlab(AT + STACK_CONFIG_BYTES);
  assertEquals(readStackConfig(slab, AT), null, "nothing was written");
  writeStackConfig(slab, AT, CONFIG);
  assertEquals(readStackConfig(slab, AT), CONFIG);
  const shorter: StackConfig = { addresses: [], mtu: 1280, gso: false, services: [] };
  writeStackConfig(slab, AT, shorter);
  assertEquals(readStackConfig(slab, AT), shorter);
});

Deno.test("a config that main is writing is not read", () => {
  const slab = createSlab(AT + STACK_CONFIG_BYTES);
  writeStackConfig(slab, AT, CONFIG);
  slab.i32[AT >> 2]++;
  assertEquals(readStackConfig(slab, AT), null);
  writeStackConfig(slab, AT, CONFIG);
  assertEquals(readStackConfig(slab, AT), CONFIG);
});

Deno.test("a config without bounds is refused, and the one before stays", () => {
  const slab = createSlab(AT + STACK_CONFIG_BYTES);
  writeStackConfig(slab, AT, CONFIG);
  const services = new Array(100_000).fill(CONFIG.services[1]);
  assertThrows(() => writeStackConfig(slab, AT, { ...CONFIG, services }), ConfigurationError);
  assertEquals(readStackConfig(slab, AT), CONFIG);
});
