import { assertEquals } from "@std/assert";
import { IdleMemory } from "../../src/daemon/idle_memory.ts";

Deno.test("memory goes back once whenever the node falls idle, and never while it moves bytes", () => {
  let count = 0;
  const memory = new IdleMemory(() => count++);
  const counts = [0, 0, 0, 5, 9, 9, 9, 10, 10].map((bytes) => {
    memory.look(bytes);
    return count;
  });
  assertEquals(counts, [0, 1, 1, 1, 1, 2, 2, 2, 3]);
});

Deno.test("a node that is busy from its first beat on keeps its memory", () => {
  let count = 0;
  const memory = new IdleMemory(() => count++);
  for (let bytes = 1; bytes < 10; bytes++) memory.look(bytes);
  assertEquals(count, 0);
});
