/** Hazards 28 and 29: a worker that dies or hangs ends the whole process, and says so. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Net } from "../netns/net.ts";
import { answers, deviceIn, type Kind } from "../netns/node_process.ts";
import { assertAlive, configureSide, nodeTest, OUTER, peerOf, startSide } from "../netns/pair.ts";
import { assertIperf, iperf3, ping } from "../netns/traffic.ts";

interface Fault {
  readonly kind: Kind;
  readonly fault: string;
  readonly message: RegExp;
}

const CRASHES: readonly Fault[] = [
  { kind: "longhaul", fault: "lane:crash", message: /lane0.*crash/ },
  { kind: "longhaul with an encryptor", fault: "lane:crash", message: /lane0.*crash/ },
  { kind: "longhaul with an encryptor", fault: "encryptor:crash", message: /encryptor0.*crash/ },
  {
    kind: "longhaul with three encryptors",
    fault: "encryptor0:crash",
    message: /encryptor0.*crash/,
  },
];
const HANGS: readonly Fault[] = [
  { kind: "longhaul", fault: "lane:hang", message: /lane 0 has not moved/ },
  { kind: "longhaul with an encryptor", fault: "lane:hang", message: /lane 0 has not moved/ },
  { kind: "longhaul with an encryptor", fault: "encryptor:hang", message: /has not moved/ },
  { kind: "longhaul with three encryptors", fault: "encryptor0:hang", message: /has not moved/ },
];

let pairs = 0;

/** Two nodes with a tunnel, of which the first acts out `fault`. */
async function connectFaulty(net: Net, kinds: readonly [Kind, Kind], fault: string) {
  const pair = ++pairs;
  const spaces = [await net.namespace(`a${pair}`), await net.namespace(`b${pair}`)];
  await net.veth(
    { namespace: spaces[0], name: "eth0", addresses: [`${OUTER.a4}/24`] },
    { namespace: spaces[1], name: "eth0", addresses: [`${OUTER.b4}/24`] },
  );
  const env = { LONGHAUL_TEST: "1", LONGHAUL_TEST_FAULT: fault };
  const [a, b] = await Promise.all([
    startSide(net, kinds[0], spaces[0], { number: 1, port: 10_001, env }),
    startSide(net, kinds[1], spaces[1], { number: 2, port: 10_002 }),
  ]);
  await configureSide(b, [peerOf(a)]);
  await configureSide(a, [peerOf(b, { endpoint: `${OUTER.b4}:${b.port}` })]);
  return { a, b };
}

/** Lets one of two nodes act out a fault under traffic, and asserts how it ends. */
async function assertEnds(net: Net, { kind, fault, message }: Fault, withinMs: number) {
  const { a, b } = await connectFaulty(net, [kind, "longhaul"], fault);
  await ping(a.namespace, b.inner4, { count: 60, intervalMs: 5, waitMs: 100 });
  const { code } = await a.node.ended(withinMs);
  assert(code !== 0, `exit code ${code}`);
  assertMatch(a.node.log(), message);
  assert(!await deviceIn(a.namespace, a.node.name), "the interface is gone");
  assertEquals(await answers(a.node.name), false);
  assertAlive(b);
}

for (const crash of CRASHES) {
  nodeTest(`hazard 28: ${crash.fault} ends the process at once (${crash.kind})`, async (net) => {
    await assertEnds(net, crash, 3000);
  });
}

// The watchdog waits for ten seconds: all of them wait at once.
nodeTest(
  "hazard 29: a lane or encryptor that hangs ends the process within seconds",
  async (net) => {
    await Promise.all(HANGS.map((hang) => assertEnds(net, hang, 20_000)));
  },
);

const DELAYS: readonly { kind: Kind; fault: string }[] = [
  { kind: "longhaul", fault: "lane:delay" },
  { kind: "longhaul with an encryptor", fault: "lane:delay" },
  { kind: "longhaul with an encryptor", fault: "encryptor:delay" },
  { kind: "longhaul with three encryptors", fault: "encryptor:delay" },
];
for (const { kind, fault } of DELAYS) {
  nodeTest(`hazard 38: ${fault} of 100 ms loses nothing (${kind})`, async (net) => {
    const { a, b } = await connectFaulty(net, [kind, kind], fault);
    const ends = { client: a.namespace, server: b.namespace, address: b.inner4 };
    await assertIperf({ ...ends, bytes: 48e6 });
    await assertIperf({ ...ends, bytes: 48e6, args: ["-R"] });
    // What arrives after a stall has to fit the receive buffer of iperf3's own socket.
    const paced = await iperf3({ ...ends, seconds: 3, args: ["-u", "-b", "2M", "-l", "600"] });
    assert(paced.packets > 1000, `${paced.packets} packets`);
    assertEquals(paced.lostPercent, 0);
    assertAlive(a, b);
    const began = [a, b].map(({ node }) => node.log().match(/began a handshake/g)?.length ?? 0);
    assertEquals(began, [1, 0], "no session was renewed for it");
  });
}
