import { assertEquals } from "@std/assert";
import { Ring, ringBytes } from "../../src/memory/ring.ts";
import { createSlab } from "../../src/memory/slab.ts";

Deno.test("a ring gives slots back in order, refuses when full, and goes round many times", () => {
  const slab = createSlab(64 + ringBytes(4, 8));
  const producer = new Ring(slab, 64, 4, 8);
  const consumer = new Ring(slab, 64, 4, 8);
  let written = 0, read = 0;
  for (let round = 0; round < 1000; round++) {
    for (let i = 0; i <= round % 4; i++) {
      const at = producer.claim();
      if (at < 0) {
        assertEquals(producer.length, 4);
        break;
      }
      slab.i32[at >> 2] = written++;
      producer.publish();
    }
    while (consumer.peek() >= 0) {
      assertEquals(slab.i32[consumer.peek() >> 2], read++);
      consumer.release();
      if (round % 3 === 0) break;
    }
  }
  assertEquals(consumer.length, written - read);
});

Deno.test("a ring survives the wrap of its 32-bit positions", () => {
  const slab = createSlab(64 + ringBytes(2, 4));
  slab.i32[16] = slab.i32[32] = 0x7fffffff;
  const ring = new Ring(slab, 64, 2, 4);
  for (let i = 0; i < 5; i++) {
    assertEquals(ring.peek(), -1);
    slab.i32[ring.claim() >> 2] = i;
    ring.publish();
    slab.i32[ring.claim() >> 2] = i + 100;
    ring.publish();
    assertEquals(ring.claim(), -1);
    assertEquals(slab.i32[ring.peek() >> 2], i);
    ring.release();
    assertEquals(slab.i32[ring.peek() >> 2], i + 100);
    ring.release();
  }
});
