import { assert, assertEquals } from "@std/assert";
import { run } from "./command.ts";
import {
  assertAlive,
  CHANGEABLE_PAIRS,
  connectUp,
  longhaulOnly,
  OUTER,
  OWN_PAIRS,
  pairTest,
} from "./pair.ts";
import { assertIperf, assertNoPing, assertPing, ping } from "./traffic.ts";
import { newKeyPair } from "./wg.ts";

pairTest(
  "a prefix moved to another peer drops, the endpoint still updates, and it can be moved back",
  CHANGEABLE_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    const other = newKeyPair().publicKey;
    await a.node.set("peer", other, "allowed-ips", `${b.inner4}/32`);
    const peers = (await a.node.show()).peers;
    assertEquals(
      peers.find((peer) => peer.publicKey === b.key.publicKey)?.allowedIps,
      [`${b.inner6}/128`],
    );
    // From b: authenticated, but its source belongs to the other peer now. b roams meanwhile.
    await b.node.set("listen-port", "20002");
    await assertNoPing(b.namespace, a.inner4);
    const moved = (await a.node.show()).peers.find((peer) => peer.publicKey === b.key.publicKey);
    assertEquals(moved?.endpoint, `${OUTER.b4}:20002`);
    await assertPing(a.namespace, b.inner6);
    await a.node.set("peer", b.key.publicKey, "allowed-ips", `${b.inner4}/32,${b.inner6}/128`);
    await assertPing(b.namespace, a.inner4);
    await assertPing(a.namespace, b.inner4);
    assertAlive(a, b);
  },
);

pairTest("prefixes moved under traffic lose no other flow", OWN_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  const other = newKeyPair().publicKey;
  const transfer = assertIperf(
    { client: a.namespace, server: b.namespace, address: b.inner6, seconds: 2 },
    10,
  );
  const pinging = ping(a.namespace, b.inner6, { count: 80, intervalMs: 20 });
  for (let i = 0; i < 10; i++) {
    await a.node.set("peer", other, "allowed-ips", `${b.inner4}/32,10.0.${i}.0/24`);
    await a.node.set(
      ...["peer", b.key.publicKey, "allowed-ips", `${b.inner4}/32,${b.inner6}/128`],
    );
    await a.node.set("peer", other, "remove");
  }
  const { sent, received } = await pinging;
  assertEquals(received, sent);
  await transfer;
  await assertPing(a.namespace, b.inner4);
});

pairTest("the longest prefix wins", OWN_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  const other = newKeyPair().publicKey;
  await a.node.set("peer", b.key.publicKey, "allowed-ips", "0.0.0.0/0,::/0");
  await assertPing(a.namespace, b.inner4);
  await assertPing(b.namespace, a.inner6);
  await a.node.set("peer", other, "allowed-ips", "192.168.241.0/24,fd00:241::/64");
  await assertNoPing(a.namespace, b.inner4);
  await assertNoPing(b.namespace, a.inner6);
  await a.node.set("peer", other, "remove");
  await assertPing(a.namespace, b.inner4);
  await assertPing(a.namespace, b.inner6);
});

longhaulOnly(
  "a packet for no peer, or for a peer without endpoint, is answered by an ICMP unreachable",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    await net.ip(a.namespace, [
      `route add 10.9.0.0/16 dev ${a.node.name}`,
      `route add fd99::/16 dev ${a.node.name}`,
    ]);
    await a.node.set("peer", newKeyPair().publicKey, "allowed-ips", "10.9.1.0/24,fd99:1::/32");
    for (const target of ["10.9.1.1", "10.9.2.1", "fd99:1::1", "fd99:2::1"]) {
      const { stdout, stderr } = await run(["ping", "-n", "-c", "1", "-W", "2", target], {
        namespace: a.namespace,
        mayFail: true,
      });
      assert(
        /Unreachable|unreachable|Required key|No route/.test(stdout + stderr),
        `${target}: ${stdout}${stderr}`,
      );
    }
    await assertPing(a.namespace, b.inner4);
  },
);

pairTest(
  "a source that the peer does not own is dropped",
  CHANGEABLE_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    await net.ip(a.namespace, [`address add 10.66.0.1/32 dev ${a.node.name}`]);
    const before = b.node.deviceCounters();
    const { received } = await ping(a.namespace, b.inner4, {
      source: "10.66.0.1",
      count: 3,
      waitMs: 500,
    });
    assertEquals(received, 0);
    assertEquals(b.node.deviceCounters().receivedPackets, before.receivedPackets);
    await assertPing(a.namespace, b.inner4);
  },
);
