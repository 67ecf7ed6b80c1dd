/** `Lanes`, `up --lanes` and LONGHAUL_LANES on the real program. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { run } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { NodeProcess } from "../netns/node_process.ts";
import { pingUntilAnswered } from "../netns/traffic.ts";
import { newKeyPair } from "../netns/wg.ts";
import { requires } from "../requires.ts";
import { command, Foreground, longhaul, writeConfig } from "./longhaul.ts";

const NEEDS = ["root", "tun", "ip", "nsenter", "ping", "wg"];

/** How many lanes the node of an interface has, as `status` tells. */
async function laneCount(name: string): Promise<number> {
  const { stdout } = await longhaul(["status", name, "--json"]);
  return JSON.parse(stdout).interfaces[0].node.lanes.length;
}

Deno.test({
  name:
    "up with Lanes = 2 carries several peers, and a reload moves its port and changes its peers",
  ...requires(...NEEDS),
  async fn() {
    await using net = new Net();
    const home = await net.namespace("hub");
    const hubKey = newKeyPair();
    const spokes = [1, 2, 3].map((number) => ({
      number,
      key: newKeyPair(),
      name: net.interfaceName(),
    }));
    const hub = (port: number, peers: typeof spokes, lanes = 2) =>
      [
        "[Interface]",
        `PrivateKey = ${hubKey.privateKey}`,
        `ListenPort = ${port}`,
        "Address = 10.9.0.100/24",
        "[Longhaul]",
        `Lanes = ${lanes}`,
        ...peers.flatMap(({ number, key }) => [
          "[Peer]",
          `PublicKey = ${key.publicKey}`,
          `Endpoint = 192.0.2.${4 * number + 2}:20001`,
          `AllowedIPs = 10.9.${number}.1/32`,
        ]),
        "",
      ].join("\n");
    for (const { number, key, name } of spokes) {
      const away = await net.namespace(`s${number}`);
      await net.veth(
        { namespace: home, name: `eth${number}`, addresses: [`192.0.2.${4 * number + 1}/30`] },
        { namespace: away, name: "eth0", addresses: [`192.0.2.${4 * number + 2}/30`] },
      );
      const file = writeConfig(
        net,
        name,
        [
          "[Interface]",
          `PrivateKey = ${key.privateKey}`,
          "ListenPort = 20001",
          `Address = 10.9.${number}.1/32`,
          "[Peer]",
          `PublicKey = ${hubKey.publicKey}`,
          "AllowedIPs = 10.9.0.100/32",
          "",
        ].join("\n"),
      );
      await Foreground.up(net, away, file);
    }
    const name = net.interfaceName();
    const file = writeConfig(net, name, hub(10_001, spokes.slice(0, 2)));
    const up = await Foreground.up(net, home, file);
    assertEquals(await laneCount(name), 2);
    for (const { number } of spokes.slice(0, 2)) await pingUntilAnswered(home, `10.9.${number}.1`);

    writeConfig(net, name, hub(10_077, spokes.slice(1)));
    const reload = await longhaul(["reload", name]);
    assertEquals(reload.code, 0, reload.stderr);
    for (const { number } of spokes.slice(1)) await pingUntilAnswered(home, `10.9.${number}.1`);
    const open = Deno.readTextFileSync(`/proc/${up.child.pid}/net/udp`);
    assertEquals(open.split(":275D ").length - 1, 2, "each lane has a socket on the new port");
    assert(!open.includes(":2711 "), "and none on the old one");

    writeConfig(net, name, hub(10_077, spokes.slice(1), 3));
    const { stdout, stderr } = await longhaul(["reload", name]);
    assertMatch(stdout + stderr, /\[Longhaul\]/, "the number of lanes waits for the next up");
    const second = net.interfaceName();
    const other = writeConfig(net, second, hub(10_077, []));
    const refused = await run(command("up", other), { namespace: home, mayFail: true });
    assertEquals(refused.code, 1);
    assertMatch(refused.stderr, /UDP port 10077 is in use/);
    up.kill("SIGTERM");
    assertEquals(await up.ended(), 0);
  },
});

Deno.test({
  name: "with a userspace stack there is one lane, and up says so",
  ...requires("root", "tun", "ip", "nsenter", "wg"),
  async fn() {
    await using net = new Net();
    const space = await net.namespace("a");
    const name = net.interfaceName();
    const config = `[Interface]\nPrivateKey = ${newKeyPair().privateKey}\nAddress = 10.9.0.1/24\n`;
    const file = writeConfig(net, name, `${config}[Longhaul]\nMode = rootless\nLanes = 2\n`);
    const up = await Foreground.up(net, space, file);
    assertMatch(up.log, /one lane instead of 2: a userspace stack belongs to one lane/);
    assertEquals(await laneCount(name), 1);
  },
});

Deno.test("a number of lanes that is not possible is refused by name", async () => {
  for (const text of ["0", "17", "many"]) {
    const { code, stderr } = await longhaul(["up", "--lanes", text, "/nowhere.conf"]);
    assertEquals(code, 2);
    assertMatch(stderr, /--lanes must be auto or a number from 1 to 16/);
  }
});

Deno.test({
  name: "an interface that wg-quick makes gets lanes by LONGHAUL_LANES",
  ...requires(...NEEDS),
  async fn() {
    await using net = new Net();
    const space = await net.namespace("a");
    const node = await NodeProcess.start(net, "longhaul with two lanes", space);
    assertEquals(await laneCount(node.name), 2);
    const { stdout } = await run(["ip", "-n", space, "-d", "link", "show", node.name]);
    assertMatch(stdout, /multi_queue/);
    const single = await NodeProcess.start(net, "longhaul", space);
    assertEquals(await laneCount(single.name), 1);
  },
});
