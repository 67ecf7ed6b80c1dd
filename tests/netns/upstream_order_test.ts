/**
 * What the test script that comes with wireguard-go asks of a program, in its order and in one go:
 * one pair of nodes lives through all of it, as there. Namespace 0 holds the programs and their
 * sockets, namespaces 1 and 2 the interfaces.
 */
import { assert, assertEquals } from "@std/assert";
import { pause, run } from "./command.ts";
import { addAddress, Net } from "./net.ts";
import { IS_LONGHAUL, type Kind, NodeProcess } from "./node_process.ts";
import { requires } from "../requires.ts";
import {
  assertIperf,
  assertNoPing,
  assertPing,
  Background,
  ping,
  pingUntilAnswered,
} from "./traffic.ts";
import { newKeyPair, newPresharedKey, wg } from "./wg.ts";

const INNER = { one4: "192.168.241.1", two4: "192.168.241.2", one6: "fd00::1", two6: "fd00::2" };
const [KEY1, KEY2, KEY3] = [newKeyPair(), newKeyPair(), newKeyPair()];

/** The two programs and where everything is. */
interface Stage {
  readonly net: Net;
  readonly home: string;
  readonly space1: string;
  readonly space2: string;
  readonly node1: NodeProcess;
  readonly node2: NodeProcess;
}

async function setStage(net: Net, kind: Kind): Promise<Stage> {
  const home = await net.namespace("0");
  const [space1, space2] = [await net.namespace("1"), await net.namespace("2")];
  const node1 = await NodeProcess.start(net, kind, home);
  await net.ip(home, [`link set ${node1.name} netns ${space1}`]);
  const node2 = await NodeProcess.start(net, kind, home);
  await net.ip(home, [`link set ${node2.name} netns ${space2}`]);
  const psk = await node1.secretFile(newPresharedKey());
  for (
    const [node, own, port, other, space, address4, address6, peer4, peer6] of [
      [node1, KEY1, 1, KEY2, space1, INNER.one4, INNER.one6, INNER.two4, INNER.two6],
      [node2, KEY2, 2, KEY1, space2, INNER.two4, INNER.two6, INNER.one4, INNER.one6],
    ] as const
  ) {
    await net.ip(space, [
      addAddress(node.name, `${address4}/24`),
      addAddress(node.name, `${address6}/112`),
    ]);
    await node.set(
      ...["private-key", await node.secretFile(own.privateKey), "listen-port", `${port}`],
      ...["peer", other.publicKey, "preshared-key", psk],
      ...["allowed-ips", `${peer4}/32,${peer6}/128`],
    );
    await net.ip(space, [`link set up dev ${node.name}`]);
  }
  return { net, home, space1, space2, node1, node2 };
}

/** Points both nodes at each other's loopback address. */
async function pointAt(stage: Stage, host: string): Promise<void> {
  await stage.node1.set("peer", KEY2.publicKey, "endpoint", `${host}:2`);
  await stage.node2.set("peer", KEY1.publicKey, "endpoint", `${host}:1`);
}

/** Pings both ways, a flood, and iperf3 over TCP and UDP. */
async function exercise({ space1, space2 }: Stage): Promise<void> {
  await assertPing(space2, INNER.one4, { count: 10, waitMs: 1000 });
  await assertPing(space1, INNER.two4, { count: 10, waitMs: 1000 });
  await assertPing(space2, INNER.one6, { count: 10, waitMs: 1000 });
  await assertPing(space1, INNER.two6, { count: 10, waitMs: 1000 });
  const flood = await ping(space2, INNER.one4, { count: 1000, intervalMs: 0, size: 1000 });
  assertEquals(flood.received, flood.sent);
  await assertIperf({ client: space1, server: space2, address: INNER.two4 }, 5);
  await assertIperf({ client: space2, server: space1, address: INNER.one6 }, 5);
  const udp = ["-u", "-b", "50M"];
  await assertIperf({ client: space2, server: space1, address: INNER.one4, args: udp }, 5);
  await assertIperf({ client: space1, server: space2, address: INNER.two6, args: udp }, 5);
}

async function checkPings(stage: Stage): Promise<void> {
  const { space1, node1, node2 } = stage;
  await assertPing(space1, INNER.two4, { count: 10, intervalMs: 20, waitMs: 1000 });
  const [one, two] = [(await node1.show()).peers[0], (await node2.show()).peers[0]];
  assertEquals([one.receivedBytes, one.sentBytes], [two.sentBytes, two.receivedBytes]);
  assert(one.receivedBytes >= 840 && one.receivedBytes < 2500, `rx ${one.receivedBytes}`);
  assert(one.sentBytes >= 880, `tx ${one.sentBytes}`);
}

async function checkMtus(stage: Stage): Promise<void> {
  await exercise(stage);
  await setMtu(stage, 34_736);
  await exercise(stage);
  await pointAt(stage, "[::1]");
  await setMtu(stage, 1420);
  await exercise(stage);
  await setMtu(stage, 34_736);
  await exercise(stage);
  await setMtu(stage, 1420);
}

async function setMtu({ net, space1, space2, node1, node2 }: Stage, mtu: number): Promise<void> {
  await net.ip(space1, [`link set dev ${node1.name} mtu ${mtu}`]);
  await net.ip(space2, [`link set dev ${node2.name} mtu ${mtu}`]);
}

async function checkRoaming({ space1, space2, node1, node2 }: Stage): Promise<void> {
  const endpoint = async () => (await node2.show()).peers[0].endpoint;
  await node1.set("peer", KEY2.publicKey, "endpoint", "127.0.0.1:2");
  await assertPing(space1, INNER.two4, { count: 1 });
  assertEquals(await endpoint(), "127.0.0.1:1");
  await node1.set("listen-port", "9999");
  await assertPing(space1, INNER.two4, { count: 1 });
  assertEquals(await endpoint(), "127.0.0.1:9999");
  await node1.set("peer", KEY2.publicKey, "endpoint", "[::1]:2");
  await assertPing(space1, INNER.two4, { count: 1 });
  await assertPing(space2, INNER.one6, { count: 1 });
  assertEquals(await endpoint(), "[::1]:9999");
}

async function checkCryptoRouting(stage: Stage): Promise<void> {
  const { net, space1, node1, node2 } = stage;
  await node1.set("peer", KEY2.publicKey, "allowed-ips", "192.168.241.0/24");
  await net.ip(space1, [`route replace 192.168.241.0/24 dev ${node1.name}`]);
  await node1.set("peer", KEY2.publicKey, "endpoint", "127.0.0.1:2");
  await assertPing(space1, INNER.two4, { count: 1 });
  const before = await received(node2);
  await assertPing(space1, INNER.two4, { count: 1, size: 600 });
  assert((await received(node2)) - before >= 600);
  await node1.set(
    "peer",
    KEY3.publicKey,
    "allowed-ips",
    `${INNER.two4}/32`,
    "endpoint",
    "127.0.0.1:2",
  );
  const quiet = await received(node2);
  await assertNoPing(space1, INNER.two4);
  assert((await received(node2)) - quiet < 600, "the packet went to the owner of the /32");
  await node1.set("listen-port", "9997");
  // The answer's source is not the sender's any more; the sender's place is learned all the same.
  await node2.set("peer", KEY1.publicKey, "endpoint", "127.0.0.1:9997");
  await assertNoPing(stage.space2, INNER.one4);
  const peer = (await node1.show()).peers.find((entry) => entry.publicKey === KEY2.publicKey);
  assertEquals(peer?.endpoint, "127.0.0.1:2");
  await node1.set("peer", KEY3.publicKey, "remove");
  await node1.set("peer", KEY2.publicKey, "allowed-ips", `${INNER.two4}/32,${INNER.two6}/128`);
  await assertPing(space1, INNER.two4, { count: 1 });
}

async function received(node: NodeProcess): Promise<number> {
  return (await node.show()).peers[0].receivedBytes;
}

/** A fresh pair: node 1 in a namespace behind a NAT, node 2 beyond it. */
async function checkNat(net: Net, kind: Kind): Promise<void> {
  const [home, space1, space2] = [
    await net.namespace("n0"),
    await net.namespace("n1"),
    await net.namespace("n2"),
  ];
  await net.veth(
    { namespace: space1, name: "vethc", addresses: ["192.168.1.100/24"] },
    { namespace: home, name: "vethrc", addresses: ["192.168.1.1/24"] },
  );
  await net.veth(
    { namespace: space2, name: "veths", addresses: ["10.0.0.100/24"] },
    { namespace: home, name: "vethrs", addresses: ["10.0.0.1/24"] },
  );
  await net.ip(space1, ["route add default via 192.168.1.1"]);
  await net.masquerade(home, "vethrs", 2);
  const node1 = await NodeProcess.start(net, kind, space1);
  const node2 = await NodeProcess.start(net, kind, space2);
  await node1.configure({ privateKey: KEY1.privateKey, listenPort: 1 }, [{
    publicKey: KEY2.publicKey,
    allowedIps: [`${INNER.two4}/32`],
    endpoint: "10.0.0.100:2",
    keepalive: 1,
  }]);
  await node2.configure({ privateKey: KEY2.privateKey, listenPort: 2 }, [
    { publicKey: KEY1.publicKey, allowedIps: [`${INNER.one4}/32`] },
  ]);
  await net.ip(space1, [`address add ${INNER.one4}/24 dev ${node1.name}`]);
  await net.ip(space1, [`link set up dev ${node1.name}`]);
  await net.ip(space2, [`address add ${INNER.two4}/24 dev ${node2.name}`]);
  await net.ip(space2, [`link set up dev ${node2.name}`]);
  await pingUntilAnswered(space1, INNER.two4);
  assertEquals((await node2.show()).peers[0].endpoint?.split(":")[0], "10.0.0.1");
  // The keepalive must hold the mapping: the far side speaks first after the time-out.
  await pause(3000);
  await assertPing(space2, INNER.one4, { count: 1 });
}

/** A fresh pair over a veth with several addresses at one end. */
async function checkSticky(net: Net, kind: Kind): Promise<void> {
  const [space1, space2] = [await net.namespace("s1"), await net.namespace("s2")];
  await net.veth(
    { namespace: space1, name: "veth1", addresses: ["10.0.0.1/24", "fd00:aa::1/96"] },
    { namespace: space2, name: "veth2", addresses: ["10.0.0.2/24", "fd00:aa::2/96"] },
  );
  // Else a second address of the prefix goes together with the first.
  await net.sysctl(space1, "ipv4/conf/veth1/promote_secondaries", 1);
  const node1 = await NodeProcess.start(net, kind, space1);
  const node2 = await NodeProcess.start(net, kind, space2);
  await node1.configure({ privateKey: KEY1.privateKey, listenPort: 1 }, [
    { publicKey: KEY2.publicKey, allowedIps: [`${INNER.two4}/32`], endpoint: "10.0.0.2:2" },
  ]);
  await node2.configure({ privateKey: KEY2.privateKey, listenPort: 2 }, [
    { publicKey: KEY1.publicKey, allowedIps: [`${INNER.one4}/32`], endpoint: "10.0.0.1:1" },
  ]);
  await net.ip(space1, [`address add ${INNER.one4}/24 dev ${node1.name}`]);
  await net.ip(space1, [`link set up dev ${node1.name}`]);
  await net.ip(space2, [`address add ${INNER.two4}/24 dev ${node2.name}`]);
  await net.ip(space2, [`link set up dev ${node2.name}`]);
  const endpoint = async () => (await node2.show()).peers[0].endpoint;
  await pingUntilAnswered(space1, INNER.two4);
  for (
    const [first, second, expected, dead] of [
      ["10.0.0.1/24", "10.0.0.10/24", "10.0.0.10:1", "192.0.2.77/24"],
      ["fd00:aa::1/96", "fd00:aa::10/96", "[fd00:aa::10]:1", "2001:db8:77::1/96"],
    ]
  ) {
    const far = first.includes("::") ? "[fd00:aa::2]:2" : "10.0.0.2:2";
    await node1.set("peer", KEY2.publicKey, "endpoint", far);
    await assertPing(space1, INNER.two4, { count: 1 });
    // The address in use goes and another one comes.
    await net.ip(space1, [
      addAddress("veth1", second),
      `address del ${first} dev veth1`,
    ]);
    await assertPing(space1, INNER.two4, { count: 1 });
    assertEquals(await endpoint(), expected);
    // An address that leads nowhere is added and removed: nothing changes.
    await net.ip(space1, [addAddress("veth1", dead), `address del ${dead} dev veth1`]);
    await assertPing(space1, INNER.two4, { count: 1 });
    assertEquals(await endpoint(), expected);
    await net.ip(space1, [addAddress("veth1", first)]);
  }
}

async function checkManyPrefixes(net: Net, kind: Kind): Promise<void> {
  const node = await NodeProcess.start(net, kind, await net.namespace("many"));
  const prefixes: string[] = [];
  for (let high = 0; high < 255; high++) {
    for (let low = 0; low < 256; low++) {
      prefixes.push(`${high}.${low}.0.0/16`, `${high * 256 + low}::/16`.replace(/^\d+/, hex));
    }
  }
  assertEquals(prefixes.length, 130_560);
  const lines = prefixes.map((prefix) => `AllowedIPs = ${prefix}`);
  await node.load(
    "setconf",
    `[Peer]\nPublicKey = ${KEY1.publicKey}\n${lines.join("\n")}\n`,
    30_000,
  );
  const { stdout } = await wg(["show", node.name, "allowed-ips"], { timeoutMs: 30_000 });
  assertEquals(stdout.split("\t")[1].trim().split(/\s+/).length, 130_560);
}

function hex(decimal: string): string {
  return Number(decimal).toString(16);
}

async function checkManyPeers(net: Net, kind: Kind): Promise<void> {
  const node = await NodeProcess.start(net, kind, await net.namespace("peers"));
  const peers = Array.from({ length: 40 }, (_, index) => ({
    publicKey: newKeyPair().publicKey,
    allowedIps: Array.from({ length: 52 }, (_, i) => `${index + 1}.${i}.0.0/16`),
  }));
  await node.configure({}, peers);
  const { stdout } = await wg(["show", node.name, "allowed-ips"]);
  const lines = stdout.trimEnd().split("\n");
  assertEquals(lines.length, 40);
  for (const line of lines) assertEquals(line.split("\t")[1].split(" ").length, 52);
}

async function checkMissing(): Promise<void> {
  assert((await wg(["show", "doesnotexist"], { mayFail: true })).code !== 0);
}

/** A listener beyond the tunnel gets a whole stream while the interface is torn down after it. */
async function checkStream({ space1, space2 }: Stage): Promise<void> {
  const listener = new Background(space2, ["ncat", "-l", INNER.two4, "1111"]);
  await pause(200);
  const text = "0123456789abcdef".repeat(4096);
  await run(["ncat", "--send-only", INNER.two4, "1111"], { namespace: space1, stdin: text });
  assertEquals(await listener.output(), text);
}

const KINDS: Kind[] = IS_LONGHAUL ? ["longhaul", "longhaul with an encryptor"] : ["wireguard-go"];

for (const kind of KINDS) {
  Deno.test({
    name: `the checks of wireguard-go's own test script, in order: ${kind}`,
    ...requires("root", "tun", "ip", "nsenter", "wg", "iperf3", "ncat", "ping", "nft"),
    fn: async (t) => {
      await using net = new Net();
      const stage = await setStage(net, kind);
      const steps: [string, () => Promise<void>][] = [
        ["ten pings, and both ends count the same bytes", async () => {
          await pointAt(stage, "127.0.0.1");
          await checkPings(stage);
        }],
        ["v4 and v6, inside and outside, at an MTU of 1,420 and 34,736", () => checkMtus(stage)],
        ["a stream arrives whole", () => checkStream(stage)],
        ["roaming by port and by address", () => checkRoaming(stage)],
        ["crypto-routing", () => checkCryptoRouting(stage)],
        ["a NAT with 2 s and a keepalive of 1", () => checkNat(net, kind)],
        ...(IS_LONGHAUL
          ? [["sticky source addresses", () => checkSticky(net, kind)] as [
            string,
            () => Promise<void>,
          ]]
          : []),
        ["130,560 allowed IPs on one peer", () => checkManyPrefixes(net, kind)],
        ["40 peers with 52 allowed IPs each", () => checkManyPeers(net, kind)],
        ["wg show of a missing device fails", () => checkMissing()],
      ];
      for (const [name, check] of steps) await t.step(name, check);
    },
  });
}
