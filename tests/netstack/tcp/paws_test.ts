import { assertEquals } from "@std/assert";
import { Paws } from "../../../src/netstack/tcp/paws.ts";

const DAY_MS = 24 * 3600 * 1000;

Deno.test("in order, whatever is older than the latest timestamp is old", () => {
  const paws = new Paws();
  paws.begin(100, 0);
  assertEquals([paws.isOld(99, 0), paws.isOld(100, 0)], [true, false]);
  paws.keep(200, false, 10);
  assertEquals([paws.isOld(199, 10), paws.isOld(200, 10), paws.recent], [true, false, 200]);
});

Deno.test("timestamps are compared through their wrap", () => {
  const paws = new Paws();
  paws.begin(0x7ffffff0, 0);
  assertEquals(paws.isOld(0x7fffffe0, 0), true);
  paws.keep(-0x7ffffff0, false, 10);
  assertEquals([paws.recent, paws.isOld(0x7ffffff0, 10)], [-0x7ffffff0, true]);
});

Deno.test("around a gap late segments are not old, and the timestamp never goes back", () => {
  const paws = new Paws();
  paws.begin(100, 0);
  paws.keep(200, false, 100);
  paws.keep(300, true, 200);
  assertEquals([paws.recent, paws.isOld(250, 210), paws.isOld(199, 210)], [300, false, true]);
  paws.keep(250, false, 220);
  assertEquals(paws.recent, 300);
  paws.keep(310, false, 400);
  assertEquals(paws.isOld(250, 400), false);
});

Deno.test("a second after the last gap it is strict again", () => {
  const paws = new Paws();
  paws.begin(100, 0);
  paws.keep(300, true, 200);
  paws.keep(2000, false, 1300);
  assertEquals([paws.isOld(1999, 1300), paws.isOld(2000, 1300)], [true, false]);
});

Deno.test("while gaps go on, what is older than two samples is old", () => {
  const paws = new Paws();
  paws.begin(0, 0);
  for (let nowMs = 10; nowMs <= 10_000; nowMs += 10) paws.keep(nowMs, true, nowMs);
  assertEquals([paws.isOld(9500, 10_000), paws.isOld(9499, 10_000)], [false, true]);
});

Deno.test("after 24 days of silence a timestamp proves nothing, and the next one counts", () => {
  const paws = new Paws();
  paws.begin(1000, 0);
  assertEquals([paws.isOld(5, 24 * DAY_MS), paws.isOld(5, 24 * DAY_MS + 1)], [true, false]);
  paws.keep(5, false, 24 * DAY_MS + 1);
  assertEquals([paws.recent, paws.isOld(4, 24 * DAY_MS + 2)], [5, true]);
});
