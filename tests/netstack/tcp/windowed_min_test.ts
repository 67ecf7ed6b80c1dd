import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../../src/base/random.ts";
import { WindowedMin } from "../../../src/netstack/tcp/windowed_min.ts";

Deno.test("a windowed minimum is a sample of the window and not above its least one for long", () => {
  const random = new SeededRandom(1);
  for (let run = 0; run < 200; run++) {
    const filter = new WindowedMin(100);
    const samples: [number, number][] = [];
    let nowMs = 0;
    for (let i = 0; i < 200; i++) {
      nowMs += random.below(20);
      const sample = random.below(1000);
      filter.add(sample, nowMs);
      samples.push([nowMs, sample]);
      const inWindow = samples.filter(([atMs]) => nowMs - atMs <= 100).map(([, value]) => value);
      assert(inWindow.includes(filter.value), `run ${run}, sample ${i}: ${filter.value}`);
      const lately = samples.filter(([atMs]) => nowMs - atMs <= 25).map(([, value]) => value);
      assert(filter.value <= Math.min(...lately));
    }
  }
});

Deno.test("a new minimum counts at once, and a longer path after the window", () => {
  const filter = new WindowedMin(1000);
  assertEquals(filter.value, -1);
  filter.add(50, 0);
  filter.add(40, 10);
  assertEquals(filter.value, 40);
  for (let nowMs = 20; nowMs < 1000; nowMs += 10) filter.add(90, nowMs);
  assertEquals(filter.value, 40);
  for (let nowMs = 1000; nowMs < 1200; nowMs += 10) filter.add(90, nowMs);
  assertEquals(filter.value, 90);
});
