import { assertEquals } from "@std/assert";
import { formatRate, sparkline } from "../../src/control/rate_text.ts";

Deno.test("a rate has three digits and the unit that fits", () => {
  const cases: [number, string][] = [
    [0, "0 bit/s"],
    [1, "8 bit/s"],
    [124.9, "999 bit/s"],
    [124.95, "1.00 kbit/s"],
    [1250, "10.0 kbit/s"],
    [12_500, "100 kbit/s"],
    [125_000, "1.00 Mbit/s"],
    [775_000_000, "6.20 Gbit/s"],
    [1.25e15, "10000 Tbit/s"],
  ];
  for (const [bytes, text] of cases) assertEquals(formatRate(bytes), text);
});

Deno.test("a curve is as wide as asked for, its highest value at full height", () => {
  assertEquals(sparkline([0, 1, 50, 100], 4), "▁▂▅█");
  assertEquals(sparkline([5], 3), "  █");
  assertEquals(sparkline([9, 0, 0, 0], 3), "▁▁▁");
  assertEquals(sparkline([], 2), "  ");
  assertEquals(sparkline([1, 2], 0), "");
});
