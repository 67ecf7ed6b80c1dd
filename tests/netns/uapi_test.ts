import { assert, assertEquals } from "@std/assert";
import { waitFor } from "./command.ts";
import { NodeProcess } from "./node_process.ts";
import {
  assertAlive,
  CHANGEABLE_PAIRS,
  connectUp,
  LONGHAUL_PAIR,
  nodeTest,
  OUTER,
  OWN_PAIRS,
  pairTest,
  peerOf,
} from "./pair.ts";
import { assertIperf, assertPing, ping } from "./traffic.ts";
import { configText, newKeyPair, newPresharedKey, wg } from "./wg.ts";

pairTest(
  "wg show, set, addconf, syncconf and showconf work while traffic runs",
  CHANGEABLE_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    const transfer = assertIperf(
      { client: a.namespace, server: b.namespace, address: b.inner4, seconds: 2 },
      10,
    );
    const pinging = ping(a.namespace, b.inner6, { count: 70, intervalMs: 20 });
    const other = newKeyPair().publicKey;
    const psk = newPresharedKey();
    for (const side of [a, b]) {
      const peer = {
        publicKey: other,
        presharedKey: psk,
        allowedIps: ["10.1.0.0/16", "fd01::/48"],
      };
      await side.node.load("addconf", configText({}, [peer]));
      await side.node.set("peer", other, "persistent-keepalive", "25", "endpoint", "203.0.113.9:9");
      const shown = (await side.node.show()).peers.find((entry) => entry.publicKey === other);
      assertEquals(shown?.allowedIps.toSorted(), ["10.1.0.0/16", "fd01::/48"]);
      assertEquals([shown?.keepalive, shown?.endpoint], [25, "203.0.113.9:9"]);
      assertEquals(shown?.presharedKey, psk);
      const config = (await wg(["showconf", side.node.name])).stdout;
      for (const text of [side.key.privateKey, other, psk, "203.0.113.9:9", "10.1.0.0/16"]) {
        assert(config.includes(text), `showconf lacks ${text}`);
      }
      for (const what of ["transfer", "endpoints", "latest-handshakes", "allowed-ips", "peers"]) {
        const { stdout } = await wg(["show", side.node.name, what]);
        assert(stdout.includes(other), `wg show ${what} lacks the peer`);
      }
    }
    // syncconf takes the absent peer away and leaves the running session alone.
    const before = (await a.node.show()).peers.find((p) => p.publicKey === b.key.publicKey);
    await a.node.load(
      "syncconf",
      configText({ privateKey: a.key.privateKey, listenPort: a.port }, [
        peerOf(b, { endpoint: `${OUTER.b4}:${b.port}` }),
      ]),
    );
    const after = (await a.node.show()).peers;
    assertEquals(after.map((peer) => peer.publicKey), [b.key.publicKey]);
    assertEquals(after[0].latestHandshake, before?.latestHandshake);
    await b.node.set("peer", other, "remove");
    const { sent, received } = await pinging;
    assertEquals(received, sent);
    await transfer;
    assertAlive(a, b);
  },
);

pairTest("showconf of one node can be loaded again by setconf", OWN_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  await a.node.set("peer", newKeyPair().publicKey, "allowed-ips", "10.3.0.0/24");
  const text = (await wg(["showconf", a.node.name])).stdout;
  await a.node.load("setconf", text);
  assertEquals((await wg(["showconf", a.node.name])).stdout, text);
  // The peers were replaced, and with them their sessions: a begins a new one.
  await assertPing(a.namespace, b.inner4, { count: 1, waitMs: 8000 });
});

nodeTest("wg show of a device that is not there fails", async () => {
  const { code } = await wg(["show", "lhnothere"], { mayFail: true });
  assert(code !== 0);
});

nodeTest("a new device has no key, no port and no peers", async (net) => {
  const node = await NodeProcess.start(net, "longhaul", await net.namespace("a"));
  const status = await node.show();
  assertEquals([status.privateKey, status.publicKey, status.fwmark], [null, null, 0]);
  assertEquals(status.peers, []);
});

nodeTest("an all-zero private key clears the key", async (net) => {
  const node = await NodeProcess.start(net, "longhaul", await net.namespace("a"));
  const key = newKeyPair();
  await node.set("private-key", await node.secretFile(key.privateKey));
  assertEquals((await node.show()).publicKey, key.publicKey);
  await node.set("private-key", await node.secretFile(""));
  assertEquals((await node.show()).publicKey, null);
});

pairTest("a client that says nothing or nonsense harms nobody", [LONGHAUL_PAIR], async (
  net,
  kinds,
) => {
  const { a, b } = await connectUp(net, kinds);
  const path = `/var/run/wireguard/${a.node.name}.sock`;
  const silent = await Promise.all(
    Array.from({ length: 20 }, () => Deno.connect({ transport: "unix", path })),
  );
  for (const text of ["nonsense\n\n", "get=2\n\n", "set=1\nlisten_port=70000\n\n", "\n\n\n"]) {
    const client = await Deno.connect({ transport: "unix", path });
    await client.write(new TextEncoder().encode(text));
    await client.closeWrite();
    await waitFor("an answer or the end of the connection", 3000, async () => {
      try {
        return (await client.read(new Uint8Array(4096))) !== undefined;
      } catch {
        return true;
      }
    });
    client.close();
  }
  assertEquals((await a.node.show()).listenPort, a.port);
  for (const client of silent) client.close();
  await assertPing(a.namespace, b.inner4);
  assertAlive(a, b);
});

pairTest("a client that sends without end is cut off, and memory stays", [LONGHAUL_PAIR], async (
  net,
  kinds,
) => {
  const { a, b } = await connectUp(net, kinds);
  const before = a.node.residentBytes();
  const client = await Deno.connect({
    transport: "unix",
    path: `/var/run/wireguard/${a.node.name}.sock`,
  });
  const chunk = new Uint8Array(1 << 20).fill(0x61);
  const writing = (async () => {
    try {
      for (let sent = 0; sent < 100; sent++) await client.write(chunk);
    } catch {
      // Cut off: as it should be.
    }
  })();
  await assertPing(a.namespace, b.inner4, { count: 20 });
  await Promise.race([writing, new Promise((resolve) => setTimeout(resolve, 4000))]);
  client.close();
  await writing;
  const grown = a.node.residentBytes() - before;
  assert(grown < 64e6, `grew by ${grown} bytes`);
  await assertPing(a.namespace, b.inner4);
  assertAlive(a, b);
});

pairTest("byte counters and handshake times grow with traffic", OWN_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  const before = (await a.node.show()).peers[0];
  const ageSeconds = Date.now() / 1000 - before.latestHandshake;
  assert(ageSeconds >= 0 && ageSeconds < 30, `${ageSeconds} s`);
  const ends = { client: a.namespace, server: b.namespace, address: b.inner4 };
  const { bytes } = await assertIperf({ ...ends, bytes: 8e6 });
  const [after, far] = [(await a.node.show()).peers[0], (await b.node.show()).peers[0]];
  assert(bytes > 1e6 && after.sentBytes - before.sentBytes > bytes, `${bytes}`);
  assert(far.receivedBytes > bytes, `${far.receivedBytes} of ${bytes}`);
  assert(after.receivedBytes > before.receivedBytes);
});
