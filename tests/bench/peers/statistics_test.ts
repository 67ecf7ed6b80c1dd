import { assertEquals } from "@std/assert";
import { median, percentile, turnOrder } from "../../../bench/peers/statistics.ts";

Deno.test("two contestants take turns A B B A, more of them there and back", () => {
  const order = (names: string[]) => [0, 1, 2, 3].flatMap((round) => turnOrder(names, round));
  assertEquals(order(["A", "B"]).join(""), "ABBAABBA");
  assertEquals(order(["A", "B", "C"]).join(""), "ABCCBAABCCBA");
});

Deno.test("a median is the middle value, the mean of the middle two, or NaN for none", () => {
  assertEquals(median([5, 1, 3]), 3);
  assertEquals(median([4, 1, 3, 2]), 2.5);
  assertEquals(median([]), NaN);
});

Deno.test("percentiles are interpolated and leave their values in order", () => {
  const values = [30, 10, 20];
  assertEquals([0, 25, 50, 100].map((percent) => percentile(values, percent)), [10, 15, 20, 30]);
  assertEquals(values, [30, 10, 20]);
});
