import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../../src/base/random.ts";
import { Reassembly, SACK_BLOCKS_MAX } from "../../../src/netstack/tcp/reassembly.ts";
import { ReassemblyReference } from "../../reference/reassembly_reference.ts";

/** Just below the wrap, so that ranges cross it. */
const BASE = -40;

function ranges(reassembly: Reassembly): [number, number][] {
  return Array.from({ length: reassembly.count }, (_, i) => [
    (reassembly.startOf(i) - BASE) | 0,
    (reassembly.endOf(i) - BASE) | 0,
  ]);
}

function take(reassembly: Reassembly, blocksMax: number): [number, number][] {
  const count = reassembly.takeSackBlocks(blocksMax);
  return Array.from({ length: count }, (_, i) => [
    (reassembly.blocks[i * 2] - BASE) | 0,
    (reassembly.blocks[i * 2 + 1] - BASE) | 0,
  ]);
}

function added(...pairs: [number, number][]): Reassembly {
  const reassembly = new Reassembly();
  for (const [start, end] of pairs) reassembly.add((BASE + start) | 0, (BASE + end) | 0);
  return reassembly;
}

Deno.test("ranges that touch or overlap become one, across the wrap too", () => {
  assertEquals(ranges(added([10, 20], [30, 40], [20, 30])), [[10, 40]]);
  assertEquals(ranges(added([10, 20], [50, 60], [15, 55])), [[10, 60]]);
  assertEquals(ranges(added([30, 40], [10, 20])), [[10, 20], [30, 40]]);
  assertEquals(ranges(added([38, 39], [40, 41], [39, 40])), [[38, 41]]);
});

Deno.test("the latest range is told first, then those told before (RFC 2018 section 4)", () => {
  const reassembly = added([10, 20], [30, 40], [50, 60]);
  assertEquals(take(reassembly, 3), [[50, 60], [30, 40], [10, 20]]);
  reassembly.add(BASE + 20 | 0, BASE + 22 | 0);
  assertEquals(take(reassembly, 3), [[10, 22], [50, 60], [30, 40]]);
  assertEquals(take(reassembly, 2), [[10, 22], [50, 60]]);
});

Deno.test("a duplicate is told once, before the range around it (RFC 2883 section 4)", () => {
  const reassembly = added([10, 20], [30, 40]);
  reassembly.add(BASE + 12 | 0, BASE + 15 | 0);
  assertEquals(take(reassembly, 3), [[12, 15], [10, 20], [30, 40]]);
  assertEquals(take(reassembly, 3), [[10, 20], [30, 40]]);
});

Deno.test("a duplicate below the window is told without a range around it", () => {
  const reassembly = added([30, 40]);
  reassembly.noteDuplicate(BASE, BASE + 10 | 0);
  assertEquals(take(reassembly, 3), [[0, 10], [30, 40]]);
});

Deno.test("a duplicate of a whole range stands before that range", () => {
  const reassembly = added([10, 20]);
  reassembly.add(BASE + 10 | 0, BASE + 20 | 0);
  assertEquals(take(reassembly, 3), [[10, 20], [10, 20]]);
});

Deno.test("duplicates that follow each other are told as one", () => {
  const reassembly = new Reassembly();
  reassembly.noteDuplicate(BASE, BASE + 10 | 0);
  reassembly.noteDuplicate(BASE + 10 | 0, BASE + 50 | 0);
  assertEquals(take(reassembly, 3), [[0, 50]]);
  assert(!reassembly.hasDuplicate);
});

Deno.test("reassembly agrees with its naive twin over random segments", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed);
    const rangesMax = 1 + random.below(12);
    const real = new Reassembly(rangesMax);
    const twin = new ReassemblyReference(rangesMax);
    let rcvNxt = 0;
    for (let step = 0; step < 150; step++) {
      const start = rcvNxt + 1 + random.below(80);
      const end = start + 1 + random.below(random.below(4) === 0 ? 30 : 4);
      const [from, to] = [(BASE + start) | 0, (BASE + end) | 0];
      const where = `seed ${seed}, step ${step}`;
      assertEquals(real.add(from, to), twin.add(start, end), where);
      assertEquals(ranges(real), twin.ranges(), where);
      assertEquals(real.totalBytes, twin.bytes.size, where);
      if (random.below(4) === 0) {
        const next = rcvNxt + 1 + random.below(3);
        rcvNxt = twin.advance(next);
        assertEquals((real.advance((BASE + next) | 0) - BASE) | 0, rcvNxt, where);
        assertEquals(ranges(real), twin.ranges(), where);
      }
      if (random.below(3) === 0) {
        // Only as many as are surely remembered in order.
        const blocksMax = 1 + random.below(SACK_BLOCKS_MAX);
        assertEquals(take(real, blocksMax), twin.takeSackBlocks(blocksMax), where);
      }
    }
  }
});

Deno.test("segments of one byte in reverse are one range and little work (SegmentSmack)", () => {
  const reassembly = new Reassembly();
  for (let at = 200_000; at > 0; at--) reassembly.add((BASE + at) | 0, (BASE + at + 1) | 0);
  assertEquals(ranges(reassembly), [[1, 200_001]]);
});

Deno.test("segments with gaps are refused beyond the bound, and then fill the gaps all the same", () => {
  const reassembly = new Reassembly();
  let refused = 0;
  for (let at = 200_000; at > 0; at -= 2) {
    if (reassembly.add((BASE + at) | 0, (BASE + at + 1) | 0) < 0) refused++;
  }
  assertEquals(reassembly.count, reassembly.rangesMax);
  assertEquals(refused, 100_000 - reassembly.rangesMax);
  assertEquals(reassembly.add((BASE + 199_999) | 0, (BASE + 200_000) | 0), 1);
  assertEquals(reassembly.count, reassembly.rangesMax - 1);
});

Deno.test("reassembly forgets everything when cleared", () => {
  const reassembly = added([10, 20]);
  reassembly.noteDuplicate(1, 2);
  reassembly.clear();
  assertEquals([reassembly.count, reassembly.totalBytes, take(reassembly, 4)], [0, 0, []]);
});
