import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { TimerTable } from "../../src/wireguard/timer_table.ts";

Deno.test("timers come out in the order of their deadlines, equal ones by number", () => {
  const table = new TimerTable(8);
  table.set(5, 30);
  table.set(3, 10);
  table.set(1, 20);
  table.set(0, 20);
  assertEquals(table.nextTimeoutMs(), 10);
  assertEquals(table.takeDue(9), -1);
  assertEquals([0, 0, 0, 0, 0].map(() => table.takeDue(30)), [3, 0, 1, 5, -1]);
  assertEquals(table.nextTimeoutMs(), Infinity);
});

Deno.test("any sequence of set, clear and take equals a plain map of deadlines", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = new SeededRandom(seed);
    const table = new TimerTable(40);
    const naive = new Map<number, number>();
    for (let step = 0; step < 1500; step++) {
      const timer = random.below(40);
      switch (random.below(4)) {
        case 0:
        case 1: {
          const deadline = random.below(500);
          table.set(timer, deadline);
          naive.set(timer, deadline);
          break;
        }
        case 2:
          table.clear(timer);
          naive.delete(timer);
          break;
        case 3: {
          const now = random.below(300);
          const due = [...naive].filter(([, deadline]) => deadline <= now)
            .sort((x, y) => x[1] - y[1] || x[0] - y[0]);
          assertEquals(table.takeDue(now), due[0]?.[0] ?? -1, `seed ${seed}, step ${step}`);
          if (due.length > 0) naive.delete(due[0][0]);
        }
      }
      assertEquals(table.pending, naive.size, `seed ${seed}, step ${step}`);
      assertEquals(table.nextTimeoutMs(), Math.min(Infinity, ...naive.values()));
      assertEquals(table.deadlineMs(timer), naive.get(timer) ?? Infinity);
      assertEquals(table.isPending(timer), naive.has(timer));
    }
  }
});

Deno.test("moving one of 50,000 timers takes few steps", () => {
  const table = new TimerTable(50_000);
  for (let timer = 0; timer < 50_000; timer++) table.set(timer, timer);
  const random = new SeededRandom(1);
  for (let i = 0; i < 200_000; i++) table.set(random.below(50_000), random.below(1_000_000));
  let last = -1, taken = 0;
  for (let deadline = table.nextTimeoutMs(); deadline < Infinity;) {
    assert(deadline >= last);
    last = deadline;
    table.takeDue(deadline);
    taken++;
    deadline = table.nextTimeoutMs();
  }
  assertEquals(taken, 50_000);
});
