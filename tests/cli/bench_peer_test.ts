/** `bench PEER` and `bench --serve` through tunnels between two namespaces. */
import { assert, assertEquals } from "@std/assert";
import { BENCH_PORT } from "../../src/bench/peer_protocol.ts";
import type { PeerBenchReport } from "../../src/bench/peer_report.ts";
import { requires } from "../requires.ts";
import { run } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import {
  asNobody,
  INNER_V4,
  longhaulAsNobody,
  makeSandbox,
  ROOTLESS_NEEDS,
  startRootless,
} from "../netns/rootless.ts";
import { newKeyPair } from "../netns/wg.ts";
import { command, Foreground, longhaul, writeConfig } from "./longhaul.ts";

const BUSY_PROGRAM = new URL("./bench_busy_program.ts", import.meta.url).pathname;
const PEER_ADDRESS = "10.9.0.2";
const SHORT = ["--seconds", "1", "--json"];

/** A tunnel from `near` to `far`, which `near` calls "laptop". */
interface Scene {
  readonly near: string;
  readonly far: string;
  readonly name: string;
  readonly peerKey: string;
}

async function startTunnel(net: Net): Promise<Scene> {
  const [near, far] = await net.twoHosts();
  const [nearKey, farKey] = [newKeyPair(), newKeyPair()];
  const name = net.interfaceName();
  const nearFile = writeConfig(
    net,
    name,
    `[Interface]
PrivateKey = ${nearKey.privateKey}
Address = 10.9.0.1/24
[Peer]
# friendly_name = laptop
PublicKey = ${farKey.publicKey}
AllowedIPs = 10.9.1.0/24, ${PEER_ADDRESS}/32
Endpoint = 192.0.2.2:10002
[Peer]
# friendly_name = exit
PublicKey = ${newKeyPair().publicKey}
AllowedIPs = 10.8.0.0/16
`,
  );
  const farFile = writeConfig(
    net,
    net.interfaceName(),
    `[Interface]
PrivateKey = ${farKey.privateKey}
ListenPort = 10002
Address = ${PEER_ADDRESS}/24
[Peer]
PublicKey = ${nearKey.publicKey}
AllowedIPs = 10.9.0.1/32
`,
  );
  await Foreground.up(net, near, nearFile);
  await Foreground.up(net, far, farFile);
  return { near, far, name, peerKey: farKey.publicKey };
}

async function serve(net: Net, namespace: string, ...more: string[]): Promise<Foreground> {
  const started = Foreground.start(net, namespace, command("bench", "--serve", ...more));
  await started.says(/serving on TCP port/);
  return started;
}

function assertFigures(text: string): PeerBenchReport {
  const report: PeerBenchReport = JSON.parse(text);
  for (const stream of [report.toPeer, report.fromPeer]) {
    assert(stream.bytes > 0 && stream.gigabitsPerSecond > 0 && stream.seconds > 0, text);
    assert(stream.roundTrip.count > 0, text);
  }
  const { p50Ms, p99Ms, count } = report.idle;
  assert(p50Ms > 0 && p50Ms <= p99Ms && count > 0, text);
  return report;
}

Deno.test({
  name: "bench measures a running tunnel to a peer named by name, key or address",
  ...requires("root", "tun", "ip", "nsenter", "wg"),
  async fn() {
    await using net = new Net();
    const { near, far, name, peerKey } = await startTunnel(net);
    const inNear = { namespace: near, timeoutMs: 60_000 };
    const server = await serve(net, far);
    for (const peer of ["laptop", peerKey, PEER_ADDRESS]) {
      const { code, stdout, stderr } = await longhaul(
        ["bench", peer, "-i", name, ...SHORT],
        inNear,
      );
      assertEquals([code, stderr], [0, ""], server.log);
      const report = assertFigures(stdout);
      assertEquals([report.interface, report.address], [name, PEER_ADDRESS]);
      assertEquals(report.peer, { name: "laptop", publicKey: peerKey });
    }
    const { stdout } = await longhaul(["bench", "laptop", "-i", name, "--seconds", "1"], inNear);
    assert(/idle.*\n.*to the peer.*Gbit\/s.*\n.*from the peer.*Gbit\/s/.test(stdout), stdout);
    assert(/receiving for 0.4 s\nsending for 0.4 s/.test(server.log), server.log);
    server.kill("SIGINT");
    assertEquals(await server.ended(), 130);
  },
});

Deno.test({
  name: "bench says what to run at the other end, and who it may have meant",
  ...requires("root", "tun", "ip", "nsenter", "wg", "unshare", "setpriv"),
  async fn() {
    await using net = new Net();
    const { near, far, name } = await startTunnel(net);
    const fails = async (args: string[], pattern: RegExp) => {
      const { code, stdout, stderr } = await longhaul(["bench", ...args], { namespace: near });
      assertEquals([code, stdout], [1, ""], stderr);
      assert(pattern.test(stderr), stderr);
    };
    await fails(["laptop", "-i", name], /On laptop run: longhaul bench --serve\./);
    await fails(["laptop", "-i", name, "--port", "5"], /bench --serve --port 5\..*= 5 in/);
    await fails(["laptap", "-i", name], /no peer.*laptap.*did you mean `laptop`/);
    await fails(["exit", "-i", name], /exit has no address of its own/);
    await fails(["10.1.1.1", "-i", name], /no peer `10.1.1.1`/);
    const server = await serve(net, far);
    const taken = await longhaul(["bench", "--serve"], { namespace: far });
    assertEquals(taken.code, 1);
    assert(/choose another port/.test(taken.stderr), taken.stderr);
    // Another user may not ask the tunnel who its peers are, but may use it.
    const sandbox = makeSandbox(net);
    const asUser = (...args: string[]) =>
      run(asNobody(sandbox, command("bench", ...args)), { namespace: near, mayFail: true });
    const named = await asUser("laptop");
    assertEquals(named.code, 1);
    assert(/may be asked by root|No tunnel runs/.test(named.stderr), named.stderr);
    const byAddress = await asUser(PEER_ADDRESS, ...SHORT);
    assertEquals(byAddress.code, 0, byAddress.stderr + server.log);
    assertEquals(assertFigures(byAddress.stdout).interface, null);
  },
});

Deno.test({
  name: "an address that is neither a tunnel's nor the loopback's is not served",
  ...requires("root", "tun", "ip", "nsenter", "wg", "unshare", "setpriv"),
  async fn() {
    await using net = new Net();
    const { near, far } = await startTunnel(net);
    const server = await serve(net, far);
    const argv = asNobody(makeSandbox(net), command("bench", "192.0.2.2", ...SHORT));
    const { code, stderr } = await run(argv, { namespace: near, mayFail: true });
    assertEquals(code, 1);
    assert(/does not speak this protocol/.test(stderr), stderr);
    await server.says(/refusing connections/);
  },
});

Deno.test({
  name:
    "a node without an interface serves its peers by LocalServices, and cannot be the other end",
  ...requires(...ROOTLESS_NEEDS, "wireguard-go"),
  async fn() {
    await using net = new Net();
    const scene = await startRootless(net, [`LocalServices = ${BENCH_PORT}`]);
    const server = Foreground.start(
      net,
      scene.home,
      asNobody(scene.sandbox, command("bench", "--serve")),
    );
    await server.says(/serving on TCP port/);
    const { code, stdout, stderr } = await longhaul(
      ["bench", INNER_V4, "-i", scene.kernel.name, ...SHORT],
      { namespace: scene.away, timeoutMs: 60_000 },
    );
    assertEquals([code, stderr], [0, ""], server.log);
    assertEquals(assertFigures(stdout).address, INNER_V4);
    const back = await longhaulAsNobody(scene, "bench", "10.77.0.2", "-i", scene.name);
    assertEquals(back.code, 1);
    assert(/runs without an interface/.test(back.stderr), back.stderr);
  },
});

Deno.test({
  name: "who comes while eight are measured is told so, and who says nothing holds up nobody",
  ...requires("root", "ip", "nsenter"),
  async fn() {
    await using net = new Net();
    const space = await net.namespace("busy");
    const server = await serve(net, space);
    const argv = [Deno.execPath(), "run", "-A", BUSY_PROGRAM];
    const { stdout } = await run(argv, { namespace: space, timeoutMs: 30_000 });
    assertEquals(stdout.trim(), [...Array(8).fill("ok"), "busy"].join(" "), server.log);
  },
});

Deno.test("bench refuses flags that do not go with what it is asked for", async () => {
  const cases = [
    ["a", "b"],
    ["--serve", "laptop"],
    ["--serve", "--json"],
    ["--port", "5"],
    ["laptop", "--port", "0"],
    ["laptop", "--port", "65536"],
    ["laptop", "--compare", "old.json"],
    ["--interface", "wg0"],
  ];
  for (const args of cases) {
    const { code, stderr } = await longhaul(["bench", ...args]);
    assertEquals(code, 2, `${args.join(" ")}: ${stderr}`);
  }
});
