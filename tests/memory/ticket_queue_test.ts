import { assert, assertEquals, assertThrows } from "@std/assert";
import { InvariantError } from "../../src/base/invariant.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { TicketQueue, ticketQueueBytes } from "../../src/memory/ticket_queue.ts";
import { TicketQueueReference } from "../reference/ticket_queue_reference.ts";

const AT = 64;

function newQueue(slots: number): TicketQueue {
  return new TicketQueue(createSlab(AT + ticketQueueBytes(slots)), AT, slots);
}

/** Owner and four workers do what `seed` says, on the queue and on its twin. */
function compare(seed: number): void {
  const random = new SeededRandom(seed);
  const queue = newQueue(8), twin = new TicketQueueReference();
  const held: { slot: number; value: number }[] = [];
  let submitted = 0, taken = 0;
  for (let step = 0; step < 2000; step++) {
    const action = random.below(4);
    if (action === 0 && twin.length < 8) {
      queue.submit(submitted);
      twin.submit(submitted++);
    } else if (action === 1 && held.length < 4) {
      const slot = queue.claim(), value = twin.claim();
      assertEquals(slot < 0 ? undefined : queue.value(slot), value);
      if (value !== undefined) held.push({ slot, value });
    } else if (action === 2 && held.length > 0) {
      // Any of them may be the next one that is done.
      const [{ slot, value }] = held.splice(random.below(held.length), 1);
      assertEquals(queue.complete(slot), twin.complete(value), "whether the owner is woken");
    } else if (action === 3) {
      const isDone = queue.isOldestDone();
      const value = queue.take();
      assertEquals([value, value >= 0], [twin.take(), isDone]);
      if (value >= 0) assertEquals(value, taken++, "in the order of submission");
    }
    assertEquals(queue.unclaimed, twin.unclaimed);
  }
  assert(taken > 300, `${taken}`);
}

for (let seed = 1; seed <= 20; seed++) {
  Deno.test(`a ticket queue does what a plain list does (seed ${seed})`, () => compare(seed));
}

Deno.test("a ticket queue survives the wrap of its 32-bit counters", () => {
  const slab = createSlab(AT + ticketQueueBytes(2));
  for (const word of [0, 16, 32]) slab.i32[(AT >> 2) + word] = 0x7fffffff;
  const queue = new TicketQueue(slab, AT, 2);
  for (let i = 0; i < 5; i++) {
    queue.submit(i);
    queue.submit(i + 100);
    const first = queue.claim(), second = queue.claim();
    assertEquals([queue.claim(), queue.unclaimed], [-1, 0]);
    assert(!queue.complete(second), "the owner waits for the other one");
    assertEquals(queue.take(), -1);
    assert(queue.complete(first));
    assertEquals([queue.take(), queue.take(), queue.take()], [i, i + 100, -1]);
  }
});

Deno.test("more than its slots hold is never submitted to a ticket queue", () => {
  const queue = newQueue(2);
  queue.submit(1);
  queue.submit(2);
  assertThrows(() => queue.submit(3), InvariantError);
});
