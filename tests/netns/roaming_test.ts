import { assert, assertEquals } from "@std/assert";
import { run, waitFor } from "./command.ts";
import { addAddress } from "./net.ts";
import { NodeProcess } from "./node_process.ts";
import {
  assertAlive,
  CHANGEABLE_PAIRS,
  connectUp,
  longhaulOnly,
  OUTER,
  OWN_PAIRS,
  pairTest,
  type Side,
} from "./pair.ts";
import { assertIperf, assertPing, Background, ping, pingUntilAnswered } from "./traffic.ts";

/** The endpoint that `side` has for its only peer. */
async function endpointOf(side: Side): Promise<string | null> {
  return (await side.node.show()).peers[0].endpoint;
}

async function endpointBecomes(side: Side, endpoint: string): Promise<void> {
  await waitFor(
    `${side.node.kind} sees its peer at ${endpoint}`,
    4000,
    async () => await endpointOf(side) === endpoint,
  );
}

pairTest("a changed listen port is followed, on either side", CHANGEABLE_PAIRS, async (
  net,
  kinds,
) => {
  const { a, b } = await connectUp(net, kinds);
  await a.node.set("listen-port", "20001");
  await assertPing(a.namespace, b.inner4);
  await endpointBecomes(b, `${OUTER.a4}:20001`);
  await assertPing(b.namespace, a.inner4);
  await b.node.set("listen-port", "20002");
  await assertPing(b.namespace, a.inner6);
  await endpointBecomes(a, `${OUTER.b4}:20002`);
  await assertPing(a.namespace, b.inner6);
  assertAlive(a, b);
});

pairTest("a changed address is followed, on either side", CHANGEABLE_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  await net.ip(a.namespace, [
    `address del ${OUTER.a4}/24 dev eth0`,
    "address add 192.0.2.11/24 dev eth0",
  ]);
  await pingUntilAnswered(a.namespace, b.inner4);
  await endpointBecomes(b, `192.0.2.11:${a.port}`);
  await net.ip(b.namespace, [
    `address del ${OUTER.b4}/24 dev eth0`,
    "address add 192.0.2.12/24 dev eth0",
  ]);
  await pingUntilAnswered(b.namespace, a.inner4);
  await endpointBecomes(a, `192.0.2.12:${b.port}`);
  assertAlive(a, b);
});

pairTest("a peer moves between IPv4 and IPv6 outside", CHANGEABLE_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  // A late answer over IPv4 would take a back to that: then it is set once more.
  await waitFor("b hears a over IPv6", 10_000, async () => {
    await a.node.set("peer", b.key.publicKey, "endpoint", `[${OUTER.b6}]:${b.port}`);
    await pingUntilAnswered(a.namespace, b.inner4);
    return await endpointOf(b) === `[${OUTER.a6}]:${a.port}`;
  });
  await a.node.set("peer", b.key.publicKey, "endpoint", `${OUTER.b4}:${b.port}`);
  await pingUntilAnswered(a.namespace, b.inner6);
  await endpointBecomes(b, `${OUTER.a4}:${a.port}`);
});

pairTest("a side without an endpoint learns it", CHANGEABLE_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds, { oneWay: true });
  await assertPing(b.namespace, a.inner4);
  assertEquals(await endpointOf(b), `${OUTER.a4}:${a.port}`);
});

pairTest("TCP goes on while a peer changes its port", OWN_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  const transfer = assertIperf(
    { client: a.namespace, server: b.namespace, address: b.inner4, seconds: 2 },
    10,
  );
  for (const port of [21_001, 21_002, 21_003]) {
    await a.node.set("listen-port", `${port}`);
    await ping(a.namespace, b.inner4, { count: 10 });
  }
  await transfer;
  assertEquals((await a.node.show()).listenPort, 21_003);
  assertAlive(a, b);
});

pairTest("a taken listen port is refused and the old one stays", OWN_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  const blocker = new Background(a.namespace, ["ncat", "-u", "-l", "23456"]);
  try {
    await waitFor(
      "the port is taken",
      3000,
      () => Deno.readTextFileSync(`/proc/${blocker.pid}/net/udp`).includes(":5BA0 "),
    );
    const { code, stderr } = await run(["wg", "set", a.node.name, "listen-port", "23456"], {
      mayFail: true,
    });
    assert(code !== 0 && /in use/.test(stderr), `wg says: ${stderr}`);
  } finally {
    await blocker.stop();
  }
  await a.node.set("listen-port", `${a.port}`);
  await assertPing(a.namespace, b.inner4);
}, ["ncat"]);

longhaulOnly(
  "replies leave from the address that was contacted",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    await net.ip(b.namespace, [
      "address add 192.0.2.102/24 dev eth0",
      addAddress("eth0", "2001:db8::102/64"),
    ]);
    for (
      const [contacted, target] of [
        [`192.0.2.102:${b.port}`, b.inner4],
        [`[2001:db8::102]:${b.port}`, b.inner4],
        [`${OUTER.b4}:${b.port}`, b.inner6],
        [`[${OUTER.b6}]:${b.port}`, b.inner6],
      ]
    ) {
      await a.node.set("peer", b.key.publicKey, "endpoint", contacted);
      await pingUntilAnswered(a.namespace, target);
      await assertPing(a.namespace, target, { count: 10 });
      assertEquals(await endpointOf(a), contacted);
      await assertPing(b.namespace, a.inner4);
      assertEquals(await endpointOf(a), contacted);
    }
    const ends = { client: a.namespace, server: b.namespace, address: b.inner4 };
    await a.node.set("peer", b.key.publicKey, "endpoint", `192.0.2.102:${b.port}`);
    await assertIperf({ ...ends, args: ["--bidir"] }, 10);
    assertEquals(await endpointOf(a), `192.0.2.102:${b.port}`);
    assertAlive(a, b);
  },
);

longhaulOnly(
  "a removed source address is forgotten and the packet sent again",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    const cases = [
      ["192.0.2.102/24", `192.0.2.102:${b.port}`, `${OUTER.b4}:${b.port}`],
      ["2001:db8::102/64", `[2001:db8::102]:${b.port}`, `[${OUTER.b6}]:${b.port}`],
    ];
    for (const [address, contacted, fallback] of cases) {
      await net.ip(b.namespace, [addAddress("eth0", address)]);
      await a.node.set("peer", b.key.publicKey, "endpoint", contacted);
      await pingUntilAnswered(a.namespace, b.inner4);
      assertEquals(await endpointOf(a), contacted);
      await net.ip(b.namespace, [`address del ${address} dev eth0`]);
      // b sends first: its cached source is gone, and not one of these may be lost.
      await assertPing(b.namespace, a.inner4, { count: 5 });
      await endpointBecomes(a, fallback);
      await assertPing(a.namespace, b.inner4);
    }
    assertAlive(a, b);
  },
);

longhaulOnly(
  "replies leave through the interface that was contacted",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    await net.veth(
      { namespace: a.namespace, name: "eth1", addresses: ["198.51.100.1/24"] },
      { namespace: b.namespace, name: "eth1", addresses: ["198.51.100.2/24"] },
    );
    await a.node.set("peer", b.key.publicKey, "endpoint", `198.51.100.2:${b.port}`);
    await pingUntilAnswered(a.namespace, b.inner4);
    await assertPing(b.namespace, a.inner4, { count: 5 });
    assertEquals(await endpointOf(a), `198.51.100.2:${b.port}`);
    assertEquals(await endpointOf(b), `198.51.100.1:${a.port}`);
    // The second way goes down; the first one is found again by a new endpoint.
    await net.ip(b.namespace, ["link set eth1 down"]);
    await a.node.set("peer", b.key.publicKey, "endpoint", `${OUTER.b4}:${b.port}`);
    await pingUntilAnswered(a.namespace, b.inner4);
  },
);

pairTest("a firewall mark is set on the outer packets", OWN_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  await run(["nft", "-f", "-"], {
    namespace: a.namespace,
    stdin: `table inet lhmark {
      counter marked {}
      chain out { type filter hook output priority 0; meta mark 0x51820 counter name marked; }
    }`,
  });
  // Small packets share sends, and the counter sees those.
  const marked = async () => {
    const { stdout } = await run(["nft", "list", "counter", "inet", "lhmark", "marked"], {
      namespace: a.namespace,
    });
    return Number(/packets (\d+)/.exec(stdout)?.[1] ?? 0);
  };
  await a.node.set("fwmark", "0x51820");
  assertEquals((await a.node.show()).fwmark, 0x51820);
  await assertPing(a.namespace, b.inner4, { count: 5 });
  const first = await marked();
  assert(first > 0, "no packet is marked");
  // The mark must survive sockets opened anew.
  await a.node.set("listen-port", "20001");
  await assertPing(a.namespace, b.inner6, { count: 5 });
  assert(await marked() > first, "no packet of the new socket is marked");
  await a.node.set("fwmark", "0");
  assertEquals((await a.node.show()).fwmark, 0);
}, ["nft"]);

/** Kept here so that a second instance is tried beside a running one. */
pairTest("a second instance cannot take the same port", OWN_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  const second = await NodeProcess.start(net, kinds[0], a.namespace);
  const { code, stderr } = await run(["wg", "set", second.name, "listen-port", `${a.port}`], {
    mayFail: true,
  });
  await net.ip(a.namespace, [`link set ${second.name} up`]);
  const port = (await second.show()).listenPort;
  assert(
    (code !== 0 && /in use/.test(stderr)) || port !== a.port,
    `code ${code}, port ${port}: ${stderr}`,
  );
  await assertPing(b.namespace, a.inner4, { count: 5 });
});
