/** `longhaul INTERFACE`: what programs written for wireguard-go rely on. */
import { assert, assertEquals } from "@std/assert";
import { closeFd } from "../../ffi/descriptor.ts";
import { openNamespace, withNamespace } from "../../ffi/netns.ts";
import { environmentList } from "../../ffi/environment.ts";
import { pollExit, spawnProcess } from "../../ffi/process.ts";
import { openTun } from "../../ffi/tun.ts";
import { listenUnix } from "../../ffi/unix_socket.ts";
import { requires } from "../requires.ts";
import { inNamespace, run, type RunResult, waitFor } from "../netns/command.ts";
import { addAddress, Net } from "../netns/net.ts";
import { answers, deviceIn, LONGHAUL } from "../netns/node_process.ts";
import { assertPing, pingUntilAnswered } from "../netns/traffic.ts";
import { configText, newKeyPair, wg } from "../netns/wg.ts";
import { Foreground, hasSocket, socketPath } from "./longhaul.ts";

const TOOLS = ["root", "tun", "ip", "nsenter", "wg", LONGHAUL];

function interfaceTest(
  name: string,
  scenario: (net: Net, space: string) => Promise<void>,
  ...more: string[]
): void {
  Deno.test({
    name,
    ...requires(...TOOLS, ...more),
    fn: async () => {
      await using net = new Net();
      await scenario(net, await net.namespace("a"));
    },
  });
}

/** The environment of every start: this Deno, and what the test wants. */
function environment(more: Record<string, string> = {}): Record<string, string> {
  return { LONGHAUL_DENO: Deno.execPath(), ...more };
}

/** `longhaul NAME`, which returns while its copy goes on in the background. */
function start(
  space: string,
  name: string,
  env: Record<string, string> = {},
): Promise<RunResult> {
  return run([LONGHAUL, name], { namespace: space, env: environment(env), mayFail: true });
}

/** Waits until nothing is left of an interface. */
async function gone(space: string, name: string): Promise<void> {
  await waitFor(`${name} and its socket are gone`, 8000, async () => {
    return !hasSocket(name) && !await deviceIn(space, name);
  });
}

interfaceTest("it returns when interface and socket exist, silently", async (net, space) => {
  const name = net.interfaceName();
  const { code, stdout, stderr } = await start(space, name);
  assertEquals([code, stdout, stderr], [0, "", ""]);
  assertEquals([await deviceIn(space, name), await answers(name)], [true, true]);
  assert((await wg(["show", name])).stdout.startsWith(`interface: ${name}\n`));
  assertEquals(Deno.lstatSync(socketPath(name)).mode! & 0o077, 0, "for root alone");
  Deno.removeSync(socketPath(name));
  await gone(space, name);
});

interfaceTest(
  "a new interface has the MTU that fits every path of 1,500 bytes",
  async (net, space) => {
    const name = net.interfaceName();
    assertEquals((await start(space, name)).code, 0);
    const { stdout } = await run(["ip", "-j", "link", "show", name], { namespace: space });
    assertEquals(JSON.parse(stdout)[0].mtu, 1420);
    Deno.removeSync(socketPath(name));
    await gone(space, name);
  },
);

interfaceTest(
  "offloads are switched off by LONGHAUL_OFFLOAD, and wrong words told",
  async (net, space) => {
    const name = net.interfaceName();
    const wrong = await start(space, name, { LONGHAUL_OFFLOAD: "no-udp-gso no-tun-gsx" });
    assertEquals(wrong.code, 2);
    assert(
      wrong.stderr.includes('"no-tun-gsx" is not one of no-udp-gso, no-udp-gro'),
      wrong.stderr,
    );
    const all = "no-udp-gso,no-udp-gro,no-tun-tso,no-tun-uso,no-tun-gro";
    assertEquals((await start(space, name, { LONGHAUL_OFFLOAD: all })).code, 0);
    Deno.removeSync(socketPath(name));
    await gone(space, name);
  },
);

interfaceTest(
  "a socket that is removed while it still starts ends it cleanly",
  async (net, space) => {
    const name = net.interfaceName();
    const node = Foreground.start(net, space, [LONGHAUL, "-f", name], environment());
    await waitFor(`${name} has a socket`, 10_000, () => hasSocket(name));
    Deno.removeSync(socketPath(name));
    assertEquals([await node.ended(), node.log], [0, ""]);
    await gone(space, name);
  },
);

interfaceTest("it ends when the interface is deleted", async (net, space) => {
  const name = net.interfaceName();
  assertEquals((await start(space, name)).code, 0);
  await net.ip(space, [`link set ${name} up`, `link del ${name}`]);
  await gone(space, name);
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  interfaceTest(`${signal} ends it with exit code 0`, async (net, space) => {
    const name = net.interfaceName();
    const node = Foreground.start(net, space, [LONGHAUL, "-f", name], environment());
    await waitFor(`${name} answers`, 10_000, () => answers(name));
    node.kill(signal);
    assertEquals([await node.ended(), node.log], [0, ""]);
    await gone(space, name);
  });
}

interfaceTest(
  "WG_PROCESS_FOREGROUND=1 is -f, and LOG_LEVEL says how much is told",
  async (net, space) => {
    for (
      const [level, pattern] of [["verbose", /^DEBUG: \(.*packet cipher/m], [
        "silent",
        /^$/,
      ]] as const
    ) {
      const name = net.interfaceName();
      const env = environment({ WG_PROCESS_FOREGROUND: "1", LOG_LEVEL: level });
      const node = Foreground.start(net, space, [LONGHAUL, name], env);
      await waitFor(`${name} answers`, 10_000, () => answers(name));
      await net.ip(space, [`link set ${name} up`]);
      if (level === "verbose") await node.says(/listening on UDP port/);
      node.kill("SIGTERM");
      assertEquals(await node.ended(), 0);
      assert(pattern.test(node.log), node.log);
    }
  },
);

interfaceTest(
  "a second one of that name fails with exit code 1 and says why",
  async (net, space) => {
    const name = net.interfaceName();
    assertEquals((await start(space, name)).code, 0);
    const same = await start(space, name);
    assertEquals(same.code, 1);
    assert(same.stderr.includes(`The interface ${name} is in use by another program`), same.stderr);
    // In another namespace the interface is free, but the control socket is not.
    const elsewhere = await net.namespace("b");
    const other = await start(elsewhere, name);
    assertEquals([other.code, await deviceIn(elsewhere, name)], [1, false]);
    assert(other.stderr.includes("Another program is listening there"), other.stderr);
    assert(await answers(name), "the first one goes on");
  },
);

interfaceTest("a stale socket is replaced after SIGKILL", async (net, space) => {
  const name = net.interfaceName();
  const node = Foreground.start(net, space, [LONGHAUL, "-f", name], environment());
  await waitFor(`${name} answers`, 10_000, () => answers(name));
  node.kill("SIGKILL");
  await node.child.status;
  assertEquals([hasSocket(name), await answers(name)], [true, false]);
  assertEquals([(await start(space, name)).code, await answers(name)], [0, true]);
});

interfaceTest(
  "without CAP_NET_ADMIN it fails with exit code 1 and says what to do",
  async (net, space) => {
    const name = net.interfaceName();
    const { code, stderr } = await run(
      ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", LONGHAUL, name],
      { namespace: space, env: environment(), mayFail: true },
    );
    assertEquals(code, 1);
    assert(stderr.includes("Run as root or with CAP_NET_ADMIN"), stderr);
    assert(stderr.includes("up --mode rootless"), stderr);
  },
  "setpriv",
);

interfaceTest(
  "without /dev/net/tun it fails with exit code 1 and says what to do",
  async (net, space) => {
    const name = net.interfaceName();
    const hide = 'mount -t tmpfs none /dev/net && exec "$@"';
    const { code, stderr } = await run(
      ["unshare", "--mount", "sh", "-c", hide, "sh", LONGHAUL, name],
      { namespace: space, env: environment(), mayFail: true },
    );
    assertEquals(code, 1);
    assert(stderr.includes("modprobe tun"), stderr);
    assert(stderr.includes("up --mode rootless"), stderr);
  },
  "unshare",
  "mount",
);

for (const args of [["-f"], []]) {
  const where = args.length === 1 ? "with -f" : "through the background";
  interfaceTest(`WG_TUN_FD and WG_UAPI_FD are taken over ${where}`, async (net, space) => {
    const name = net.interfaceName();
    const namespaceFd = openNamespace(`/var/run/netns/${space}`);
    const tun = withNamespace(namespaceFd, () => openTun({ name }));
    closeFd(namespaceFd);
    Deno.mkdirSync("/var/run/wireguard", { recursive: true });
    const listener = listenUnix(socketPath(name));
    // Numbers that the background copy would use for itself are taken, too.
    const tunFd = 9, uapiFd = 10;
    const [program, ...rest] = inNamespace([LONGHAUL, ...args, name], space);
    const pid = spawnProcess({
      program,
      args: rest,
      environment: [
        ...environmentList(),
        `LONGHAUL_DENO=${Deno.execPath()}`,
        `WG_TUN_FD=${tunFd}`,
        `WG_UAPI_FD=${uapiFd}`,
      ],
      descriptors: [[tun.fd, tunFd], [listener, uapiFd]],
    });
    closeFd(tun.fd);
    closeFd(listener);
    let exit = pollExit(pid);
    const ended = () => {
      exit ??= pollExit(pid);
      return exit !== undefined;
    };
    if (args.length === 0) {
      await waitFor("the starter returns", 10_000, ended);
      assertEquals(exit, { code: 0, signal: 0 });
    }
    assert((await wg(["show", name])).stdout.startsWith(`interface: ${name}\n`));
    Deno.removeSync(socketPath(name));
    await gone(space, name);
    await waitFor("the program has ended", 5000, ended);
    assertEquals(exit, { code: 0, signal: 0 });
  });
}

interfaceTest("a WG_TUN_FD that is not open, or no TUN, is refused", async (net, space) => {
  const name = net.interfaceName();
  const closed = await start(space, name, { WG_TUN_FD: "77" });
  assertEquals(closed.code, 1);
  assert(closed.stderr.includes("file descriptor 77 was to be passed on"), closed.stderr);
  const wrong = await start(space, name, { WG_TUN_FD: "0" });
  assertEquals(wrong.code, 1);
  assert(wrong.stderr.includes("File descriptor 0 is not an open TUN interface"), wrong.stderr);
  const text = await start(space, name, { WG_TUN_FD: "x" });
  assertEquals(text.code, 2);
  assert(text.stderr.includes('WG_TUN_FD must be a whole number, not "x"'), text.stderr);
});

interfaceTest(
  "an interface moved away at once works, its sockets stay behind",
  async (net, outside) => {
    const keys = [newKeyPair(), newKeyPair()];
    const names = [net.interfaceName(), net.interfaceName()];
    const inside = [await net.namespace("b"), await net.namespace("c")];
    for (const i of [0, 1]) {
      assertEquals((await start(outside, names[i])).code, 0);
      await net.ip(outside, [`link set ${names[i]} netns ${inside[i]}`]);
    }
    for (const i of [0, 1]) {
      const path = `${net.folder}/${names[i]}.conf`;
      const peer = {
        publicKey: keys[1 - i].publicKey,
        endpoint: `127.0.0.1:${20_002 - i}`,
        allowedIps: [`10.9.0.${2 - i}/32`],
      };
      const device = { privateKey: keys[i].privateKey, listenPort: 20_001 + i };
      Deno.writeTextFileSync(path, configText(device, [peer]));
      await wg(["setconf", names[i], path]);
      await net.ip(inside[i], [
        addAddress(names[i], `10.9.0.${i + 1}/24`),
        `link set ${names[i]} up`,
      ]);
    }
    // The other end may be up a moment later; a lost handshake is tried again after five seconds.
    await pingUntilAnswered(inside[0], "10.9.0.2", 15_000);
    await assertPing(inside[1], "10.9.0.1");
  },
  "ping",
);

interfaceTest(
  "wg-quick up and down use it",
  async (net, space) => {
    const peerSpace = await net.namespace("b");
    await net.veth(
      { namespace: space, name: "eth0", addresses: ["192.0.2.1/24"] },
      { namespace: peerSpace, name: "eth0", addresses: ["192.0.2.2/24"] },
    );
    const keys = [newKeyPair(), newKeyPair()];
    const sides = [space, peerSpace].map((namespace, i) => {
      const path = `${net.folder}/${net.interfaceName()}.conf`;
      const lines = [
        "[Interface]",
        `PrivateKey = ${keys[i].privateKey}`,
        `ListenPort = ${10_001 + i}`,
        `Address = 10.9.0.${i + 1}/24, fd09::${i + 1}/64`,
        "[Peer]",
        `PublicKey = ${keys[1 - i].publicKey}`,
        `Endpoint = 192.0.2.${2 - i}:${10_002 - i}`,
        `AllowedIPs = 10.9.0.${2 - i}/32, fd09::${2 - i}/128`,
      ];
      Deno.writeTextFileSync(path, lines.join("\n") + "\n", { mode: 0o600 });
      return { namespace, path, name: path.slice(path.lastIndexOf("/") + 1, -".conf".length) };
    });
    // Its first choice is the kernel's own WireGuard, which some machines have.
    const noKernel =
      'ip() { case "$*" in *"type wireguard"*) return 1;; esac; command ip "$@"; }; ' +
      'export -f ip; exec "$@"';
    const quick = (how: string, { namespace, path }: typeof sides[number]) =>
      run(["bash", "-c", noKernel, "bash", "wg-quick", how, path], {
        namespace,
        env: environment({ WG_QUICK_USERSPACE_IMPLEMENTATION: LONGHAUL }),
      });
    for (const side of sides) await quick("up", side);
    await assertPing(space, "10.9.0.2", { count: 3, waitMs: 5000 });
    await assertPing(peerSpace, "fd09::1");
    for (const side of sides) {
      assert(hasSocket(side.name), "Longhaul runs it");
      await quick("down", side);
      await gone(side.namespace, side.name);
    }
  },
  "ping",
  "wg-quick",
  "bash",
);
