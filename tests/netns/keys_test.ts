import { assert, assertEquals } from "@std/assert";
import { waitFor } from "./command.ts";
import { ALL_PAIRS, assertAlive, CHANGEABLE_PAIRS, connect, connectUp, pairTest } from "./pair.ts";
import { assertNoPing, assertPing, pingUntilAnswered } from "./traffic.ts";
import { newKeyPair, newPresharedKey } from "./wg.ts";

pairTest("a preshared key on both sides carries traffic", ALL_PAIRS, async (net, kinds) => {
  const psk = newPresharedKey();
  const { a, b } = await connectUp(net, kinds, { presharedKeys: [psk, psk] });
  await assertPing(b.namespace, a.inner6);
  assertEquals((await a.node.show()).peers[0].presharedKey, psk);
});

pairTest("different preshared keys carry nothing", ALL_PAIRS, async (net, kinds) => {
  const presharedKeys = [newPresharedKey(), newPresharedKey()] as const;
  const { a, b } = await connect(net, kinds, { presharedKeys });
  await assertNoPing(a.namespace, b.inner4);
  await assertNoPing(b.namespace, a.inner4);
  assertEquals((await a.node.show()).peers[0].latestHandshake, 0);
  assertAlive(a, b);
});

pairTest(
  "a preshared key set on a running tunnel takes effect at the next handshake",
  CHANGEABLE_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    const file = await a.node.secretFile(newPresharedKey());
    await a.node.set("peer", b.key.publicKey, "preshared-key", file);
    await b.node.set("peer", a.key.publicKey, "preshared-key", file);
    // The session of the old key goes on; a peer taken out and put back has to shake hands anew.
    await assertPing(a.namespace, b.inner4);
    await a.node.set("peer", b.key.publicKey, "remove");
    await a.node.set(
      ...["peer", b.key.publicKey, "preshared-key", file, "endpoint", `192.0.2.2:${b.port}`],
      ...["allowed-ips", `${b.inner4}/32,${b.inner6}/128`],
    );
    await pingUntilAnswered(a.namespace, b.inner4);
  },
);

pairTest("a peer with another static key is not answered", ALL_PAIRS, async (net, kinds) => {
  const { a, b } = await connect(net, kinds);
  if (kinds[1] === "boringtun") {
    await a.node.set("private-key", await a.node.secretFile(newKeyPair().privateKey));
  } else {
    await b.node.set("private-key", await b.node.secretFile(newKeyPair().privateKey));
  }
  await assertNoPing(a.namespace, b.inner4);
  assertEquals((await a.node.show()).peers[0].latestHandshake, 0);
  assertEquals((await b.node.show()).peers[0].latestHandshake, 0);
  assertAlive(a, b);
});

pairTest(
  "a new private key on a running tunnel ends the old sessions",
  CHANGEABLE_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    const fresh = newKeyPair();
    await a.node.set("private-key", await a.node.secretFile(fresh.privateKey));
    await assertNoPing(a.namespace, b.inner4);
    await b.node.set("peer", a.key.publicKey, "remove");
    await b.node.set(
      ...["peer", fresh.publicKey, "allowed-ips", `${a.inner4}/32,${a.inner6}/128`],
      ...["endpoint", `192.0.2.1:${a.port}`],
    );
    await pingUntilAnswered(b.namespace, a.inner4, 12_000);
    assertEquals((await a.node.show()).publicKey, fresh.publicKey);
  },
);

pairTest(
  "the node's own key as a peer is ignored",
  CHANGEABLE_PAIRS.slice(0, 1),
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    await a.node.set("peer", a.key.publicKey, "allowed-ips", "10.9.9.0/24");
    assertEquals((await a.node.show()).peers.length, 1);
    await assertPing(a.namespace, b.inner4);
  },
);

pairTest("a restarted peer is reached again", CHANGEABLE_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds, { keepalive: 1 });
  const first = (await a.node.show()).peers[0].latestHandshake;
  assert(first > 0);
  // A peer removed and added again has lost its sessions, as after a restart.
  await b.node.set("peer", a.key.publicKey, "remove");
  await b.node.set(
    ...["peer", a.key.publicKey, "endpoint", `192.0.2.1:${a.port}`],
    ...["allowed-ips", `${a.inner4}/32,${a.inner6}/128`],
  );
  await pingUntilAnswered(b.namespace, a.inner4, 10_000);
  await waitFor(
    "a newer handshake",
    3000,
    async () => (await b.node.show()).peers[0].latestHandshake >= first,
  );
});
