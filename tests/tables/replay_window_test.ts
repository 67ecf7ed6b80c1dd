import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { createSlab, type Slab } from "../../src/memory/slab.ts";
import {
  REPLAY_WINDOW_BYTES,
  REPLAY_WINDOW_SIZE,
  replayAccept,
} from "../../src/tables/replay_window.ts";
import { ReplayWindowReference } from "../reference/replay_window_reference.ts";

const AT = 128;
const MAX = Number.MAX_SAFE_INTEGER;

function freshWindow(): Slab {
  return createSlab(AT + REPLAY_WINDOW_BYTES + 64);
}

/** Feeds counters to a fresh window and returns what it said to each. */
function run(...counters: number[]): boolean[] {
  const slab = freshWindow();
  return counters.map((counter) => replayAccept(slab, AT, counter));
}

/** Feeds counters to a fresh window and to the reference, and asserts equal answers. */
function compare(label: string, counters: Iterable<number>): void {
  const slab = freshWindow();
  const reference = new ReplayWindowReference(REPLAY_WINDOW_SIZE);
  let index = 0;
  for (const counter of counters) {
    const expected = reference.accept(counter);
    const actual = replayAccept(slab, AT, counter);
    assert(actual === expected, `${label}: counter ${counter} (number ${index}) gave ${actual}`);
    index++;
  }
}

Deno.test("a window of zeros accepts counter 0 once", () => {
  assertEquals(run(0, 0), [true, false]);
});

Deno.test("a window of zeros accepts any first counter, and 0 after it while it is in reach", () => {
  assertEquals(run(5, 0, 5, 0), [true, true, false, false]);
  assertEquals(run(REPLAY_WINDOW_SIZE, 0), [true, true]);
  assertEquals(run(REPLAY_WINDOW_SIZE + 1, 0), [true, false]);
});

Deno.test("counters in ascending order are each accepted once", () => {
  const slab = freshWindow();
  for (let counter = 0; counter < 40_000; counter++) {
    assert(replayAccept(slab, AT, counter));
    assert(!replayAccept(slab, AT, counter));
  }
});

Deno.test("a counter that lags by 8,128 is accepted and one that lags by 8,129 is not", () => {
  for (let greatest = 20_000; greatest < 20_070; greatest++) {
    assertEquals(run(greatest, greatest - 8128, greatest - 8129), [true, true, false]);
  }
});

Deno.test("packets reordered by thousands are all accepted (a window of 1,024 is too small)", () => {
  const counters: number[] = [];
  for (let i = 0; i < 8000; i++) counters.push(16_000 + i);
  const late = Array.from({ length: 8000 }, (_, i) => 15_999 - i).filter((c) => c >= 23_999 - 8128);
  assertEquals(run(...counters, ...late).every((accepted) => accepted), true);
});

Deno.test("a jump beyond the window clears it, and a replay of what was in it is too old", () => {
  assertEquals(run(0, 1, 2, 100_000, 2, 100_000, 99_999, 91_872, 91_871), [
    true,
    true,
    true,
    true,
    false,
    false,
    true,
    true,
    false,
  ]);
});

Deno.test("jumps of every length around a word and around the ring agree with the reference", () => {
  for (const base of [0, 1, 30, 31, 32, 33, 63, 64, 8190, 8191, 8192]) {
    for (const jump of [1, 2, 31, 32, 33, 63, 64, 8127, 8128, 8129, 8159, 8160, 8191, 8192, 8193]) {
      const counters = [base, base + jump];
      for (let back = 0; back <= 70; back++) counters.push(base + jump - back, base + back);
      for (let lag = 8100; lag <= 8200; lag++) counters.push(base + jump - lag);
      compare(`base ${base} jump ${jump}`, counters.filter((counter) => counter >= 0));
    }
  }
});

Deno.test("random orders agree with the reference, also beyond 32 bits", () => {
  for (const base of [0, 2 ** 31 - 5000, 2 ** 32 - 5000, 2 ** 45, MAX - 90_000]) {
    for (let seed = 1; seed <= 4; seed++) {
      const random = new SeededRandom(seed);
      const counters: number[] = [];
      let front = base;
      for (let i = 0; i < 12_000; i++) {
        const kind = random.below(100);
        if (kind < 50) front += random.below(3);
        else if (kind === 50) front += random.below(60);
        const spread = kind < 70 ? 64 : kind < 90 ? 2000 : 9000;
        const counter = kind < 50 ? front : front - random.below(spread);
        if (counter >= 0) counters.push(Math.min(counter, MAX));
      }
      compare(`base ${base} seed ${seed}`, counters);
    }
  }
});

Deno.test("the last counter below 2^53 is accepted once, and none beyond it", () => {
  assertEquals(run(MAX - 1, MAX, MAX, 2 ** 53, 2 ** 64, MAX - 2, MAX - 2), [
    true,
    true,
    false,
    false,
    false,
    true,
    false,
  ]);
});

Deno.test("one packet replayed a million times is accepted once", () => {
  const slab = freshWindow();
  let accepted = 0;
  for (let i = 0; i < 1_000_000; i++) if (replayAccept(slab, AT, 12_345)) accepted++;
  assertEquals(accepted, 1);
});

Deno.test("a window writes nothing outside its region", () => {
  const slab = freshWindow();
  slab.u8.fill(0xaa, 0, AT);
  slab.u8.fill(0xaa, AT + REPLAY_WINDOW_BYTES);
  const random = new SeededRandom(7);
  for (let i = 0, counter = 0; i < 20_000; i++) {
    replayAccept(slab, AT, counter += random.below(300));
  }
  assert(slab.u8.subarray(0, AT).every((byte) => byte === 0xaa));
  assert(slab.u8.subarray(AT + REPLAY_WINDOW_BYTES).every((byte) => byte === 0xaa));
});
