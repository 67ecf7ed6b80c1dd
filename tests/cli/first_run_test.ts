/** `up` without a config: on a machine that has none, and again. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { run, type RunResult, waitFor } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { pingUntilAnswered } from "../netns/traffic.ts";
import { command, Foreground, writeConfig } from "./longhaul.ts";

const NEEDS = ["root", "tun", "ip", "nsenter", "unshare", "mount", "ping"];

/** A machine of its own: a network, an /etc and a folder of sockets that nobody else sees. */
class Machine {
  private constructor(
    readonly net: Net,
    readonly space: string,
    /** Another machine on the same wire. */
    readonly peer: string,
    readonly holder: Foreground,
  ) {}

  static async start(net: Net): Promise<Machine> {
    const space = await net.namespace("fresh");
    const peer = await net.namespace("peer");
    await net.veth(
      { namespace: space, name: "eth0", addresses: ["192.168.7.5/24"] },
      { namespace: peer, name: "eth0", addresses: ["192.168.7.1/24"] },
    );
    await net.ip(space, ["route add default via 192.168.7.1"]);
    const folder = `${net.folder}/etc`;
    Deno.mkdirSync(folder);
    const script = [
      'mount -t tmpfs none "$0"',
      'mkdir "$0/upper" "$0/work"',
      'mount -t overlay overlay -o "lowerdir=/etc,upperdir=$0/upper,workdir=$0/work" /etc',
      // What the machine below has made of itself stays there.
      "rm -rf /etc/longhaul",
      "mkdir -p /var/run/wireguard",
      "mount -t tmpfs none /var/run/wireguard",
      "echo ready",
      "exec sleep 1000",
    ].join(" && ");
    const argv = ["unshare", "--mount", "sh", "-c", script, folder];
    const holder = Foreground.start(net, space, argv);
    await holder.says(/ready/);
    return new Machine(net, space, peer, holder);
  }

  /** `argv` on this machine. */
  on(argv: string[]): string[] {
    return ["nsenter", `--mount=/proc/${this.holder.child.pid}/ns/mnt`, "--", ...argv];
  }

  up(...more: string[]): Foreground {
    return Foreground.start(this.net, this.space, this.on(command("up", ...more)));
  }

  longhaul(...words: string[]): Promise<RunResult> {
    return run(this.on(command(...words)), { namespace: this.space, mayFail: true });
  }

  async sh(script: string): Promise<string> {
    return (await run(this.on(["sh", "-c", script]), { namespace: this.space })).stdout;
  }
}

function machineTest(
  name: string,
  scenario: (machine: Machine) => Promise<void>,
  ...more: string[]
) {
  Deno.test({
    name,
    ...requires(...NEEDS, ...more),
    fn: async () => {
      await using net = new Net();
      await scenario(await Machine.start(net));
    },
  });
}

const CONFIG = "/etc/longhaul/longhaul0.conf";

/** The documented command: where Deno asks for a permission, its prompt stands in the output. */
function unguarded(...words: string[]): string[] {
  return command(...words).filter((word) => word !== "--no-prompt");
}

machineTest("the first run makes a node, the second one finds it", async (machine) => {
  const { net } = machine;
  // Taken: everything of 10.0.0.0/8 but its upper half.
  await net.ip(machine.space, ["route add 10.0.0.0/9 via 192.168.7.1"]);
  const first = machine.up();
  await first.says(/ reload longhaul0\n/);
  const said = first.log;
  assertEquals(
    await machine.sh(`stat -c '%a %U' /etc/longhaul ${CONFIG}`),
    "700 root\n600 root\n",
  );
  const config = await machine.sh(`cat ${CONFIG}`);
  const found = /^Address = (10\.(\d+)\.(\d+))\.1\/24, (fd[0-9a-f:]+)::1\/64$/m.exec(config);
  assert(found !== null && Number(found[2]) >= 128, config);
  const [, v4, , , v6] = found!;
  const privateKey = /PrivateKey = (\S+)/.exec(config)![1];
  assert(config.includes("ListenPort = 51820\n"), config);
  const publicKey = (await run(["wg", "pubkey"], { stdin: privateKey })).stdout.trim();
  for (
    const text of [
      `public key  ${publicKey}\n`,
      "UDP port    51820\n",
      `addresses   ${v4}.1, ${v6}::1\n`,
      `\n[Peer]\nPublicKey = ${publicKey}\nAllowedIPs = ${v4}.0/24, ${v6}::/64\n`,
      "Endpoint = 192.168.7.5:51820   # a private address",
      " run --allow-ffi ",
      "main.ts peer add NAME\n",
    ]
  ) assert(said.includes(text), `${text} in\n${said}`);
  assert(!said.includes(privateKey) && !said.includes("\x1b"), said);
  assert((await machine.sh("ip address show longhaul0")).includes(`${v4}.1/24`));

  // A peer, without a word about where: there is one tunnel.
  const added = await machine.longhaul("peer", "add", "laptop");
  assertEquals(added.code, 0, added.stderr);
  assert(/192\.168\.7\.5 is a private address/.test(added.stderr), added.stderr);
  const file = writeConfig(net, net.interfaceName(), added.stdout);
  const { peer } = machine;
  await Foreground.up(net, peer, file);
  await pingUntilAnswered(peer, `${v4}.1`);

  assertEquals((await machine.longhaul("down", "longhaul0")).code, 0);
  assertEquals(await first.ended(), 0);
  const second = machine.up();
  await second.says(/ reload longhaul0\n/);
  assert(second.log.includes(`public key  ${publicKey}\n`), second.log);
  // It takes 15 seconds of silence until the other end calls anew.
  await pingUntilAnswered(peer, `${v4}.1`, 25_000);
  // By its name too.
  assertEquals((await machine.longhaul("reload", "longhaul0")).stdout, "nothing to change\n");
  const again = await machine.longhaul("up");
  assert(again.code === 1 && again.stderr.includes("longhaul0 is up already"), again.stderr);
}, "wg");

machineTest("another port is taken when the usual one is in use", async (machine) => {
  const folder = `${machine.net.folder}/wg`;
  await machine.sh(
    `mkdir ${folder} && umask 077 && printf '[Interface]\\nListenPort = 51820\\n' > ${folder}/wgx.conf`,
  );
  const other = machine.up(`${folder}/wgx.conf`);
  await other.says(/ is up, UDP port 51820/);
  const first = machine.up();
  await first.says(/ reload longhaul0\n/);
  const port = /ListenPort = (\d+)/.exec(await machine.sh(`cat ${CONFIG}`))![1];
  assert(port !== "51820" && first.log.includes(`UDP port    ${port}\n`), first.log);
});

machineTest(
  "on a terminal one line tells what runs, and the log goes by above it",
  async (machine) => {
    const argv = [
      "script",
      "-qec",
      unguarded("up").map((word) => `'${word}'`).join(" "),
      "/dev/null",
    ];
    const up = Foreground.start(machine.net, machine.space, machine.on(argv));
    await up.says(/longhaul0 {2}↓ 0 bit\/s {2}↑ 0 bit\/s {2}no peers {2}no handshake yet/);
    const added = await machine.longhaul("peer", "add", "phone");
    assertEquals(added.code, 0, added.stderr);
    await up.says(/0 of 1 peers/);
    // deno-lint-ignore no-control-regex
    assert(/\x1b\[2K[^\n]*is loaded again: 1 peer added[^\n]*\n/.test(up.log), up.log);
    assertEquals((await machine.longhaul("down", "longhaul0")).code, 0);
    assertEquals(await up.ended(), 0);
    // The line is gone at the end.
    // deno-lint-ignore no-control-regex
    assert(/\r\x1b\[2K[^↓]*$/.test(up.log), JSON.stringify(up.log.slice(-200)));
    assert(!/Deno requests|Allow\?/.test(up.log), up.log);
  },
  "script",
);

machineTest("it ends with its terminal", async (machine) => {
  const words = unguarded("up").map((word) => `'${word}'`).join(" ");
  const argv = machine.on(["script", "-qec", words, "/dev/null"]);
  const up = Foreground.start(machine.net, machine.space, argv);
  await up.says(/no handshake yet/);
  up.kill("SIGKILL");
  await waitFor("the interface has gone", 8000, async () => {
    return (await machine.sh("ip link show longhaul0 2>&1 || true")).includes("does not exist");
  });
  assertEquals(await machine.sh("ls /var/run/wireguard"), "");
}, "script");

machineTest(
  "where an interface is wanted and not allowed it says what helps, and makes nothing",
  async (machine) => {
    const drop = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    const file = writeConfig(machine.net, machine.net.interfaceName(), "[Interface]\n");
    for (const words of [["up", file, "--mode", "tun"], ["up", "--mode", "tun"]]) {
      const { code, stdout, stderr } = await run(machine.on([...drop, ...command(...words)]), {
        namespace: machine.space,
        mayFail: true,
      });
      assertEquals([code, stdout], [1, ""], stderr);
      for (
        const text of [
          "lacks CAP_NET_ADMIN",
          "sudo ",
          "service install",
          "--mode rootless",
          "setcap",
        ]
      ) {
        assert(stderr.includes(text), stderr);
      }
    }
    assertEquals(await machine.sh("ls /etc/longhaul 2>/dev/null || echo none"), "none\n");
  },
  "setpriv",
);

machineTest("a mode that is not there is told", async (machine) => {
  const wrong = await machine.longhaul("up", "--mode", "kernel");
  assertEquals(wrong.code, 2);
  assert(/--mode takes one of auto, tun, rootless/.test(wrong.stderr), wrong.stderr);
});

Deno.test({
  name: "where wg's folder is closed the control socket is the user's, and our commands find it",
  ...requires(...NEEDS),
  async fn() {
    await using net = new Net();
    const runtime = `${net.folder}/runtime`, state = `${net.folder}/state`;
    for (const folder of [runtime, state]) Deno.mkdirSync(folder, { mode: 0o700 });
    const env = { XDG_RUNTIME_DIR: runtime, XDG_STATE_HOME: state };
    const script =
      "mkdir -p /var/run/wireguard && mount -t tmpfs -o ro none /var/run/wireguard && " +
      'ip link set lo up && exec "$0" "$@"';
    // A user who is not root, with rights in a network of its own.
    const user = ["unshare", "--user", "--map-user=1000", "--keep-caps", "--net", "--mount"];
    const space = await net.namespace("a");
    const up = Foreground.start(net, space, [...user, "sh", "-c", script, ...command("up")], env);
    await up.says(/ reload longhaul0\n/);
    const socket = `${runtime}/longhaul/longhaul0.sock`;
    assert(/`wg` needs root/.test(up.log) && up.log.includes(socket), up.log);
    assertEquals(Deno.lstatSync(`${runtime}/longhaul`).mode! & 0o777, 0o700);
    assertEquals(Deno.lstatSync(socket).mode! & 0o077, 0);
    assertEquals(Deno.lstatSync(`${state}/longhaul`).mode! & 0o777, 0o700);
    assertEquals(Deno.lstatSync(`${state}/longhaul/longhaul0.conf`).mode! & 0o777, 0o600);
    const pid = up.child.pid;
    const same = (argv: string[]) =>
      run([
        "nsenter",
        `--target=${pid}`,
        "--user",
        "--mount",
        "--net",
        "--preserve-credentials",
        "--",
        ...argv,
      ], {
        env,
        mayFail: true,
      });
    const shown = await same(command("show", "interfaces"));
    assertEquals([shown.stdout, shown.stderr], ["longhaul0\n", ""]);
    const added = await same(command("peer", "add", "phone"));
    assertEquals(added.code, 0, added.stderr);
    assert((await same(command("status"))).stdout.includes("phone"));
    const down = await same(command("down", "longhaul0"));
    assertEquals(down.code, 0, down.stderr);
    await waitFor("the end", 5000, () => up.ended(1));
  },
});
