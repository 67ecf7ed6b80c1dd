/** Several lanes on the real kernel: a hub whose peers are divided between two. */
import { assert, assertEquals } from "@std/assert";
import { LONGHAUL, NodeProcess } from "./node_process.ts";
import { addAddress, type Net } from "./net.ts";
import type { PeerConfig } from "./wg.ts";
import { run, waitFor } from "./command.ts";
import { assertAlive, configureSide, nodeTest, peerOf, type Side, startSide } from "./pair.ts";
import {
  assertIperf,
  assertNoPing,
  assertPing,
  iperf3,
  ping,
  pingUntilAnswered,
} from "./traffic.ts";

const HUB_PORT = 10_001;

interface Star {
  readonly hub: Side;
  /** By their number less one; the lane of each is its number less one, modulo 2. */
  readonly spokes: readonly Side[];
}

/** A hub with two lanes, which forwards, and four spokes of three kinds, each behind a veth of its own. */
async function star(net: Net, env: Record<string, string> = {}): Promise<Star> {
  const kinds = ["longhaul", "wireguard-go", "longhaul with two lanes", "longhaul"] as const;
  const home = await net.namespace("hub");
  const spaces: string[] = [];
  for (let i = 1; i <= kinds.length; i++) {
    spaces.push(await net.namespace(`s${i}`));
    await net.veth(
      { namespace: home, name: `eth${i}`, addresses: [`192.0.2.${4 * i + 1}/30`] },
      { namespace: spaces[i - 1], name: "eth0", addresses: [`192.0.2.${4 * i + 2}/30`] },
    );
  }
  await net.forward(home);
  const hub = await startSide(net, "longhaul with two lanes", home, {
    ...{ number: 100, port: HUB_PORT, env },
  });
  const spokes = await Promise.all(
    kinds.map((kind, i) =>
      startSide(net, kind, spaces[i], { number: i + 1, port: 10_002 + i, env })
    ),
  );
  // Only the hub can begin a handshake, so it is the hub that renews each.
  const toHub = peerOf(hub, { allowedIps: ["192.168.241.0/24", "fd00:241::/64"] });
  for (const spoke of spokes) await configureSide(spoke, [toHub]);
  await configureSide(hub, spokesOf(spokes));
  for (const { inner4 } of spokes) await pingUntilAnswered(hub.namespace, inner4);
  return { hub, spokes };
}

/** The spokes as the hub knows them: it can begin a handshake with each. */
function spokesOf(spokes: readonly Side[]): PeerConfig[] {
  return spokes.map((spoke, i) => peerOf(spoke, { endpoint: outerOf(i, spoke.port) }));
}

function outerOf(spoke: number, port: number): string {
  return `192.0.2.${4 * (spoke + 1) + 2}:${port}`;
}

interface LaneShare {
  readonly peers: number;
  readonly messages: number;
  readonly handedOver: number;
}

/** What `status --json` tells of the lanes of a node. */
async function lanesOf({ node, namespace }: Side): Promise<LaneShare[]> {
  const { stdout } = await run([LONGHAUL, "status", node.name, "--json"], { namespace });
  return JSON.parse(stdout).interfaces[0].node.lanes;
}

async function drops({ node, namespace }: Side): Promise<Record<string, number>> {
  const { stdout } = await run([LONGHAUL, "status", node.name, "--json"], { namespace });
  return JSON.parse(stdout).interfaces[0].node.drops;
}

nodeTest(
  "peers are divided among the lanes, and all of them carry traffic at once",
  async (net) => {
    const { hub, spokes } = await star(net);
    for (const { namespace, inner4, inner6 } of spokes) {
      await assertPing(hub.namespace, inner4, { count: 10 });
      await assertPing(namespace, hub.inner6, { count: 10 });
      await assertPing(hub.namespace, inner6, { size: 1372, whole: true });
    }
    const ends = { server: hub.namespace, bytes: 8_000_000 };
    await Promise.all(spokes.flatMap(({ namespace }) => [
      assertIperf({ ...{ client: namespace, address: hub.inner4 }, ...ends }, 1),
      assertIperf({
        ...{ client: namespace, address: hub.inner6 },
        ...ends,
        args: ["-P", "8", "-R"],
      }, 1),
    ]));
    const lanes = await lanesOf(hub);
    assertEquals(lanes.map(({ peers }) => peers), [2, 2]);
    for (const { messages } of lanes) assert(messages > 10_000, `${messages} messages`);
    assertAlive(hub, ...spokes);
  },
);

nodeTest("peers of different lanes reach each other through the hub, in order", async (net) => {
  const { hub, spokes } = await star(net);
  const pairs = [[0, 1], [1, 2], [0, 2], [3, 1]];
  for (const [from, to] of pairs) {
    await assertPing(spokes[from].namespace, spokes[to].inner6, { count: 20 });
    const ends = {
      client: spokes[from].namespace,
      server: spokes[to].namespace,
      address: spokes[to].inner4,
    };
    await assertIperf(ends, 5);
    await assertIperf({ ...ends, args: ["--bidir"] }, 5);
    // A paced stream of datagrams arrives in order, whichever lanes it passes.
    const { outOfOrder } = await iperf3({ ...ends, args: ["-u", "-b", "20M", "-l", "1200"] });
    assertEquals(outOfOrder, 0);
  }
  const { LaneChanged = 0 } = await drops(hub);
  assertEquals(LaneChanged, 0);
  assertAlive(hub, ...spokes);
});

nodeTest(
  "a hub with lanes follows peers that move, and moves itself under traffic",
  async (net) => {
    const { hub, spokes } = await star(net);
    for (const [i, spoke] of spokes.entries()) {
      await spoke.node.set("listen-port", `${20_000 + i}`);
      await pingUntilAnswered(spoke.namespace, hub.inner4);
      await waitFor("the hub sees the new port", 5000, async () => {
        const { peers } = await hub.node.show();
        return peers[i].endpoint === outerOf(i, 20_000 + i);
      });
      await assertPing(hub.namespace, spoke.inner4);
    }
    const transfers = spokes.map(({ namespace }) =>
      assertIperf(
        {
          client: hub.namespace,
          server: namespace,
          address: `192.168.241.${spokeNumber(namespace)}`,
          seconds: 3,
        },
        1,
      )
    );
    for (const port of [21_001, 21_002, 21_003]) {
      await hub.node.set("listen-port", `${port}`);
      await Promise.all(spokes.map(({ inner4 }) => ping(hub.namespace, inner4, { count: 5 })));
    }
    await Promise.all(transfers);
    for (const { namespace } of spokes) await assertPing(namespace, hub.inner4);
    const sockets = Deno.readTextFileSync(`/proc/${hub.node.pid}/net/udp`);
    const open = sockets.split("\n").filter((line) =>
      line.includes(`:${(21_003).toString(16).toUpperCase()} `)
    );
    assertEquals(open.length, 2, "one socket for each lane, and those of other ports are closed");
    assert(!sockets.includes(`:${(21_002).toString(16).toUpperCase()} `));
    assertAlive(hub, ...spokes);
  },
);

function spokeNumber(namespace: string): string {
  return namespace.slice(namespace.lastIndexOf("s") + 1);
}

nodeTest("peers come and go on each lane while the others carry traffic", async (net) => {
  const { hub, spokes } = await star(net);
  const train = spokes.slice(2).map(({ inner4 }) =>
    ping(hub.namespace, inner4, { count: 150, intervalMs: 20 })
  );
  for (let round = 0; round < 2; round++) {
    for (const [i, spoke] of spokes.slice(0, 2).entries()) {
      await hub.node.set("peer", spoke.key.publicKey, "remove");
      await assertNoPing(spoke.namespace, hub.inner4, 200);
      const allowed = `${spoke.inner4}/32,${spoke.inner6}/128`;
      const endpoint = outerOf(i, spoke.port);
      const peer = ["peer", spoke.key.publicKey, "endpoint", endpoint, "allowed-ips", allowed];
      await hub.node.set(...peer);
      await pingUntilAnswered(hub.namespace, spoke.inner4);
    }
  }
  for (const { sent, received } of await Promise.all(train)) assertEquals(received, sent);
  assertEquals((await lanesOf(hub)).reduce((sum, { peers }) => sum + peers, 0), 4);
  assertAlive(hub, ...spokes);
});

nodeTest("rekeys on both lanes lose no packet", async (net) => {
  const env = {
    LONGHAUL_TEST: "1",
    LONGHAUL_TEST_REKEY_AFTER_MS: "5200",
    LONGHAUL_TEST_REJECT_AFTER_MS: "8000",
  };
  const { hub, spokes } = await star(net, env);
  const before = (await hub.node.show()).peers.map(({ latestHandshake }) => latestHandshake);
  const trains = spokes.flatMap(({ namespace, inner4 }) => [
    ping(hub.namespace, inner4, { count: 400, intervalMs: 25 }),
    ping(namespace, hub.inner6, { count: 400, intervalMs: 25 }),
  ]);
  const lost = (await Promise.all(trains)).map(({ sent, received }) => sent - received);
  assertEquals(lost, Array(trains.length).fill(0), `drops: ${JSON.stringify(await drops(hub))}`);
  const after = (await hub.node.show()).peers.map(({ latestHandshake }) => latestHandshake);
  for (const [i, last] of after.entries()) assert(last - before[i] >= 5, "a rekey has happened");
});

nodeTest("the firewall mark is on what every lane sends", async (net) => {
  const { hub, spokes } = await star(net);
  await run(["nft", "-f", "-"], {
    namespace: hub.namespace,
    stdin: `table inet lhmark {
      chain out { type filter hook output priority 0; udp sport ${HUB_PORT} meta mark != 0x77 drop; }
    }`,
  });
  await hub.node.set("fwmark", "0x77");
  for (const { inner4 } of spokes) await assertPing(hub.namespace, inner4, { count: 3 });
  await hub.node.set("fwmark", "0");
  for (const { inner4 } of spokes) await assertNoPing(hub.namespace, inner4, 200);
}, ["nft"]);

nodeTest("after kill -9 a node with lanes starts again on the same port", async (net) => {
  const { hub, spokes } = await star(net);
  hub.node.kill("SIGKILL");
  await hub.node.ended(5000);
  const name = hub.node.name;
  await waitFor("the interface is gone", 5000, async () => {
    const { code } = await run(["ip", "-n", hub.namespace, "link", "show", name], {
      mayFail: true,
    });
    return code !== 0;
  });
  const node = await NodeProcess.start(net, "longhaul with two lanes", hub.namespace, { name });
  await net.ip(hub.namespace, [
    addAddress(name, `${hub.inner4}/24`),
    addAddress(name, `${hub.inner6}/64`),
    `link set ${name} up`,
  ]);
  await configureSide({ ...hub, node }, spokesOf(spokes));
  for (const { inner4 } of spokes) await pingUntilAnswered(hub.namespace, inner4);
  assertEquals((await node.show()).listenPort, HUB_PORT);
});
