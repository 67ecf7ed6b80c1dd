import { assert } from "@std/assert";
import { run } from "./command.ts";
import { deviceIn } from "./node_process.ts";
import {
  assertAlive,
  CHANGEABLE_PAIRS,
  configureSide,
  connectUp,
  pairTest,
  peerOf,
  startSide,
} from "./pair.ts";
import { assertIperf, assertPing, pingUntilAnswered } from "./traffic.ts";

pairTest(
  "interfaces moved to other namespaces at once work, their UDP sockets stay behind",
  CHANGEABLE_PAIRS,
  async (net, kinds) => {
    const home = await net.namespace("home");
    const [spaceA, spaceB] = [await net.namespace("a"), await net.namespace("b")];
    const [a, b] = await Promise.all([
      startSide(net, kinds[0], home, { number: 1, port: 10_001, moveTo: spaceA }),
      startSide(net, kinds[1], home, { number: 2, port: 10_002, moveTo: spaceB }),
    ]);
    await configureSide(a, [peerOf(b, { endpoint: "127.0.0.1:10002" })]);
    await configureSide(b, [peerOf(a, { endpoint: "[::1]:10001" })]);
    await pingUntilAnswered(spaceA, b.inner4);
    await assertPing(spaceB, a.inner6, { size: 1420 - 48, whole: true });
    await assertIperf({ client: spaceA, server: spaceB, address: b.inner4 }, 20);
    await assertIperf({ client: spaceA, server: spaceB, address: b.inner6, args: ["-R"] }, 20);
    // No queue was opened by name afterwards: that would have made a new interface here.
    for (const { node } of [a, b]) {
      assert(!await deviceIn(home, node.name), `${node.name} is back in its first namespace`);
    }
    // The sockets are where the program was started, and only there.
    const sockets = (await run(["ss", "-Hlnu"], { namespace: home })).stdout;
    assert(/:10001\b/.test(sockets) && /:10002\b/.test(sockets), sockets);
    assert((await run(["ss", "-Hlnu"], { namespace: spaceA })).stdout.trim() === "");
    // Down, up, another MTU, a new port: all noticed from another namespace.
    await net.ip(spaceA, [`link set ${a.node.name} down`, `link set ${a.node.name} mtu 1300 up`]);
    await net.ip(spaceA, [`address replace ${a.inner6}/64 dev ${a.node.name} nodad`]);
    await a.node.set("listen-port", "20001");
    await pingUntilAnswered(spaceA, b.inner4);
    await assertPing(spaceA, b.inner6, { size: 1300 - 48, whole: true });
    assertAlive(a, b);
  },
  ["ss"],
);

pairTest(
  "an interface goes down and up again and the tunnel goes on",
  CHANGEABLE_PAIRS.slice(0, 2),
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds);
    for (let round = 0; round < 3; round++) {
      await net.ip(a.namespace, [`link set ${a.node.name} down`, `link set ${a.node.name} up`]);
      await pingUntilAnswered(a.namespace, b.inner4);
      await pingUntilAnswered(b.namespace, a.inner4);
    }
    assertAlive(a, b);
  },
);
