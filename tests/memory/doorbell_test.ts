import { assertEquals } from "@std/assert";
import { Doorbell, DOORBELL_BYTES } from "../../src/memory/doorbell.ts";
import { createSlab } from "../../src/memory/slab.ts";

Deno.test("a doorbell signals once per sleep, and never while its owner is awake", () => {
  const slab = createSlab(64 + DOORBELL_BYTES);
  let signals = 0;
  const owner = new Doorbell(slab, 64, null);
  const other = new Doorbell(slab, 64, { signal: () => signals++ });
  other.ring();
  assertEquals(signals, 0);
  owner.willSleep();
  other.ring();
  other.ring();
  assertEquals(signals, 1);
  owner.isAwake();
  other.ring();
  assertEquals(signals, 1);
});
