import { assertEquals, assertThrows } from "@std/assert";
import {
  ACTIVITY_TIMES_BYTES,
  ActivityRecorder,
  ActivityWatch,
  WATCH_LIST_BYTES,
  WATCHED_MAX,
} from "../../src/lane/activity.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { EpochTable } from "../../src/tables/epoch.ts";

const LIST = 4096;
const TIMES = LIST + WATCH_LIST_BYTES;
const EPOCHS = TIMES + 2 * ACTIVITY_TIMES_BYTES;
const ADDRESS = 64;

/** Two lanes and main. */
function setUp() {
  const slab = createSlab(EPOCHS + 4096);
  const timesAt = [TIMES, TIMES + ACTIVITY_TIMES_BYTES];
  const lanes = timesAt.map((at) => new ActivityRecorder(slab, LIST, at));
  const main = new ActivityWatch(slab, LIST, timesAt, new EpochTable(slab, EPOCHS, 2));
  const note = (lane: number, address: Uint8Array, nowMs: number) => {
    slab.u8.set(address, ADDRESS);
    return lanes[lane].note(ADDRESS, address.length === 4 ? 4 : 6, nowMs);
  };
  return { lanes, main, note };
}

const v4 = (last: number) => Uint8Array.of(10, 0, last >> 8, last);
const v6 = (last: number) => Uint8Array.from([0xfd, ...new Array(14).fill(0), last]);

Deno.test("while nothing is watched the recorder is off", () => {
  const { lanes, main } = setUp();
  assertEquals(lanes[0].isOn, false);
  const stop = main.watch(v4(1), () => {});
  assertEquals(lanes[0].isOn, true);
  stop();
  stop();
  assertEquals(lanes[0].isOn, false);
});

Deno.test("the latest time of all lanes counts, and addresses are told apart", () => {
  const { main, note } = setUp();
  const told: string[] = [];
  main.watch(v4(1), (lastMs) => told.push(`v4 ${lastMs}`));
  main.watch(v6(1), (lastMs) => told.push(`v6 ${lastMs}`));
  assertEquals(main.lastMs(v4(1)), -Infinity);
  note(0, v4(1), 100);
  note(1, v4(1), 90);
  note(1, v4(2), 500);
  main.deliver();
  note(0, v6(1), 700);
  main.deliver();
  main.deliver();
  assertEquals(told, ["v4 100", "v6 700"]);
  assertEquals([main.lastMs(v4(1)), main.lastMs(v4(2))], [100, -Infinity]);
});

Deno.test("main is to be told at once, then once a second", () => {
  const { main, note } = setUp();
  main.watch(v4(1), () => {});
  const notices = [1000, 1500, 2499, 3498, 4498].map((nowMs) => note(0, v4(1), nowMs));
  assertEquals(notices, [true, false, false, false, true]);
});

Deno.test("as many addresses as fit can be watched, and one more is refused", () => {
  const { main, note } = setUp();
  const stops = Array.from({ length: WATCHED_MAX }, (_, i) => main.watch(v4(i), () => {}));
  assertThrows(() => main.watch(v4(1000), () => {}), RangeError);
  for (let i = 0; i < WATCHED_MAX; i++) note(0, v4(i), 1 + i);
  for (let i = 0; i < WATCHED_MAX; i++) assertEquals(main.lastMs(v4(i)), 1 + i);
  stops[7]();
  main.watch(v4(1000), () => {});
  assertEquals(main.lastMs(v4(1000)), -Infinity, "nothing is left of who had its place");
});
