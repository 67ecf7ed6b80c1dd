/** A node whose lane has three encryptors, beside itself and beside another program. */
import { assert, assertEquals } from "@std/assert";
import { assertAlive, connectUp, type Kinds, longhaulOnly } from "./pair.ts";
import { assertIperf, assertPing } from "./traffic.ts";
import { longhaul } from "../cli/longhaul.ts";

const THREE = "longhaul with three encryptors";
const PAIRS: readonly Kinds[] = [[THREE, THREE], [THREE, "wireguard-go"], [THREE, "longhaul"]];

longhaulOnly("three encryptors carry TCP and UDP both ways", PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  await assertPing(a.namespace, b.inner4, { count: 20, intervalMs: 5 });
  await assertPing(b.namespace, a.inner6, { count: 20, intervalMs: 5 });
  const ends = { client: a.namespace, server: b.namespace, address: b.inner4 };
  for (const args of [[], ["-R"], ["-P", "8"], ["--bidir"]]) {
    await assertIperf({ ...ends, args, bytes: 30e6 });
  }
  for (const direction of [[], ["-R"]]) {
    const args = ["-u", "-b", "5M", "-l", "1200", ...direction];
    const result = await assertIperf({ ...ends, args, seconds: 1 });
    assertEquals(result.lostPercent, 0, `of ${result.packets}`);
  }
  assertAlive(a, b);
});

longhaulOnly(
  "status tells how encryptors share the work",
  PAIRS.slice(0, 1),
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    const ends = { client: a.namespace, server: b.namespace, address: b.inner4 };
    await assertIperf({ ...ends, bytes: 50e6 });
    const { stdout } = await longhaul(["status", "--json", a.node.name]);
    const { node } = JSON.parse(stdout).interfaces[0];
    assertEquals([node.encryptors, node.encryptorWork.length], [3, 3]);
    const work: { batches: number; messages: number }[] = node.encryptorWork;
    assert(work.reduce((sum, { messages }) => sum + messages, 0) > 50e6 / 1500, stdout);
    assert(work.every(({ batches, messages }) => batches <= messages), stdout);
    const text = (await longhaul(["status", a.node.name])).stdout;
    assert(/encrypting in 3 threads of its own \(\d+ %, \d+ %, \d+ %\)/.test(text), text);
    // No replay, no reordering that a window would notice.
    assertEquals(node.drops.Replayed ?? 0, 0, stdout);
  },
);
