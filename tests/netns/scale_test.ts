import { assert, assertEquals } from "@std/assert";
import { NodeProcess } from "./node_process.ts";
import {
  assertAlive,
  configureSide,
  connectUp,
  LONGHAUL_PAIR,
  nodeTest,
  OUTER,
  pairTest,
  peerOf,
} from "./pair.ts";
import { assertPing, ping, pingUntilAnswered } from "./traffic.ts";
import { configText, newKeyPair, newPresharedKey, parseDump, wg } from "./wg.ts";

/** 510 * 256 = 130,560 prefixes, of both families. */
function manyPrefixes(): string[] {
  const prefixes: string[] = [];
  for (let high = 0; high < 255; high++) {
    for (let low = 0; low < 256; low++) {
      prefixes.push(`10.${high}.${low}.0/24`);
      // No group is zero, so that the text is the one that wg writes.
      prefixes.push(`fd00:${(high + 1).toString(16)}:${(low + 1).toString(16)}::/48`);
    }
  }
  return prefixes;
}

/** `wg` may be kept busy for long by so much text. */
const LONG_MS = 30_000;

nodeTest("130,560 allowed IPs go in by one wg setconf and come back by wg show", async (net) => {
  const space = await net.namespace("a");
  const node = await NodeProcess.start(net, "longhaul", space);
  const prefixes = manyPrefixes();
  assertEquals(prefixes.length, 130_560);
  const publicKey = newKeyPair().publicKey;
  const text = configText({ privateKey: newKeyPair().privateKey }, [
    { publicKey, allowedIps: prefixes },
  ]);
  await node.load("setconf", text, LONG_MS);
  const status = await node.show(LONG_MS);
  assertEquals(status.peers.length, 1);
  assertEquals(status.peers[0].allowedIps.length, prefixes.length);
  const back = new Set(status.peers[0].allowedIps);
  assertEquals(prefixes.filter((prefix) => !back.has(prefix)).slice(0, 3), []);
  // And again, replacing itself: nothing leaks, nothing doubles.
  await node.load("setconf", text, LONG_MS);
  assertEquals((await node.show(LONG_MS)).peers[0].allowedIps.length, 130_560);
  assert(node.exit === null);
});

pairTest(
  "130,560 allowed IPs are loaded while traffic runs, and route",
  [LONGHAUL_PAIR],
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    const pinging = ping(a.namespace, b.inner4, { count: 300, intervalMs: 10 });
    const publicKey = newKeyPair().publicKey;
    await a.node.load(
      "addconf",
      configText({}, [{ publicKey, allowedIps: manyPrefixes() }]),
      LONG_MS,
    );
    const { sent, received } = await pinging;
    assertEquals(received, sent);
    await a.node.set("peer", publicKey, "remove");
    assertEquals((await a.node.show()).peers.length, 1);
    await assertPing(a.namespace, b.inner4);
    assertAlive(a, b);
  },
);

nodeTest("40 peers with 52 allowed IPs each come back whole", async (net) => {
  const space = await net.namespace("a");
  const node = await NodeProcess.start(net, "longhaul", space);
  const peers = Array.from({ length: 40 }, (_, index) => ({
    publicKey: newKeyPair().publicKey,
    presharedKey: newPresharedKey(),
    endpoint: `198.51.100.${index + 1}:${20_000 + index}`,
    keepalive: 1000 + index,
    allowedIps: Array.from(
      { length: 52 },
      (_, i) => i % 2 === 0 ? `10.${index}.${i}.0/24` : `fd00:${index.toString(16)}:${i}::/48`,
    ),
  }));
  await node.configure({ privateKey: newKeyPair().privateKey }, peers);
  const shown = new Map((await node.show()).peers.map((peer) => [peer.publicKey, peer]));
  assertEquals(shown.size, 40);
  for (const peer of peers) {
    const back = shown.get(peer.publicKey);
    assertEquals(back?.allowedIps.toSorted(), peer.allowedIps.toSorted());
    assertEquals(back?.presharedKey, peer.presharedKey);
    assertEquals(back?.endpoint, peer.endpoint);
    assertEquals(back?.keepalive, peer.keepalive);
  }
});

pairTest("2,000 peers beside a running one", [LONGHAUL_PAIR], async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  const others = Array.from({ length: 2000 }, (_, index) => ({
    publicKey: newKeyPair().publicKey,
    allowedIps: [`10.${index >> 8}.${index & 255}.0/24`],
  }));
  const endpoint = `${OUTER.b4}:${b.port}`;
  await a.node.load(
    "syncconf",
    configText(
      { privateKey: a.key.privateKey, listenPort: a.port },
      [peerOf(b, { endpoint }), ...others],
    ),
    LONG_MS,
  );
  assertEquals((await a.node.show(LONG_MS)).peers.length, 2001);
  await assertPing(a.namespace, b.inner4, { count: 20 });
  await configureSide(a, [peerOf(b, { endpoint })]);
  assertEquals((await a.node.show()).peers.length, 1);
  await pingUntilAnswered(a.namespace, b.inner4, 10_000);
  assertAlive(a, b);
});

pairTest("2,000 peers connect to one node", [LONGHAUL_PAIR], async (net, kinds) => {
  // Peers of b that share one process: a changes its key for each, so that b sees 12 real peers
  // among 2,000 that stay silent.
  const { a, b } = await connectUp(net, kinds);
  const keys = Array.from({ length: 12 }, () => newKeyPair());
  const silent = Array.from({ length: 1988 }, (_, index) => ({
    publicKey: newKeyPair().publicKey,
    allowedIps: [`10.${index >> 8}.${index & 255}.0/24`],
  }));
  const real = keys.map((key, index) => ({
    publicKey: key.publicKey,
    allowedIps: [`192.168.241.${100 + index}/32`],
  }));
  await b.node.load(
    "setconf",
    configText({ privateKey: b.key.privateKey, listenPort: b.port }, [...silent, ...real]),
    LONG_MS,
  );
  for (const [index, key] of keys.entries()) {
    await net.ip(a.namespace, [`address add 192.168.241.${100 + index}/24 dev ${a.node.name}`]);
    await a.node.set("private-key", await a.node.secretFile(key.privateKey));
    await a.node.set("peer", b.key.publicKey, "remove");
    await a.node.set(
      ...["peer", b.key.publicKey, "endpoint", `${OUTER.b4}:${b.port}`],
      ...["allowed-ips", `${b.inner4}/32`],
    );
    const source = `192.168.241.${100 + index}`;
    await assertPing(a.namespace, b.inner4, { count: 2, source, waitMs: 3000 });
  }
  const status = parseDump((await wg(["show", b.node.name, "dump"])).stdout);
  assertEquals(status.peers.filter((peer) => peer.latestHandshake > 0).length, 12);
  assertAlive(a, b);
});
