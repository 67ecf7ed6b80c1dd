/** DNS = ...: through resolvconf, through systemd-resolved, or not at all. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { Net } from "../netns/net.ts";
import { deviceIn } from "../netns/node_process.ts";
import { newKeyPair } from "../netns/wg.ts";
import { command, Foreground, longhaul, writeConfig } from "./longhaul.ts";
import { hiding, inOwnMounts, resolvconfStub } from "./host.ts";

function config(net: Net, name: string, lines: string[]): string {
  const text = `[Interface]\nPrivateKey = ${newKeyPair().privateKey}\nAddress = 10.9.0.1/24\n`;
  return writeConfig(net, name, text + lines.join("\n") + "\n");
}

function dnsTest(
  name: string,
  scenario: (net: Net, space: string, name: string) => Promise<void>,
  more: string[] = [],
): void {
  Deno.test({
    name,
    ...requires("root", "tun", "ip", "nsenter", ...more),
    fn: async () => {
      await using net = new Net();
      await scenario(net, await net.namespace("a"), net.interfaceName());
    },
  });
}

dnsTest("resolvconf is told the servers, and told to forget them", async (net, space, name) => {
  const stub = resolvconfStub(net, name);
  const file = config(net, name, ["DNS = 10.9.0.53, fd09::53", "DNS = corp.example lan"]);
  const up = await Foreground.up(net, space, file, stub.env);
  assertEquals(
    stub.state(),
    `${name}:\nnameserver 10.9.0.53\nnameserver fd09::53\nsearch corp.example lan\n`,
  );
  assertEquals((await longhaul(["down", name], { namespace: space, env: stub.env })).code, 0);
  assertEquals(await up.ended(), 0, up.log);
  assertEquals(stub.calls(), [`-a ${name} -m 0 -x`, `-d ${name} -f`]);
  assertEquals(stub.state(), "");
});

dnsTest("domains behind ~ make the servers theirs alone", async (net, space, name) => {
  const stub = resolvconfStub(net, name);
  const up = await Foreground.up(
    net,
    space,
    config(net, name, ["DNS = 10.9.0.53, ~corp.example"]),
    stub.env,
  );
  assertEquals(stub.state(), `${name}:\nnameserver 10.9.0.53\nsearch corp.example\n`);
  assertEquals(stub.calls(), [`-a ${name} -m 0 -p`]);
  up.kill("SIGTERM");
  await up.ended();
});

dnsTest("search domains without a server change nothing", async (net, space, name) => {
  const stub = resolvconfStub(net, name);
  const up = await Foreground.up(net, space, config(net, name, ["DNS = corp.example"]), stub.env);
  up.kill("SIGTERM");
  assertEquals([await up.ended(), stub.calls()], [0, []]);
});

dnsTest("a resolvconf that fails ends the start, and is undone", async (net, space, name) => {
  const folder = `${net.folder}/bin`;
  Deno.mkdirSync(folder);
  const script = `#!/bin/sh\necho "$*" >>${folder}/calls\n[ "$1" = -d ] || ` +
    "{ echo signature mismatch >&2; exit 1; }\n";
  Deno.writeTextFileSync(`${folder}/resolvconf`, script, { mode: 0o755 });
  const { code, stderr } = await longhaul(["up", config(net, name, ["DNS = 10.9.0.53"])], {
    namespace: space,
    env: { PATH: `${folder}:${Deno.env.get("PATH")}` },
  });
  assertEquals(code, 1);
  assert(stderr.includes("Cannot change the name servers by resolvconf"), stderr);
  assert(stderr.includes("signature mismatch"), stderr);
  assertEquals(
    Deno.readTextFileSync(`${folder}/calls`),
    `-a ${name} -m 0 -x\n-d ${name} -f\n`,
  );
  assert(!await deviceIn(space, name));
});

dnsTest("openresolv writes resolv.conf and gives it back", async (net, space, name) => {
  const file = config(net, name, ["DNS = 10.9.0.53, corp.example"]);
  const folder = `${net.folder}/own`;
  Deno.mkdirSync(folder);
  // Openresolv with a state and a resolv.conf of its own, and nobody to tell of changes.
  Deno.writeTextFileSync(
    `${folder}/resolvconf.conf`,
    `state_dir=${folder}/state\nresolv_conf=${folder}/resolv.conf\nlibc_service=true\n`,
  );
  const own = [`mount --bind ${folder}/resolvconf.conf /etc/resolvconf.conf`];
  const argv = inOwnMounts(own, command("up", file));
  Deno.writeTextFileSync(`${folder}/resolv.conf`, "nameserver 192.0.2.53\n");
  const up = Foreground.start(net, space, argv);
  await up.says(/ is up, UDP port /);
  const during = Deno.readTextFileSync(`${folder}/resolv.conf`);
  assert(during.includes("nameserver 10.9.0.53") && during.includes("search corp.example"), during);
  up.kill("SIGTERM");
  assertEquals(await up.ended(), 0, up.log);
  const after = Deno.readTextFileSync(`${folder}/resolv.conf`);
  assert(!after.includes("10.9.0.53"), after);
}, ["unshare", "mount", "/usr/sbin/resolvconf"]);

dnsTest(
  "where systemd-resolved has a resolvconf of its own, resolved is told",
  async (net, space, name) => {
    const folder = `${net.folder}/resolved`;
    Deno.mkdirSync(folder);
    const script = `#!/bin/sh\necho "$*" >>${folder}/calls\n`;
    Deno.writeTextFileSync(`${folder}/resolvectl`, script, { mode: 0o755 });
    Deno.symlinkSync("resolvectl", `${folder}/resolvconf`);
    const socket = "/run/systemd/resolve/io.systemd.Resolve";
    const own = [
      "mount -t tmpfs tmpfs /run/systemd",
      "mkdir /run/systemd/resolve",
      // Somebody has to listen where resolved does.
      `{ ncat -lkU ${socket} & } && until [ -S ${socket} ]; do sleep 0.02; done`,
    ];
    const file = config(net, name, ["DNS = 10.9.0.53, fd09::53, corp.example"]);
    const env = { PATH: `${folder}:${Deno.env.get("PATH")}` };
    const up = Foreground.start(net, space, inOwnMounts(own, command("up", file)), env);
    await up.says(/ is up, UDP port /);
    up.kill("SIGTERM");
    assertEquals(await up.ended(), 0, up.log);
    assertEquals(Deno.readTextFileSync(`${folder}/calls`).trimEnd().split("\n"), [
      `dns ${name} 10.9.0.53 fd09::53`,
      `domain ${name} corp.example ~.`,
      `default-route ${name} yes`,
      `revert ${name}`,
    ]);
  },
  ["unshare", "mount", "ncat"],
);

dnsTest(
  "where nothing can set name servers, a warning says what to do",
  async (net, space, name) => {
    const file = config(net, name, ["DNS = 10.9.0.53"]);
    const own = hiding("resolvconf", "resolvectl");
    const up = Foreground.start(net, space, inOwnMounts(own, command("up", file)));
    await up.says(/ is up, UDP port /);
    assert(/DNS = 10\.9\.0\.53 is not set: .*; fix: install openresolv/.test(up.log), up.log);
  },
  ["unshare", "mount"],
);
