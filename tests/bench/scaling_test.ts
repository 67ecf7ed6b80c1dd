/** The scaling model: it reproduces what was measured, and its parts are what they claim to be. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  BESIDE,
  INLINE,
  MACHINES,
  MEASURED_RUNS,
  PAYLOAD_BYTES,
} from "../../bench/scaling/costs.ts";
import {
  bestForManyPeers,
  bestForOnePeer,
  type Direction,
  gbitOf,
  memoryLimit,
  packetNs,
  simulateLane,
  simulateTwoCores,
} from "../../bench/scaling/model.ts";
import { allTables } from "../../bench/scaling/tables.ts";

const DIRECTIONS: readonly Direction[] = ["send", "receive"];
const STALL = { everyBatches: 50, ns: 5_000_000 };

for (const run of MEASURED_RUNS) {
  Deno.test(`the model is near what was measured with ${run.encryptors} encryptors`, () => {
    const off = gbitOf(simulateTwoCores(run)) / run.gbit - 1;
    assert(Math.abs(off) < 0.15, `off by ${off}`);
  });
}

Deno.test("a simulation gives the same every time", () => {
  assertEquals(simulateTwoCores(MEASURED_RUNS[2]), simulateTwoCores(MEASURED_RUNS[2]));
});

for (const direction of DIRECTIONS) {
  Deno.test(`a lane that does everything itself takes the sum of its stages (${direction})`, () => {
    const { beforeNs, cipherNs, afterNs } = INLINE[direction];
    const result = simulateLane(direction, 0);
    assertAlmostEquals(1e9 / result.packetsPerSecond, beforeNs + cipherNs + afterNs, 20);
  });

  Deno.test(`one encryptor is the limit, then the lane (${direction})`, () => {
    const { beforeNs, cipherNs, afterNs } = BESIDE[direction];
    const one = simulateLane(direction, 1), two = simulateLane(direction, 2);
    assertAlmostEquals(1e9 / one.packetsPerSecond, cipherNs, 20);
    assert(one.busiest.includes("encryptor"), one.busiest);
    assertAlmostEquals(1e9 / two.packetsPerSecond, beforeNs + afterNs, 20);
    assert(two.busiest.includes("lane"), two.busiest);
  });

  Deno.test(`encryptors that stall cost time and never the order (${direction})`, () => {
    for (const encryptors of [1, 2, 3, 4]) {
      const calm = simulateLane(direction, encryptors);
      const stalled = simulateLane(direction, encryptors, { stall: STALL });
      assert(stalled.packetsPerSecond < calm.packetsPerSecond);
      assert(calm.isInOrder && stalled.isInOrder);
      if (encryptors > 1) assert(stalled.outOfTurnMax > 0, "what was done had to wait");
    }
  });

  Deno.test(`more cores never carry less, and many peers never less than one (${direction})`, () => {
    let before = 0;
    for (const { cores } of MACHINES) {
      const many = bestForManyPeers(direction, cores), one = bestForOnePeer(direction, cores);
      assert(many.gbit >= before && many.gbit >= one.gbit);
      assert(many.lanes * (1 + many.encryptors) < cores, "a core is left");
      assertEquals(one.lanes, 1);
      before = many.gbit;
    }
  });
}

Deno.test("with all threads on one core the model takes the sum of everything", () => {
  const { beforeNs, cipherNs, afterNs } = BESIDE.send;
  const result = simulateLane("send", 2, { cores: 1 });
  const sum = beforeNs + cipherNs + afterNs + 2;
  assertAlmostEquals(1e9 / result.packetsPerSecond, sum, sum / 50);
});

Deno.test("the memory's limit is where its bytes are used up", () => {
  const [machine] = MACHINES;
  assertAlmostEquals(memoryLimit("send", machine) / 8 * 10, machine.memoryGbPerS, 1e-9);
  assertAlmostEquals(packetNs(8), PAYLOAD_BYTES, 1e-9);
});

Deno.test("docs/scaling.md shows the tables as they are computed", () => {
  const page = Deno.readTextFileSync(new URL("../../docs/scaling.md", import.meta.url));
  // Formatting may change the width of columns.
  const plain = (text: string) => text.replaceAll(/ +/g, " ").replaceAll(/-+/g, "-");
  for (const [name, text] of allTables()) {
    assert(plain(page).includes(plain(text)), `${name}: run deno run bench/scaling.ts`);
  }
});
