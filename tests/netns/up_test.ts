/** `up`, `down` and `status`: a tunnel from configuration files, without `wg` or `ip`. */
import { assert, assertEquals } from "@std/assert";
import { run, type RunResult, waitFor } from "./command.ts";
import type { Net } from "./net.ts";
import { answers, deviceIn, LONGHAUL } from "./node_process.ts";
import { nodeTest } from "./pair.ts";
import { assertIperf, assertPing, pingUntilAnswered } from "./traffic.ts";
import { newKeyPair, newPresharedKey, wg } from "./wg.ts";

/** A tunnel kept up by `longhaul up FILE`, which stays in the foreground. */
class Tunnel {
  readonly name: string;
  readonly path: string;
  readonly child: Deno.ChildProcess;
  readonly #logPath: string;

  private constructor(name: string, path: string, child: Deno.ChildProcess, logPath: string) {
    this.name = name;
    this.path = path;
    this.child = child;
    this.#logPath = logPath;
  }

  static async up(net: Net, namespace: string, config: string): Promise<Tunnel> {
    const name = net.interfaceName();
    const path = `${net.folder}/${name}.conf`;
    await Deno.writeTextFile(path, config, { mode: 0o600 });
    const logPath = `${net.folder}/${name}.log`;
    const child = new Deno.Command("nsenter", {
      args: [
        ...[`--net=/var/run/netns/${namespace}`, "--", "sh", "-c"],
        ...['exec "$@" >>"$0" 2>&1 </dev/null', logPath, LONGHAUL, "up", path],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const tunnel = new Tunnel(name, path, child, logPath);
    let ended = false;
    child.status.then(() => ended = true);
    net.defer(async () => {
      if (!ended) child.kill("SIGKILL");
      await child.status;
    });
    await waitFor(`up ${name}`, 20_000, async () => ended || await answers(name));
    assert(!ended, `up has ended:\n${tunnel.log()}`);
    return tunnel;
  }

  log(): string {
    return Deno.readTextFileSync(this.#logPath);
  }
}

/** Runs another command of the program in `namespace`, as a user would. */
function longhaul(namespace: string, ...args: string[]): Promise<RunResult> {
  return run([LONGHAUL, ...args], { namespace, mayFail: true, timeoutMs: 20_000 });
}

async function joined(net: Net): Promise<[string, string]> {
  const [a, b] = [await net.namespace("a"), await net.namespace("b")];
  await net.veth(
    { namespace: a, name: "eth0", addresses: ["192.0.2.1/24"] },
    { namespace: b, name: "eth0", addresses: ["192.0.2.2/24"] },
  );
  return [a, b];
}

nodeTest("up, status and down carry a real tunnel from two files", async (net) => {
  const [spaceA, spaceB] = await joined(net);
  const [keyA, keyB, psk] = [newKeyPair(), newKeyPair(), newPresharedKey()];
  const a = await Tunnel.up(
    net,
    spaceA,
    `[Interface]
PrivateKey = ${keyA.privateKey}
ListenPort = 51820
Address = 10.20.0.1/24, fd20::1/64
MTU = 1380

[Peer]  # the other end
PublicKey = ${keyB.publicKey}
PresharedKey = ${psk}
AllowedIPs = 10.20.0.2/32, fd20::2/128
AllowedIPs = 10.21.0.0/16
Endpoint = 192.0.2.2:51820
PersistentKeepalive = 25
`,
  );
  const b = await Tunnel.up(
    net,
    spaceB,
    `[Interface]
PrivateKey = ${keyB.privateKey}
ListenPort = 51820
Address = 10.20.0.2/24
Address = fd20::2/64
[Peer]
PublicKey = ${keyA.publicKey}
PresharedKey = ${psk}
AllowedIPs = 10.20.0.1/32, fd20::1/128
`,
  );
  await pingUntilAnswered(spaceA, "10.20.0.2");
  await assertPing(spaceB, "fd20::1");
  await assertIperf({ client: spaceA, server: spaceB, address: "10.20.0.2" }, 10);
  const link = (await run(["ip", "-n", spaceA, "-o", "link", "show", a.name])).stdout;
  assert(link.includes("mtu 1380"), link);
  const route = (await run(["ip", "-n", spaceA, "route", "get", "10.21.3.4"])).stdout;
  assert(route.includes(a.name), route);

  const status = await longhaul(spaceA, "status");
  assertEquals(status.code, 0, status.stderr);
  for (const text of [a.name, keyB.publicKey, "192.0.2.2:51820"]) {
    assert(status.stdout.includes(text), `status lacks ${text}:\n${status.stdout}`);
  }
  for (const secret of [keyA.privateKey, keyB.privateKey, psk]) {
    assert(!status.stdout.includes(secret), "status shows a secret");
    assert(!a.log().includes(secret) && !b.log().includes(secret), "a secret is in the log");
  }
  assertEquals((await wg(["show", a.name, "public-key"])).stdout.trim(), keyA.publicKey);

  const down = await longhaul(spaceA, "down", a.name);
  assertEquals(down.code, 0, down.stderr);
  await waitFor("up has ended", 5000, async () => !await deviceIn(spaceA, a.name));
  assertEquals((await a.child.status).code, 0, a.log());
  assertEquals((await run(["ip", "-n", spaceA, "route", "show"])).stdout.includes("10.21."), false);
  b.child.kill("SIGINT");
  assertEquals((await b.child.status).code, 0, b.log());
  assert(!await deviceIn(spaceB, b.name));
});

nodeTest("up refuses a file with a mistake and names the line", async (net) => {
  const space = await net.namespace("a");
  const key = newKeyPair();
  const cases: [string, RegExp][] = [
    [`[Interface]\nPrivateKey = abc\n`, /:2|line 2/],
    [`[Interface]\nPrivateKey = ${key.privateKey}\nListenPort = 65536\n`, /:3|line 3/],
    [`[Interface]\nPrivateKey = ${key.privateKey}\nPrivatKey = 1\n`, /PrivateKey/],
    [`[Interface]\nPrivateKey = ${key.privateKey}\n[Peer]\nAllowedIPs = 10.0.0.0/8\n`, /PublicKey/],
  ];
  for (const [text, reason] of cases) {
    const name = net.interfaceName();
    const path = `${net.folder}/${name}.conf`;
    await Deno.writeTextFile(path, text, { mode: 0o600 });
    const { code, stdout, stderr } = await longhaul(space, "up", path);
    assertEquals(code, 1, stdout + stderr);
    assert(reason.test(stdout + stderr), `no ${reason} in: ${stdout}${stderr}`);
    assert(!await deviceIn(space, name), "nothing is left over");
  }
});

nodeTest("up of a missing file, and down of what is not up, fail with a reason", async (net) => {
  const space = await net.namespace("a");
  for (const args of [["up", "/nonexistent/lh.conf"], ["down", "lhnothere"]]) {
    const { code, stdout, stderr } = await longhaul(space, ...args);
    assertEquals(code, 1, args.join(" "));
    assert((stdout + stderr).includes(args[1].replace(/\.conf$/, "")), stdout + stderr);
  }
});

nodeTest("a tunnel can come up again at once after down", async (net) => {
  const space = await net.namespace("a");
  const config = `[Interface]\nPrivateKey = ${newKeyPair().privateKey}\nAddress = 10.30.0.1/24\n`;
  for (let round = 0; round < 3; round++) {
    const tunnel = await Tunnel.up(net, space, config);
    assertEquals((await longhaul(space, "down", tunnel.name)).code, 0);
    await tunnel.child.status;
    assert(!await deviceIn(space, tunnel.name));
  }
});
