/**
 * Configs as VPN providers hand them out: real traffic through each, and a host that is afterwards
 * as it was, name servers included.
 */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { run } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { LONGHAUL } from "../netns/node_process.ts";
import { assertIperf, assertPing, pingUntilAnswered } from "../netns/traffic.ts";
import { Foreground, longhaul, writeConfig } from "./longhaul.ts";
import {
  clientConfig,
  type Country,
  country,
  providerConfig,
  resolvconfStub,
  SERVER_4,
  SERVER_6,
  snapshot,
} from "./host.ts";

/** What is looked at while such a tunnel is up. */
interface Tunnel {
  readonly c: Country;
  readonly name: string;
  readonly dns: string;
  readonly log: string;
}

function providerTest(
  what: string,
  config: (c: Country) => string,
  check: (tunnel: Tunnel) => Promise<void>,
): void {
  Deno.test({
    name: what,
    ...requires("root", "tun", "ip", "nsenter", "ping", "nft", "iperf3"),
    fn: async () => {
      await using net = new Net();
      const c = await country(net);
      const [inside, name] = [net.interfaceName(), net.interfaceName()];
      await Foreground.up(net, c.provider, writeConfig(net, inside, providerConfig(c)));
      const stub = resolvconfStub(net, name);
      const before = await snapshot(c.client);
      const up = await Foreground.up(net, c.client, writeConfig(net, name, config(c)), stub.env);
      await pingUntilAnswered(c.client, SERVER_4);
      await check({ c, name, dns: stub.state(), log: up.log });
      const down = await longhaul(["down", name], { namespace: c.client, env: stub.env });
      assertEquals([down.code, down.stderr], [0, ""]);
      assertEquals(await up.ended(), 0, up.log);
      assertEquals(await snapshot(c.client), before);
      assertEquals(stub.state(), "");
    },
  });
}

providerTest(
  "a full tunnel with DNS, IPv4 and IPv6",
  ({ clientKey, providerKey }) =>
    `[Interface]
# Device: Quick Fox
PrivateKey = ${clientKey.privateKey}
Address = 10.9.0.1/32,fd09::1/128
DNS = 10.9.0.254

[Peer]
PublicKey = ${providerKey.publicKey}
AllowedIPs = 0.0.0.0/0,::0/0
Endpoint = 192.0.2.2:10002
`,
  async ({ c, dns, name, log }) => {
    await assertPing(c.client, SERVER_6);
    await assertIperf({ client: c.client, server: c.server, address: SERVER_4 });
    await assertIperf({ client: c.client, server: c.server, address: SERVER_6 });
    assertEquals(dns, `${name}:\nnameserver 10.9.0.254\n`);
    assert(!/warning|WARN/.test(log), log);
  },
);

providerTest(
  "a /32 address, IPv4 alone, comments everywhere, a keepalive",
  ({ clientKey, providerKey }) =>
    `# Key for laptop
# Bouncing = 0
[Interface] # NetShield = 1
# NAT-PMP (Port Forwarding) = off
PrivateKey = ${clientKey.privateKey} # secret
Address = 10.9.0.1/32 # ours
DNS = 10.9.0.254 # theirs

[Peer]
# XX-FREE#1
PublicKey = ${providerKey.publicKey}
AllowedIPs = 0.0.0.0/0
Endpoint = 192.0.2.2:10002
PersistentKeepalive = 25
`,
  async ({ c, name }) => {
    await assertIperf({ client: c.client, server: c.server, address: SERVER_4 });
    // IPv6 goes on beside the tunnel.
    const get = await run(["ip", "-n", c.client, "route", "get", SERVER_6]);
    assert(get.stdout.includes("dev eth0"), get.stdout);
    const v4 = await run(["ip", "-n", c.client, "route", "get", SERVER_4]);
    assert(v4.stdout.includes(`dev ${name}`), v4.stdout);
  },
);

providerTest(
  "the address space in halves, and the endpoint in one of them",
  (c) =>
    clientConfig(c, {
      interface: ["DNS = 10.9.0.254, fd09::fe, vpn.example", "MTU = 1320"],
      allowedIps: "0.0.0.0/1, 128.0.0.0/1, ::/1, 8000::/1",
    }),
  async ({ c, dns, name }) => {
    await assertPing(c.client, SERVER_6);
    await assertIperf({ client: c.client, server: c.server, address: SERVER_4 });
    assertEquals(
      dns,
      `${name}:\nnameserver 10.9.0.254\nnameserver fd09::fe\nsearch vpn.example\n`,
    );
    const link = await run(["ip", "-n", c.client, "link", "show", name]);
    assert(link.stdout.includes("mtu 1320"), link.stdout);
    // The local network keeps its own way.
    const get = await run(["ip", "-n", c.client, "route", "get", "192.0.2.2"]);
    assert(get.stdout.includes("dev eth0"), get.stdout);
  },
);

providerTest(
  "everything but the local networks, as a list",
  (c) =>
    clientConfig(c, {
      allowedIps: "0.0.0.0/5, 8.0.0.0/7, 11.0.0.0/8, 12.0.0.0/6, 16.0.0.0/4, 32.0.0.0/3, " +
        "64.0.0.0/2, 128.0.0.0/3, 160.0.0.0/5, 168.0.0.0/6, 172.0.0.0/12, 172.32.0.0/11, " +
        "172.64.0.0/10, 172.128.0.0/9, 173.0.0.0/8, 174.0.0.0/7, 176.0.0.0/4, 192.0.0.0/9, " +
        "192.128.0.0/11, 192.160.0.0/13, 192.169.0.0/16, 192.170.0.0/15, 192.172.0.0/14, " +
        "192.176.0.0/12, 192.192.0.0/10, 193.0.0.0/8, 194.0.0.0/7, 196.0.0.0/6, 200.0.0.0/5, " +
        "208.0.0.0/4, 2000::/3",
    }),
  async ({ c, name }) => {
    await assertPing(c.client, SERVER_6);
    await assertIperf({ client: c.client, server: c.server, address: SERVER_4 });
    for (const [address, device] of [["10.1.2.3", "eth0"], ["192.168.7.7", "eth0"]]) {
      const get = await run(["ip", "-n", c.client, "route", "get", address]);
      assert(get.stdout.includes(`dev ${device}`), get.stdout);
    }
    for (const address of ["1.1.1.1", "192.0.3.1", "193.1.1.1"]) {
      const get = await run(["ip", "-n", c.client, "route", "get", address]);
      assert(get.stdout.includes(`dev ${name}`), get.stdout);
    }
  },
);

Deno.test({
  name: "wg-quick brings a full tunnel up and down with Longhaul as its implementation",
  ...requires("root", "tun", "ip", "nsenter", "ping", "nft", "iperf3", "wg", "wg-quick", "bash"),
  async fn() {
    await using net = new Net();
    const c = await country(net);
    const [inside, name] = [net.interfaceName(), net.interfaceName()];
    await Foreground.up(net, c.provider, writeConfig(net, inside, providerConfig(c)));
    const stub = resolvconfStub(net, name);
    const env = { ...stub.env, WG_QUICK_USERSPACE_IMPLEMENTATION: LONGHAUL };
    const before = await snapshot(c.client);
    const file = writeConfig(
      net,
      name,
      clientConfig(c, { interface: ["DNS = 10.9.0.254", "#: [Longhaul]", "#: Encryptors = 0"] }),
    );
    const options = { namespace: c.client, env, timeoutMs: 30_000 };
    await run(["wg-quick", "up", file], options);
    await pingUntilAnswered(c.client, SERVER_4);
    await assertPing(c.client, SERVER_6);
    await assertIperf({ client: c.client, server: c.server, address: SERVER_4 });
    assertEquals(stub.state(), `${name}:\nnameserver 10.9.0.254\n`);
    await run(["wg-quick", "down", file], options);
    const setting = (text: string) => text.replace(/(src_valid_mark\n)\d/, "$1-");
    // wg-quick leaves src_valid_mark as it set it.
    assertEquals(setting(await snapshot(c.client)), setting(before));
    assertEquals(stub.state(), "");
  },
});
