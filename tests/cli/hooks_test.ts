/** PreUp, PostUp, PreDown and PostDown, as wg-quick runs them. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { run, waitFor } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { deviceIn } from "../netns/node_process.ts";
import { newKeyPair, newPresharedKey } from "../netns/wg.ts";
import { command, Foreground, hasSocket, longhaul, writeConfig } from "./longhaul.ts";
import { assertRestored, hiding, inOwnMounts, resolvconfStub, snapshot } from "./host.ts";

interface Place {
  readonly net: Net;
  readonly space: string;
  readonly name: string;
  /** A file that hooks write into. */
  readonly said: string;
}

function hookTest(name: string, scenario: (place: Place) => Promise<void>, more: string[] = []) {
  Deno.test({
    name,
    ...requires("root", "tun", "ip", "nsenter", "nft", "bash", ...more),
    fn: async () => {
      await using net = new Net();
      const space = await net.namespace("a");
      await scenario({ net, space, name: net.interfaceName(), said: `${net.folder}/said` });
    },
  });
}

/** A config of hooks alone. */
function config({ net, name }: Place, lines: string[]): string {
  const text = `[Interface]\nPrivateKey = ${newKeyPair().privateKey}\nAddress = 10.9.0.1/24\n`;
  return writeConfig(net, name, text + lines.join("\n") + "\n");
}

function lines(path: string): string[] {
  return Deno.readTextFileSync(path).trimEnd().split("\n");
}

/** Prints whether the interface and its control socket are there. */
const THERE = "ip link show %i >/dev/null 2>&1 && wg show %i >/dev/null && echo there || echo gone";

hookTest("hooks run in order, with %i, their #, and the interface as it is then", async (place) => {
  const { net, space, name, said } = place;
  const file = config(place, [
    `PreUp = echo "PreUp 1 # %i" >>${said} # a comment of the shell's`,
    `PreUp = (echo PreUp 2; ${THERE}) >>${said}`,
    `PostUp = (echo PostUp 1; ${THERE}; ip -o address show %i | grep -c 10.9.0.1/24) >>${said}`,
    `PostUp = echo PostUp 2 >>${said}`,
    `PreDown = (echo PreDown; ${THERE}) >>${said}`,
    `PostDown = (echo PostDown 1; ${THERE}) >>${said}`,
    `PostDown = echo "$GREETING, %i and %i" >>${said}`,
  ]);
  const up = await Foreground.up(net, space, file, { GREETING: "hello" });
  assertEquals(lines(said), [
    ...[`PreUp 1 # ${name}`, "PreUp 2", "gone", "PostUp 1", "there", "1", "PostUp 2"],
  ]);
  assert(up.log.includes(`[#] echo "PreUp 1 # ${name}" >>${said}`), up.log);
  const down = await longhaul(["down", name], { namespace: space });
  assertEquals([down.code, down.stderr], [0, ""]);
  assertEquals(lines(said).slice(7), [
    ...["PreDown", "there", "PostDown 1", "gone", `hello, ${name} and ${name}`],
  ]);
  assertEquals(await up.ended(), 0);
}, ["wg"]);

hookTest("what hooks print is shown, and keys in their commands are not", async (place) => {
  const psk = newPresharedKey();
  const file = config(place, [
    `PostUp = echo out; echo err >&2; test ${psk} = ${psk}`,
    "PostUp = echo piped | cat",
  ]);
  const up = await Foreground.up(place.net, place.space, file);
  for (const word of ["\nout\n", "\nerr\n", "\npiped\n", "test (hidden) = (hidden)"]) {
    assert(up.log.includes(word), up.log);
  }
  assert(!up.log.includes(psk), "no secret");
});

hookTest("a hook that fails ends the start, and everything is undone", async (place) => {
  const { space, name, said } = place;
  const before = await snapshot(space);
  const cases: [string, string[]][] = [
    ["PreUp = false", ["PostDown"]],
    ["PreUp = false | true", ["PostDown"]],
    ["PreUp = false; true", ["PostDown"]],
    ["PostUp = exit 3", ["PreDown", "PostDown"]],
    ["PostUp = kill -9 $$", ["PreDown", "PostDown"]],
  ];
  for (const [hook, downs] of cases) {
    Deno.writeTextFileSync(said, "");
    const file = config(place, [
      "PreUp = nft add table inet one",
      hook,
      `${hook.split(" ")[0]} = echo never >>${said}`,
      `PreDown = echo PreDown >>${said}`,
      `PostDown = echo PostDown >>${said}; nft delete table inet one`,
    ]);
    const { code, stderr } = await longhaul(["up", file], { namespace: space });
    assertEquals(code, 1, hook);
    assert(
      /longhaul: P\w+Up: `.*` failed: (exit code 1|exit code 3|signal 9)\n/.test(stderr),
      stderr,
    );
    assertEquals([hasSocket(name), await deviceIn(space, name)], [false, false]);
    assertEquals(lines(said), downs, hook);
    await assertRestored(space, before);
  }
});

hookTest("hooks of down that fail are told, and the others run", async (place) => {
  const { net, space, name, said } = place;
  const file = config(place, [
    "PreDown = false",
    `PreDown = echo second >>${said}`,
    "PostDown = nonsense-%i",
    `PostDown = echo last >>${said}`,
  ]);
  const up = await Foreground.up(net, space, file);
  up.kill("SIGINT");
  assertEquals(await up.ended(), 0, up.log);
  assertEquals(lines(said), ["second", "last"]);
  assert(up.log.includes("PreDown: `false` failed: exit code 1"), up.log);
  assert(up.log.includes(`PostDown: \`nonsense-${name}\` failed: exit code 127`), up.log);
});

hookTest("a signal, or down, ends a hook that hangs, and the start with it", async (place) => {
  const { net, space, name, said } = place;
  for (const key of ["PreUp", "PostUp"]) {
    const file = config(place, [
      `${key} = echo ${key} hangs; exec sleep 600`,
      `${key} = echo never >>${said}`,
      `PostDown = echo undone >>${said}`,
    ]);
    Deno.writeTextFileSync(said, "");
    const up = Foreground.start(net, space, command("up", file));
    await up.says(new RegExp(`^${key} hangs$`, "m"));
    // During PreUp there is no control socket, only the record.
    if (key === "PostUp") up.kill("SIGTERM");
    else assertEquals((await longhaul(["down", name], { namespace: space })).code, 0);
    assertEquals(await up.ended(), 0, up.log);
    assertEquals(lines(said), ["undone"]);
    assert(!up.log.includes("is up, UDP port"), up.log);
  }
});

hookTest("the interface works while a hook runs", async (place) => {
  const { net, space, said } = place;
  const file = config(place, [
    `PostUp = wg set %i listen-port 12345 && wg show %i listen-port >>${said}`,
  ]);
  await Foreground.up(net, space, file);
  assertEquals(lines(said), ["12345"]);
}, ["wg"]);

hookTest("where there is no bash, hooks are for sh", async (place) => {
  const { net, space, said } = place;
  const file = config(place, [`PreUp = echo "$0" >>${said}; echo "%i" | grep -q lh`]);
  const up = Foreground.start(net, space, inOwnMounts(hiding("bash"), command("up", file)));
  await up.says(/ is up, UDP port /);
  assert(/\/sh$/.test(lines(said)[0]), lines(said)[0]);
}, ["unshare", "mount"]);

hookTest(
  "a hook fetches the private key, and hooks set the name servers, as in wg-quick's manual",
  async (place) => {
    const { net, space, name } = place;
    const key = newKeyPair();
    const store = `${net.folder}/store-${name}`;
    Deno.writeTextFileSync(store, key.privateKey, { mode: 0o600 });
    const stub = resolvconfStub(net, name);
    const file = writeConfig(
      net,
      name,
      `[Interface]
Address = 10.200.100.8/24
PostUp = wg set %i private-key <(cat ${net.folder}/store-%i)
PostUp = printf 'nameserver 10.200.100.1' | resolvconf -a tun.%i -m 0 -x
PostDown = resolvconf -d tun.%i -f

[Peer]
PublicKey = ${newKeyPair().publicKey}
AllowedIPs = 10.200.100.0/24
`,
    );
    const up = await Foreground.up(net, space, file, stub.env);
    const shown = await run(["wg", "show", name, "public-key"], { namespace: space });
    assertEquals(shown.stdout.trim(), key.publicKey);
    assertEquals(stub.state(), `tun.${name}:\nnameserver 10.200.100.1`);
    up.kill("SIGTERM");
    assertEquals([await up.ended(), stub.state()], [0, ""]);
  },
  ["wg"],
);

hookTest("the kill switch of wg-quick's manual holds", async (place) => {
  const { net, space, name } = place;
  const rule = "OUTPUT ! -o %i -m mark ! --mark $(wg show %i fwmark) -m addrtype ! " +
    "--dst-type LOCAL -j REJECT";
  await net.ip(space, [
    "link add eth0 type veth peer name wire",
    "link set wire up",
    "address add 192.0.2.1/24 dev eth0",
    "link set eth0 up",
    "route add default via 192.0.2.2",
  ]);
  // iptables makes its tables when it is first used; they stay, empty.
  await run(["iptables", "-S"], { namespace: space });
  const before = await snapshot(space);
  const file = writeConfig(
    net,
    name,
    `[Interface]
PrivateKey = ${newKeyPair().privateKey}
Address = 10.200.100.8/24
PostUp = iptables -I ${rule}
PreDown = iptables -D ${rule}

[Peer]
PublicKey = ${newKeyPair().publicKey}
PresharedKey = ${newPresharedKey()}
AllowedIPs = 0.0.0.0/0
Endpoint = 192.0.2.2:51820
`,
  );
  const up = await Foreground.up(net, space, file);
  const shown = (await run(["iptables", "-S", "OUTPUT"], { namespace: space })).stdout;
  assert(shown.includes(`! -o ${name}`) && shown.includes("! --mark 0xca6c"), shown);
  up.kill("SIGTERM");
  assertEquals(await up.ended(), 0);
  const after = (await run(["iptables", "-S"], { namespace: space })).stdout;
  assertEquals(after, "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n");
  const withoutTables = (text: string) => text.replace(/\$ nft[\s\S]*\n\n\$/, "$");
  assertEquals(withoutTables(await snapshot(space)), withoutTables(before));
}, ["wg", "iptables"]);

hookTest("hazard 31: a second signal ends it at once, and tells what is left", async (place) => {
  const { net, space, name, said } = place;
  const before = await snapshot(space);
  const file = config(place, [
    `PostUp = echo up >>${said}`,
    `PreDown = echo down >>${said}; test $(wc -l <${said}) -gt 2 || sleep 100`,
  ]);
  const up = await Foreground.up(net, space, file);
  up.kill("SIGTERM");
  await waitFor("PreDown runs", 5000, () => lines(said).includes("down"));
  up.kill("SIGTERM");
  assertEquals(await up.ended(), 1, up.log);
  assert(up.log.includes(`stays until \`longhaul down ${name}\` or the next up`), up.log);
  const down = await longhaul(["down", name], { namespace: space });
  assertEquals(down.code, 0, down.stderr);
  await assertRestored(space, before);
  assertEquals(lines(said), ["up", "down", "down"]);
});
