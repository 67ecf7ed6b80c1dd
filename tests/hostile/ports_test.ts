import { assert, assertEquals } from "@std/assert";
import { pause, run, waitFor } from "../netns/command.ts";
import { addAddress } from "../netns/net.ts";
import { NodeProcess } from "../netns/node_process.ts";
import { assertAlive, connectUp, nodeTest, OUTER, OWN_PAIRS, pairTest } from "../netns/pair.ts";
import { assertIperf, assertPing, iperf3, pingUntilAnswered } from "../netns/traffic.ts";
import { newKeyPair } from "../netns/wg.ts";
import { UapiClient } from "./uapi.ts";
import { UdpSocket } from "./sockets.ts";

pairTest("ports may be changed there and back within one write", OWN_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  using client = await UapiClient.open(a.node.name);
  const ports = [20_001, 20_002, 20_001, 10_001, 20_001, 10_001];
  await client.write(ports.map((port) => `set=1\nlisten_port=${port}\n\n`).join(""));
  for (const port of ports) assertEquals(await client.answer(), "errno=0", `port ${port}`);
  assertEquals((await a.node.show()).listenPort, 10_001);
  await assertPing(a.namespace, b.inner4);
  // A lane that has just started has a socket on the loopback address for its rehearsal.
  await waitFor("no other port is bound", 10_000, async () => {
    const bound = (await run(["ss", "-Hlnu4"], { namespace: a.namespace })).stdout;
    const ports = new Set(bound.match(/:(\d+)\s/g)?.map((text) => text.trim()));
    if (ports.size !== 1 || !ports.has(":10001")) throw new Error(bound);
    return true;
  });
});

pairTest("ports and marks change in a loop under TCP", OWN_PAIRS, async (net, kinds) => {
  const { a, b } = await connectUp(net, kinds);
  using client = await UapiClient.open(a.node.name);
  const transfer = iperf3({
    client: a.namespace,
    server: b.namespace,
    address: b.inner4,
    seconds: 4,
    args: ["--bidir"],
  });
  await pause(500);
  for (let i = 0; i < 200; i++) {
    const answer = await client.ask(`set=1\nlisten_port=${20_000 + i % 3}\nfwmark=${i % 5}\n\n`);
    assertEquals(answer, "errno=0");
    if (i % 4 === 0) await pause(10);
  }
  const { bitsPerSecond } = await transfer;
  console.log(`${Math.round(bitsPerSecond / 1e6)} Mbit/s`);
  assert(bitsPerSecond > 1e6, `${bitsPerSecond} bit/s`);
  await assertPing(a.namespace, b.inner4);
  const fds = [...Deno.readDirSync(`/proc/${a.node.pid}/fd`)].length;
  assert(fds < 60, `${fds} descriptors`);
  assertAlive(a, b);
});

pairTest(
  "an interface goes down and up fifty times under traffic and keeps its sockets",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    const name = a.node.name;
    const sending = iperf3({
      client: b.namespace,
      server: a.namespace,
      address: a.inner4,
      seconds: 4,
      args: ["-u", "-b", "100M"],
    });
    await pause(400);
    const lines = Array.from(
      { length: 50 },
      () => [`link set ${name} down`, `link set ${name} up`],
    );
    await net.ip(a.namespace, lines.flat());
    for (let i = 0; i < 20; i++) {
      await net.ip(a.namespace, [`link set ${name} down`]);
      await pause(i);
      await net.ip(a.namespace, [`link set ${name} up`]);
      await pause(i * 2);
    }
    await pingUntilAnswered(a.namespace, b.inner4);
    await sending;
    await net.ip(a.namespace, [addAddress(name, `${a.inner6}/64`)]);
    await assertPing(a.namespace, b.inner6);
    assertAlive(a, b);
  },
);

nodeTest(
  "an interface without a listen port keeps its port when it goes down and up",
  async (net) => {
    const space = await net.namespace("a");
    const node = await NodeProcess.start(net, "longhaul", space);
    const up = () => net.ip(space, [`link set ${node.name} up`]);
    const port = () => waitFor("a port", 3000, async () => (await node.show()).listenPort || null);
    await node.configure({ privateKey: newKeyPair().privateKey }, []);
    await up();
    const first = await port();
    for (let i = 0; i < 3; i++) {
      await net.ip(space, [`link set ${node.name} down`]);
      await pause(100);
      await up();
      assertEquals(await port(), first);
      await node.set("fwmark", `${i + 1}`);
      assertEquals(await port(), first);
    }
    await node.set("listen-port", "7000");
    assertEquals(await port(), 7000);
    await node.set("listen-port", "0");
    assert(await port() !== 7000);
  },
);

nodeTest("a port that is taken when the interface goes up can be exchanged then", async (net) => {
  const space = await net.namespace("a");
  const node = await NodeProcess.start(net, "longhaul", space);
  await node.configure({ privateKey: newKeyPair().privateKey, listenPort: 7777 }, []);
  const other = new UdpSocket(space, { port: 7777 });
  await net.ip(space, [`link set ${node.name} up`]);
  await pause(300);
  await node.set("listen-port", "7778");
  await waitFor("the new port is bound", 3000, async () => {
    return (await run(["ss", "-Hlnu4"], { namespace: space })).stdout.includes(":7778");
  });
  other[Symbol.dispose]();
  await node.set("listen-port", "7777");
  const bound = (await run(["ss", "-Hlnu4"], { namespace: space })).stdout;
  assert(bound.includes(":7777"), bound);
});

pairTest(
  "the outer address, device, route and line go and come back, and the tunnel follows",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b, endpointB } = await connectUp(net, kinds);
    const stages: string[][][] = [
      [[`address del ${OUTER.a4}/24 dev eth0`], [`address add ${OUTER.a4}/24 dev eth0`]],
      [["link set eth0 down"], ["link set eth0 up"]],
      [["route replace blackhole 192.0.2.2/32"], ["route del blackhole 192.0.2.2/32"]],
      [["route replace unreachable 192.0.2.2/32"], ["route del unreachable 192.0.2.2/32"]],
      [["route replace prohibit 192.0.2.2/32"], ["route del prohibit 192.0.2.2/32"]],
    ];
    for (const [gone, back] of stages) {
      await net.ip(a.namespace, gone);
      await pause(30);
      await run(["ping", "-c", "3", "-i", "0.01", "-W", "0.1", b.inner4], {
        namespace: a.namespace,
        mayFail: true,
      });
      await net.ip(a.namespace, back);
      await pingUntilAnswered(a.namespace, b.inner4, 4000);
    }
    for (const verdict of ["drop", "reject"]) {
      await run(["nft", "-f", "-"], {
        namespace: a.namespace,
        stdin: [
          "table inet lh {",
          "chain out {",
          "type filter hook output priority 0;",
          `udp dport ${b.port} ${verdict}`,
          "}",
          "}",
          "",
        ].join("\n"),
      });
      await a.node.rests();
      const cpu = a.node.cpuSeconds();
      await run(["ping", "-c", "20", "-i", "0.01", "-W", "0.1", b.inner4], {
        namespace: a.namespace,
        mayFail: true,
      });
      await pause(500);
      assert(a.node.cpuSeconds() - cpu < 0.5, "refused sends cost no more than others");
      await run(["nft", "delete", "table", "inet", "lh"], { namespace: a.namespace });
      await pingUntilAnswered(a.namespace, b.inner4, 4000);
    }
    // The line is cut and another one laid.
    await net.ip(a.namespace, ["link del eth0"]);
    await pause(100);
    await run(["ping", "-c", "3", "-i", "0.01", "-W", "0.1", b.inner4], {
      namespace: a.namespace,
      mayFail: true,
    });
    await net.veth(
      { namespace: a.namespace, name: "eth0", addresses: [`${OUTER.a4}/24`] },
      { namespace: b.namespace, name: "eth0", addresses: [`${OUTER.b4}/24`] },
    );
    await pingUntilAnswered(a.namespace, b.inner4, 4000);
    await assertIperf({ client: a.namespace, server: b.namespace, address: b.inner4 });
    assertEquals((await a.node.show()).peers[0].endpoint, endpointB);
    assertAlive(a, b);
  },
  ["nft"],
);

pairTest(
  "the MTU changes under TCP, from the smallest to the largest",
  OWN_PAIRS,
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    const transfer = iperf3({
      client: a.namespace,
      server: b.namespace,
      address: b.inner4,
      seconds: 4,
      args: ["--bidir"],
    });
    await pause(300);
    for (const mtu of [68, 1280, 576, 65_440, 1420, 9000, 1300, 65_535, 100, 1420]) {
      for (const side of [a, b]) {
        await net.ip(side.namespace, [`link set ${side.node.name} mtu ${mtu}`]);
      }
      await pause(200);
    }
    await transfer;
    for (const mtu of [68, 100, 1279, 9001, 65_440, 65_535]) {
      for (const side of [a, b]) {
        await net.ip(side.namespace, [`link set ${side.node.name} mtu ${mtu}`]);
      }
      await pause(120);
      const whole = Math.min(mtu, 65_440);
      const sizes = [16, 17, whole - 29, whole - 28];
      for (const size of sizes) {
        await assertPing(a.namespace, b.inner4, { count: 2, size, whole: true });
      }
      // The kernel takes back together at most 64 fragments.
      if (mtu > 100) await assertPing(a.namespace, b.inner4, { count: 2, size: 3000 });
    }
    assertAlive(a, b);
  },
);

nodeTest("a deleted namespace ends the node whose interface was in it, cleanly", async (net) => {
  const home = await net.namespace("home");
  const node = await NodeProcess.start(net, "longhaul", home);
  await run(["ip", "netns", "add", "lhx-gone"]);
  await net.ip(home, [`link set ${node.name} netns lhx-gone`]);
  await run(["ip", "-n", "lhx-gone", "link", "set", node.name, "up"]);
  await pause(200);
  await run(["ip", "netns", "del", "lhx-gone"]);
  const { code } = await node.ended(5000);
  assertEquals(code, 0, node.log());
  assertEquals(node.log().includes("Uncaught"), false);
});

pairTest(
  "an interface goes to another namespace and back, three times",
  OWN_PAIRS.slice(0, 1),
  async (
    net,
    kinds,
  ) => {
    const { a, b } = await connectUp(net, kinds);
    const other = await net.namespace("other");
    for (let i = 0; i < 3; i++) {
      for (const [from, to] of [[a.namespace, other], [other, a.namespace]]) {
        await net.ip(from, [`link set ${a.node.name} netns ${to}`]);
        await net.ip(to, [
          addAddress(a.node.name, `${a.inner4}/24`),
          `link set ${a.node.name} mtu ${1300 + i} up`,
        ]);
        await pingUntilAnswered(to, b.inner4);
      }
    }
    assertAlive(a, b);
  },
);
