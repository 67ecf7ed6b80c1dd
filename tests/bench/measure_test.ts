import { assert, assertEquals } from "@std/assert";
import { measure, quantile, summarize } from "../../src/bench/measure.ts";

Deno.test("a quantile lies between two values if need be", () => {
  assertEquals(quantile([1, 2, 3, 4], 0.5), 2.5);
  assertEquals(quantile([1, 2, 3], 0.5), 2);
  assertEquals(quantile([1, 2, 3], 0), 1);
  assertEquals(quantile([1, 2, 3], 1), 3);
  assertEquals(quantile([7], 0.99), 7);
});

Deno.test("the best of a sample is the least or the most, and the spread is of its middle half", () => {
  const figures = [10, 40, 20, 30, 50];
  assertEquals(summarize(figures, "less"), { best: 10, median: 30, spread: 2 / 3, rounds: 5 });
  assertEquals(summarize(figures, "more").best, 50);
  assertEquals(summarize([5], "less"), { best: 5, median: 5, spread: 0, rounds: 1 });
});

Deno.test("work is done at least for five rounds, each many calls, and counted per operation", () => {
  let calls = 0;
  const { best, median, rounds } = measure({ operations: 4, run: () => calls++ }, 1);
  assert(rounds >= 5 && calls > rounds * 10, `${rounds} rounds, ${calls} calls`);
  assert(best > 0 && best <= median, `${best} ${median}`);
});
