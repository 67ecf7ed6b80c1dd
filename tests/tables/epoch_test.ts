import { assertEquals } from "@std/assert";
import { createSlab } from "../../src/memory/slab.ts";
import { EPOCH_IDLE, epochBytes, EpochTable } from "../../src/tables/epoch.ts";

function makeEpochs(lanes: number): EpochTable {
  return new EpochTable(createSlab(64 + epochBytes(lanes)), 64, lanes);
}

Deno.test("what was retired is free only after every lane has begun a later turn", () => {
  const epochs = makeEpochs(2);
  epochs.announce(0, epochs.current());
  epochs.announce(1, epochs.current());
  const retired = epochs.advance();
  assertEquals(epochs.hasPassed(retired), false);
  epochs.announce(0, epochs.current());
  assertEquals(epochs.hasPassed(retired), false);
  epochs.announce(1, epochs.current());
  assertEquals(epochs.hasPassed(retired), true);
});

Deno.test("a sleeping lane holds nothing back", () => {
  const epochs = makeEpochs(1);
  epochs.announce(0, epochs.current());
  const retired = epochs.advance();
  assertEquals(epochs.hasPassed(retired), false);
  epochs.announce(0, EPOCH_IDLE);
  assertEquals(epochs.hasPassed(retired), true);
});

Deno.test("work in hand from an older epoch holds back what was retired since", () => {
  const epochs = makeEpochs(1);
  const old = epochs.current();
  const first = epochs.advance();
  const second = epochs.advance();
  epochs.announce(0, old);
  assertEquals([epochs.hasPassed(first), epochs.hasPassed(second)], [false, false]);
  epochs.announce(0, first + 1);
  assertEquals([epochs.hasPassed(first), epochs.hasPassed(second)], [true, false]);
});

Deno.test("epochs go on past the wrap of 32 bits and never become the idle mark", () => {
  const slab = createSlab(64 + epochBytes(1));
  const epochs = new EpochTable(slab, 64, 1);
  slab.i32[16] = -1;
  epochs.announce(0, -1);
  const retired = epochs.advance();
  assertEquals(epochs.current() === EPOCH_IDLE, false);
  assertEquals(epochs.hasPassed(retired), false);
  epochs.announce(0, epochs.current());
  assertEquals(epochs.hasPassed(retired), true);
});
