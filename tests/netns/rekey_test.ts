import { assert, assertEquals } from "@std/assert";
import { ALL_PAIRS, assertAlive, connectUp, OWN_PAIRS, pairTest } from "./pair.ts";
import { IS_LONGHAUL } from "./node_process.ts";
import { assertIperf, ping } from "./traffic.ts";

/** Session limits lowered so that a few seconds see several rekeys; obeyed by Longhaul only. */
const LOW_LIMITS = {
  LONGHAUL_TEST: "1",
  LONGHAUL_TEST_REKEY_AFTER_MS: "600",
  LONGHAUL_TEST_REJECT_AFTER_MS: "2400",
};

pairTest("rekeys on real traffic lose no packet", ALL_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds, { env: LOW_LIMITS });
  const first = (await a.node.show()).peers[0].latestHandshake;
  const there = ping(a.namespace, b.inner4, { count: 300, intervalMs: 10 });
  const back = ping(b.namespace, a.inner6, { count: 300, intervalMs: 10 });
  for (const { sent, received } of [await there, await back]) {
    assertEquals(received, sent);
  }
  const last = (await a.node.show()).peers[0].latestHandshake;
  if (IS_LONGHAUL) assert(last > first, "no rekey happened");
  assertAlive(a, b);
});

pairTest("rekeys under full load do not stall a transfer", OWN_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds, { env: LOW_LIMITS });
  const ends = { client: a.namespace, server: b.namespace, address: b.inner4, seconds: 2 };
  await assertIperf({ ...ends, args: ["--bidir"] }, 50);
  assertAlive(a, b);
});

for (const fault of ["lane:delay", "encryptor:delay"]) {
  pairTest(
    `a stage stalled for 100 ms (${fault}) loses nothing`,
    fault === "lane:delay" ? OWN_PAIRS : OWN_PAIRS.slice(1),
    async (net, kinds) => {
      const env = { LONGHAUL_TEST: "1", LONGHAUL_TEST_FAULT: fault };
      const { a, b } = await connectUp(net, kinds, { env });
      // Twelve hundred round trips, so that stages with 1,000 rounds between faults meet one.
      const { sent, received } = await ping(a.namespace, b.inner4, { count: 1200, intervalMs: 2 });
      assertEquals(received, sent);
      const ends = { client: a.namespace, server: b.namespace, address: b.inner4, seconds: 2 };
      const result = await assertIperf({ ...ends, args: ["-u", "-b", "20M", "-l", "1200"] }, 10);
      assert(result.lostPercent === 0, `${result.lostPercent} % lost`);
      assertAlive(a, b);
    },
  );
}
