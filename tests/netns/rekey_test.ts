import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { Net } from "./net.ts";
import { IS_LONGHAUL } from "./node_process.ts";
import {
  ALL_PAIRS,
  assertAlive,
  connectUp,
  type Kinds,
  OWN_PAIRS,
  pairNeeds,
  pairTest,
} from "./pair.ts";
import { assertIperf, ping } from "./traffic.ts";

/**
 * Session limits lowered as far as the five seconds between two handshakes of a peer allow; obeyed
 * by Longhaul only.
 */
const LOW_LIMITS = {
  LONGHAUL_TEST: "1",
  LONGHAUL_TEST_REKEY_AFTER_MS: "5200",
  LONGHAUL_TEST_REJECT_AFTER_MS: "8000",
};

/** With several encryptors, so that batches under two keys are in work at once. */
const THREE_PAIR: Kinds = ["longhaul with three encryptors", "longhaul with three encryptors"];

/** Longhaul begins the first handshake, so it is the one that renews it. */
const PAIRS = ALL_PAIRS.filter(([first]) => first.startsWith("longhaul"));

const LOADED: readonly Kinds[] = [...OWN_PAIRS, THREE_PAIR];

/** Long enough for two rekeys. */
const SECONDS = 12;

async function rekeyUnderPings(net: Net, kinds: Kinds): Promise<void> {
  const { a, b } = await connectUp(net, kinds, { env: LOW_LIMITS });
  const first = (await a.node.show()).peers[0].latestHandshake;
  const train = { count: SECONDS * 40, intervalMs: 25 };
  const [there, back] = await Promise.all([
    ping(a.namespace, b.inner4, train),
    ping(b.namespace, a.inner6, train),
  ]);
  for (const { sent, received } of [there, back]) {
    assertEquals(received, sent, `${kinds.join(" / ")}: ${received} of ${sent}`);
  }
  const last = (await a.node.show()).peers[0].latestHandshake;
  if (IS_LONGHAUL) assert(last - first >= 5, `${kinds.join(" / ")}: no rekey happened`);
  assertAlive(a, b);
}

Deno.test({
  name: "rekeys on real traffic lose no packet, with every peer",
  ...requires(...pairNeeds(PAIRS)),
  fn: async () => {
    // All pairs at once: each takes as long as two rekeys, and does little in that time.
    const results = await Promise.allSettled(PAIRS.map(async (kinds) => {
      await using net = new Net();
      await rekeyUnderPings(net, kinds);
    }));
    const failures = results.filter((result) => result.status === "rejected");
    if (failures.length > 0) throw new AggregateError(failures.map(({ reason }) => reason));
  },
});

pairTest("a rekey under full load does not stall a transfer", LOADED, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds, { env: LOW_LIMITS });
  const first = (await a.node.show()).peers[0].latestHandshake;
  const ends = { client: a.namespace, server: b.namespace, address: b.inner4, seconds: 7 };
  await assertIperf({ ...ends, args: ["--bidir"] }, 50);
  const last = (await a.node.show()).peers[0].latestHandshake;
  if (IS_LONGHAUL) assert(last - first >= 5, "no rekey happened");
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
      // At this rate the receiving socket has room for all that comes at once after a stall.
      const ends = { client: a.namespace, server: b.namespace, address: b.inner4, seconds: 2 };
      const result = await assertIperf({ ...ends, args: ["-u", "-b", "5M", "-l", "1200"] }, 3);
      assert(result.lostPercent === 0, `${result.lostPercent} % lost`);
      assertAlive(a, b);
    },
  );
}
