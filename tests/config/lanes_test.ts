import { assertEquals } from "@std/assert";
import { chooseLanes, LANES_MAX, readLanes } from "../../src/config/lanes.ts";
import { INDEX_LANES_MAX } from "../../src/tables/keypair_table.ts";

Deno.test("Lanes is auto or a number that receiver indexes can name", () => {
  const texts = ["auto", "Auto", "1", "2", `${LANES_MAX}`, "0", `${LANES_MAX + 1}`, "-1", "2x", ""];
  const none = undefined;
  assertEquals(texts.map(readLanes), [
    "auto",
    "auto",
    1,
    2,
    LANES_MAX,
    none,
    none,
    none,
    none,
    none,
  ]);
  assertEquals(LANES_MAX <= INDEX_LANES_MAX, true);
});

Deno.test("auto takes one lane for every four cores, and not more than peers", () => {
  const choices = [
    ...[[1, 9], [2, 9], [4, 9], [7, 9], [8, 9], [8, 1], [8, 0], [16, 3], [16, 9], [256, 999]],
  ].map(([cores, peers]) => chooseLanes("auto", cores, peers));
  assertEquals(choices, [1, 1, 1, 1, 2, 1, 1, 3, 4, LANES_MAX]);
  assertEquals(chooseLanes(3, 1, 1), 3, "a number is a user's own choice");
});
