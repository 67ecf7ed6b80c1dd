/** `wg`'s commands: the same output and the same effect as the real `wg`, on the same sockets. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { run, type RunResult, waitFor } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { type Kind, LONGHAUL, NodeProcess } from "../netns/node_process.ts";
import { newKeyPair, newPresharedKey } from "../netns/wg.ts";
import { command, Foreground, longhaul } from "./longhaul.ts";

const KINDS: readonly Kind[] = ["longhaul", "wireguard-go", "boringtun"];
const PROGRAMS: Record<Kind, string[]> = {
  longhaul: [],
  "longhaul with an encryptor": [],
  "longhaul with three encryptors": [],
  "longhaul with two lanes": [],
  "wireguard-go": ["wireguard-go"],
  boringtun: ["boringtun-cli"],
};
const FIELDS = [
  ...["public-key", "private-key", "listen-port", "fwmark", "peers", "preshared-keys"],
  ...["endpoints", "allowed-ips", "latest-handshakes", "transfer", "persistent-keepalive", "dump"],
];

function nodeTest(
  name: string,
  kinds: readonly Kind[],
  scenario: (node: NodeProcess, net: Net) => Promise<void>,
): void {
  for (const kind of kinds) {
    Deno.test({
      name: `${name} (${kind})`,
      ...requires("root", "tun", "ip", "nsenter", "wg", ...PROGRAMS[kind]),
      fn: async () => {
        await using net = new Net();
        await scenario(await NodeProcess.start(net, kind, await net.namespace("a")), net);
      },
    });
  }
}

/** The same words for `wg` and for us; standard output must be equal, whatever is on the sockets. */
async function bothSay(words: string[], env: Record<string, string> = {}): Promise<string> {
  const real = await run(["wg", ...words], { env, mayFail: true });
  const ours = await longhaul(words, { env });
  assertEquals([ours.code, ours.stdout], [real.code, real.stdout], words.join(" "));
  return ours.stdout;
}

nodeTest("show and showconf print what wg prints", KINDS, async (node) => {
  const { name } = node;
  for (const field of FIELDS) await bothSay(["show", name, field]);
  await bothSay(["show", name]);
  await bothSay(["showconf", name]);
  const [key, peer] = [newKeyPair(), newKeyPair()];
  const psk = newPresharedKey();
  await node.set("private-key", await node.secretFile(key.privateKey), "listen-port", "23456");
  await node.set(
    ...["peer", peer.publicKey, "preshared-key", await node.secretFile(psk)],
    ...["endpoint", "[2001:db8::5]:999", "persistent-keepalive", "3700"],
    ...["allowed-ips", "10.1.2.0/24,fd00:1::/64,10.9.9.9/32"],
  );
  for (const field of FIELDS) await bothSay(["show", name, field]);
  const shown = await bothSay(["show", name]);
  assert(shown.includes("preshared key: (hidden)"), shown);
  const open = await bothSay(["show", name], { WG_HIDE_KEYS: "never" });
  const config = await bothSay(["showconf", name]);
  assert(open.includes(psk) && config.includes(psk), open);
  // boringtun keeps its private key to itself.
  const tellsKey = node.kind !== "boringtun";
  assertEquals([open, config].map((text) => text.includes(key.privateKey)), [tellsKey, tellsKey]);
});

nodeTest("a zone of an endpoint is told by its name", KINDS.slice(0, 2), async (node) => {
  await node.set("peer", newKeyPair().publicKey, "endpoint", "[fe80::1%lo]:999");
  for (const words of [["show", node.name, "dump"], ["showconf", node.name]]) {
    assert((await bothSay(words)).includes("[fe80::1%lo]:999"));
  }
});

Deno.test({
  name: "show all names the interface in each line as wg does",
  ...requires("root", "tun", "ip", "nsenter", "wg", "unshare", "mount", LONGHAUL),
  async fn() {
    await using net = new Net();
    const space = await net.namespace("a");
    const names = [net.interfaceName(), net.interfaceName()];
    const env = { LONGHAUL_DENO: Deno.execPath() };
    // A folder of sockets of their own: other tests' interfaces come and go.
    const script = 'mount -t tmpfs none /var/run/wireguard && exec "$0" -f "$1"';
    const argv = ["unshare", "--mount", "sh", "-c", script, LONGHAUL, names[0]];
    const first = Foreground.start(net, space, argv, env);
    const inside = (argv: string[]) => [
      ...["nsenter", `--mount=/proc/${first.child.pid}/ns/mnt`, "--"],
      ...argv,
    ];
    const wg = (...words: string[]) => run(inside(["wg", ...words]), { mayFail: true });
    const isUp = (name: string) => async () => (await wg("show", name)).code === 0;
    await waitFor("the first node is up", 15_000, isUp(names[0]));
    Foreground.start(net, space, inside([LONGHAUL, "-f", names[1]]), env);
    await waitFor("the second node is up", 15_000, isUp(names[1]));
    for (const peers of [0, 1, 2]) {
      if (peers > 0) {
        await wg("set", names[0], "listen-port", "7654", "peer", newKeyPair().publicKey);
      }
      for (const words of [["show"], ["show", "all"], ...FIELDS.map((f) => ["show", "all", f])]) {
        const real = await wg(...words);
        const ours = await run(inside(command(...words)), { mayFail: true });
        // `wg` lists the sockets in the folder's order, we by name.
        const parts = (text: string) =>
          text.split(/(?=interface:|lh\S+\t)/).map((part) => part.trimEnd()).sort();
        assertEquals(parts(ours.stdout), parts(real.stdout), `${words}`);
      }
    }
    const shown = (await run(inside(command("show", "interfaces")))).stdout;
    assertEquals(shown, `${names.toSorted().join(" ")}\n`);
  },
});

/** What `wg show dump` says of an interface, less what the clock and the kernel choose. */
async function dump(name: string): Promise<string> {
  const lines = (await run(["wg", "show", name, "dump"])).stdout.trimEnd().split("\n");
  return [lines[0], ...lines.slice(1).sort()].join("\n");
}

Deno.test({
  name: "set, setconf, addconf and syncconf do what wg's do",
  ...requires("root", "tun", "ip", "nsenter", "wg", "wireguard-go", "boringtun-cli"),
  async fn(t) {
    for (const kind of KINDS) {
      await t.step(kind, async () => {
        await using net = new Net();
        const nodes = [
          await NodeProcess.start(net, kind, await net.namespace("a")),
          await NodeProcess.start(net, kind, await net.namespace("b")),
        ];
        const [key, p1, p2, p3] = [newKeyPair(), newKeyPair(), newKeyPair(), newKeyPair()];
        const keyFile = await nodes[0].secretFile(key.privateKey);
        const pskFile = await nodes[0].secretFile(newPresharedKey());
        const file = `${net.folder}/device.conf`;
        const setconf = (how: string, lines: string[]): [string[], string] => [
          [how, file],
          lines.join("\n") + "\n",
        ];
        const head = ["[Interface]", `PrivateKey = ${key.privateKey}`, "ListenPort = 12121"];
        const section = (publicKey: string, ...more: string[]) => [
          ...["", "[Peer]", `PublicKey = ${publicKey}`],
          ...more,
        ];
        const steps: [string[], string?][] = [
          [["set", "private-key", keyFile, "listen-port", "12345"]],
          [[
            ...["set", "peer", p1.publicKey, "preshared-key", pskFile, "endpoint", "1.2.3.4:5"],
            ...["allowed-ips", "10.0.0.0/8,fd00::/64", "persistent-keepalive", "25"],
          ]],
          [["set", "peer", p2.publicKey, "allowed-ips", "10.3.0.0/16"]],
          [[
            "set",
            "peer",
            p1.publicKey,
            "allowed-ips",
            "10.4.0.0/16",
            "preshared-key",
            "/dev/null",
          ]],
          [["set", "peer", p1.publicKey, "allowed-ips", "", "persistent-keepalive", "off"]],
          [["set", "peer", p2.publicKey, "remove", "peer", p3.publicKey]],
          setconf("setconf", [
            ...[...head, "FwMark = 0x10"],
            ...section(p1.publicKey, "AllowedIPs = 10.5.0.0/16, fd00::/64", "Endpoint = [::1]:9"),
            ...section(p2.publicKey, "AllowedIPs = 10.8.0.0/16"),
          ]),
          setconf("addconf", section(p3.publicKey, "AllowedIPs = 10.6.0.0/16")),
          setconf("syncconf", [
            ...head,
            ...section(p1.publicKey, "AllowedIPs = 10.6.0.0/16"),
            ...section(p2.publicKey, "AllowedIPs = 10.7.0.0/16"),
          ]),
          setconf("setconf", head),
        ];
        // boringtun cannot change a peer that it has; it hangs, whoever asks.
        const possible = kind === "boringtun" ? steps.slice(0, 3) : steps;
        for (const [[how, ...rest], text] of possible) {
          if (text !== undefined) Deno.writeTextFileSync(file, text, { mode: 0o600 });
          const real = await run(["wg", how, nodes[0].name, ...rest], { mayFail: true });
          const ours = await longhaul([how, nodes[1].name, ...rest]);
          assertEquals([ours.code, ours.stdout, ours.stderr], [real.code, "", ""], `${rest}`);
          const states = [await dump(nodes[0].name), await dump(nodes[1].name)];
          assertEquals(states[1], states[0], `${how} ${rest}\n${text ?? ""}`);
        }
      });
    }
  },
});

nodeTest("allowed-ips with signs add and take away", ["longhaul"], async (node) => {
  const { publicKey } = newKeyPair();
  const set = async (value: string) => {
    const { code, stderr } = await longhaul([
      ...["set", node.name, "peer", publicKey, "allowed-ips", value],
    ]);
    assertEquals([code, stderr], [0, ""]);
    return (await node.show()).peers[0].allowedIps.toSorted();
  };
  assertEquals(await set("10.1.0.0/16,10.2.0.0/16"), ["10.1.0.0/16", "10.2.0.0/16"]);
  assertEquals(await set("+10.3.0.0/16,-10.1.0.0/16"), ["10.2.0.0/16", "10.3.0.0/16"]);
  assertEquals(await set("-10.2.0.0/16"), ["10.3.0.0/16"]);
  assertEquals(await set("fd00::/64"), ["fd00::/64"]);
});

nodeTest(
  "hazard 7: a key file that others can read is used with a warning",
  ["longhaul"],
  async (node, net) => {
    const { privateKey, publicKey } = newKeyPair();
    const path = `${net.folder}/open`;
    for (
      const [text, words] of [
        [privateKey, ["set", node.name, "private-key", path]],
        [`[Interface]\nPrivateKey = ${privateKey}\n`, ["setconf", node.name, path]],
      ] as const
    ) {
      Deno.writeTextFileSync(path, text);
      Deno.chmodSync(path, 0o644);
      const { code, stderr } = await longhaul([...words]);
      assertEquals(code, 0, stderr);
      assert(/warning: .* can be read by every user.*chmod 600/.test(stderr), stderr);
      assertEquals((await node.show()).publicKey, publicKey);
    }
  },
);

nodeTest("a bad word or file changes nothing and tells no key", ["longhaul"], async (node, net) => {
  const { privateKey, publicKey } = newKeyPair();
  await node.set("listen-port", "15151");
  const before = await dump(node.name);
  const file = `${net.folder}/bad.conf`;
  const badFile = (text: string) => {
    Deno.writeTextFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const cases: [string[], number, RegExp][] = [
    [["set", "listen-port", "70000"], 2, /listen-port: expected 0 to 65535/],
    [["set", "nonsense", "1"], 2, /unknown word `nonsense`/],
    [["set", "listen-prt", "1"], 2, /did you mean `listen-port`/],
    [["set", "listen-port"], 2, /wants a value/],
    [["set", "peer", privateKey.slice(1)], 2, /44 characters of base64/],
    [["set", "peer", publicKey, "endpoint", privateKey], 2, /not shown/],
    [["set", "peer", publicKey, "allowed-ips", privateKey], 2, /not shown/],
    [["set", "endpoint", "1.2.3.4:5"], 2, /behind `peer KEY`/],
    [["set", "private-key", badFile("no key\n")], 1, /expected one key of 44 characters/],
    [["set", "private-key", "/nowhere/key"], 1, /nowhere/],
    [["set", "peer", publicKey, "endpoint", "nobody.invalid:5"], 1, /Cannot resolve nobody/],
  ];
  const files: [string, RegExp][] = [
    ["[Interface]\nAddress = 10.0.0.1/24\n", /bad\.conf:2:1: error: Address is a key of wg-quick/],
    [`[Interface]\nPrivateKey = ${privateKey}x\n`, /:2:14: error: PrivateKey: expected 44/],
    [`[Interface]\nListenPort = ${privateKey}\n`, /not shown/],
    [`[Peer]\nPublickey = ${publicKey}\nAlowedIPs = 10.0.0.0/8\n`, /did you mean `AllowedIPs`/],
  ];
  const check = (result: RunResult, code: number, pattern: RegExp) => {
    assertEquals([result.code, result.stdout], [code, ""], result.stderr);
    assert(pattern.test(result.stderr), `${pattern}: ${result.stderr}`);
    assert(!result.stderr.includes(privateKey.slice(1, 20)), "no key is told");
  };
  for (const [[how, ...words], code, pattern] of cases) {
    check(await longhaul([how, node.name, ...words]), code, pattern);
  }
  for (const [text, pattern] of files) {
    for (const how of ["setconf", "addconf", "syncconf"]) {
      check(await longhaul([how, node.name, badFile(text)]), 1, pattern);
    }
  }
  check(await longhaul(["show", "lh-nobody"]), 1, /Nothing runs as lh-nobody/);
  check(await longhaul(["show", node.name, "nonsense"]), 2, /expected one of public-key/);
  assertEquals(await dump(node.name), before);
});

Deno.test({
  name: "genkey, genpsk and pubkey are wg's",
  ...requires("wg"),
  async fn() {
    const key = await longhaul(["genkey"]);
    assertEquals([key.code, key.stderr, key.stdout.length], [0, "", 45]);
    const bytes = Uint8Array.from(atob(key.stdout.trim()), (char) => char.charCodeAt(0));
    assertEquals([bytes[0] & 7, bytes[31] & 0xc0], [0, 0x40], "clamped");
    assertEquals((await longhaul(["genpsk"])).stdout.length, 45);
    const accepted = [key.stdout, key.stdout.trim(), `${key.stdout}\n \t\n`];
    const refused = ["", "abc\n", `${key.stdout}x`, key.stdout.replace("=", "A"), ` ${key.stdout}`];
    for (const stdin of [...accepted, ...refused]) {
      const real = await run(["wg", "pubkey"], { stdin, mayFail: true });
      const ours = await longhaul(["pubkey"], { stdin });
      assertEquals([ours.code, ours.stdout], [real.code, real.stdout], JSON.stringify(stdin));
      assert(!ours.stderr.includes(key.stdout.slice(0, 20)), "no key is told");
    }
  },
});

Deno.test({
  name: "genkey warns when its output is a file that others can read",
  ...requires("sh"),
  async fn() {
    const file = await Deno.makeTempFile();
    try {
      const into = async (mode: number) => {
        await Deno.chmod(file, mode);
        const main = new URL("../../main.ts", import.meta.url).pathname;
        const script = `"$0" run --quiet --no-prompt --allow-ffi "$1" genkey > "$2"`;
        return (await run(["sh", "-c", script, Deno.execPath(), main, file])).stderr;
      };
      assertEquals(await into(0o600), "");
      assertEquals(
        await into(0o644),
        "Warning: writing to world accessible file.\n" +
          "Consider setting the umask to 077 and trying again.\n",
      );
    } finally {
      await Deno.remove(file);
    }
  },
});
