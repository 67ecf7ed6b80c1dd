import { assert } from "@std/assert";
import { CryptoBed } from "../../src/bench/crypto_work.ts";
import { STACK_STEPS, StackBed } from "../../src/bench/stack_bed.ts";

Deno.test("every length that is sealed opens again, in each of its places", () => {
  const bed = new CryptoBed();
  for (const bytes of [64, 1420, 16_384]) {
    bed.seal(bytes).run();
    bed.open(bytes).run();
  }
  bed.sum(1420).run();
  bed.copySum(1420).run();
  bed.close();
});

Deno.test("a stream goes through both stacks, and every step of it takes time", () => {
  const steps = new StackBed().transfer(1 << 22);
  for (const step of STACK_STEPS) assert(steps[step] > 0, JSON.stringify(steps));
});
