/** `status` beside running tunnels: what it tells, and how `--watch` behaves on screens and pipes. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { run, waitFor } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { assertPing, pingUntilAnswered } from "../netns/traffic.ts";
import { wg } from "../netns/wg.ts";
import { NodeProcess } from "../netns/node_process.ts";
import { command, Foreground, longhaul, writeConfig } from "./longhaul.ts";
import { type TwoTunnels, twoTunnels } from "./two_tunnels.ts";

const TOOLS = ["root", "tun", "ip", "nsenter", "ping", "wg"];

/** Two tunnels that have spoken to each other; the first one calls its peer `phone`. */
async function pair(net: Net): Promise<TwoTunnels> {
  const name = (side: number) => side === 0 ? "# friendly_name = phone\n" : "";
  const tunnels = await twoTunnels(net, name);
  const { spaces, names, texts } = tunnels;
  for (const [side, text] of texts.entries()) {
    await Foreground.up(net, spaces[side], writeConfig(net, names[side], text));
  }
  await pingUntilAnswered(spaces[0], "10.9.0.2");
  return tunnels;
}

function statusTest(name: string, scenario: (net: Net) => Promise<void>, ...more: string[]): void {
  Deno.test({
    name,
    ...requires(...TOOLS, ...more),
    fn: async () => {
      await using net = new Net();
      await scenario(net);
    },
  });
}

statusTest("status tells what the data plane does, and why packets were dropped", async (net) => {
  const { spaces, names } = await pair(net);
  await assertPing(spaces[0], "10.9.0.2", { count: 3 });
  // Nobody has this address.
  await run(["ping", "-c", "1", "-W", "1", "10.9.0.77"], { namespace: spaces[0], mayFail: true });
  const { stdout } = await longhaul(["status", names[0]]);
  for (
    const pattern of [
      /^ {2}mtu: 1420$/m,
      /^ {2}data plane: .*, encrypting in /m,
      /^ {2}offloads: .*udp-gso.*udp-gro/m,
      /^ {2}batches: \d+\.\d packets per TUN read, \d+\.\d per UDP send, /m,
      /^ {2}drops: .*NoRoute \d+/m,
      /^ {2}friendly name: phone$/m,
    ]
  ) assert(pattern.test(stdout), `${pattern}\n${stdout}`);
  const json = JSON.parse((await longhaul(["status", names[0], "--json"])).stdout).interfaces[0];
  assert(json.node.drops.NoRoute >= 1 && json.node.counters.TunReads >= 4, JSON.stringify(json));
  assertEquals(json.peers[0].friendlyName, "phone");
});

statusTest("another program's interface is shown as far as it tells", async (net) => {
  const space = await net.namespace("a");
  const other = await NodeProcess.start(net, "wireguard-go", space);
  const { code, stdout } = await longhaul(["status", other.name]);
  assertEquals([code, stdout], [0, (await wg(["show", other.name])).stdout]);
  const json = JSON.parse((await longhaul(["status", other.name, "--json"])).stdout);
  assertEquals(json.interfaces[0].node, null);
}, "wireguard-go");

statusTest(
  "into a pipe --watch writes a line per interval, and ends with its reader",
  async (net) => {
    const { names } = await pair(net);
    const argv = command("status", names[0], "--watch", "--interval", "0.1").join(" ");
    const { code, stdout } = await run(["sh", "-c", `${argv} | head -n 3`]);
    const lines = stdout.trimEnd().split("\n");
    assertEquals([code, lines.length], [0, 3]);
    const pattern = new RegExp(
      `^\\d{4}-\\d\\d-\\d\\dT\\S+Z ${
        names[0]
      }: rx .*bit/s, tx .*bit/s, 1 of 1 peers in session, \\d+ dropped$`,
    );
    for (const line of lines) assert(pattern.test(line), line);
    const json = await run(["sh", "-c", `${argv} --json | head -n 2`]);
    const texts = json.stdout.trimEnd().split("\n");
    assertEquals(texts.map((text) => JSON.parse(text).interfaces[0].name), [names[0], names[0]]);
  },
);

statusTest(
  "on a screen --watch redraws in place, follows its size, and leaves the screen as it was",
  async (net) => {
    const { names } = await pair(net);
    const tty = `${net.folder}/tty`;
    const inner = `tty >${tty}; echo $$ >${tty}.pid; stty rows 20 cols 100; exec ${
      command("status", names[0], "--watch", "--interval", "0.2").join(" ")
    }`;
    const watch = Foreground.start(
      net,
      await net.namespace("c"),
      ["script", "-qefc", inner, "/dev/null"],
      { TERM: "xterm" },
    );
    const frames = () => watch.log.split("\x1b[H").slice(1);
    await watch.says(/phone/);
    await waitFor("three frames are drawn", 10_000, () => frames().length >= 3);
    assert(watch.log.includes("\x1b[?1049h\x1b[?25l"), "the other screen, without a cursor");
    const wide = Math.max(...lengths(frames()[1]));
    assert(wide > 70 && wide <= 100, `${wide} columns`);
    const before = frames().length;
    await run(["stty", "-F", Deno.readTextFileSync(tty).trim(), "cols", "50", "rows", "6"]);
    await waitFor("narrow frames are drawn", 10_000, () => frames().length >= before + 3);
    const narrow = frames().at(-2)!;
    assert(Math.max(...lengths(narrow)) <= 50, narrow);
    assert(narrow.split("\r\n").length <= 5, narrow);
    Deno.kill(Number(Deno.readTextFileSync(`${tty}.pid`)), "SIGINT");
    assertEquals(await watch.ended(), 0);
    const end = watch.log.slice(watch.log.lastIndexOf("\x1b[?25h"));
    assert(end.startsWith("\x1b[?25h\x1b[?1049l"), JSON.stringify(end));
    assert(end.includes("phone"), "the last picture stays as text");
  },
  "script",
  "stty",
);

/** The columns that the lines of a frame take. */
function lengths(frame: string): number[] {
  // deno-lint-ignore no-control-regex
  return frame.split("\r\n").map((line) => line.replace(/\x1b\[[\d?;]*[a-zA-Z]|\r/g, "").length);
}

statusTest("an interface that ends is told, also by --watch", async (net) => {
  const { names } = await pair(net);
  const space = await net.namespace("c");
  const watch = Foreground.start(net, space, command("status", names[0], "--watch"));
  await watch.says(/peers in session/);
  assertEquals((await longhaul(["down", names[0]])).code, 0);
  assertEquals(await watch.ended(), 1);
  assert(watch.log.includes(`longhaul: Nothing runs as ${names[0]}`), watch.log);
});

statusTest(
  "only root and the owner may ask or end it, and others are told who may",
  async (net) => {
    const { names } = await pair(net);
    const env = { HOME: "/nonexistent", DENO_DIR: "/nonexistent" };
    const drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const cases: [string[], string][] = [
      [["status", names[0]], `Only root, or the user who runs ${names[0]}, may ask it\n`],
      [["down", names[0]], "EACCES (permission denied). Root may do it: call it with sudo\n"],
      [["reload"], " may be asked by root (sudo)\n"],
      [["peer", "add", "phone"], " may be asked by root (sudo)\n"],
    ];
    for (const [words, text] of cases) {
      const { code, stderr } = await run([...drop, ...command(...words)], { mayFail: true, env });
      assertEquals(code, 1);
      assert(stderr.endsWith(text), stderr);
    }
  },
  "setpriv",
);

Deno.test("flags of --watch that cannot be meant are refused", async () => {
  for (
    const [args, text] of [
      [["--interval", "5"], "--interval goes with --watch"],
      [["--watch", "--interval", "0"], "--interval takes seconds from 0.1"],
      [["--watch", "--interval", "soon"], "--interval takes seconds from 0.1"],
    ] as const
  ) {
    const { code, stderr } = await longhaul(["status", ...args]);
    assertEquals(code, 2, stderr);
    assert(stderr.includes(text), stderr);
  }
});
