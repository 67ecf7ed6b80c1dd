import { assertEquals } from "@std/assert";
import {
  chooseEncryptors,
  chooseLanes,
  ENCRYPTORS,
  LANES,
  readWorkerCount,
} from "../../src/config/worker_counts.ts";
import { INDEX_LANES_MAX } from "../../src/tables/keypair_table.ts";

for (const [name, range] of Object.entries({ LANES, ENCRYPTORS })) {
  Deno.test(`${name}: a number of the range and auto are read, nothing else`, () => {
    const { min, max } = range;
    const read = (text: string) => readWorkerCount(text, range);
    assertEquals(["auto", "AUTO", `${min}`, "2", `${max}`].map(read), [
      "auto",
      "auto",
      min,
      2,
      max,
    ]);
    for (const text of ["", `${min - 1}`, `${max + 1}`, "64", "1.5", "2x", "1 2", "0x2", "-1"]) {
      assertEquals(read(text), undefined, text);
    }
  });
}

Deno.test("receiver indexes can name every lane", () => {
  assertEquals(LANES.max <= INDEX_LANES_MAX, true);
});

Deno.test("auto takes one lane for every four cores, and not more than peers", () => {
  const choices = [
    ...[[1, 9], [2, 9], [4, 9], [7, 9], [8, 9], [8, 1], [8, 0], [16, 3], [16, 9], [256, 999]],
  ].map(([cores, peers]) => chooseLanes("auto", cores, peers));
  assertEquals(choices, [1, 1, 1, 1, 2, 1, 1, 3, 4, LANES.max]);
});

Deno.test("auto seals in the lane on two cores, and has up to two encryptors beyond", () => {
  const chosen = [1, 2, 3, 4, 5, 6, 64].map((cores) => chooseEncryptors("auto", cores));
  assertEquals(chosen, [0, 0, 1, 2, 2, 2, 2]);
});

Deno.test("a number that is asked for is taken, whatever the machine has", () => {
  assertEquals(chooseLanes(3, 1, 1), 3);
  assertEquals([0, 1, 4].map((count) => chooseEncryptors(count, 1)), [0, 1, 4]);
});
