/**
 * A host is restored whenever its tunnel is killed. Around every change that `up` makes and undoes it
 * is killed once; `down`, or the next `up`, then has to find out what was done.
 */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { run } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { newKeyPair } from "../netns/wg.ts";
import { command, Foreground, longhaul, writeConfig } from "./longhaul.ts";
import { resolvconfStub, snapshot } from "./host.ts";

/** Programs at a time; each start takes a core for half a second. */
const PARALLEL = 3;
/** More than there are changes. */
const CHANGES_MAX = 100;

interface Host {
  readonly space: string;
  readonly name: string;
  readonly file: string;
  readonly env: Record<string, string>;
  readonly state: () => Promise<string>;
  readonly before: string;
}

/** A host of its own with a config that changes everything that can be changed. */
async function newHost(net: Net, number: number): Promise<Host> {
  const space = await net.namespace(`k${number}`);
  await net.ip(space, [
    "link add eth0 type veth peer name wire",
    "link set wire up",
    "address add 192.0.2.1/24 dev eth0",
    "address add 2001:db8::1/64 dev eth0 nodad",
    "link set eth0 up",
    "route add default via 192.0.2.2",
    "route add default via 2001:db8::2",
  ]);
  const name = net.interfaceName();
  const dns = resolvconfStub(net, name);
  const hookTable = "nft delete table inet after || true";
  const file = writeConfig(
    net,
    name,
    `[Interface]
PrivateKey = ${newKeyPair().privateKey}
Address = 10.9.0.1/24, fd09::1/64
DNS = 10.9.0.53, fd09::53, corp.example
PreUp = nft add table inet before
PostUp = nft add table inet after
PostUp = ip rule add from 10.77.0.0/16 lookup 77
PreDown = ${hookTable}
PreDown = ip rule del from 10.77.0.0/16 lookup 77 || true
PostDown = nft delete table inet before || true
[Peer]
PublicKey = ${newKeyPair().publicKey}
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = 192.0.2.2:1
`,
  );
  const state = async () => `${await snapshot(space)}\n${dns.state()}`;
  return { space, name, file, env: dns.env, state, before: await state() };
}

/** Kills a tunnel at its n-th change; whether it came so far. */
async function killAt(net: Net, host: Host, n: number): Promise<boolean> {
  const env = { ...host.env, LONGHAUL_TEST: "1", LONGHAUL_TEST_FAULT: `up:kill-at-${n}` };
  const up = Foreground.start(net, host.space, command("up", host.file), env);
  await Promise.race([up.says(/ is up, UDP port /).catch(() => {}), up.ended(20_000)]);
  up.kill("SIGTERM");
  return await up.ended() !== 0;
}

/** The file in which a tunnel writes down what is to be undone. */
function recordPath({ name }: Host): string {
  return `/run/longhaul/${name}.json`;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

Deno.test({
  name: "a tunnel that is killed at any change is undone by down, and by the next up",
  ...requires("root", "tun", "ip", "nsenter", "nft", "bash"),
  async fn() {
    await using net = new Net();
    let next = 1, killed = 0, ended = false;
    const work = async (number: number) => {
      const host = await newHost(net, number);
      while (!ended && next < CHANGES_MAX) {
        const n = next++;
        if (!await killAt(net, host, n)) {
          ended = true;
        } else {
          killed++;
          if (n % 2 === 0) {
            const again = await Foreground.up(net, host.space, host.file, host.env);
            assert(await exists(recordPath(host)));
            again.kill("SIGTERM");
            assertEquals(await again.ended(), 0, again.log);
          } else {
            const { code, stderr } = await longhaul(["down", host.name], {
              namespace: host.space,
              env: host.env,
            });
            // Before the first and after the last change there is nothing to undo.
            if (code !== 0) assert(stderr.includes("Nothing runs"), stderr);
          }
        }
        assertEquals(await host.state(), host.before, `killed at change ${n}`);
        assert(!await exists(recordPath(host)), `killed at change ${n}`);
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, (_, number) => work(number)));
    assert(killed >= 30, `${killed} changes`);
  },
});

Deno.test({
  name: "down of a killed tunnel in another namespace says where it has to be run",
  ...requires("root", "tun", "ip", "nsenter", "nft"),
  async fn() {
    await using net = new Net();
    const host = await newHost(net, 0);
    const elsewhere = await net.namespace("elsewhere");
    const up = await Foreground.up(net, host.space, host.file, host.env);
    assertEquals((await Deno.stat(recordPath(host))).mode! & 0o777, 0o600);
    up.kill("SIGKILL");
    await up.ended();
    assert(await host.state() !== host.before);
    const wrong = await longhaul(["down", host.name], { namespace: elsewhere, env: host.env });
    assertEquals(wrong.code, 1);
    assert(wrong.stderr.includes("in another network namespace"), wrong.stderr);
    const right = await longhaul(["down", host.name], { namespace: host.space, env: host.env });
    assertEquals(right.code, 0, right.stderr);
    assertEquals(await host.state(), host.before);
    const rules = await run(["ip", "-n", elsewhere, "rule", "show"]);
    assertEquals(rules.stdout.trimEnd().split("\n").length, 3);
  },
});
