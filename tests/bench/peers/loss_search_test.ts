import { assert, assertEquals } from "@std/assert";
import { highestRate, type RateTrial } from "../../../bench/peers/loss_search.ts";

const SEARCH = { firstPerSecond: 70_000, lossLimit: 0.01, trialsMax: 12 };

/** A path that carries so much and loses the rest, and a sender that can do no more than it can. */
function path(capacity: number, senderMax = Infinity) {
  const asked: number[] = [];
  const attempt = (perSecond: number): Promise<RateTrial> => {
    asked.push(perSecond);
    const sentPerSecond = Math.min(perSecond, senderMax);
    const receivedPerSecond = Math.min(sentPerSecond, capacity);
    const lostShare = 1 - receivedPerSecond / sentPerSecond;
    return Promise.resolve({ sentPerSecond, receivedPerSecond, lostShare });
  };
  return { asked, attempt };
}

Deno.test("the highest rate without loss is found from below and from above", async () => {
  for (const capacity of [2000, 30_000, 69_000, 71_000, 180_000, 1_000_000]) {
    const { asked, attempt } = path(capacity);
    const found = await highestRate(SEARCH, attempt);
    assert(found <= capacity && found > 0.9 * capacity, `${capacity}: ${found} by ${asked}`);
    assert(asked.length <= SEARCH.trialsMax);
  }
});

Deno.test("a sender at its own limit ends the search, and what arrived counts", async () => {
  const { asked, attempt } = path(500_000, 90_000);
  assertEquals(await highestRate(SEARCH, attempt), 90_000);
  assertEquals(asked, [70_000, 105_000]);
});

Deno.test("a path that always loses gives zero, after a bounded number of trials", async () => {
  const asked: number[] = [];
  const found = await highestRate(SEARCH, (perSecond) => {
    asked.push(perSecond);
    return Promise.resolve({ sentPerSecond: perSecond, receivedPerSecond: 1, lostShare: 0.5 });
  });
  assertEquals([found, asked.length], [0, SEARCH.trialsMax]);
});
