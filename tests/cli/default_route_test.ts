/** A default route into the tunnel: real traffic through it, and a host that is restored. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { run } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { assertIperf, assertNoPing, assertPing, pingUntilAnswered } from "../netns/traffic.ts";
import { Foreground, longhaul, writeConfig } from "./longhaul.ts";
import {
  assertRestored,
  clientConfig,
  country,
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
