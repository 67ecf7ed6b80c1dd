/**
 * `service install` and `remove`. systemd itself does not run where tests do: its own tools judge the
 * units, and a tunnel is started by the unit's command line with what the unit would give it.
 */
import { assert, assertEquals } from "@std/assert";
import { VERSION } from "../../src/base/version.ts";
import { requires } from "../requires.ts";
import { run, waitFor } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { pingUntilAnswered } from "../netns/traffic.ts";
import { newKeyPair } from "../netns/wg.ts";
import { DatagramListener } from "../daemon/datagram_listener.ts";
import { Foreground, longhaul, writeConfig } from "./longhaul.ts";
import { twoTunnels } from "./two_tunnels.ts";

const LIBRARY = `/usr/local/lib/longhaul/${VERSION}`;
const UNITS = "etc/systemd/system";
const MAIN = new URL("../../main.ts", import.meta.url).pathname;

/** The head of a config with a fresh key, and what is to stand behind it. */
function config(more = ""): string {
  return `[Interface]\nPrivateKey = ${newKeyPair().privateKey}\n${more}`;
}

/** A folder that stands for `/` of another machine, with one config in it. */
function stage(net: Net, name: string, text: string): { root: string; file: string } {
  const root = `${net.folder}/root`;
  Deno.mkdirSync(`${root}/etc/wireguard`, { recursive: true });
  const file = `${root}/etc/wireguard/${name}.conf`;
  Deno.writeTextFileSync(file, text, { mode: 0o600 });
  return { root, file };
}

async function service(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await longhaul(["service", ...args], { timeoutMs: 60_000 });
  assertEquals([code, stderr], [0, ""], stdout);
  return stdout;
}

/** All files and links below a folder. */
function filesBelow(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory ? filesBelow(path) : [path];
  });
}

Deno.test({
  name: "install writes program, modules and units, the copy needs neither home nor network, " +
    "and remove takes everything away",
  ...requires("root", "ip", "nsenter", "systemctl", "unshare"),
  async fn() {
    await using net = new Net();
    const { root, file } = stage(net, "wg0", config());
    const before = filesBelow(root);
    const told = await service("install", file, "--root-dir", root);
    assert(told.startsWith("longhaul@wg0, sandboxed: "), told);
    assertEquals(
      Deno.readLinkSync(`${root}/${UNITS}/multi-user.target.wants/longhaul@wg0.service`),
      "/etc/systemd/system/longhaul@.service",
    );
    const library = root + LIBRARY;
    const started = await run(
      ["unshare", "--net", "env", "-i", "HOME=/nonexistent", `DENO_DIR=${library}/cache`]
        .concat([`${library}/deno`, "run", "--no-prompt", "--cached-only", "--allow-ffi"])
        .concat([`${library}/main.ts`, "--version"]),
    );
    assertEquals(started.stdout, `longhaul ${VERSION}\n`);
    // Once more, over the first one.
    await service("install", file, "--root-dir", root, "--root");
    const wants = [...Deno.readDirSync(`${root}/${UNITS}/multi-user.target.wants`)];
    assertEquals(wants.map(({ name }) => name), ["longhaul-quick@wg0.service"]);
    assertEquals([...Deno.readDirSync(`${root}/usr/local/lib/longhaul`)].length, 1);
    await service("remove", "wg0", "--root-dir", root);
    assertEquals(filesBelow(root), before);
    const again = await longhaul(["service", "remove", "wg0", "--root-dir", root]);
    assertEquals([again.code, again.stderr], [1, "longhaul: There is no service for wg0\n"]);
  },
});

Deno.test({
  name: "install works from any folder, and the program stays as long as one tunnel is a service",
  ...requires("root", "systemctl"),
  async fn() {
    await using net = new Net();
    const { root } = stage(net, "wg0", config());
    const elsewhere = writeConfig(net, "wg1", config("PostUp = true\n"));
    await run(["sh", "-c", `cd / && "$@"`, "sh"].concat(
      [Deno.execPath(), "run", "-A", "--no-prompt"],
      [MAIN],
      ["service", "install", `${root}/etc/wireguard/wg0.conf`, "--root-dir", root],
    ));
    const told = await service("install", elsewhere, "--root-dir", root);
    assert(told.startsWith("longhaul-quick@wg1, with the rights of root: it has hooks\n"), told);
    const dropIn = Deno.readTextFileSync(
      `${root}/${UNITS}/longhaul-quick@wg1.service.d/config.conf`,
    );
    assert(dropIn.endsWith(`main.ts up ${elsewhere}\n`), dropIn);
    await service("remove", "wg0", "--root-dir", root);
    assert(Deno.statSync(`${root}${LIBRARY}/deno`).isFile);
    await service("remove", "wg1", "--root-dir", root);
    assertEquals(filesBelow(root), [`${root}/etc/wireguard/wg0.conf`]);
  },
});

Deno.test("what needs root is seen in the config, and a config with errors installs nothing", async () => {
  await using net = new Net();
  const root = `${net.folder}/root`;
  Deno.mkdirSync(root);
  const broken = writeConfig(net, "wg9", "[Interface]\nPrivateKey = no\n");
  const { code, stderr } = await longhaul(["service", "install", broken, "--root-dir", root]);
  assertEquals([code, filesBelow(root)], [1, []]);
  assert(stderr.includes("PrivateKey"), stderr);
});

/** A script that puts a staged root's program and units where they belong, for `argv` alone. */
function inPlace(root: string, argv: string[]): string[] {
  const script = `set -e
mkdir -p /run/wireguard
mount -t tmpfs none /usr/local/lib && mkdir /usr/local/lib/longhaul
mount --bind "$0/usr/local/lib/longhaul" /usr/local/lib/longhaul
mount --bind "$0/${UNITS}" /etc/systemd/system
mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200
mount -t tmpfs -o mode=700 none /root
exec "$@"`;
  return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, root, ...argv];
}

Deno.test({
  name: "systemd finds no fault with the units, and calls the sandboxed one safe",
  ...requires("root", "systemd-analyze", "systemctl", "unshare", "mount"),
  async fn() {
    await using net = new Net();
    const { root, file } = stage(net, "wg0", config());
    await service("install", file, "--root-dir", root);
    const names = ["longhaul@wg0.service", "longhaul-quick@wg0.service"];
    const verified = await run(inPlace(root, ["systemd-analyze", "verify", ...names]));
    assertEquals(verified.stdout + verified.stderr, "");
    const scores: number[] = [];
    for (const unit of ["longhaul@.service", "longhaul-quick@.service"]) {
      const args = ["security", "--offline=true", "--no-pager", `--root=${root}`, unit];
      const { stdout } = await run(["systemd-analyze", ...args], { mayFail: true });
      scores.push(Number(/exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1]));
    }
    assert(scores[0] < 3, `the sandboxed unit scores ${scores[0]}`);
    assert(scores[1] <= 10, `the unit for root scores ${scores[1]}`);
  },
});

Deno.test({
  name: "the sandboxed unit's command brings a tunnel up as its user with one capability, " +
    "tells systemd, feeds the watchdog, and reloads",
  ...requires("root", "tun", "ip", "nsenter", "ping", "setpriv", "unshare", "mount", "systemctl"),
  async fn() {
    await using net = new Net();
    const { spaces, names, texts } = await twoTunnels(net);
    await Foreground.up(net, spaces[1], writeConfig(net, names[1], texts[1]));
    const { root, file } = stage(net, names[0], texts[0]);
    await service("install", file, "--root-dir", root);
    const unit = Deno.readTextFileSync(`${root}/${UNITS}/longhaul@.service`);

    const uid = 54_321;
    const credentials = `${net.folder}/credentials`, runtime = `${net.folder}/runtime`;
    for (const folder of [credentials, runtime]) Deno.mkdirSync(folder, { mode: 0o700 });
    Deno.copyFileSync(file, `${credentials}/${names[0]}.conf`);
    await run(["chown", "-R", `${uid}:${uid}`, credentials, runtime]);
    await run(["chmod", "a+rx", net.folder]);
    const socket = `${net.folder}/notify`;
    using systemd = new DatagramListener(socket);
    Deno.chmodSync(socket, 0o777);

    const fill = (text: string) => text.replaceAll("%d", credentials).replaceAll("%i", names[0]);
    const values = (key: string) =>
      [...unit.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(([, value]) => fill(value));
    const environment = [
      ...values("Environment"),
      `NOTIFY_SOCKET=${socket}`,
      "WATCHDOG_USEC=20000000",
      "RUNTIME_DIRECTORY=/run/wireguard",
    ];
    const limits = ["--clear-groups", "--no-new-privs", "--bounding-set=-all,+net_admin"];
    const rights = [`--reuid=${uid}`, `--regid=${uid}`, "--inh-caps=-all,+net_admin"];
    const started = Foreground.start(net, spaces[0], [
      ...inPlace(root, ["sh", "-c", 'mount --bind "$0" /run/wireguard && exec "$@"', runtime]),
      ...["env", "-i", ...environment, "setpriv", ...rights],
      ...["--ambient-caps=-all,+net_admin", ...limits],
      ...values("ExecStart")[0].split(" "),
    ]);
    await started.says(/ is up, UDP port 10001/);
    assert(Deno.lstatSync(`${runtime}/${names[0]}.sock`).isSocket);
    await pingUntilAnswered(spaces[0], "10.9.0.2");
    await waitFor("the watchdog is fed", 15_000, () => systemd.received.includes("WATCHDOG=1"));
    const ready = systemd.received[0].split("\n");
    assertEquals(ready[0], "READY=1");
    assert(ready[1].startsWith(`STATUS=${names[0]}: `), ready[1]);
    await waitFor(
      "systemd hears of the peer",
      15_000,
      () => systemd.received.some((text) => text.includes("1 of 1 peers in session")),
    );
    const before = systemd.received.length;
    // A changed file goes to it through the command of the unit, which root runs outside.
    Deno.writeTextFileSync(file, `${texts[0]}PersistentKeepalive = 7\n`);
    const reload = values("ExecReload")[0].replace("/etc/wireguard/", `${root}/etc/wireguard/`);
    assert(reload.startsWith("+/"), reload);
    const reloaded = await run(
      inPlace(root, [
        ...["sh", "-c", 'mount --bind "$0" /run/wireguard && exec "$@"', runtime],
        ...["env", "-i", ...values("Environment"), ...reload.slice(1).split(" ")],
      ]),
      { namespace: spaces[0], mayFail: true },
    );
    assertEquals([reloaded.code, reloaded.stderr], [0, ""]);
    assertEquals(reloaded.stdout, "1 peer changed\n");
    await waitFor(
      "systemd hears of the reload and its end",
      15_000,
      () => systemd.received.slice(before).some((text) => text.startsWith("READY=1\n")),
    );
    assert(systemd.received.slice(before).includes("RELOADING=1"));
    started.kill("SIGTERM");
    assertEquals(await started.ended(), 0);
    assert(systemd.received.at(-1)!.startsWith("STOPPING=1\n"), systemd.received.at(-1));
    assertEquals([...Deno.readDirSync(runtime)], []);
  },
});

Deno.test({
  name: "without root it says so before it does anything",
  ...requires("root", "setpriv"),
  async fn() {
    await using net = new Net();
    const file = writeConfig(net, "wg0", config());
    const argv = [Deno.execPath(), "run", "--no-prompt", "--allow-ffi", MAIN, "service", "install"];
    const user = await run(
      ["setpriv", "--reuid=65534", "--clear-groups", ...argv, file],
      { mayFail: true, env: { DENO_DIR: "/nonexistent" } },
    );
    assertEquals([user.code, user.stderr], [
      1,
      "longhaul: service install needs root: call it with sudo\n",
    ]);
  },
});
