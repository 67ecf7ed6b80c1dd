import { assert } from "@std/assert";
import { ALL_PAIRS, assertAlive, CHANGEABLE_PAIRS, connect, connectUp, pairTest } from "./pair.ts";
import { assertPing, ping } from "./traffic.ts";

/** Inner packet sizes around the padding steps and the MTU of 1,420, and some that are fragmented. */
const SIZES = [28, 29, 43, 44, 45, 100, 576, 1280, 1404, 1405, 1419, 1420];
const FRAGMENTED = [1421, 1500, 2840, 2841, 9000, 40_000, 65_500];

pairTest("IPv4 packets of every size up to the MTU pass whole", ALL_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  for (const size of SIZES) {
    await assertPing(a.namespace, b.inner4, { size: size - 28, whole: true, count: 2 });
  }
  await assertPing(b.namespace, a.inner4, { size: 1420 - 28, whole: true });
  assertAlive(a, b);
});

pairTest("IPv6 packets of every size up to the MTU pass whole", ALL_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  for (const size of SIZES.filter((bytes) => bytes >= 48)) {
    await assertPing(a.namespace, b.inner6, { size: size - 48, whole: true, count: 2 });
  }
  await assertPing(b.namespace, a.inner6, { size: 1420 - 48, whole: true });
  assertAlive(a, b);
});

pairTest("packets above the MTU pass in fragments", ALL_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  for (const size of FRAGMENTED) {
    await assertPing(a.namespace, b.inner4, { size: size - 28, count: 2 });
    await assertPing(b.namespace, a.inner6, { size: size - 48, count: 2 });
  }
  assertAlive(a, b);
});

pairTest("a ping flood loses nothing and counts every byte", ALL_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  const before = (await a.node.show()).peers[0];
  const { sent, received } = await ping(a.namespace, b.inner4, { count: 1000, intervalMs: 0 });
  assert(sent === 1000 && received === 1000, `${received} of ${sent}`);
  const after = (await a.node.show()).peers[0];
  // An echo of 84 bytes is padded to 96 and gets a header and a tag of 16 bytes each; boringtun
  // does not pad, and does not count the header either.
  assert(after.sentBytes - before.sentBytes >= 1000 * 128, "bytes sent are counted");
  const leastBytes = kinds[1] === "boringtun" ? 84 : 128;
  assert(after.receivedBytes - before.receivedBytes >= 1000 * leastBytes, "bytes received too");
});

pairTest("the first packet after a start is not lost", CHANGEABLE_PAIRS, async (net, kinds) => {
  const { a, b } = await connect(net, kinds);
  await assertPing(a.namespace, b.inner4, { count: 1, waitMs: 4000 });
});

pairTest("the tunnel runs over IPv6 outside", ALL_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds, { outer6: true });
  await assertPing(a.namespace, b.inner4, { size: 1420 - 28, whole: true });
  await assertPing(b.namespace, a.inner6, { size: 1420 - 48, whole: true });
  assertAlive(a, b);
});
