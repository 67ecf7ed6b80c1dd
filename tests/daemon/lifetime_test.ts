/** How the process begins and ends, and what it does when nothing happens. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { inNamespace, pause, run, waitFor } from "../netns/command.ts";
import { deviceIn, type Kind, LONGHAUL, NodeProcess } from "../netns/node_process.ts";
import { connectUp, LONGHAUL_PAIR, nodeTest } from "../netns/pair.ts";
import { assertPing, Background, pingUntilAnswered } from "../netns/traffic.ts";
import { configureSide, peerOf } from "../netns/pair.ts";
import { newKeyPair } from "../netns/wg.ts";

const KINDS: readonly Kind[] = [
  "longhaul",
  "longhaul with an encryptor",
  "longhaul with three encryptors",
];
const socketPath = (name: string) => `/var/run/wireguard/${name}.sock`;

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

for (const kind of KINDS) {
  nodeTest(`hazard 30: SIGTERM in a transfer leaves nothing behind (${kind})`, async (net) => {
    const { a, b } = await connectUp(net, [kind, kind]);
    const server = new Background(b.namespace, ["iperf3", "-s", "-1", "-p", "5301"]);
    await pause(300);
    const client = new Background(
      a.namespace,
      ["iperf3", "-c", b.inner4, "-p", "5301", "-t", "20", "--bidir"],
    );
    await pause(700);
    const startMs = performance.now();
    a.node.kill("SIGTERM");
    const { code } = await a.node.ended(2000);
    assert(performance.now() - startMs < 2000);
    assertEquals(code, 0, a.node.log());
    assert(!exists(socketPath(a.node.name)), "the socket's file is gone");
    assert(!await deviceIn(a.namespace, a.node.name), "the interface is gone");
    assert(b.node.exit === null, "the peer lives on");
    await client.stop();
    await server.stop();
  });
}

nodeTest("hazard 31: a second SIGTERM ends it at once", async (net) => {
  const space = await net.namespace("a");
  const node = await NodeProcess.start(net, "longhaul", space);
  // Two signals of one kind that arrive together are one; SIGINT counts as well.
  node.kill("SIGTERM");
  node.kill("SIGINT");
  await node.ended(1000);
  assert(!await deviceIn(space, node.name));
});

nodeTest(
  "hazard 32: after SIGKILL a restart replaces the socket, and the peer accepts it",
  async (net) => {
    const { a, b, endpointB } = await connectUp(net, LONGHAUL_PAIR);
    a.node.kill("SIGKILL");
    await a.node.ended(2000);
    assert(exists(socketPath(a.node.name)), "nobody could remove it");
    await waitFor(
      "the interface goes",
      2000,
      async () => !await deviceIn(a.namespace, a.node.name),
    );
    const again = await NodeProcess.start(net, "longhaul", a.namespace, { name: a.node.name });
    await net.ip(a.namespace, [
      `address add ${a.inner4}/24 dev ${again.name}`,
      `link set ${again.name} up`,
    ]);
    await configureSide({ ...a, node: again }, [peerOf(b, { endpoint: endpointB })]);
    // B has the last timestamp of the killed process: a newer one is taken at once.
    await pingUntilAnswered(a.namespace, b.inner4, 3000);
    assertMatch(again.log(), /: connected\n[^]*: connected\n/);
  },
);

nodeTest(
  "hazard 25: a second instance on the same port is refused, the first goes on",
  async (net) => {
    const space = await net.namespace("a");
    const [first, second] = [
      await NodeProcess.start(net, "longhaul", space),
      await NodeProcess.start(net, "longhaul", space),
    ];
    for (const { name } of [first, second]) await net.ip(space, [`link set ${name} up`]);
    await first.configure({ privateKey: newKeyPair().privateKey, listenPort: 7001 }, []);
    const refused = await run(["wg", "set", second.name, "listen-port", "7001"], {
      namespace: space,
      mayFail: true,
    });
    assert(refused.code !== 0);
    assertMatch(refused.stderr, /Address already in use/);
    assertEquals((await first.show()).listenPort, 7001);
    assert(first.exit === null && second.exit === null);
  },
);

nodeTest("a second instance for the same interface is refused and breaks nothing", async (net) => {
  const space = await net.namespace("a");
  const node = await NodeProcess.start(net, "longhaul", space);
  const argv = inNamespace([LONGHAUL, "-f", node.name], space);
  const { code, stderr, stdout } = await run(argv, { mayFail: true, timeoutMs: 8000 });
  assert(code !== 0);
  assert((stderr + stdout).includes(node.name), stderr + stdout);
  assert(!/at .*\.ts:\d+/.test(stderr), "no stack: it is not a bug");
  assertEquals(node.exit, null);
  assertEquals((await node.show()).peers, []);
  assert(await deviceIn(space, node.name));
});

/** Voluntary context switches of all threads of a process. */
function voluntarySwitches(pid: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    const status = Deno.readTextFileSync(`/proc/${pid}/task/${name}/status`);
    const thread = /^Name:\s*(.*)$/m.exec(status)![1];
    const switches = Number(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)![1]);
    counts.set(`${thread}/${name}`, switches);
  }
  return counts;
}

/** The sum over its threads. */
function totalSwitches(pid: number): number {
  return [...voluntarySwitches(pid).values()].reduce((sum, count) => sum + count, 0);
}

for (const kind of KINDS) {
  nodeTest(`an idle node sleeps (${kind})`, async (net) => {
    const { a, b } = await connectUp(net, [kind, kind]);
    await waitFor("the start is over", 20_000, async () => {
      const before = totalSwitches(a.node.pid);
      await pause(500);
      return totalSwitches(a.node.pid) - before < 10;
    });
    const before = voluntarySwitches(a.node.pid);
    await pause(3000);
    const after = voluntarySwitches(a.node.pid);
    const awake = [...after].map(([thread, count]) =>
      [thread, count - (before.get(thread) ?? 0)] as const
    ).filter(([, count]) => count > 0);
    const total = awake.reduce((sum, [, count]) => sum + count, 0);
    assert(total < 30, `${total} wake-ups in 3 s: ${awake.join(", ")}`);
    await assertPing(a.namespace, b.inner4);
  });
}
