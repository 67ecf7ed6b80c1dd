/**
 * Start, stop and failure as `wireguard-go` does them, which wg-quick and the test suites of other
 * programs rely on.
 */
import { assert, assertEquals } from "@std/assert";
import { run, type RunResult, waitFor } from "./command.ts";
import type { Net } from "./net.ts";
import {
  answers,
  deviceIn,
  IS_LONGHAUL,
  LONGHAUL,
  NodeProcess,
  processTree,
} from "./node_process.ts";
import { connect, connectUp, LONGHAUL_PAIR, nodeTest, OWN_PAIRS, pairTest } from "./pair.ts";
import { assertPing, iperf3 } from "./traffic.ts";
import { newKeyPair, wg } from "./wg.ts";

const SOCKETS = "/var/run/wireguard";

/** Runs the program as a shell would, until it returns to the prompt. */
function start(
  net: Net,
  namespace: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<RunResult> {
  // A program in the background keeps its output open: a file instead of a pipe.
  const log = `${net.folder}/start.log`;
  return run(["sh", "-c", 'exec "$@" >>"$0" 2>&1', log, LONGHAUL, ...args], {
    namespace,
    env,
    mayFail: true,
    timeoutMs: 20_000,
  });
}

/** The processes in the background whose control socket is that of `name`. */
async function daemonsIn(namespace: string): Promise<number[]> {
  const { stdout } = await run(["ip", "netns", "pids", namespace]);
  return stdout.split("\n").filter((line) => line !== "").map(Number);
}

async function gone(name: string, namespace: string): Promise<void> {
  await waitFor(
    `${name} and its socket are gone`,
    6000,
    async () => !exists(`${SOCKETS}/${name}.sock`) && !await deviceIn(namespace, name),
  );
  await waitFor(
    "the process has ended",
    6000,
    async () => (await daemonsIn(namespace)).length === 0,
  );
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

nodeTest("PROGRAM IF returns once interface and socket exist, and goes on behind", async (net) => {
  const space = await net.namespace("a");
  const name = net.interfaceName();
  const { code } = await start(net, space, [name]);
  assertEquals(code, 0);
  // No waiting: both must be there at this moment.
  assert(await answers(name), "the control socket answers");
  assert(await deviceIn(space, name), "the interface exists");
  await wg(["show", name]);
  assertEquals((await daemonsIn(space)).length >= 1, true);
  const mode = Deno.statSync(`${SOCKETS}/${name}.sock`).mode ?? 0;
  assertEquals(mode & 0o077, 0, "nobody else may use the socket");
  Deno.removeSync(`${SOCKETS}/${name}.sock`);
  await gone(name, space);
});

for (const flag of ["-f", "--foreground"]) {
  nodeTest(`PROGRAM ${flag} IF stays, SIGTERM ends it`, async (net) => {
    const space = await net.namespace("a");
    const name = net.interfaceName();
    const child = new Deno.Command("nsenter", {
      args: [`--net=/var/run/netns/${space}`, LONGHAUL, flag, name],
      env: { LOG_LEVEL: "error" },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    await waitFor("the node is up", 20_000, () => answers(name));
    child.kill("SIGTERM");
    assertEquals((await child.status).code, 0);
    await gone(name, space);
  });
}

nodeTest("WG_PROCESS_FOREGROUND=1 stays as -f does", async (net) => {
  const space = await net.namespace("a");
  const name = net.interfaceName();
  const child = new Deno.Command("nsenter", {
    args: [`--net=/var/run/netns/${space}`, LONGHAUL, name],
    env: { WG_PROCESS_FOREGROUND: "1", LOG_LEVEL: "silent" },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  let ended = false;
  child.status.then(() => ended = true);
  await waitFor("the node is up", 20_000, () => answers(name));
  assert(!ended && processTree(child.pid).length >= 1, "it runs in the foreground");
  child.kill("SIGINT");
  assertEquals((await child.status).code, 0);
  await gone(name, space);
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  pairTest(`${signal} in a transfer ends the program within a bound`, OWN_PAIRS, async (
    net,
    kinds,
  ) => {
    const { a, b } = await connectUp(net, kinds);
    // Nobody waits for its end: it ends with its namespace.
    iperf3({ client: a.namespace, server: b.namespace, address: b.inner4, seconds: 5 });
    await waitFor("traffic", 5000, () => a.node.deviceCounters().sentPackets > 200);
    a.node.kill(signal);
    const status = await a.node.ended(3000);
    assertEquals(status.code, 0, a.node.log());
    assert(!exists(`${SOCKETS}/${a.node.name}.sock`), "the socket is removed");
    assert(!await deviceIn(a.namespace, a.node.name), "the interface is removed");
  });
}

pairTest("the program ends when its socket is removed", OWN_PAIRS, async (net, kinds) => {
  const { a } = await connectUp(net, kinds);
  Deno.removeSync(`${SOCKETS}/${a.node.name}.sock`);
  assertEquals((await a.node.ended(5000)).code, 0, a.node.log());
  assert(!await deviceIn(a.namespace, a.node.name));
});

pairTest("the program ends when its interface is removed", OWN_PAIRS, async (net, kinds) => {
  const { a } = await connectUp(net, kinds);
  await net.ip(a.namespace, [`link del ${a.node.name}`]);
  assertEquals((await a.node.ended(5000)).code, 0, a.node.log());
  assert(!exists(`${SOCKETS}/${a.node.name}.sock`));
});

nodeTest("a stale socket is replaced", async (net) => {
  const space = await net.namespace("a");
  const node = await NodeProcess.start(net, "longhaul", space);
  node.kill("SIGKILL");
  await node.ended(3000);
  assert(exists(`${SOCKETS}/${node.name}.sock`), "SIGKILL leaves the socket behind");
  const again = await NodeProcess.start(net, "longhaul", space, { name: node.name });
  const key = newKeyPair();
  await again.set("private-key", await again.secretFile(key.privateKey));
  assertEquals((await again.show()).publicKey, key.publicKey);
});

nodeTest("a live socket is refused with EADDRINUSE, and its owner goes on", async (net) => {
  const space = await net.namespace("a");
  const other = await net.namespace("b");
  const node = await NodeProcess.start(net, "longhaul", space);
  for (const where of [space, other]) {
    for (const args of [["-f", node.name], [node.name]]) {
      const { code } = await start(net, where, args, { LOG_LEVEL: "error" });
      assert(code !== 0, `a second ${args.join(" ")} must fail`);
      assert(await deviceIn(where, node.name) === (where === space), "no interface is left over");
    }
  }
  const log = Deno.readTextFileSync(`${net.folder}/start.log`);
  assert(/in use|EADDRINUSE|busy/i.test(log), `the reason is told: ${log}`);
  assertEquals((await node.show()).peers, []);
  assert(node.exit === null);
});

nodeTest("a name that is none, or no argument, is refused with a reason", async (net) => {
  const space = await net.namespace("a");
  for (const args of [[], ["-f"], ["-f", "name-of-16-chars"], ["-f", "a/b"]]) {
    const { code } = await start(net, space, args);
    assert(code !== 0, `${args.join(" ")} must fail`);
  }
  assert(Deno.readTextFileSync(`${net.folder}/start.log`).length > 20);
  assertEquals(await daemonsIn(space), []);
});

nodeTest("LOG_LEVEL=silent prints nothing, verbose tells what happens", async (net) => {
  const space = await net.namespace("a");
  const quiet = await NodeProcess.start(net, "longhaul", space, { env: { LOG_LEVEL: "silent" } });
  const loud = await NodeProcess.start(net, "longhaul", space, { env: { LOG_LEVEL: "verbose" } });
  for (const node of [quiet, loud]) {
    await node.set("private-key", await node.secretFile(newKeyPair().privateKey));
    await node.stop();
  }
  // The shell that starts Deno through npm may print lines of its own.
  const lines = quiet.log().split("\n").filter((line) => line !== "" && !line.startsWith("npm "));
  assertEquals(lines, []);
  assert(loud.log().split("\n").length > 2, loud.log());
});

nodeTest("keys appear in no log", async (net) => {
  const space = await net.namespace("a");
  const node = await NodeProcess.start(net, "longhaul", space);
  const [own, peer] = [newKeyPair(), newKeyPair()];
  const psk = peer.privateKey;
  await node.configure({ privateKey: own.privateKey, listenPort: 12_345 }, [
    { publicKey: peer.publicKey, presharedKey: psk, allowedIps: ["10.0.0.0/8"] },
  ]);
  await node.stop();
  for (const secret of [own.privateKey, psk]) {
    assert(!node.log().includes(secret.slice(0, 20)), "a secret is in the log");
    const hex = [...atob(secret)].map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join(
      "",
    );
    assert(!node.log().includes(hex.slice(0, 20)), "a secret is in the log, in hex");
  }
});

pairTest("a program killed in mid-traffic is replaced by a restart", [LONGHAUL_PAIR], async (
  net,
  kinds,
) => {
  const { a, b } = await connectUp(net, kinds);
  a.node.kill("SIGKILL");
  await a.node.ended(3000);
  const again = await NodeProcess.start(net, kinds[0], a.namespace, { name: a.node.name });
  await again.configure({ privateKey: a.key.privateKey, listenPort: a.port }, [
    {
      publicKey: b.key.publicKey,
      endpoint: `192.0.2.2:${b.port}`,
      allowedIps: [`${b.inner4}/32`],
    },
  ]);
  await net.ip(a.namespace, [
    `address add ${a.inner4}/24 dev ${again.name}`,
    `link set ${again.name} up`,
  ]);
  await assertPing(a.namespace, b.inner4, { count: 3, waitMs: 8000 });
});

nodeTest("wg-quick brings an interface up with this program and down again", async (net) => {
  const space = await net.namespace("a");
  const name = net.interfaceName();
  const key = newKeyPair();
  const peer = newKeyPair();
  const path = `${net.folder}/${name}.conf`;
  await Deno.writeTextFile(
    path,
    `[Interface]\nPrivateKey = ${key.privateKey}\nAddress = 10.4.0.1/24, fd04::1/64\nMTU = 1400\n` +
      `[Peer]\nPublicKey = ${peer.publicKey}\nAllowedIPs = 10.44.0.0/16, fd44::/32\n`,
    { mode: 0o600 },
  );
  // LOG_LEVEL unset, so that nothing in the background keeps a pipe of wg-quick open.
  const env = { WG_QUICK_USERSPACE_IMPLEMENTATION: LONGHAUL, LOG_LEVEL: "" };
  const log = `${net.folder}/quick.log`;
  const quick = (what: string) =>
    run(["sh", "-c", 'exec "$@" >>"$0" 2>&1', log, "wg-quick", what, path], {
      namespace: space,
      env,
      mayFail: true,
      timeoutMs: 20_000,
    });
  const up = await quick("up");
  assertEquals(up.code, 0, Deno.readTextFileSync(log));
  assertEquals((await wg(["show", name, "public-key"])).stdout.trim(), key.publicKey);
  const { stdout } = await run(["ip", "-n", space, "-o", "address", "show", "dev", name]);
  assert(stdout.includes("10.4.0.1/24") && stdout.includes("fd04::1/64"), stdout);
  const routes = (await run(["ip", "-n", space, "route"])).stdout;
  assert(routes.includes("10.44.0.0/16"), routes);
  assertEquals((await quick("down")).code, 0, Deno.readTextFileSync(log));
  await gone(name, space);
}, ["wg-quick"]);

if (IS_LONGHAUL) {
  for (const fault of ["lane:crash", "lane:hang", "encryptor:crash", "encryptor:hang"]) {
    nodeTest(`a worker's end (${fault}) ends the program with a reason and a code`, async (net) => {
      const kind = "longhaul with an encryptor" as const;
      const pair = await connect(net, ["longhaul", kind], {
        env: { LONGHAUL_TEST: "1", LONGHAUL_TEST_FAULT: fault },
      });
      const node = pair.b.node;
      const deadline = performance.now() + 20_000;
      while (node.exit === null && performance.now() < deadline) {
        await run(["ping", "-c", "5", "-i", "0.01", "-W", "0.2", pair.a.inner4], {
          namespace: pair.b.namespace,
          mayFail: true,
        });
      }
      const status = await node.ended(1000);
      assert(status.code !== 0 && status.signal === null, `code ${status.code}`);
      // A lane that waits for a hung encryptor hangs as well.
      assert(/ERROR.*(lane|encryptor)/.test(node.log()), `the reason is told: ${node.log()}`);
    });
  }
}
