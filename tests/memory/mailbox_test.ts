import { assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { Mailbox, mailboxBytes } from "../../src/memory/mailbox.ts";
import { createSlab } from "../../src/memory/slab.ts";

function makeMailbox(capacity: number): Mailbox {
  return new Mailbox(createSlab(64 + mailboxBytes(capacity)), 64, capacity);
}

Deno.test("a mailbox gives subjects in the order of their first post, with all their bits", () => {
  const mailbox = makeMailbox(5);
  mailbox.post(3, 1);
  mailbox.post(1, 2);
  mailbox.post(3, 4);
  assertEquals([mailbox.take(), mailbox.takenBits], [3, 5]);
  assertEquals([mailbox.take(), mailbox.takenBits], [1, 2]);
  assertEquals(mailbox.take(), -1);
});

Deno.test("a mailbox with a post outstanding for every subject does not overflow", () => {
  const capacity = 7;
  const mailbox = makeMailbox(capacity);
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < capacity; i++) mailbox.post(i, 1 << round);
    for (let i = 0; i < capacity; i++) mailbox.post(i, 1 << 10);
    for (let i = 0; i < capacity; i++) {
      assertEquals(mailbox.take(), i);
      assertEquals(mailbox.takenBits, (1 << round) | (1 << 10));
    }
    assertEquals(mailbox.isEmpty(), true);
  }
});

Deno.test("a mailbox loses no bit in a random order of posts and takes", () => {
  const random = new SeededRandom(7);
  const capacity = 9;
  const mailbox = makeMailbox(capacity);
  const pending = new Array(capacity).fill(0);
  for (let i = 0; i < 20_000; i++) {
    if (random.below(2) === 0) {
      const subject = random.below(capacity), bit = 1 << random.below(31);
      mailbox.post(subject, bit);
      pending[subject] |= bit;
    } else {
      const subject = mailbox.take();
      if (subject < 0) {
        assertEquals(pending.every((bits) => bits === 0), true);
      } else {
        assertEquals(mailbox.takenBits, pending[subject]);
        pending[subject] = 0;
      }
    }
  }
});
