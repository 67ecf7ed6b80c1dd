/** `up`, `down` and `status`: a tunnel with nothing but this program. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { run, waitFor } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { deviceIn, memoryOf } from "../netns/node_process.ts";
import { assertPing, pingUntilAnswered } from "../netns/traffic.ts";
import { type KeyPair, newKeyPair, newPresharedKey, wg } from "../netns/wg.ts";
import { command, Foreground, hasSocket, longhaul, socketPath, writeConfig } from "./longhaul.ts";

const NEEDS = requires("root", "tun", "ip", "nsenter", "ping", "wg");

/** Two namespaces with a wire between them, and a name, a key and a config's head for each side. */
interface Ends {
  readonly spaces: readonly [string, string];
  readonly names: readonly [string, string];
  readonly keys: readonly [KeyPair, KeyPair];
}

async function ends(net: Net, mtu = 1500): Promise<Ends> {
  const spaces = [await net.namespace("a"), await net.namespace("b")] as const;
  await net.veth(
    { namespace: spaces[0], name: "eth0", addresses: ["192.0.2.1/24", "2001:db8::1/64"], mtu },
    { namespace: spaces[1], name: "eth0", addresses: ["192.0.2.2/24", "2001:db8::2/64"], mtu },
  );
  const names = [net.interfaceName(), net.interfaceName()] as const;
  return { spaces, names, keys: [newKeyPair(), newKeyPair()] };
}

/** The config of side 0 or 1; its peer is the other one. `more` are lines of `[Interface]`. */
function config(ends: Ends, side: 0 | 1, more: string[] = [], peerLines?: string[]): string {
  const other = side === 0 ? 1 : 0;
  const allowed = `10.9.0.${other + 1}/32, fd09::${other + 1}/128`;
  return [
    "[Interface]",
    `PrivateKey = ${ends.keys[side].privateKey}`,
    `ListenPort = ${10_001 + side}`,
    `Address = 10.9.0.${side + 1}/24, fd09::${side + 1}/64`,
    ...more,
    "[Peer]",
    `PublicKey = ${ends.keys[other].publicKey}`,
    ...(peerLines ??
      [`Endpoint = 192.0.2.${other + 1}:${10_001 + other}`, `AllowedIPs = ${allowed}`]),
    "",
  ].join("\n");
}

function upTest(name: string, scenario: (net: Net) => Promise<void>, more: string[] = []): void {
  Deno.test({
    name,
    ...(more.length === 0
      ? NEEDS
      : requires("root", "tun", "ip", "nsenter", "ping", "wg", ...more)),
    fn: async () => {
      await using net = new Net();
      await scenario(net);
    },
  });
}

upTest("two configs make a tunnel, status shows it, down ends it", async (net) => {
  const e = await ends(net);
  const files = [0, 1].map((side) => writeConfig(net, e.names[side], config(e, side as 0 | 1)));
  const [a, b] = await Promise.all([
    Foreground.up(net, e.spaces[0], files[0]),
    Foreground.up(net, e.spaces[1], files[1]),
  ]);
  assert(a.log.includes(`${e.names[0]} is up, UDP port 10001, MTU 1420`), a.log);
  assert(a.log.includes(`public key ${e.keys[0].publicKey}`), a.log);
  await pingUntilAnswered(e.spaces[0], "10.9.0.2");
  await assertPing(e.spaces[1], "fd09::1", { size: 1420 - 48, whole: true });

  const shown = await longhaul(["status", e.names[0]]);
  assertEquals([shown.code, shown.stderr], [0, ""]);
  const lines = shown.stdout.split("\n");
  const missing = (await wg(["show", e.names[0]])).stdout.split("\n")
    .filter((line) => !lines.includes(line));
  assertEquals(missing, [], "status tells what wg tells, and more");
  const json = JSON.parse((await longhaul(["status", "--json", e.names[0]])).stdout);
  const { node, ...device } = json.interfaces[0];
  assertEquals([node.mtu, node.offloads["udp-gro"]], [1420, "on"]);
  const { latestHandshake, receivedBytes, sentBytes, ...peer } = device.peers[0];
  delete peer.receivedBytesPerSecond;
  delete peer.sentBytesPerSecond;
  assert(latestHandshake > 1e9 && receivedBytes > 1000 && sentBytes > 1000, json);
  assertEquals({ ...device, peers: [peer] }, {
    name: e.names[0],
    publicKey: e.keys[0].publicKey,
    listenPort: 10_001,
    fwmark: 0,
    peers: [{
      publicKey: e.keys[1].publicKey,
      hasPresharedKey: false,
      endpoint: "192.0.2.2:10002",
      allowedIps: ["10.9.0.2/32", "fd09::2/128"],
      persistentKeepalive: 0,
      friendlyName: null,
    }],
  });
  const all = (await longhaul(["status"])).stdout;
  for (const name of e.names) assert(all.includes(`interface: ${name}\n`), all);

  const down = await longhaul(["down", e.names[0]], { namespace: e.spaces[0] });
  assertEquals([down.code, down.stdout, down.stderr], [0, "", ""]);
  assertEquals([hasSocket(e.names[0]), await deviceIn(e.spaces[0], e.names[0])], [false, false]);
  // By the config's path, from another namespace.
  assertEquals((await longhaul(["down", files[1]])).code, 0);
  assertEquals(await deviceIn(e.spaces[1], e.names[1]), false);
  assertEquals([await a.ended(), await b.ended()], [0, 0]);
});

upTest("a preshared key, an IPv6 endpoint and a keepalive are obeyed", async (net) => {
  const e = await ends(net);
  const psk = `PresharedKey = ${newPresharedKey()}`;
  const peer = (n: number, more: string[]) => [`AllowedIPs = 10.9.0.${n}/32`, psk, ...more];
  const toB = ["Endpoint = [2001:db8::2]:10002", "PersistentKeepalive = 7"];
  const files = [
    writeConfig(net, e.names[0], config(e, 0, [], peer(2, toB))),
    writeConfig(net, e.names[1], config(e, 1, [], peer(1, []))),
  ];
  await Foreground.up(net, e.spaces[1], files[1]);
  const a = await Foreground.up(net, e.spaces[0], files[0]);
  await pingUntilAnswered(e.spaces[1], "10.9.0.1");
  const { stdout } = await longhaul(["status", e.names[0]]);
  assert(stdout.includes("persistent keepalive: every 7 seconds"), stdout);
  assert(stdout.includes("preshared key: (hidden)"), stdout);
  for (const secret of [e.keys[0].privateKey, psk.slice(15)]) {
    assert(!(stdout + a.log).includes(secret), "no secret is shown");
  }
});

upTest("the options of [Longhaul] reach the node", async (net) => {
  const e = await ends(net);
  const lines = [
    "[Longhaul]",
    "Encryptors = 1",
    "SocketBuffer = 1M",
    "Offload = no-udp-gso, no-udp-gro, no-tun-tso, no-tun-gro",
  ];
  const files = [
    writeConfig(net, e.names[0], config(e, 0, lines)),
    writeConfig(net, e.names[1], config(e, 1, lines)),
  ];
  const [a, b] = await Promise.all([
    Foreground.up(net, e.spaces[0], files[0]),
    Foreground.up(net, e.spaces[1], files[1], {}, ["--encryptors", "2"]),
  ]);
  await pingUntilAnswered(e.spaces[0], "10.9.0.2");
  // Lane and encryptors; the flag comes before the file.
  assertEquals([a, b].map(workersOf), [2, 3]);
  const { code, stderr } = await longhaul(["up", "--encryptors", "17", files[0]]);
  assertEquals(code, 2);
  assert(stderr.includes('--encryptors must be auto or a number from 0 to 16, not "17"'), stderr);
});

/** The number of worker threads of a program. */
function workersOf({ child }: Foreground): number {
  return [...Deno.readDirSync(`/proc/${child.pid}/task`)]
    .map(({ name }) => Deno.readTextFileSync(`/proc/${child.pid}/task/${name}/comm`))
    .filter((name) => name.startsWith("worker-")).length;
}

upTest("SIGTERM takes away interface, addresses, routes of every table and socket", async (net) => {
  const e = await ends(net);
  const file = writeConfig(net, e.names[0], config(e, 0, ["Table = 4242"]));
  const a = await Foreground.up(net, e.spaces[0], file);
  const routes = async () => {
    const options = { mayFail: true };
    const v4 = await run(["ip", "-n", e.spaces[0], "route", "show", "table", "4242"], options);
    const v6 = await run(
      ["ip", "-n", e.spaces[0], "-6", "route", "show", "table", "4242"],
      options,
    );
    return v4.stdout + v6.stdout;
  };
  const before = await routes();
  assert(before.includes("10.9.0.2 dev") && before.includes("fd09::2 dev"), before);
  a.kill("SIGTERM");
  assertEquals(await a.ended(), 0);
  assertEquals([await routes(), hasSocket(e.names[0])], ["", false]);
  assertEquals(await deviceIn(e.spaces[0], e.names[0]), false);
});

upTest("routes follow Table: main by default, none with off", async (net) => {
  const e = await ends(net);
  const peer = ["AllowedIPs = 10.9.0.2/32, 10.50.0.0/16, 198.51.100.0/24"];
  const show = async (space: string, name: string) =>
    (await run(["ip", "-n", space, "route", "show", "dev", name])).stdout;
  await Foreground.up(net, e.spaces[0], writeConfig(net, e.names[0], config(e, 0, [], peer)));
  const main = await show(e.spaces[0], e.names[0]);
  for (const prefix of ["10.9.0.0/24", "10.50.0.0/16", "198.51.100.0/24"]) {
    assert(main.includes(`${prefix} `), main);
  }
  assert(!main.includes("10.9.0.2 "), "the network of the address covers it");
  const file = writeConfig(net, e.names[1], config(e, 1, ["Table = off"], peer));
  await Foreground.up(net, e.spaces[1], file);
  const off = await show(e.spaces[1], e.names[1]);
  assert(off.startsWith("10.9.0.0/24 ") && off.trimEnd().split("\n").length === 1, off);
});

upTest("the MTU is that of the way to the endpoint less 80, or the config's", async (net) => {
  const e = await ends(net, 1400);
  const a = await Foreground.up(net, e.spaces[0], writeConfig(net, e.names[0], config(e, 0)));
  assert(a.log.includes("MTU 1320,"), a.log);
  const file = writeConfig(net, e.names[1], config(e, 1, ["MTU = 1333"]));
  const b = await Foreground.up(net, e.spaces[1], file);
  assert(b.log.includes("MTU 1333,"), b.log);
  const { stdout } = await run(["ip", "-n", e.spaces[1], "link", "show", e.names[1]]);
  assert(stdout.includes("mtu 1333 "), stdout);
});

upTest(
  "hazards 1, 5: every fault of a file is told with its place, and nothing is touched",
  async (net) => {
    const e = await ends(net);
    const text = config(e, 0, ["ListenPort = 65536", "Adress = 10.0.0.1/24"]);
    const file = writeConfig(net, e.names[0], text);
    const { code, stderr } = await longhaul(["up", file], { namespace: e.spaces[0] });
    assertEquals(code, 1);
    assert(stderr.includes(`${file}:5:14: error: ListenPort: `), stderr);
    assert(stderr.includes(`${file}:6:1: error: unknown key \`Adress\``), stderr);
    assert(stderr.includes("did you mean `Address`?"), stderr);
    assert(!stderr.includes(e.keys[0].privateKey), "no secret in an error");
    assertEquals([hasSocket(e.names[0]), await deviceIn(e.spaces[0], e.names[0])], [false, false]);
  },
);

upTest("hazard 7: a file that others can read is a warning", async (net) => {
  const e = await ends(net);
  const file = writeConfig(net, e.names[0], config(e, 0));
  Deno.chmodSync(file, 0o644);
  const a = await Foreground.up(net, e.spaces[0], file);
  assert(/warning: .* can be read by every user.*chmod 600/.test(a.log), a.log);
});

upTest("a port in use is told before anything is changed", async (net) => {
  const e = await ends(net);
  await Foreground.up(net, e.spaces[0], writeConfig(net, e.names[0], config(e, 0)));
  const file = writeConfig(net, e.names[1], config(e, 0, ["Address = 10.8.0.1/24"]));
  const { code, stderr } = await longhaul(["up", file], { namespace: e.spaces[0] });
  assertEquals(code, 1);
  assert(stderr.includes("UDP port 10001 is in use by another program"), stderr);
  assertEquals([hasSocket(e.names[1]), await deviceIn(e.spaces[0], e.names[1])], [false, false]);
});

upTest("an interface that is up already, or is another's, is left alone", async (net) => {
  const e = await ends(net);
  const file = writeConfig(net, e.names[0], config(e, 0));
  await Foreground.up(net, e.spaces[0], file);
  const again = await longhaul(["up", file], { namespace: e.spaces[0] });
  assertEquals(again.code, 1);
  assert(again.stderr.includes(`${e.names[0]} is up already`), again.stderr);
  await net.ip(e.spaces[1], [`link add ${e.names[1]} type veth peer name other`]);
  const other = await longhaul(["up", writeConfig(net, e.names[1], config(e, 1))], {
    namespace: e.spaces[1],
  });
  assertEquals(other.code, 1);
  assert(other.stderr.includes(`There is an interface ${e.names[1]} already`), other.stderr);
  const down = await longhaul(["down", e.names[1]], { namespace: e.spaces[1] });
  assert(down.code === 1 && down.stderr.includes("of another kind"), down.stderr);
});

upTest("a route that exists already undoes the start", async (net) => {
  const e = await ends(net);
  await net.ip(e.spaces[0], ["route add 10.50.0.0/16 via 192.0.2.2"]);
  const file = writeConfig(net, e.names[0], config(e, 0, [], ["AllowedIPs = 10.50.0.0/16"]));
  const { code, stderr } = await longhaul(["up", file], { namespace: e.spaces[0] });
  assertEquals(code, 1);
  assert(stderr.includes("Cannot route 10.50.0.0/16 (there is a route already)"), stderr);
  assertEquals([hasSocket(e.names[0]), await deviceIn(e.spaces[0], e.names[0])], [false, false]);
});

upTest(
  "hazard 6: an endpoint whose name appears later is found, and told in the log",
  async (net) => {
    const e = await ends(net);
    const hosts = `${net.folder}/hosts`;
    Deno.writeTextFileSync(hosts, "127.0.0.1 localhost\n");
    await Foreground.up(net, e.spaces[1], writeConfig(net, e.names[1], config(e, 1)));
    const peer = ["Endpoint = far.example:10002", "AllowedIPs = 10.9.0.2/32, fd09::2/128"];
    const file = writeConfig(net, e.names[0], config(e, 0, [], peer));
    // Its own view of /etc: this hosts file, and no name server.
    const script = 'mount --bind "$0" /etc/hosts && mount --bind /dev/null /etc/resolv.conf && ' +
      'exec "$@"';
    const a = Foreground.start(net, e.spaces[0], [
      ...["unshare", "--mount", "sh", "-c", script, hosts],
      ...command("up", file),
    ]);
    await a.says(/ is up, UDP port /);
    assert(/cannot resolve far\.example: .*; trying again in 1 s/.test(a.log), a.log);
    Deno.writeTextFileSync(hosts, "127.0.0.1 localhost\n192.0.2.2 far.example\n");
    await a.says(/far\.example is at 192\.0\.2\.2:10002/);
    await pingUntilAnswered(e.spaces[0], "10.9.0.2");
  },
  ["unshare", "mount"],
);

upTest("hazard 9: 130,560 routes come up within bounds, and go again", async (net) => {
  const e = await ends(net);
  const ips = Array.from({ length: 130_560 }, (_, i) => {
    return `10.${100 + (i >> 16)}.${i >> 8 & 255}.${i & 255}`;
  });
  const file = writeConfig(net, e.names[0], config(e, 0, [], [`AllowedIPs = ${ips.join(", ")}`]));
  const a = Foreground.start(net, e.spaces[0], command("up", file));
  await a.says(/ is up, UDP port /, 60_000);
  const megabytes = memoryOf(a.child.pid, "VmHWM") / 2 ** 20;
  assert(megabytes < 800, `${megabytes} MiB`);
  const count = async () =>
    (await run(["ip", "-n", e.spaces[0], "route", "show"])).stdout.split("\n")
      .filter((line) => line.startsWith("10.10")).length;
  assertEquals(await count(), ips.length);
  a.kill("SIGINT");
  assertEquals([await a.ended(), await count()], [0, 0]);
});

upTest("down removes a stale socket and says that nothing runs", async (net) => {
  const name = net.interfaceName();
  Deno.listen({ transport: "unix", path: socketPath(name) }).close();
  // Deno removes the file of a listener that it closes.
  if (!hasSocket(name)) await leaveStaleSocket(name);
  const { code, stderr } = await longhaul(["down", name]);
  assertEquals(code, 1);
  assert(
    stderr.includes(`Nothing runs as ${name}, and its stale control socket is removed`),
    stderr,
  );
  assertEquals(hasSocket(name), false);
  const again = await longhaul(["down", name]);
  assertEquals([again.code, again.stderr], [1, `longhaul: Nothing runs as ${name}\n`]);
  const status = await longhaul(["status", name]);
  assertEquals([status.code, status.stderr], [1, `longhaul: Nothing runs as ${name}\n`]);
});

/** Leaves a socket's file that nobody listens at, as a killed program does. */
async function leaveStaleSocket(name: string): Promise<void> {
  const script = "const { path } = JSON.parse(Deno.args[0]);" +
    "Deno.listen({ transport: 'unix', path }); Deno.kill(Deno.pid, 'SIGKILL');";
  await run([Deno.execPath(), "eval", script, JSON.stringify({ path: socketPath(name) })], {
    mayFail: true,
  });
  await waitFor("the stale socket", 5000, () => hasSocket(name));
}
