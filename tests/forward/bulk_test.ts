/** Bulk transfers: a pattern whose place in the stream is checked, and its two ends. */
import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { BulkPattern, PATTERN_BYTES } from "../../src/forward/bulk_pattern.ts";
import { BulkField, BulkReport, BulkState } from "../../src/forward/bulk_report.ts";
import { BulkTransfers } from "../../src/forward/bulk_transfer.ts";
import { instantiateKernels } from "../../src/kernels/kernels.ts";
import { createSlab } from "../../src/memory/slab.ts";
import type { StackScene } from "../netstack/stack_scene.ts";
import { HERE, StackPair } from "./stack_pair.ts";

const PATTERN_AT = 64;
const COPY_AT = 2 << 20;
const PORT = 5001;
/** Below what `StackScene` uses. */
const REPORT_AT = 1024;

Deno.test("the pattern is found at its place in the stream and nowhere else", () => {
  const slab = createSlab(4 << 20);
  const pattern = new BulkPattern(slab, instantiateKernels(slab.memory), PATTERN_AT);
  const random = new SeededRandom(7);
  for (let i = 0; i < 300; i++) {
    const position = random.below(2 ** 32) * 4;
    const bytes = 1 + random.below(70_000);
    const at = COPY_AT + random.below(8);
    pattern.copy(position, at, bytes);
    assert(pattern.matches(position, at, bytes));
    for (let j = 0; j < Math.min(bytes, 5); j++) {
      assertEquals(slab.u8[at + j], slab.u8[PATTERN_AT + (position + j) % PATTERN_BYTES]);
    }
    if (bytes < 8) continue;
    assert(!pattern.matches(position + 1 + random.below(100_000), at, bytes), "another place");
    slab.u8[at + random.below(bytes)] ^= 1 << random.below(8);
    assert(!pattern.matches(position, at, bytes), "one bit is wrong");
  }
});

function transfers(scene: StackScene): { bulk: BulkTransfers; report: BulkReport } {
  const bulk = new BulkTransfers({
    slab: scene.slab,
    kernel: scene.kernel,
    allocate: (bytes) => scene.pool.allocate(bytes),
    tcp: scene.stack.tcp,
    time: scene.stack,
    reportAt: REPORT_AT,
    cpuSeconds: () => scene.nowMs / 1000,
  });
  return { bulk, report: new BulkReport(scene.slab, REPORT_AT) };
}

for (const lossPerMille of [0, 5]) {
  Deno.test(`what one stack sends for some time the other has whole; loss ${lossPerMille} of 1,000`, () => {
    const pair = new StackPair([], 1);
    pair.lossPerMille = lossPerMille;
    const sender = transfers(pair.there), receiver = transfers(pair.here);
    for (let id = 1; id <= 2; id++) {
      const task = { id, port: PORT, durationMs: 40 };
      receiver.bulk.begin({ ...task, remote: null });
      sender.bulk.begin({ ...task, remote: HERE });
      sender.bulk.begin({ ...task, remote: HERE });
      for (let i = 0; i < 20_000 && receiver.report.get(BulkField.State) < BulkState.Done; i++) {
        sender.bulk.turn();
        receiver.bulk.turn();
        pair.step();
        pair.pass(1);
      }
      pair.pass(5000);
      sender.bulk.turn();
      for (const { report } of [sender, receiver]) {
        assertEquals(report.get(BulkField.Task), id);
        assertEquals(report.get(BulkField.State), BulkState.Done);
      }
      const bytes = receiver.report.get(BulkField.Bytes);
      assert(bytes > 100_000, `${bytes} bytes`);
      assertEquals(sender.report.get(BulkField.Bytes), bytes);
      assertEquals(receiver.report.get(BulkField.WrongRuns), 0);
    }
  });
}

Deno.test("a transfer to a port that nobody listens at is told as failed", () => {
  const pair = new StackPair([], 2);
  const { bulk, report } = transfers(pair.there);
  bulk.begin({ id: 9, remote: HERE, port: PORT, durationMs: 10 });
  pair.step();
  bulk.turn();
  assertEquals(report.get(BulkField.State), BulkState.Failed);
});
