/**
 * A peer that knows us by other addresses than our own (`NatAddress`): the kernel's TCP/IP at the other
 * end of the tunnel accepts no packet from our own addresses, and quotes the others in its errors.
 */
import { assert, assertEquals } from "@std/assert";
import { Foreground, writeConfig } from "../cli/longhaul.ts";
import { requires } from "../requires.ts";
import { run } from "./command.ts";
import { Net } from "./net.ts";
import { LONGHAUL, NodeProcess } from "./node_process.ts";
import {
  AWAY_V4,
  AWAY_V6,
  INNER_V4,
  INNER_V6,
  longhaulAsNobody,
  ROOTLESS_NEEDS,
  type RootlessScene,
  startRootless,
} from "./rootless.ts";
import { digestOf, program } from "./stream_program.ts";
import { assertIperf, assertNoPing, assertPing, pingUntilAnswered } from "./traffic.ts";
import { newKeyPair } from "./wg.ts";

const KNOWN_V4 = "10.109.0.7", KNOWN_V6 = "fd09::7";
const BOTH = [KNOWN_V4, KNOWN_V6] as const;

function rootlessNatTest(
  name: string,
  services: string,
  scenario: (scene: RootlessScene, net: Net) => Promise<void>,
  needs: readonly string[] = [],
): void {
  Deno.test({
    name: `without root: ${name}`,
    ...requires(...ROOTLESS_NEEDS, "wireguard-go", ...needs),
    fn: async () => {
      await using net = new Net();
      const scene = await startRootless(net, [services], { knownAs: BOTH });
      try {
        await scenario(scene, net);
      } catch (error) {
        throw new Error(scene.up.log, { cause: error });
      }
    },
  });
}

rootlessNatTest(
  "pings of any length are answered at the addresses that the peer knows",
  "LocalServices = 9000",
  async ({ away }) => {
    for (const address of BOTH) {
      await assertPing(away, address);
      await assertPing(away, address, { size: 8000 });
    }
  },
);

rootlessNatTest(
  "streams and datagrams arrive as they were, both ways",
  "LocalServices = 9000, 9001, udp:6000:127.0.0.1:6100",
  async ({ home, away }, net) => {
    const serve = async (...args: (string | number)[]) => {
      const server = Foreground.start(net, home, program(...args));
      await server.says(/listening/);
      return server;
    };
    const ask = (...args: (string | number)[]) =>
      run(program(...args), { namespace: away, timeoutMs: 60_000 });
    await serve("sum-server", 9000);
    await serve("echo-server", 6100);
    for (const address of BOTH) {
      const { stdout } = await ask("sum-client", address, 9000, 20e6);
      assert(stdout.includes(digestOf(20e6)), stdout);
      const echo = await ask("echo-client", address, 6000, 100);
      assertEquals(JSON.parse(echo.stdout), { code: "", answers: 100 });
      const server = await serve("give-server", 9001, 20e6);
      Foreground.start(net, away, program("give-client", address, 9001));
      await server.says(/"answer"/, 30_000);
      assert(server.log.includes(digestOf(20e6)), server.log);
      await server.ended();
    }
  },
);

rootlessNatTest(
  "iperf3 runs both ways in super-packets and in small segments",
  "LocalServices = 5201-5999, udp:5201-5999",
  async ({ home, away, up }) => {
    for (const address of BOTH) {
      const ends = { client: away, server: home, address };
      for (const args of [[], ["-R"], ["--bidir"], ["-M", "517", "-R"]]) {
        await assertIperf({ ...ends, seconds: 1, args }, 10);
      }
      await assertIperf({ ...ends, args: ["-u", "-b", "50M"] });
    }
    assert(!/error/i.test(up.log), up.log);
  },
  ["iperf3"],
);

rootlessNatTest(
  "what is refused is told in a way that the peer's programs understand",
  "LocalServices = udp:6001, 7000",
  async ({ away }) => {
    for (const address of BOTH) {
      for (const port of [6001, 6002]) await assertUdpRefused(away, address, port);
      for (const port of [7000, 7001]) {
        const { stdout } = await run(program("refused-client", address, port), { namespace: away });
        assertEquals(JSON.parse(stdout).code, "ECONNREFUSED");
      }
      const { stdout } = await run(["traceroute", "-n", "-w", "1", address], { namespace: away });
      assert(new RegExp(` 1 +${address} +[0-9.]+ ms`).test(stdout), stdout);
    }
  },
  ["bash", "traceroute"],
);

rootlessNatTest(
  "a reload changes the addresses by which the peer knows us",
  "LocalServices = 9000",
  async (scene) => {
    const { away, file, kernel, name, up } = scene;
    const { publicKey } = (await kernel.show()).peers[0];
    const allow = (...addresses: string[]) =>
      kernel.set("peer", publicKey, "allowed-ips", addresses.join(","));
    const other = "10.109.0.8";
    await scene.kernel.set("peer", publicKey, "allowed-ips", `${other},${INNER_V4},${KNOWN_V6}`);
    for (const address of [other, INNER_V4]) {
      await run(["ip", "-n", away, "route", "replace", address, "dev", kernel.name]);
    }
    const reload = async (addresses: string) => {
      const text = Deno.readTextFileSync(file);
      Deno.writeTextFileSync(file, text.replace(/^NatAddress.*$/m, addresses));
      const { code, stdout, stderr } = await longhaulAsNobody(scene, "reload", name);
      assertEquals(code, 0, stderr);
      assert(stdout.includes("other addresses by which peers know us"), stdout + up.log);
    };
    await reload(`NatAddress = ${other}, ${KNOWN_V6}`);
    await assertPing(away, other);
    await assertPing(away, KNOWN_V6);
    await allow(other, INNER_V4, INNER_V6);
    await reload("# NatAddress = none");
    await assertPing(away, INNER_V4);
    await assertPing(away, INNER_V6);
    await assertNoPing(away, other);
  },
);

interface TunScene {
  readonly net: Net;
  /** Ours, with an interface of the kernel, and a network behind it. */
  readonly home: string;
  readonly lan: string;
  /** The peer's, and a network behind it. */
  readonly away: string;
  readonly far: string;
  readonly up: Foreground;
}

const LAN_V4 = "10.50.0.2", LAN_V6 = "fd50::2";
const FAR_V4 = "10.60.0.2", FAR_V6 = "fd60::2";

/** `lan - home (up) - away (wireguard-go) - far`; the way to `far` has an MTU of 1300. */
async function startTun(net: Net): Promise<TunScene> {
  const spaces = ["lan", "home", "away", "far"].map((label) => net.namespace(label));
  const [lan, home, away, far] = await Promise.all(spaces);
  const join = (a: string, b: string, v4: string, v6: string, mtu = 1500) =>
    net.veth(
      { namespace: a, name: `to-${v4.split(".")[1]}`, addresses: [`${v4}1/24`, `${v6}1/64`], mtu },
      { namespace: b, name: "eth0", addresses: [`${v4}2/24`, `${v6}2/64`], mtu },
    );
  await join(home, lan, "10.50.0.", "fd50::");
  await join(away, far, "10.60.0.", "fd60::", 1300);
  await net.veth(
    { namespace: home, name: "outer", addresses: ["192.0.2.1/24"] },
    { namespace: away, name: "outer", addresses: ["192.0.2.2/24"] },
  );
  await net.forward(home);
  await net.forward(away);
  await net.ip(lan, ["route add default via 10.50.0.1", "route add ::/0 via fd50::1"]);
  await net.ip(far, ["route add default via 10.60.0.1", "route add ::/0 via fd60::1"]);
  const [homeKey, awayKey] = [newKeyPair(), newKeyPair()];
  const kernel = await NodeProcess.start(net, "wireguard-go", away);
  const allowedIps = [KNOWN_V4, KNOWN_V6, "10.50.0.0/24", "fd50::/64"];
  await kernel.configure({ privateKey: awayKey.privateKey, listenPort: 51_820 }, [
    { publicKey: homeKey.publicKey, allowedIps },
  ]);
  await net.ip(away, [
    `address add ${AWAY_V4}/24 dev ${kernel.name}`,
    `address add ${AWAY_V6}/64 dev ${kernel.name} nodad`,
    `link set ${kernel.name} up mtu 1420`,
    ...allowedIps.map((prefix) => `route add ${prefix} dev ${kernel.name}`),
  ]);
  const name = net.interfaceName();
  const file = writeConfig(
    net,
    name,
    `[Interface]
PrivateKey = ${homeKey.privateKey}
Address = ${INNER_V4}/24, ${INNER_V6}/64
MTU = 1420

[Peer]
PublicKey = ${awayKey.publicKey}
AllowedIPs = ${AWAY_V4}/32, ${AWAY_V6}/128, 10.60.0.0/24, fd60::/64
Endpoint = 192.0.2.2:51820
PersistentKeepalive = 1
NatAddress = ${BOTH.join(", ")}
`,
  );
  const up = Foreground.start(net, home, [LONGHAUL, "up", file]);
  await up.says(/ is up, UDP port /);
  await pingUntilAnswered(away, KNOWN_V4);
  return { net, home, lan, away, far, up };
}

function tunNatTest(
  name: string,
  scenario: (scene: TunScene) => Promise<void>,
  needs: readonly string[] = [],
): void {
  Deno.test({
    name: `with an interface: ${name}`,
    ...requires("root", "tun", "ip", "nsenter", "ping", "wg", "wireguard-go", ...needs),
    fn: async () => {
      await using net = new Net();
      const scene = await startTun(net);
      try {
        await scenario(scene);
      } catch (error) {
        throw new Error(scene.up.log, { cause: error });
      }
    },
  });
}

tunNatTest("both ends reach each other, and what is behind them", async (scene) => {
  const { home, lan, away, far } = scene;
  for (const address of BOTH) await assertPing(away, address, { size: 4000 });
  for (const address of [AWAY_V4, AWAY_V6, FAR_V4]) await assertPing(home, address, { size: 4000 });
  await assertPing(home, FAR_V6);
  for (const address of [LAN_V4, LAN_V6]) await assertPing(far, address);
  for (const address of [FAR_V4, FAR_V6]) await assertPing(lan, address);
});

tunNatTest("iperf3 runs both ways, whoever begins", async ({ home, away, far }) => {
  for (const args of [[], ["-R"], ["--bidir"], ["-u", "-b", "50M"]]) {
    for (const address of BOTH) {
      await assertIperf({ client: away, server: home, address, seconds: 1, args }, 10);
    }
    for (const address of [AWAY_V4, AWAY_V6]) {
      await assertIperf({ client: home, server: away, address, seconds: 1, args }, 10);
    }
  }
  // Its path MTU is told by ICMP, which quotes the address that the peer knows.
  for (const address of [FAR_V4, FAR_V6]) {
    await assertIperf({ client: home, server: far, address, bytes: 4e6 }, 1);
  }
}, ["iperf3"]);

tunNatTest("errors of both ends and of what is behind find the flow", async (scene) => {
  const { home, away, lan } = scene;
  for (const address of [AWAY_V4, AWAY_V6, FAR_V4, FAR_V6]) {
    await assertUdpRefused(home, address, 6000);
  }
  for (const address of [...BOTH, LAN_V4, LAN_V6]) await assertUdpRefused(away, address, 6000);
  const hops = async (namespace: string, address: string) => {
    const argv = ["traceroute", "-n", "-w", "1", "-q", "1", address];
    const { stdout } = await run(argv, { namespace });
    return [...stdout.matchAll(/^ *\d+ +(\S+) /gm)].map((match) => match[1]);
  };
  assertEquals(await hops(home, FAR_V4), [AWAY_V4, FAR_V4]);
  assertEquals(await hops(home, FAR_V6), [AWAY_V6, FAR_V6]);
  assertEquals(await hops(away, LAN_V4), [KNOWN_V4, LAN_V4]);
  assertEquals(await hops(away, LAN_V6), [KNOWN_V6, LAN_V6]);
  assertEquals(await hops(lan, FAR_V4), ["10.50.0.1", AWAY_V4, FAR_V4]);
}, ["bash", "traceroute"]);

/** Asserts that a second datagram cannot be sent because the first was answered by ICMP. */
async function assertUdpRefused(namespace: string, address: string, port: number): Promise<void> {
  const script = `exec 3<>/dev/udp/${address}/${port}; for i in $(seq 50); do
    echo x >&3 || exit 7; sleep 0.1; done`;
  const { code, stderr } = await run(["bash", "-c", script], { namespace, mayFail: true });
  assertEquals(code, 7, stderr);
  assert(stderr.includes("Connection refused"), stderr);
}
