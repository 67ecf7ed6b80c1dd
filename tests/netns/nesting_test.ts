import { assert } from "@std/assert";
import { pause } from "./command.ts";
import { addAddress } from "./net.ts";
import {
  assertAlive,
  CHANGEABLE_PAIRS,
  configureSide,
  connectUp,
  LONGHAUL_PAIR,
  OUTER,
  OWN_PAIRS,
  pairTest,
} from "./pair.ts";
import { NodeProcess } from "./node_process.ts";
import { assertIperf, assertPing, Background, ping, pingUntilAnswered } from "./traffic.ts";
import { newKeyPair } from "./wg.ts";

pairTest("WireGuard runs inside WireGuard", CHANGEABLE_PAIRS.slice(0, 3), async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  const [innerA, innerB] = await Promise.all([
    NodeProcess.start(net, kinds[0], a.namespace),
    NodeProcess.start(net, kinds[1], b.namespace),
  ]);
  const [keyA, keyB] = [newKeyPair(), newKeyPair()];
  await innerA.configure({ privateKey: keyA.privateKey, listenPort: 30_001 }, [
    { publicKey: keyB.publicKey, allowedIps: ["10.8.0.2/32"], endpoint: `${b.inner4}:30002` },
  ]);
  await innerB.configure({ privateKey: keyB.privateKey, listenPort: 30_002 }, [
    { publicKey: keyA.publicKey, allowedIps: ["10.8.0.1/32"], endpoint: `[${a.inner6}]:30001` },
  ]);
  for (
    const [side, node, address] of [[a, innerA, "10.8.0.1/24"], [b, innerB, "10.8.0.2/24"]] as const
  ) {
    await net.ip(side.namespace, [
      addAddress(node.name, address),
      `link set ${node.name} mtu 1340 up`,
    ]);
  }
  await pingUntilAnswered(a.namespace, "10.8.0.2");
  await assertPing(b.namespace, "10.8.0.1", { size: 1340 - 28, whole: true });
  const ends = { client: a.namespace, server: b.namespace, address: "10.8.0.2" };
  await assertIperf(ends, 10);
  await assertIperf({ ...ends, args: ["-R"] }, 10);
  assertAlive(a, b);
});

pairTest("a routing loop stays bounded, and ends with its route", OWN_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  // The peer's own endpoint is routed into the tunnel that leads to it.
  await a.node.set(
    ...["peer", b.key.publicKey],
    ...["allowed-ips", `${b.inner4}/32,${b.inner6}/128,${OUTER.b4}/32`],
  );
  const loop = `route add ${OUTER.b4}/32 dev ${a.node.name}`;
  await net.ip(a.namespace, [loop]);
  await a.node.rests();
  const before = a.node.deviceCounters().sentPackets;
  await ping(a.namespace, b.inner4, { count: 5, waitMs: 200 });
  await ping(a.namespace, OUTER.b4, { count: 5, waitMs: 200, size: 1300 });
  await pause(500);
  const cpuBefore = a.node.cpuSeconds();
  await pause(1000);
  const cpu = a.node.cpuSeconds() - cpuBefore;
  assert(cpu < 0.5, `${cpu} CPU seconds in a second after the last ping`);
  const looped = a.node.deviceCounters().sentPackets - before;
  assert(looped < 5000, `${looped} packets went round for ten pings`);
  await net.ip(a.namespace, [loop.replace("add", "del")]);
  await pingUntilAnswered(a.namespace, b.inner4, 10_000);
  assertAlive(a, b);
});

pairTest(
  "a forwarded super-packet of more than 45 segments is read in one piece and arrives whole",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    const source = await net.namespace("src");
    await net.veth(
      { namespace: source, name: "eth0", addresses: ["10.5.0.2/24"], mtu: 1420 },
      { namespace: a.namespace, name: "lan", addresses: ["10.5.0.1/24"], mtu: 1420 },
    );
    await net.forward(a.namespace);
    await net.ip(source, ["route add default via 10.5.0.1"]);
    await net.ip(b.namespace, [`route add 10.5.0.0/24 dev ${b.node.name}`]);
    await b.node.set(
      ...["peer", a.key.publicKey],
      ...["allowed-ips", `${a.inner4}/32,${a.inner6}/128,10.5.0.0/24`],
    );
    const capture = new Background(a.namespace, [
      ...["tcpdump", "-i", a.node.name, "-n", "-l", "-s", "80", "-Q", "out"],
      "tcp and greater 30000",
    ]);
    try {
      await pingUntilAnswered(source, b.inner4);
      await assertIperf({
        client: source,
        server: b.namespace,
        address: b.inner4,
        seconds: 1,
      }, 20);
    } finally {
      const lengths = [...(await capture.stop()).matchAll(/length (\d+)$/gm)].map((m) => +m[1]);
      // 1,368 bytes of payload each: an MTU of 1,420 less IP, TCP and timestamps.
      const whole = lengths.filter((length) => length > 45 * 1368);
      assert(whole.length > 0, `longest of ${lengths.length}: ${Math.max(0, ...lengths)} bytes`);
    }
    assertAlive(a, b);
  },
  ["tcpdump"],
);

pairTest(
  "a peer that keeps restarting does not disturb another one",
  [LONGHAUL_PAIR],
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    const third = await net.namespace("c");
    await net.veth(
      { namespace: third, name: "eth0", addresses: ["198.51.100.3/24"] },
      { namespace: b.namespace, name: "eth1", addresses: ["198.51.100.2/24"] },
    );
    const key = newKeyPair();
    await b.node.set("peer", key.publicKey, "allowed-ips", "10.7.0.3/32");
    const pinging = ping(a.namespace, b.inner4, { count: 150, intervalMs: 20 });
    for (let round = 0; round < 3; round++) {
      const node = await NodeProcess.start(net, kinds[0], third);
      await node.configure({ privateKey: key.privateKey }, [
        {
          publicKey: b.key.publicKey,
          allowedIps: ["192.168.241.0/24"],
          endpoint: `198.51.100.2:${b.port}`,
          keepalive: 1,
        },
      ]);
      await net.ip(third, [
        `address add 10.7.0.3/24 dev ${node.name}`,
        `link set ${node.name} up`,
        `route add 192.168.241.0/24 dev ${node.name}`,
      ]);
      await net.ip(b.namespace, [`route replace 10.7.0.0/24 dev ${b.node.name}`]);
      await pingUntilAnswered(third, b.inner4, 12_000);
      await node.stop();
    }
    const { sent, received } = await pinging;
    assert(sent === received, `${received} of ${sent}`);
    await configureSide(a, []);
    assertAlive(a, b);
  },
);
