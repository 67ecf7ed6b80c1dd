/** A node that any user may start, with a kernel's TCP/IP at the other end of the tunnel. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { command, Foreground } from "../cli/longhaul.ts";
import { run, waitFor } from "./command.ts";
import { Net } from "./net.ts";
import {
  asNobody,
  INNER_V4,
  INNER_V6,
  longhaulAsNobody,
  makeSandbox,
  ROOTLESS_NEEDS,
  type RootlessScene,
  startRootless,
} from "./rootless.ts";
import { digestOf, program } from "./stream_program.ts";
import { assertPing, iperf3 } from "./traffic.ts";

/** Registers a test with a rootless node that has these lines in its `[Longhaul]` section. */
function rootlessTest(
  name: string,
  longhaul: readonly string[],
  scenario: (scene: RootlessScene, net: Net) => Promise<void>,
  needs: readonly string[] = [],
): void {
  Deno.test({
    name,
    ...requires(...ROOTLESS_NEEDS, "wireguard-go", ...needs),
    fn: async () => {
      await using net = new Net();
      const scene = await startRootless(net, longhaul);
      try {
        await scenario(scene, net);
      } catch (error) {
        throw new Error(scene.up.log, { cause: error });
      }
    },
  });
}

rootlessTest(
  "a user without rights gets a node that answers pings, and is told why",
  [],
  async (scene) => {
    const { up, away, name } = scene;
    assert(/rootless \(this user lacks CAP_NET_ADMIN\)/.test(up.log), up.log);
    for (const address of [INNER_V4, INNER_V6]) {
      await assertPing(away, address);
      await assertPing(away, address, { size: 8000 });
    }
    const status = await longhaulAsNobody(scene, "status", name, "--json");
    assertEquals(status.code, 0, status.stderr);
    const [device] = JSON.parse(status.stdout).interfaces;
    assertEquals(device.name, name);
    const down = await longhaulAsNobody(scene, "down", name);
    assertEquals(down.code, 0, down.stderr);
    assertEquals(await up.ended(), 0);
  },
);

Deno.test({
  name: "a new user with a fresh copy of the project and nothing else brings up a tunnel",
  ...requires(...ROOTLESS_NEEDS, "wireguard-go"),
  async fn() {
    await using net = new Net();
    const scene = await startRootless(net, [], { mode: "rootless", freshCopy: true });
    assert(/rootless: a userspace stack answers at/.test(scene.up.log), scene.up.log);
    await assertPing(scene.away, INNER_V4);
    scene.up.kill("SIGTERM");
    assertEquals(await scene.up.ended(), 0);
  },
});

rootlessTest(
  "a second node of the same name is refused, and an interface offers the other mode",
  [],
  async (scene) => {
    const { file } = scene;
    const again = await longhaulAsNobody(scene, "up", file);
    assertEquals(again.code, 1);
    assert(again.stderr.includes("is up already"), again.stderr);
    const other = file.replace(/[^/]+$/, "lhother.conf");
    await Deno.copyFile(file, other);
    await Deno.chown(other, 65534, 65534);
    const tun = await longhaulAsNobody(scene, "up", other, "--mode", "tun");
    assertEquals(tun.code, 1);
    assert(/CAP_NET_ADMIN.*up --mode rootless/s.test(tun.stderr), tun.stderr);
    const wrong = await longhaulAsNobody(scene, "up", other, "--mode", "bridge");
    assertEquals([wrong.code, /--mode takes one of auto, tun, rootless/.test(wrong.stderr)], [
      2,
      true,
    ]);
  },
);

rootlessTest("a node that is asked to stop in a transfer ends at once and resets its flows", [
  "LocalServices = 5201-5999",
], async ({ up, home, away, kernel }) => {
  const transfer = iperf3({ client: away, server: home, address: INNER_V4, seconds: 20 });
  await waitFor("the transfer runs", 5000, async () => {
    return (await kernel.show()).peers[0].sentBytes > 20e6;
  });
  up.kill("SIGTERM");
  assertEquals(await up.ended(3000), 0);
  await transfer.then(() => assert(false, "it cannot go on"), () => {});
}, ["iperf3"]);

rootlessTest("a reload changes the local services of a running node", [
  "LocalServices = 9000",
], async (scene, net) => {
  const { home, away, file, name } = scene;
  const ask = async (port: number) => {
    const { stdout } = await run(program("sum-client", INNER_V4, port, 5000), { namespace: away });
    return stdout.includes(digestOf(5000));
  };
  const server = Foreground.start(net, home, program("sum-server", 9000));
  await server.says(/listening/);
  assert(await ask(9000) && !await ask(9001));
  const text = Deno.readTextFileSync(file);
  Deno.writeTextFileSync(file, text.replace("= 9000", "= 9001:127.0.0.1:9000"));
  const { code, stdout, stderr } = await longhaulAsNobody(scene, "reload", name);
  assertEquals(code, 0, stderr);
  assert(stdout.includes("other services"), stdout);
  assert(await ask(9001) && !await ask(9000));
});

Deno.test({
  name: "a user without rights and without a config gets keys, a node and the way to go on",
  ...requires(...ROOTLESS_NEEDS),
  async fn() {
    await using net = new Net();
    const sandbox = makeSandbox(net);
    const namespace = await net.namespace("first");
    const up = Foreground.start(net, namespace, asNobody(sandbox, command("up")));
    await up.says(/ is up, UDP port [^]* reload longhaul0\n/);
    assert(/rootless/.test(up.log), up.log);
    up.kill("SIGTERM");
    assertEquals(await up.ended(), 0);
  },
});

Deno.test({
  name: "when descriptors run out new flows wait, old ones and the tunnel go on",
  ...requires(...ROOTLESS_NEEDS, "wireguard-go"),
  async fn() {
    await using net = new Net();
    const services = ["LocalServices = 9000"];
    const { home, away, up } = await startRootless(net, services, { openFiles: 128 });
    const server = Foreground.start(net, home, program("sum-server", 9000));
    await server.says(/listening/);
    const { stdout } = await run(program("many-client", INNER_V4, 9000, 200), { namespace: away });
    const { connected, answered } = JSON.parse(stdout);
    assert(connected >= 20 && connected < 128, stdout);
    assertEquals(answered, connected, "every flow that was made works");
    await assertPing(away, INNER_V4);
    const again = await run(program("sum-client", INNER_V4, 9000, 1000), { namespace: away });
    assert(again.stdout.includes(digestOf(1000)), again.stdout + up.log);
  },
});
