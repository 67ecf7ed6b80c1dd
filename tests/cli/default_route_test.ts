/** A default route into the tunnel: real traffic through it, and a host that is restored. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { run, waitFor } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { assertIperf, assertNoPing, assertPing, pingUntilAnswered } from "../netns/traffic.ts";
import { newKeyPair } from "../netns/wg.ts";
import { command, Foreground, longhaul, writeConfig } from "./longhaul.ts";
import {
  assertRestored,
  clientConfig,
  country,
  hiding,
  inOwnMounts,
  providerConfig,
  SERVER_4,
  SERVER_6,
  snapshot,
} from "./host.ts";

const NEEDS = ["root", "tun", "ip", "nsenter", "ping", "nft", "iperf3"];

function routeTest(name: string, scenario: (net: Net) => Promise<void>, more: string[] = []): void {
  Deno.test({
    name,
    ...requires(...NEEDS, ...more),
    fn: async () => {
      await using net = new Net();
      await scenario(net);
    },
  });
}

routeTest("a default route takes all traffic but the tunnel's own, and goes again", async (net) => {
  const c = await country(net);
  const [inside, outside] = [net.interfaceName(), net.interfaceName()];
  await Foreground.up(net, c.provider, writeConfig(net, inside, providerConfig(c)));
  await assertNoPing(c.client, SERVER_4);
  const before = await snapshot(c.client);
  const up = await Foreground.up(net, c.client, writeConfig(net, outside, clientConfig(c)));
  await pingUntilAnswered(c.client, SERVER_4);
  await assertPing(c.client, SERVER_6);
  await assertIperf({ client: c.client, server: c.server, address: SERVER_4 });
  // The local network is reached as before, and the endpoint beside the tunnel.
  const get = async (...words: string[]) =>
    (await run(["ip", "-n", c.client, "route", "get", ...words])).stdout;
  assert((await get("192.0.2.2")).includes("dev eth0"));
  assert((await get(SERVER_4)).includes(`dev ${outside} table 51820`));
  assert((await get(SERVER_4, "mark", "51820")).includes("dev eth0"));
  const rules = (await run(["ip", "-n", c.client, "rule", "show"])).stdout;
  assertEquals(rules.split("\n").slice(1, 3), [
    "32764:\tfrom all lookup main suppress_prefixlength 0",
    "32765:\tnot from all fwmark 0xca6c lookup 51820",
  ]);
  const down = await longhaul(["down", outside], { namespace: c.client });
  assertEquals([down.code, down.stderr], [0, ""]);
  assertEquals(await up.ended(), 0, up.log);
  await assertRestored(c.client, before);
});

routeTest("a default route that a reload takes away comes back with the next one", async (net) => {
  const c = await country(net);
  const [inside, outside] = [net.interfaceName(), net.interfaceName()];
  await Foreground.up(net, c.provider, writeConfig(net, inside, providerConfig(c)));
  const before = await snapshot(c.client);
  const file = writeConfig(net, outside, clientConfig(c));
  const up = await Foreground.up(net, c.client, file);
  await pingUntilAnswered(c.client, SERVER_4);
  const reload = async (allowedIps: string) => {
    Deno.writeTextFileSync(file, clientConfig(c, { allowedIps }));
    const { code, stderr } = await longhaul(["reload", outside], { namespace: c.client });
    assertEquals([code, stderr], [0, ""]);
  };
  await reload("10.9.0.0/24");
  await assertNoPing(c.client, SERVER_4);
  await reload("0.0.0.0/0, ::/0");
  await assertPing(c.client, SERVER_4);
  await assertPing(c.client, SERVER_6);
  up.kill("SIGTERM");
  assertEquals(await up.ended(), 0, up.log);
  await assertRestored(c.client, before);
});

routeTest("with an address that goes, the default route stays in its own table", async (net) => {
  const space = await lonelyHost(net);
  await net.ip(space, ["route delete default", "route add default via 192.0.2.2 metric 100"]);
  const name = net.interfaceName();
  const file = lonelyConfig(net, name, "0.0.0.0/0, ::/0");
  await Foreground.up(net, space, file);
  Deno.writeTextFileSync(file, Deno.readTextFileSync(file).replace("10.9.0.1/32, ", ""));
  const { code, stderr } = await longhaul(["reload", name], { namespace: space });
  assertEquals([code, stderr], [0, ""]);
  const routes = async (table: string) =>
    (await run(["ip", "-n", space, "-4", "route", "show", "default", "table", table])).stdout
      .trim();
  assertEquals(await routes("main"), "default via 192.0.2.2 dev eth0 metric 100");
  assertEquals(await routes("51820"), `default dev ${name} proto static scope link`);
});

/** A host with a default route to nowhere, for tunnels that never see a packet. */
async function lonelyHost(net: Net): Promise<string> {
  const space = await net.namespace("lonely");
  await net.ip(space, [
    "link add eth0 type veth peer name wire",
    "link set wire up",
    "address add 192.0.2.1/24 dev eth0",
    "address add 2001:db8::1/64 dev eth0 nodad",
    "link set eth0 up",
    "route add default via 192.0.2.2",
    "route add default via 2001:db8::2",
  ]);
  return space;
}

/** A config for it; `more` are lines of `[Interface]`. */
function lonelyConfig(net: Net, name: string, allowedIps: string, more: string[] = []): string {
  return writeConfig(
    net,
    name,
    [
      "[Interface]",
      `PrivateKey = ${newKeyPair().privateKey}`,
      "Address = 10.9.0.1/32, fd09::1/128",
      ...more,
      "[Peer]",
      `PublicKey = ${newKeyPair().publicKey}`,
      `AllowedIPs = ${allowedIps}`,
      "Endpoint = 192.0.2.2:51820",
      "",
    ].join("\n"),
  );
}

async function rulesOf(space: string): Promise<string[]> {
  const show = async (family: string) =>
    (await run(["ip", "-n", space, family, "rule", "show"])).stdout.trimEnd().split("\n");
  return [...await show("-4"), ...await show("-6")].map((line) => line.replace(/\s+/g, " "));
}

routeTest("nft gets the rules of wg-quick in a table of the tunnel's own", async (net) => {
  const space = await lonelyHost(net);
  const name = net.interfaceName();
  await Foreground.up(net, space, lonelyConfig(net, name, "0.0.0.0/0, ::/0"));
  const ruleset = (await run(["nft", "list", "table", "inet", `longhaul-${name}`], {
    namespace: space,
  })).stdout.replace(/\s+/g, " ");
  for (
    const rule of [
      `iifname != "${name}" ip daddr 10.9.0.1 fib saddr type != local drop`,
      `iifname != "${name}" ip6 daddr fd09::1 fib saddr type != local drop`,
      "hook prerouting priority mangle; policy accept; meta l4proto udp ct mark 0x0000ca6c",
      "meta mark set ct mark",
      "meta l4proto udp meta mark 0x0000ca6c ct mark set meta mark",
    ]
  ) assert(ruleset.includes(rule), ruleset);
});

routeTest("packets for the tunnel's address from other interfaces are dropped", async (net) => {
  const c = await country(net);
  const name = net.interfaceName();
  await net.ip(c.provider, ["route add 10.9.0.1/32 via 192.0.2.1"]);
  const up = await Foreground.up(net, c.client, writeConfig(net, name, clientConfig(c)));
  // The host itself reaches its address; the neighbour does not.
  await assertPing(c.client, "10.9.0.1");
  await assertNoPing(c.provider, "10.9.0.1");
  await assertPing(c.provider, "192.0.2.1");
  up.kill("SIGTERM");
  await up.ended();
});

routeTest("strict reverse path filtering lets the peer's answers through", async (net) => {
  const c = await country(net);
  const [inside, outside] = [net.interfaceName(), net.interfaceName()];
  for (const which of ["all", "eth0"]) {
    await net.sysctl(c.client, `ipv4/conf/${which}/rp_filter`, 1);
  }
  await Foreground.up(net, c.provider, writeConfig(net, inside, providerConfig(c)));
  const before = await snapshot(c.client);
  // Without the mark, the way to this address is the tunnel.
  const text = clientConfig(c, { endpoint: "198.51.100.1:10002" });
  const up = await Foreground.up(net, c.client, writeConfig(net, outside, text));
  await pingUntilAnswered(c.client, SERVER_4);
  const show = await run(["cat", "/proc/sys/net/ipv4/conf/all/src_valid_mark"], {
    namespace: c.client,
  });
  assertEquals(show.stdout, "1\n");
  up.kill("SIGTERM");
  await up.ended();
  await assertRestored(c.client, before);
});

routeTest("without nft the rules are iptables', and go again", async (net) => {
  const c = await country(net);
  const [inside, outside] = [net.interfaceName(), net.interfaceName()];
  await Foreground.up(net, c.provider, writeConfig(net, inside, providerConfig(c)));
  const tables = async () => {
    let text = "";
    for (const program of ["iptables", "ip6tables"]) {
      for (const table of ["raw", "mangle"]) {
        text += (await run([program, "-t", table, "-S"], { namespace: c.client })).stdout;
      }
    }
    return text;
  };
  await run(["iptables", "-t", "raw", "-A", "PREROUTING", "-d", "10.9.0.77", "-j", "DROP"], {
    namespace: c.client,
  });
  const before = await tables();
  const file = writeConfig(net, outside, clientConfig(c));
  const argv = inOwnMounts(hiding("nft"), command("up", file));
  const up = Foreground.start(net, c.client, argv);
  await up.says(/ is up, UDP port /);
  const during = await tables();
  for (
    const rule of [
      `-A PREROUTING -d 10.9.0.1/32 ! -i ${outside} -m addrtype ! --src-type LOCAL ` +
      `-m comment --comment "longhaul rule for ${outside}" -j DROP`,
      `-A PREROUTING -d fd09::1/128 ! -i ${outside} -m addrtype ! --src-type LOCAL`,
      "--restore-mark",
      "--save-mark",
    ]
  ) assert(during.includes(rule), during);
  await pingUntilAnswered(c.client, SERVER_4);
  await assertPing(c.client, SERVER_6);
  up.kill("SIGKILL");
  await up.ended();
  const down = await run(inOwnMounts(hiding("nft"), command("down", outside)), {
    namespace: c.client,
  });
  assertEquals(down.code, 0, down.stderr);
  assertEquals(await tables(), before);
}, ["iptables", "unshare", "mount"]);

routeTest("with neither nft nor iptables a warning says what is missing", async (net) => {
  const space = await lonelyHost(net);
  const before = await snapshot(space);
  const file = lonelyConfig(net, net.interfaceName(), "0.0.0.0/0");
  const own = hiding("nft", "iptables-restore", "ip6tables-restore");
  const up = Foreground.start(net, space, inOwnMounts(own, command("up", file)));
  await up.says(/ is up, UDP port /);
  assert(/rules of the default route are missing.*fix: install nftables/.test(up.log), up.log);
  up.kill("SIGTERM");
  assertEquals(await up.ended(), 0);
  await assertRestored(space, before);
}, ["unshare", "mount"]);

routeTest("several tunnels have tables, rules and firewalls of their own", async (net) => {
  const space = await lonelyHost(net);
  const before = await snapshot(space);
  const names = [net.interfaceName(), net.interfaceName(), net.interfaceName()];
  const all = "0.0.0.0/0, ::/0";
  const [a, b, c] = await Promise.all(names.map((name) => {
    return Foreground.up(net, space, lonelyConfig(net, name, all));
  }));
  const rules = await rulesOf(space);
  for (const mark of ["0xca6c", "0xca6d", "0xca6e"]) {
    assertEquals(rules.filter((rule) => rule.includes(`not from all fwmark ${mark}`)).length, 2);
  }
  const setting = async () =>
    (await run(["cat", "/proc/sys/net/ipv4/conf/all/src_valid_mark"], { namespace: space })).stdout;
  // The first that ends takes only its own away, a killed one nothing.
  a.kill("SIGTERM");
  assertEquals(await a.ended(), 0);
  assertEquals([(await rulesOf(space)).length, await setting()], [rules.length - 4, "1\n"]);
  b.kill("SIGKILL");
  await b.ended();
  c.kill("SIGTERM");
  assertEquals(await c.ended(), 0);
  assertEquals([(await rulesOf(space)).length, await setting()], [rules.length - 8, "1\n"]);
  assertEquals((await longhaul(["down", names[1]], { namespace: space })).code, 0);
  await assertRestored(space, before);
});

routeTest("a table that somebody else uses is passed over", async (net) => {
  const space = await lonelyHost(net);
  await net.ip(space, [
    "route add 10.66.0.0/16 via 192.0.2.2 table 51820",
    "rule add fwmark 51822 lookup main",
  ]);
  await run(["ip", "-n", space, "-6", "rule", "add", "to", "fd66::/64", "lookup", "51821"]);
  const before = await snapshot(space);
  const up = await Foreground.up(
    net,
    space,
    lonelyConfig(net, net.interfaceName(), "0.0.0.0/0, ::/0"),
  );
  const rules = await rulesOf(space);
  assertEquals(rules.filter((rule) => rule.endsWith("fwmark 0xca6f lookup 51823")).length, 2);
  up.kill("SIGTERM");
  await up.ended();
  await assertRestored(space, before);
});

routeTest("FwMark names the table; one that has such a route already is refused", async (net) => {
  const space = await lonelyHost(net);
  const name = net.interfaceName();
  const file = lonelyConfig(net, name, "0.0.0.0/0", ["FwMark = 0x1234"]);
  const before = await snapshot(space);
  const up = await Foreground.up(net, space, file);
  const rules = await rulesOf(space);
  assert(rules.some((rule) => rule.endsWith("not from all fwmark 0x1234 lookup 4660")), `${rules}`);
  up.kill("SIGTERM");
  await up.ended();
  await assertRestored(space, before);
  await net.ip(space, ["route add default via 192.0.2.2 table 4660"]);
  const { code, stderr } = await longhaul(["up", file], { namespace: space });
  assertEquals(code, 1);
  assert(
    stderr.includes(`Cannot route 0.0.0.0/0 into ${name}, in table 4660 after FwMark`),
    stderr,
  );
  await net.ip(space, ["route del default via 192.0.2.2 table 4660"]);
  await assertRestored(space, before);
});

routeTest("an interface that is deleted in use takes everything with it", async (net) => {
  const space = await lonelyHost(net);
  const before = await snapshot(space);
  const name = net.interfaceName();
  const up = await Foreground.up(net, space, lonelyConfig(net, name, "0.0.0.0/0, ::/0"));
  await net.ip(space, [`link delete ${name}`]);
  assertEquals(await up.ended(), 0, up.log);
  await assertRestored(space, before);
});

routeTest("a worker that dies takes the default route along", async (net) => {
  const c = await country(net);
  const before = await snapshot(c.client);
  const env = { LONGHAUL_TEST: "1", LONGHAUL_TEST_FAULT: "lane:crash" };
  const file = writeConfig(net, net.interfaceName(), clientConfig(c));
  const up = Foreground.start(net, c.client, command("up", file), env);
  // It strikes with the traffic that the interface itself makes, or with this one.
  await run(["ping", "-c", "100", "-i", "0.02", "-W", "1", "10.9.0.254"], {
    namespace: c.client,
    mayFail: true,
  });
  assertEquals(await up.ended(), 1, up.log);
  await assertRestored(c.client, before);
});

routeTest("two that come up at the same time find different tables", async (net) => {
  const space = await lonelyHost(net);
  const names = Array.from({ length: 4 }, () => net.interfaceName());
  const ups = names.map((name) => {
    return Foreground.start(
      net,
      space,
      command("up", lonelyConfig(net, name, "0.0.0.0/0")),
    );
  });
  for (const up of ups) await up.says(/ is up, UDP port /);
  const rules = await rulesOf(space);
  const marks = rules.map((rule) => /fwmark (\S+)/.exec(rule)?.[1]).filter(Boolean);
  assertEquals(new Set(marks).size, 4, rules.join("\n"));
  const tables = await waitFor("all tables", 1000, async () => {
    const shown = await run(["ip", "-n", space, "route", "show", "table", "all"]);
    return shown.stdout.match(/default dev .* table 518\d\d/g);
  });
  assertEquals(tables.length, 4);
});

routeTest(
  "a default route waits for the endpoint's name, which nothing could find behind it",
  async (net) => {
    const c = await country(net);
    const [inside, outside] = [net.interfaceName(), net.interfaceName()];
    await Foreground.up(net, c.provider, writeConfig(net, inside, providerConfig(c)));
    const hosts = `${net.folder}/hosts`;
    Deno.writeTextFileSync(hosts, "127.0.0.1 localhost\n");
    const text = clientConfig(c, {
      endpoint: "far.example:10002",
      interface: ["PostUp = echo post-up"],
    });
    const own = [
      `mount --bind ${hosts} /etc/hosts`,
      "mount --bind /dev/null /etc/resolv.conf",
    ];
    const before = await rulesOf(c.client);
    const argv = inOwnMounts(own, command("up", writeConfig(net, outside, text)));
    const up = Foreground.start(net, c.client, argv);
    await up.says(/name servers and routes wait until/);
    assertEquals(await rulesOf(c.client), before);
    Deno.writeTextFileSync(hosts, "127.0.0.1 localhost\n192.0.2.2 far.example\n");
    await up.says(/ is up, UDP port /);
    assert(/far\.example is at 192\.0\.2\.2:10002[^]*\npost-up\n/.test(up.log), up.log);
    await pingUntilAnswered(c.client, SERVER_4);
    up.kill("SIGTERM");
    assertEquals(await up.ended(), 0);
    // A signal ends the waiting, too.
    Deno.writeTextFileSync(hosts, "127.0.0.1 localhost\n");
    const waiting = Foreground.start(net, c.client, argv);
    await waiting.says(/name servers and routes wait until/);
    waiting.kill("SIGTERM");
    assertEquals(await waiting.ended(), 0, waiting.log);
    assert(!waiting.log.includes("post-up"), waiting.log);
    assertEquals(await rulesOf(c.client), before);
  },
  ["unshare", "mount"],
);

routeTest("an endpoint that its own allowed IPs capture is told", async (net) => {
  const space = await lonelyHost(net);
  const file = lonelyConfig(net, net.interfaceName(), "192.0.2.0/29");
  const up = await Foreground.up(net, space, file);
  assert(/192\.0\.2\.2 lies in the allowed IPs 192\.0\.2\.0\/29/.test(up.log), up.log);
});

routeTest(
  "an endpoint in a public network that the tunnel leads to is still reached",
  async (net) => {
    const c = await country(net);
    const [inside, outside] = [net.interfaceName(), net.interfaceName()];
    await Foreground.up(net, c.provider, writeConfig(net, inside, providerConfig(c)));
    // The endpoint is the provider's address in the server's network, which lies behind the tunnel.
    await net.ip(c.client, ["route replace default via 192.0.2.2"]);
    const before = await snapshot(c.client);
    const text = clientConfig(c, {
      endpoint: "198.51.100.1:10002",
      allowedIps: "198.51.100.0/24, fd09::/64",
    });
    const up = await Foreground.up(net, c.client, writeConfig(net, outside, text));
    await pingUntilAnswered(c.client, SERVER_4);
    up.kill("SIGTERM");
    await up.ended();
    await assertRestored(c.client, before);
  },
);
