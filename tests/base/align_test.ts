import { assertEquals } from "@std/assert";
import { alignUp } from "../../src/base/align.ts";

Deno.test("a multiple stays, and what lies between goes up to the next", () => {
  assertEquals([0, 1, 63, 64, 65, 128].map((n) => alignUp(n, 64)), [0, 64, 64, 64, 128, 128]);
  assertEquals(alignUp(4097, 4096), 8192);
});
