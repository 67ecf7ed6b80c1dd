import { assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { formatAddress } from "../../src/control/address_text.ts";
import { nameServers } from "../../src/daemon/outer_resolver.ts";
import { Foreground, writeConfig } from "../cli/longhaul.ts";
import { clientConfig, country, inOwnMounts } from "../cli/host.ts";
import { run } from "../netns/command.ts";
import { Net } from "../netns/net.ts";

Deno.test("the servers of resolv.conf are its first three that are not this host", () => {
  const text =
    "# nameserver 1.1.1.1\nnameserver 127.0.0.53\n nameserver\t192.0.2.1 # x\nsearch a\n" +
    "nameserver ::1\nnameserver 2001:db8::1\nnameserver nonsense\nnameserver 192.0.2.2\n" +
    "nameserver 192.0.2.3\n";
  assertEquals(nameServers(text).map(formatAddress), ["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
  assertEquals(nameServers(""), []);
});

/** A name server on 198.51.100.1 that says where vpn.example is, after a forged answer. */
const SERVER = `
import { createSocket } from "node:dgram";
const socket = createSocket("udp4");
socket.on("message", (query, from) => {
  const answer = new Uint8Array(query.length + 16);
  answer.set(query);
  answer.set([0x81, 0x80, 0, 1, 0, 1], 2);
  answer.set([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 77], query.length);
  const isV6 = query[query.length - 3] === 28;
  if (isV6) answer[7] = 0;
  const forged = answer.slice();
  forged[0] ^= 0xff;
  socket.send(forged, from.port, from.address);
  socket.send(isV6 ? answer.slice(0, query.length) : answer, from.port, from.address);
});
socket.bind(53, "198.51.100.1", () => console.log("listening"));
`;

/** Looks vpn.example up twice: with the mark of the default route, and without one. */
const CLIENT = `
import { OuterResolver } from ${
  JSON.stringify(new URL("../../src/daemon/outer_resolver.ts", import.meta.url).href)
};
const outer = new OuterResolver([Uint8Array.of(198, 51, 100, 1)]);
for (const mark of [0, 51820]) {
  outer.mark = mark;
  const found = await outer.resolve("vpn.example").then(({ address }) => address.join("."))
    .catch(() => "nothing");
  console.log(mark, found);
}
`;

Deno.test({
  name: "a name is found beside a dead tunnel that has taken the default route",
  ...requires("root", "tun", "ip", "nsenter", "nft", "unshare", "mount"),
  async fn() {
    await using net = new Net();
    const c = await country(net);
    const [server, client] = [`${net.folder}/server.ts`, `${net.folder}/client.ts`];
    Deno.writeTextFileSync(server, SERVER);
    Deno.writeTextFileSync(client, CLIENT);
    const served = Foreground.start(net, c.provider, [Deno.execPath(), "run", "-A", server]);
    await served.says(/listening/);
    // Nobody answers at the endpoint: the tunnel is dead.
    await Foreground.up(net, c.client, writeConfig(net, net.interfaceName(), clientConfig(c)));
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const own = ["mount --bind /dev/null /etc/resolv.conf"];
    const argv = [Deno.execPath(), "run", "-A", "--config", config, client];
    const { stdout } = await run(inOwnMounts(own, argv), {
      namespace: c.client,
      timeoutMs: 30_000,
    });
    assertEquals(stdout, "0 nothing\n51820 192.0.2.77\n");
  },
});
