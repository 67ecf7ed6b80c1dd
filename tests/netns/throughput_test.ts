import { assert } from "@std/assert";
import {
  ALL_PAIRS,
  assertAlive,
  CHANGEABLE_PAIRS,
  connectUp,
  LONGHAUL_PAIR,
  longhaulOnly,
  OWN_PAIRS,
  pairTest,
} from "./pair.ts";
import { assertIperf, assertPing, ping } from "./traffic.ts";

pairTest("TCP runs both ways over IPv4 and IPv6", ALL_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  const ends = { client: a.namespace, server: b.namespace };
  await assertIperf({ ...ends, address: b.inner4 }, 20);
  await assertIperf({ ...ends, address: b.inner4, args: ["-R"] }, 20);
  await assertIperf({ ...ends, address: b.inner6 }, 20);
  await assertIperf({ ...ends, address: b.inner6, args: ["-R"] }, 20);
  assertAlive(a, b);
});

pairTest("UDP runs both ways over IPv4 and IPv6 without loss", ALL_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  const ends = { client: a.namespace, server: b.namespace };
  for (const address of [b.inner4, b.inner6]) {
    for (const direction of [[], ["-R"]]) {
      const args = ["-u", "-b", "30M", "-l", "1200", ...direction];
      const result = await assertIperf({ ...ends, address, args }, 20);
      assert(result.lostPercent < 1, `${result.lostPercent} % of ${result.packets} lost`);
    }
  }
  assertAlive(a, b);
});

for (const mss of [517, 88]) {
  pairTest(
    `TCP with a segment size of ${mss} flows: nothing is dropped for having too many segments`,
    ALL_PAIRS,
    async (net, kinds) => {
      const { a, b } = await connectUp(net, kinds);
      const ends = {
        client: a.namespace,
        server: b.namespace,
        address: b.inner4,
        bytes: mss * 40_000,
      };
      await assertIperf({ ...ends, args: ["-M", `${mss}`] }, 2);
      await assertIperf({ ...ends, args: ["-M", `${mss}`, "-R"] }, 2);
      assertAlive(a, b);
    },
  );
}

pairTest("many TCP streams and both directions at once run", OWN_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  const ends = { client: a.namespace, server: b.namespace, address: b.inner4 };
  await assertIperf({ ...ends, args: ["-P", "8"] }, 20);
  await assertIperf({ ...ends, args: ["--bidir"] }, 20);
  await assertIperf({ ...ends, args: ["-P", "4", "-M", "600", "--bidir"] }, 5);
  assertAlive(a, b);
});

pairTest("an MTU of 34,736 carries whole packets and TCP", CHANGEABLE_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds, { mtu: 34_736, outerMtu: 65_535 });
  await assertPing(a.namespace, b.inner4, { size: 34_736 - 28, whole: true });
  await assertPing(b.namespace, a.inner6, { size: 34_736 - 48, whole: true });
  const ends = { client: a.namespace, server: b.namespace };
  await assertIperf({ ...ends, address: b.inner4 }, 20);
  await assertIperf({ ...ends, address: b.inner6, args: ["-R"] }, 20);
  assertAlive(a, b);
});

longhaulOnly(
  "datagrams larger than the outer MTU still arrive",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds, { mtu: 1420, outerMtu: 1400 });
    await assertPing(a.namespace, b.inner4, { size: 1420 - 28, count: 2, waitMs: 3000 });
    const ends = { client: a.namespace, server: b.namespace, address: b.inner4 };
    await assertIperf(ends, 1);
    await assertIperf({ ...ends, args: ["-R"] }, 1);
    assertAlive(a, b);
  },
);

pairTest("a program stopped for 100 ms loses nothing", OWN_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  const pinging = ping(a.namespace, b.inner4, { count: 100, intervalMs: 10 });
  for (const side of [a, b]) await side.node.freeze(100);
  const { sent, received } = await pinging;
  assert(sent === 100 && received === 100, `${received} of ${sent}`);
  const transfer = assertIperf(
    { client: a.namespace, server: b.namespace, address: b.inner4, seconds: 2 },
    20,
  );
  for (const side of [a, b, a, b]) await side.node.freeze(100);
  await transfer;
  assertAlive(a, b);
});

pairTest("MTU changes under traffic are followed", [LONGHAUL_PAIR], async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  const transfer = assertIperf(
    { client: a.namespace, server: b.namespace, address: b.inner4, seconds: 2 },
    5,
  );
  for (const mtu of [1280, 900, 1420]) {
    await net.ip(a.namespace, [`link set ${a.node.name} mtu ${mtu}`]);
    await ping(a.namespace, b.inner4, { count: 10 });
  }
  await transfer;
  await assertPing(a.namespace, b.inner4, { size: 1420 - 28, whole: true });
});
