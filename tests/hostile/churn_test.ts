import { assert, assertEquals } from "@std/assert";
import { pause } from "../netns/command.ts";
import { assertAlive, connectUp, LONGHAUL_PAIR, OWN_PAIRS, pairTest } from "../netns/pair.ts";
import { assertPing, iperf3, pingUntilAnswered } from "../netns/traffic.ts";
import { configText, newKeyPair } from "../netns/wg.ts";
import { hexKey, UapiClient } from "./uapi.ts";

const randomKey = () =>
  [...crypto.getRandomValues(new Uint8Array(32))].map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");

pairTest(
  "peers that come and go fifty thousand times leave no memory and no slot behind",
  [LONGHAUL_PAIR],
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    using client = await UapiClient.open(a.node.name);
    const endpoint = "endpoint=192.0.2.2:9\npersistent_keepalive_interval=1\n";
    const round = async (peers: number) => {
      const keys = Array.from({ length: peers }, randomKey);
      // Each begins a handshake at once, and is removed in the middle of it.
      const lines = keys.map((key, i) =>
        `public_key=${key}\n${endpoint}allowed_ip=10.${i >> 8}.${i & 255}.1/32\n`
      );
      assertEquals(await client.ask(`set=1\n${lines.join("")}\n`), "errno=0");
      const gone = keys.map((key) => `public_key=${key}\nremove=true\n`);
      assertEquals(await client.ask(`set=1\n${gone.join("")}\n`), "errno=0");
    };
    for (let i = 0; i < 50; i++) await round(500);
    const before = a.node.residentBytes();
    for (let i = 0; i < 50; i++) await round(500);
    const grown = a.node.residentBytes() - before;
    console.log(`${(before / 1e6).toFixed(0)} MB, then ${(grown / 1e6).toFixed(1)} MB more`);
    assert(grown < 80e6, `${grown} bytes more after 25,000 more peers`);
    assertEquals((await a.node.show()).peers.length, 1);
    await assertPing(a.namespace, b.inner4);
    // All places for peers are free again: as many as there are can be taken at once.
    await pause(100);
    const full = Array.from({ length: 16_383 }, () => `public_key=${randomKey()}\n`);
    assertEquals(await client.ask(`set=1\n${full.join("")}\n`), "errno=0");
    assert((await client.ask(`set=1\npublic_key=${randomKey()}\n\n`)).startsWith("errno=-"));
    assertAlive(a, b);
  },
);

pairTest(
  "one peer, removed and added again under traffic, comes back each time",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b, endpointB } = await connectUp(net, kinds);
    using client = await UapiClient.open(a.node.name);
    const key = hexKey(b.key.publicKey);
    const transfer = iperf3({
      client: a.namespace,
      server: b.namespace,
      address: b.inner4,
      seconds: 3,
    });
    await pause(300);
    for (let i = 0; i < 400; i++) {
      const how = i % 3;
      const body = how === 0
        ? `public_key=${key}\nremove=true\npublic_key=${key}\n`
        : how === 1
        ? `replace_peers=true\npublic_key=${key}\n`
        : `public_key=${key}\nreplace_allowed_ips=true\n`;
      const rest = `endpoint=${endpointB}\nallowed_ip=${b.inner4}/32\nallowed_ip=${b.inner6}/128\n`;
      assertEquals(await client.ask(`set=1\n${body}${rest}\n`), "errno=0");
      if (i % 10 === 0) await pause(2);
    }
    await transfer;
    // b refuses initiations within 20 ms of each other; the retry after 5 s is answered.
    await pingUntilAnswered(a.namespace, b.inner4, 14_000);
    assertAlive(a, b);
  },
);

pairTest(
  "private and preshared keys cleared and set again in a loop leave a tunnel that works",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    using client = await UapiClient.open(a.node.name);
    const own = hexKey(a.key.privateKey), peer = hexKey(b.key.publicKey);
    const zero = "0".repeat(64);
    const transfer = iperf3({
      client: a.namespace,
      server: b.namespace,
      address: b.inner4,
      seconds: 3,
      args: ["-u", "-b", "50M"],
    });
    await pause(300);
    for (let i = 0; i < 100; i++) {
      assertEquals(await client.ask(`set=1\nprivate_key=${zero}\n\n`), "errno=0");
      await pause(i % 7);
      assertEquals(await client.ask(`set=1\nprivate_key=${randomKey()}\n\n`), "errno=0");
      assertEquals(
        await client.ask(
          `set=1\nprivate_key=${own}\npublic_key=${peer}\npreshared_key=${zero}\n\n`,
        ),
        "errno=0",
      );
    }
    // A key that is the peer's own removes the peer; then everything is set up anew.
    assertEquals(
      await client.ask(`set=1\nprivate_key=${hexKey(b.key.privateKey)}\n\n`),
      "errno=0",
    );
    assertEquals((await a.node.show()).peers.length, 0);
    await a.node.configure({ privateKey: a.key.privateKey, listenPort: a.port }, [{
      publicKey: b.key.publicKey,
      allowedIps: [`${b.inner4}/32`],
      endpoint: `192.0.2.2:${b.port}`,
    }]);
    await transfer;
    await pingUntilAnswered(a.namespace, b.inner4, 14_000);
    assertAlive(a, b);
  },
);

pairTest(
  "a `get` of 130,560 allowed IPs that nobody reads, a hundred times over, holds up nobody",
  [LONGHAUL_PAIR],
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    const key = newKeyPair().publicKey;
    const ips: string[] = [];
    for (let i = 0; i < 130_560; i++) ips.push(`10.${i >> 16 & 255}.${i >> 8 & 255}.${i & 255}/32`);
    const text = configText({}, [{ publicKey: key, allowedIps: ips }]);
    await a.node.load("addconf", text, 20_000);
    const before = a.node.residentBytes();
    const clients: UapiClient[] = [];
    const worst = { ms: 0 };
    try {
      for (let i = 0; i < 60; i++) {
        const client = await UapiClient.open(a.node.name);
        await client.write("get=1\n\n");
        clients.push(client);
      }
      const startMs = performance.now();
      await a.node.show(20_000);
      worst.ms = performance.now() - startMs;
      await assertPing(a.namespace, b.inner4);
    } finally {
      for (const client of clients) client[Symbol.dispose]();
    }
    const grown = a.node.residentBytes() - before;
    console.log(`${(grown / 1e6).toFixed(0)} MB more, a show took ${worst.ms.toFixed(0)} ms`);
    assert(grown < 600e6, `${grown} bytes more`);
    for (let i = 0; i < 5; i++) {
      await a.node.load(
        "syncconf",
        configText({ privateKey: a.key.privateKey }, [{
          publicKey: key,
          allowedIps: ips.slice(i * 1000),
        }, {
          publicKey: b.key.publicKey,
          allowedIps: [`${b.inner4}/32`],
          endpoint: `192.0.2.2:${b.port}`,
        }]),
        20_000,
      );
    }
    assertEquals((await a.node.show(20_000)).peers.length, 2);
    await pingUntilAnswered(a.namespace, b.inner4, 14_000);
    assertAlive(a, b);
  },
);
