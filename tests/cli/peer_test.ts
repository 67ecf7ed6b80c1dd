/** `peer add`, `peer remove`, `peer list`: in the file, in what runs, and at the other end. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { run } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { NodeProcess } from "../netns/node_process.ts";
import { assertNoPing, pingUntilAnswered } from "../netns/traffic.ts";
import { newKeyPair, parseDump, wg } from "../netns/wg.ts";
import { command, Foreground, longhaul, writeConfig } from "./longhaul.ts";

const NEEDS = ["root", "tun", "ip", "nsenter", "ping", "wg"];

/** Two namespaces, and a tunnel without peers that runs in the first one. */
class Scene {
  private constructor(
    readonly net: Net,
    readonly spaces: readonly [string, string],
    readonly name: string,
    readonly path: string,
    readonly head: string,
    readonly node: Foreground,
  ) {}

  static async start(net: Net, more: string[] = []): Promise<Scene> {
    const spaces = await net.twoHosts();
    await net.ip(spaces[0], ["route add default via 192.0.2.2"]);
    const name = net.interfaceName();
    const head = [
      "# by hand, and to stay",
      "[Interface]",
      `PrivateKey = ${newKeyPair().privateKey}   # secret`,
      "ListenPort = 10001",
      "",
      "Address = 10.9.0.1/24, fd09::1/64",
      ...more,
      "",
    ].join("\n");
    const path = writeConfig(net, name, head);
    return new Scene(net, spaces, name, path, head, await Foreground.up(net, spaces[0], path));
  }

  get text(): string {
    return Deno.readTextFileSync(this.path);
  }

  peer(...words: string[]): ReturnType<typeof longhaul> {
    return longhaul(["peer", ...words, "--interface", this.path], { namespace: this.spaces[0] });
  }

  /** A `peer` command that must work. */
  async done(...words: string[]): Promise<{ stdout: string; stderr: string }> {
    const result = await this.peer(...words);
    assertEquals(result.code, 0, result.stderr);
    return result;
  }

  async peers() {
    return parseDump((await wg(["show", this.name, "dump"])).stdout).peers;
  }
}

function peerTest(name: string, scenario: (scene: Scene) => Promise<void>): void {
  Deno.test({
    name,
    ...requires(...NEEDS),
    fn: async () => {
      await using net = new Net();
      await scenario(await Scene.start(net));
    },
  });
}

peerTest("what peer add prints is a working other end; peer remove ends it", async (scene) => {
  const { net, spaces, name } = scene;
  const { stdout, stderr } = await scene.done("add", "phone");
  assert(stderr.includes("and the running") && !stderr.includes("PrivateKey"), stderr);
  // Default route by the way: its address is private to nobody (192.0.2.0/24).
  assert(stdout.includes("Endpoint = 192.0.2.1:10001\nPersistentKeepalive = 25\n"), stdout);
  assert(stdout.includes("Address = 10.9.0.2/32, fd09::2/128\n"), stdout);
  assert(stdout.includes("AllowedIPs = 10.9.0.0/24, fd09::/64\n"), stdout);
  assert(!/[█▀▄]/.test(stdout), "no code where there is no terminal");
  const [peer] = await scene.peers();
  assertEquals(peer.allowedIps, ["10.9.0.2/32", "fd09::2/128"]);
  assert(peer.presharedKey !== null && stdout.includes(`PresharedKey = ${peer.presharedKey}\n`));
  assert(scene.text.startsWith(`${scene.head}\n[Peer]\n# friendly_name = phone\n`), scene.text);

  const other = writeConfig(net, net.interfaceName(), stdout);
  await Foreground.up(net, spaces[1], other);
  await pingUntilAnswered(spaces[1], "10.9.0.1");
  await pingUntilAnswered(spaces[0], "fd09::2");
  const list = JSON.parse((await scene.done("list", "--json")).stdout);
  assertEquals([list.interface, list.file, list.isUp], [name, scene.path, true]);
  const { latestHandshake, receivedBytes, sentBytes, endpoint, ...row } = list.peers[0];
  assert(latestHandshake > 1e9 && receivedBytes > 0 && sentBytes > 0);
  assert(endpoint.startsWith("192.0.2.2:"), endpoint);
  assertEquals(row, {
    name: "phone",
    publicKey: peer.publicKey,
    allowedIps: ["10.9.0.2/32", "fd09::2/128"],
    isRunning: true,
    isSaved: true,
  });
  const table = (await scene.done("list")).stdout.split("\n");
  assert(/^NAME +PUBLIC KEY +ALLOWED IPS/.test(table[0]) && /^phone +\S{44} /.test(table[1]));

  await scene.done("remove", "phone");
  assertEquals([scene.text, await scene.peers()], [scene.head, []]);
  await assertNoPing(spaces[1], "10.9.0.1");
  const log = scene.node.log;
  for (const secret of [/PrivateKey = (\S+)/, /PresharedKey = (\S+)/]) {
    assert(!log.includes(secret.exec(stdout)![1]), "no secret in the log");
  }
});

Deno.test({
  name: "the other end's AllowedIPs have what this node serves",
  ...requires(...NEEDS),
  fn: async () => {
    await using net = new Net();
    const scene = await Scene.start(net, ["", "[Longhaul]", "Serve = 192.168.7.0/24, ::/0"]);
    const { stdout } = await scene.done("add", "phone");
    const served = "AllowedIPs = 10.9.0.0/24, fd09::/64, 192.168.7.0/24, ::/0\n";
    assert(stdout.includes(served), stdout);
  },
});

peerTest("the next free address, prefixes behind a peer, its endpoint", async (scene) => {
  const { net } = scene;
  await scene.done("add", "one");
  const file = `${net.folder}/two.conf`;
  const said = await scene.done(
    ...["add", "two", "--allowed-ips", "192.168.5.0/24, 10.9.0.9/32", "--file", file],
    ...["--endpoint", "192.0.2.2:7777", "--endpoint-here", "home.example"],
  );
  assertEquals(said.stdout, "");
  assertEquals(Deno.lstatSync(file).mode! & 0o777, 0o600);
  const two = Deno.readTextFileSync(file);
  assert(two.includes("Address = 10.9.0.9/32, fd09::3/128\nListenPort = 7777\n"), two);
  assert(two.includes("Endpoint = home.example:10001\n"), two);
  assert(
    scene.text.endsWith("Endpoint = 192.0.2.2:7777\nPersistentKeepalive = 25\n"),
    scene.text,
  );
  const route = await run(["ip", "-n", scene.spaces[0], "route", "get", "192.168.5.1"]);
  assert(route.stdout.includes(`dev ${scene.name}`), route.stdout);
  await scene.done("remove", "one");
  assert(
    (await scene.done("add", "three")).stdout.includes("Address = 10.9.0.2/32, fd09::2/128\n"),
  );
  const key = (await scene.peers()).find((peer) => peer.endpoint === "192.0.2.2:7777")!.publicKey;
  await scene.done("remove", key);
  assertEquals((await scene.peers()).length, 1);
});

peerTest("--qr prints the code of the config alone", async (scene) => {
  const { stdout } = await scene.done("add", "phone", "--qr");
  const lines = stdout.trimEnd().split("\n");
  assert(lines.length > 20 && lines.every((line) => /^[█▀▄ ]+$/.test(line)), stdout);
});

peerTest("what cannot be meant or done leaves file and interface as they were", async (scene) => {
  const { net } = scene;
  await scene.done("add", "phone");
  const [text, peers] = [scene.text, await scene.peers()];
  const existing = `${net.folder}/exists.conf`;
  Deno.writeTextFileSync(existing, "mine");
  const cases: [string[], number, RegExp][] = [
    [["add", "phone"], 1, /a peer phone already/],
    [["add", ""], 2, /1 to 64 characters/],
    [["add", "a\nb"], 2, /1 to 64 characters/],
    [["add", "x", "--allowed-ips", "nonsense"], 2, /expected prefixes/],
    [["add", "x", "--allowed-ips", "10.9.0.2/32"], 1, /10\.9\.0\.2\/32 leads to phone already/],
    [["add", "x", "--endpoint", "nowhere"], 2, /--endpoint: expected a host and a port/],
    [["add", "x", "--file", existing], 1, /exists already/],
    [["add", "x", "--qr", "--file", "/tmp/y"], 2, /not both/],
    [["remove", "phne"], 1, /no peer `phne`; did you mean `phone`/],
    [["remove", newKeyPair().publicKey], 1, /There is no peer/],
    [["list", "x"], 2, /takes no words/],
  ];
  for (const [words, code, pattern] of cases) {
    const result = await scene.peer(...words);
    assertEquals([result.code, result.stdout], [code, ""], result.stderr);
    assert(pattern.test(result.stderr), `${pattern}: ${result.stderr}`);
    assertEquals(scene.text, text);
  }
  // The interface refuses: a route stands in the way.
  await net.ip(scene.spaces[0], ["route add 10.70.0.0/16 via 192.0.2.2"]);
  const refused = await scene.peer("add", "x", "--allowed-ips", "10.70.0.0/16");
  assert(refused.code === 1 && /refuses: Cannot route 10\.70/.test(refused.stderr), refused.stderr);
  assertEquals(refused.stdout, "", "no config for a peer that is not there");
  assertEquals([scene.text, await scene.peers()], [text, peers]);
  // A file that is broken is not made worse.
  Deno.writeTextFileSync(scene.path, text.replace("10.9.0.1/24", "10.9.0.1/240"));
  const broken = await scene.peer("add", "x");
  assert(broken.code === 1 && /:6:11: error: Address/.test(broken.stderr), broken.stderr);
});

peerTest("a peer whose config cannot be handed over is not there afterwards", async (scene) => {
  const before = scene.text;
  const nowhere = await scene.peer("add", "phone", "--file", `${scene.path}.d/phone.conf`);
  assertEquals(nowhere.code, 1);
  assert(nowhere.stderr.includes("removed again"), nowhere.stderr);
  const full = await run(
    ["sh", "-c", '"$@" >/dev/full', "sh", ...command("peer", "add", "phone", "-i", scene.path)],
    { namespace: scene.spaces[0], mayFail: true },
  );
  assertEquals(full.code, 1);
  assert(full.stderr.endsWith("ENOSPC (no space left on device)\n"), full.stderr);
  assertEquals([scene.text, await scene.peers()], [before, []]);
});

peerTest("peers that are added at the same time get addresses of their own", async (scene) => {
  const names = ["a", "b", "c", "d", "e"];
  await Promise.all(names.map((name) => scene.done("add", name)));
  const peers = await scene.peers();
  assertEquals(
    peers.flatMap((peer) => peer.allowedIps.filter((ip) => ip.includes("."))).sort(),
    ["10.9.0.2/32", "10.9.0.3/32", "10.9.0.4/32", "10.9.0.5/32", "10.9.0.6/32"],
  );
});

peerTest("a key pasted into the wrong place is not told", async (scene) => {
  const { privateKey } = newKeyPair();
  const cases = [
    ["reload", privateKey],
    ["show", privateKey],
    ["show", scene.name, privateKey],
    ["set", scene.name, privateKey],
    ["set", scene.name, "private-key", privateKey],
    ["set", scene.name, "peer", privateKey.slice(1)],
    ["setconf", scene.name, privateKey],
    ["peer", "remove", privateKey.slice(1), "-i", scene.path],
    ["peer", "remove", privateKey, "-i", scene.path],
    ["peer", "add", "x", "--endpoint", privateKey, "-i", scene.path],
    ["peer", "add", "x", "--endpoint-here", privateKey, "-i", scene.path],
    ["peer", "add", "x", "--allowed-ips", privateKey, "-i", scene.path],
    ["peer", "list", "-i", privateKey],
    ["up", "--mode", privateKey],
  ];
  for (const words of cases) {
    const { code, stdout, stderr } = await longhaul(words, { namespace: scene.spaces[0] });
    assert(code !== 0, words.join(" "));
    for (let at = 1; at + 16 < privateKey.length; at += 4) {
      assert(!(stdout + stderr).includes(privateKey.slice(at, at + 16)), `${words}: ${stderr}`);
    }
  }
});

Deno.test({
  name: "a file whose tunnel is not up, or is run by another program, is changed all the same",
  ...requires(...NEEDS, "wireguard-go"),
  async fn() {
    await using net = new Net();
    const space = await net.namespace("a");
    const name = net.interfaceName();
    const head = `[Interface]\nPrivateKey = ${newKeyPair().privateKey}\nListenPort = 11\n` +
      "Address = 10.9.0.1/24\n";
    const path = writeConfig(net, name, head);
    const options = { namespace: space };
    const add = (...words: string[]) =>
      longhaul(["peer", "add", ...words, "--interface", path], options);
    const down = await add("phone", "--endpoint-here", "[2001:db8::1]");
    assertEquals(down.code, 0, down.stderr);
    assert(down.stderr.includes(`${name} is not up`), down.stderr);
    assert(down.stdout.includes("Endpoint = [2001:db8::1]:11\n"), down.stdout);
    const node = await NodeProcess.start(net, "wireguard-go", space, { name });
    const other = await add("laptop");
    assertEquals(other.code, 0, other.stderr);
    assert(/and the running \S+ are changed/.test(other.stderr), other.stderr);
    assert(
      /no default route/.test(other.stderr) && !other.stdout.includes("Endpoint"),
      other.stderr,
    );
    assertEquals((await node.show()).peers.map((peer) => peer.allowedIps), [["10.9.0.3/32"]]);
    const remove = await longhaul(["peer", "remove", "laptop", "-i", path], options);
    assertEquals([remove.code, (await node.show()).peers.length], [0, 0], remove.stderr);
    // Routes follow as well, once the interface is up.
    await net.ip(space, [`link set ${name} up`]);
    const routes = async () =>
      (await run(["ip", "-n", space, "route", "show", "dev", name])).stdout.trim();
    const office = await add("office", "--allowed-ips", "192.168.9.0/24");
    assertEquals(office.code, 0, office.stderr);
    assert((await routes()).startsWith("192.168.9.0/24 "), await routes());
    await longhaul(["peer", "remove", "office", "-i", path], options);
    assertEquals(await routes(), "");
    assert(Deno.readTextFileSync(path).startsWith(head));
  },
});
