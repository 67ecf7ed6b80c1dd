import { assertEquals } from "@std/assert";
import { pause, run } from "./command.ts";
import type { Net } from "./net.ts";
import {
  ALL_PAIRS,
  assertAlive,
  configureSide,
  type Kinds,
  OWN_PAIRS,
  pairTest,
  peerOf,
  type Side,
  startSide,
} from "./pair.ts";
import { assertIperf, assertNoPing, assertPing, ping, pingUntilAnswered } from "./traffic.ts";

/** Seconds after which the NAT forgets a mapping without traffic. */
const MAPPING_SECONDS = 2;
const ROUTER_OUTSIDE = "203.0.113.1";
const SERVER = "203.0.113.2";

/** Side a behind a NAT that hides it, side b in the open; only a knows where the other one is. */
async function behindNat(
  net: Net,
  kinds: Kinds,
  keepalive: number | undefined,
): Promise<{ a: Side; b: Side; router: string }> {
  const inside = await net.namespace("in");
  const router = await net.namespace("nat");
  const outside = await net.namespace("out");
  await net.veth(
    { namespace: inside, name: "eth0", addresses: ["10.0.0.2/24"] },
    { namespace: router, name: "lan", addresses: ["10.0.0.1/24"] },
  );
  await net.veth(
    { namespace: router, name: "wan", addresses: [`${ROUTER_OUTSIDE}/24`] },
    { namespace: outside, name: "eth0", addresses: [`${SERVER}/24`] },
  );
  await net.ip(inside, ["route add default via 10.0.0.1"]);
  await net.masquerade(router, "wan", MAPPING_SECONDS);
  const [a, b] = await Promise.all([
    startSide(net, kinds[0], inside, { number: 1, port: 10_001 }),
    startSide(net, kinds[1], outside, { number: 2, port: 10_002 }),
  ]);
  await configureSide(b, [peerOf(a)]);
  await configureSide(a, [peerOf(b, { endpoint: `${SERVER}:${b.port}`, keepalive })]);
  return { a, b, router };
}

pairTest(
  "a keepalive of 1 keeps a NAT mapping of 2 s open",
  ALL_PAIRS,
  async (net, kinds) => {
    const { a, b } = await behindNat(net, kinds, 1);
    await pingUntilAnswered(a.namespace, b.inner4);
    await pause(MAPPING_SECONDS * 1000 + 1500);
    await assertPing(b.namespace, a.inner4);
    await assertPing(b.namespace, a.inner6);
    assertAlive(a, b);
  },
  ["nft"],
);

pairTest(
  "without keepalive the mapping ends, and keepalive switched on opens it again",
  OWN_PAIRS.slice(0, 1),
  async (net, kinds) => {
    const { a, b } = await behindNat(net, kinds, undefined);
    await assertPing(a.namespace, b.inner4, { count: 1, waitMs: 4000 });
    await pause(MAPPING_SECONDS * 1000 + 1500);
    await assertNoPing(b.namespace, a.inner4);
    await a.node.set("peer", b.key.publicKey, "persistent-keepalive", "1");
    await pingUntilAnswered(b.namespace, a.inner4);
    assertEquals((await a.node.show()).peers[0].keepalive, 1);
  },
  ["nft"],
);

pairTest(
  "a NAT that gives the flow another port is followed at the next packet",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b, router } = await behindNat(net, kinds, undefined);
    const ends = { client: a.namespace, server: b.namespace, address: b.inner4 };
    await assertPing(a.namespace, b.inner4, { count: 1, waitMs: 4000 });
    const before = (await b.node.show()).peers[0].endpoint;
    await run(["nft", "flush", "ruleset"], { namespace: router });
    await run(["nft", "-f", "-"], {
      namespace: router,
      stdin: `table ip lhnat {
        chain post {
          type nat hook postrouting priority srcnat;
          meta l4proto udp oifname "wan" masquerade to :40000-40010
        }
      }`,
    });
    await run(["conntrack", "-F"], { namespace: router });
    await ping(a.namespace, b.inner4, { count: 3 });
    await assertPing(b.namespace, a.inner4);
    const after = (await b.node.show()).peers[0].endpoint;
    const port = Number(after?.split(":")[1]);
    assertEquals([before !== after, port >= 40_000 && port <= 40_010], [true, true]);
    await assertIperf({ ...ends, args: ["-R"] }, 10);
  },
  ["nft", "conntrack"],
);
