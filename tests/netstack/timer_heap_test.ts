import { assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { TimerHeap } from "../../src/netstack/timer_heap.ts";

Deno.test("a heap of timers agrees with a plain map", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed);
    const heap = new TimerHeap(2);
    const twin = new Map<number, number>();
    let nowMs = 0;
    for (let i = 0; i < 3000; i++) {
      const id = random.below(300);
      const choice = random.below(10);
      if (choice < 6) {
        const deadlineMs = nowMs + random.below(50);
        heap.set(id, deadlineMs);
        twin.set(id, deadlineMs);
      } else if (choice < 8) {
        heap.clear(id);
        twin.delete(id);
      } else {
        nowMs += random.below(5);
        for (let due = heap.popDue(nowMs); due >= 0; due = heap.popDue(nowMs)) {
          assertEquals(twin.get(due), Math.min(...twin.values()), `earliest first, seed ${seed}`);
          twin.delete(due);
        }
      }
      assertEquals(heap.count, twin.size, `seed ${seed}`);
      assertEquals(heap.nextMs, Math.min(Infinity, ...twin.values()), `seed ${seed}`);
      assertEquals(heap.deadlineMs(id), twin.get(id) ?? Infinity, `seed ${seed}`);
    }
  }
});

Deno.test("a deadline that is not before now is due, and Infinity is none", () => {
  const heap = new TimerHeap();
  heap.set(3, 10);
  assertEquals(heap.popDue(9.999), -1);
  assertEquals(heap.popDue(10), 3);
  heap.set(3, 10);
  heap.set(3, Infinity);
  assertEquals([heap.count, heap.nextMs], [0, Infinity]);
});
