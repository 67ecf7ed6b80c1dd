/** `reload` and SIGHUP: the difference is applied, and what stays is not touched. */
import { assert, assertEquals } from "@std/assert";
import { closeFd } from "../../ffi/descriptor.ts";
import { openNamespace, withNamespace } from "../../ffi/netns.ts";
import { closeUdpSockets, openUdpSockets, type UdpSockets } from "../../ffi/udp_open.ts";
import { requires } from "../requires.ts";
import { run, waitFor } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { NodeProcess } from "../netns/node_process.ts";
import { iperf3, pingUntilAnswered } from "../netns/traffic.ts";
import { type InterfaceStatus, newKeyPair, newPresharedKey, parseDump, wg } from "../netns/wg.ts";
import { Foreground, longhaul, writeConfig } from "./longhaul.ts";

const NEEDS = ["root", "tun", "ip", "nsenter", "ping", "wg"];

/** A tunnel that runs from a config file between two namespaces. */
class Tunnel {
  private constructor(
    readonly net: Net,
    readonly spaces: readonly [string, string],
    readonly names: readonly [string, string],
    readonly files: readonly string[],
    readonly ends: readonly Foreground[],
    readonly keys = [newKeyPair(), newKeyPair()],
  ) {}

  static async start(net: Net): Promise<Tunnel> {
    const spaces = await net.twoHosts();
    const names = [net.interfaceName(), net.interfaceName()] as const;
    const keys = [newKeyPair(), newKeyPair()];
    const files = [0, 1].map((side) =>
      writeConfig(net, names[side], Tunnel.#text(keys, side as 0 | 1))
    );
    const ends = [];
    for (const side of [0, 1]) ends.push(await Foreground.up(net, spaces[side], files[side]));
    await pingUntilAnswered(spaces[0], "10.9.0.2");
    return new Tunnel(net, spaces, names, files, ends, keys);
  }

  static #text(keys: { privateKey: string; publicKey: string }[], side: 0 | 1): string {
    const other = side === 0 ? 1 : 0;
    return [
      "[Interface]",
      `PrivateKey = ${keys[side].privateKey}`,
      `ListenPort = ${10_001 + side}`,
      `Address = 10.9.0.${side + 1}/24, fd09::${side + 1}/64`,
      "[Peer]",
      "# friendly_name = far",
      `PublicKey = ${keys[other].publicKey}`,
      `Endpoint = 192.0.2.${other + 1}:${10_001 + other}`,
      `AllowedIPs = 10.9.0.${other + 1}/32, fd09::${other + 1}/128`,
      "",
    ].join("\n");
  }

  /** Changes the first side's file. */
  edit(change: (text: string) => string): void {
    Deno.writeTextFileSync(this.files[0], change(Deno.readTextFileSync(this.files[0])));
  }

  /** `reload` of the first side, which must do its work; what it says. */
  async reload(): Promise<string> {
    const { code, stdout, stderr } = await longhaul(["reload", this.names[0]]);
    assertEquals(code, 0, stderr);
    return stdout + stderr;
  }

  async show(): Promise<InterfaceStatus> {
    return parseDump((await wg(["show", this.names[0], "dump"])).stdout);
  }

  async ip(...words: string[]): Promise<string> {
    return (await run(["ip", "-n", this.spaces[0], ...words], { mayFail: true })).stdout;
  }
}

function reloadTest(
  name: string,
  scenario: (tunnel: Tunnel) => Promise<void>,
  ...more: string[]
): void {
  Deno.test({
    name,
    ...requires(...NEEDS, ...more),
    fn: async () => {
      await using net = new Net();
      await scenario(await Tunnel.start(net));
    },
  });
}

reloadTest("peers, prefixes, addresses, routes and MTU follow the file", async (tunnel) => {
  const { names } = tunnel;
  const third = newKeyPair().publicKey;
  assertEquals(await tunnel.reload(), "nothing to change\n");
  const psk = newPresharedKey();
  tunnel.edit((text) =>
    text.replace("Address = 10.9.0.1/24", "MTU = 1380\nAddress = 10.9.0.1/24, 10.77.0.1/16") +
    `[Peer]\nPublicKey = ${third}\nPresharedKey = ${psk}\nEndpoint = 192.0.2.9:9\n` +
    "PersistentKeepalive = 25\nAllowedIPs = 10.50.0.0/16, fd50::/64\n"
  );
  assertEquals(
    await tunnel.reload(),
    "1 peer added\naddress 10.77.0.1/16 added\nMTU 1380\n2 routes added\n",
  );
  const peers = (await tunnel.show()).peers;
  const { latestHandshake, receivedBytes, sentBytes, ...added } = peers
    .find((peer) => peer.publicKey === third)!;
  assertEquals([latestHandshake, receivedBytes], [0, 0]);
  assert(sentBytes > 0, "it is called at once, for its keepalive");
  assertEquals(added, {
    publicKey: third,
    presharedKey: psk,
    endpoint: "192.0.2.9:9",
    allowedIps: ["10.50.0.0/16", "fd50::/64"],
    keepalive: 25,
  });
  assert((await tunnel.ip("route", "show", "dev", names[0])).includes("10.50.0.0/16"));
  assert((await tunnel.ip("-6", "route", "show", "dev", names[0])).includes("fd50::/64"));
  assert((await tunnel.ip("link", "show", names[0])).includes("mtu 1380"));

  // One prefix moves to the other peer, one goes; keepalive and preshared key are dropped.
  tunnel.edit((text) =>
    text.replace(/PresharedKey = .*\n/, "").replace("PersistentKeepalive = 25\n", "")
      .replace("10.50.0.0/16, fd50::/64", "10.51.0.0/16")
      .replace("AllowedIPs = 10.9.0.2/32", "AllowedIPs = 10.9.0.2/32, 10.50.0.0/16")
      .replace(", 10.77.0.1/16", "")
  );
  assertEquals(
    await tunnel.reload(),
    "2 peers changed\naddress 10.77.0.1/16 removed\n1 route added\n1 route removed\n",
  );
  const moved = (await tunnel.show()).peers;
  const of = (key: string) => moved.find((peer) => peer.publicKey === key)!;
  assertEquals(of(third).allowedIps, ["10.51.0.0/16"]);
  assertEquals([of(third).presharedKey, of(third).keepalive], [null, 0]);
  assertEquals(of(tunnel.keys[1].publicKey).allowedIps, [
    ...["10.9.0.2/32", "fd09::2/128", "10.50.0.0/16"],
  ]);
  assert(!(await tunnel.ip("address", "show", "dev", names[0])).includes("10.77"));
  const routes = await tunnel.ip("-6", "route", "show", "dev", names[0]) +
    await tunnel.ip("route", "show", "dev", names[0]);
  assert(!routes.includes("fd50::") && routes.includes("10.51.0.0/16"), routes);

  tunnel.edit((text) => text.slice(0, text.lastIndexOf("[Peer]")));
  assertEquals(await tunnel.reload(), "1 peer removed\n1 route removed\n");
  assertEquals((await tunnel.show()).peers.length, 1);
  await pingUntilAnswered(tunnel.spaces[0], "10.9.0.2");
});

reloadTest("an address that goes takes no other address and no route along", async (tunnel) => {
  const [name] = tunnel.names;
  tunnel.edit((text) =>
    text.replace("AllowedIPs = 10.9.0.2/32", "AllowedIPs = 10.9.0.0/24, 10.60.0.0/16")
  );
  await tunnel.reload();
  tunnel.edit((text) => text.replace("10.9.0.1/24", "10.9.0.77/24"));
  assertEquals(await tunnel.reload(), "address 10.9.0.77/24 added\naddress 10.9.0.1/24 removed\n");
  const addresses = await tunnel.ip("-4", "address", "show", "dev", name);
  assert(addresses.includes("10.9.0.77/24") && !addresses.includes("10.9.0.1/24"), addresses);
  const routes = await tunnel.ip("route", "show", "dev", name);
  assert(routes.includes("10.60.0.0/16") && routes.includes("10.9.0.0/24"), routes);
});

reloadTest("port, mark and key follow, and the tunnel works on", async (tunnel) => {
  tunnel.edit((text) => text.replace("ListenPort = 10001", "ListenPort = 10011\nFwMark = 0x22"));
  assertEquals(await tunnel.reload(), "UDP port 10011\nfwmark 34\n");
  const { listenPort, fwmark } = await tunnel.show();
  assertEquals([listenPort, fwmark], [10_011, 0x22]);
  await pingUntilAnswered(tunnel.spaces[0], "10.9.0.2");
  const fresh = newKeyPair();
  tunnel.edit((text) => text.replace(/PrivateKey = .*/, `PrivateKey = ${fresh.privateKey}`));
  assertEquals(await tunnel.reload(), "another private key\n");
  assertEquals((await tunnel.show()).publicKey, fresh.publicKey);
  tunnel.edit((text) => text.replace("FwMark = 0x22\n", ""));
  assertEquals(await tunnel.reload(), "fwmark off\n");
});

reloadTest(
  "hazard 8: a bad file changes nothing and says why, also after a signal",
  async (tunnel) => {
    const good = Deno.readTextFileSync(tunnel.files[0]);
    const secret = newKeyPair().privateKey;
    // Without handshakes and counters, which a keepalive changes meanwhile.
    const settings = async () =>
      (await wg(["show", tunnel.names[0], "dump"])).stdout.split("\n")
        .map((line) => line.split("\t").filter((_, at) => at < 4 || at > 6));
    const before = await settings();
    const cases: [(text: string) => string, RegExp][] = [
      [(text) => text.replace("10.9.0.2/32", "10.9.0.2/33"), /conf:9:14: error: AllowedIPs/],
      [
        (text) => text.replace("ListenPort = 10001", `ListenPort = ${secret}`),
        /:3:14: .*not shown/,
      ],
      [(text) => text.replace("Endpoint", "Endpont"), /did you mean `Endpoint`/],
      [() => "", /no \[Interface\]/],
      // The file is right, but the port is not free.
      [(text) => text.replace("10001", "10099"), /port 10099 is in use/],
      // The peers are right, but a route is not possible.
      [
        (text) => text.replace("10.9.0.2/32", "10.9.0.2/32, 10.70.0.0/16"),
        /10\.70\.0\.0\/16 .*route already/,
      ],
    ];
    await tunnel.net.ip(tunnel.spaces[0], ["route add 10.70.0.0/16 via 192.0.2.2"]);
    const socket = withSocketIn(tunnel.spaces[0], 10_099);
    tunnel.net.defer(() => closeUdpSockets(socket));
    for (const [change, pattern] of cases) {
      Deno.writeTextFileSync(tunnel.files[0], change(good));
      const { code, stdout, stderr } = await longhaul(["reload", tunnel.names[0]]);
      assertEquals([code, stdout], [1, ""], stderr);
      assert(pattern.test(stderr) && stderr.endsWith("longhaul: nothing has changed\n"), stderr);
      assert(
        !stderr.includes(secret.slice(0, 20)) && !tunnel.ends[0].log.includes(secret.slice(0, 20)),
      );
      const lines = tunnel.ends[0].log.length;
      tunnel.ends[0].kill("SIGHUP");
      await waitFor(
        "the log tells",
        5000,
        () => /nothing has changed/.test(tunnel.ends[0].log.slice(lines)),
      );
      assertEquals(await settings(), before);
      const routes = await tunnel.ip("route", "show", "dev", tunnel.names[0]);
      assert(!routes.includes("10.70"), routes);
    }
    Deno.writeTextFileSync(tunnel.files[0], good);
    assertEquals(await tunnel.reload(), "nothing to change\n");
  },
);

/** A UDP port of a namespace that is taken. */
function withSocketIn(space: string, port: number): UdpSockets {
  const fd = openNamespace(`/var/run/netns/${space}`);
  try {
    return withNamespace(fd, () => openUdpSockets({ port, bufferBytes: 65_536, gro: false }));
  } finally {
    closeFd(fd);
  }
}

reloadTest("SIGHUP loads the file again", async (tunnel) => {
  tunnel.edit((text) => text.replace("10.9.0.2/32", "10.9.0.2/32, 10.80.0.0/16"));
  tunnel.ends[0].kill("SIGHUP");
  await tunnel.ends[0].says(/is loaded again: 1 peer changed, 1 route added/);
  assert((await tunnel.ip("route", "show", "dev", tunnel.names[0])).includes("10.80.0.0/16"));
});

reloadTest("what cannot change in a running interface says so", async (tunnel) => {
  tunnel.edit((text) =>
    text.replace("[Peer]", "PostUp = true\n#: [Longhaul]\n#: Offload = no-udp-gso\n[Peer]")
      .replace("AllowedIPs = ", "AllowedIPs = 0.0.0.0/0, ")
  );
  const said = await tunnel.reload();
  for (const what of ["PostUp", "[Longhaul]", "the route 0.0.0.0/0"]) {
    assert(said.split("\n").some((line) => line.includes(what) && /next up/.test(line)), said);
  }
});

reloadTest(
  "hazard 6: a new peer whose name has no address waits, and the others work on",
  async (tunnel) => {
    tunnel.edit((text) =>
      text + `[Peer]\nPublicKey = ${newKeyPair().publicKey}\nEndpoint = nobody.invalid:1\n`
    );
    assertEquals(await tunnel.reload(), "1 peer added\n");
    assert(/cannot resolve nobody\.invalid/.test(tunnel.ends[0].log), tunnel.ends[0].log);
    assertEquals((await tunnel.show()).peers.map(({ endpoint }) => endpoint).includes(null), true);
    await pingUntilAnswered(tunnel.spaces[0], "10.9.0.2");
  },
);

reloadTest("another table waits for the next up, and is told each time", async (tunnel) => {
  tunnel.edit((text) =>
    text.replace("[Peer]", "Table = 4243\n[Peer]").replace(
      "10.9.0.2/32",
      "10.9.0.2/32, 10.82.0.0/16",
    )
  );
  assert(/Table cannot change/.test(await tunnel.reload()));
  assert(/Table cannot change/.test(await tunnel.reload()));
  tunnel.edit((text) => text.replace("Table = 4243\n", ""));
  assertEquals(await tunnel.reload(), "1 route added\n");
  assert((await tunnel.ip("route", "show", "dev", tunnel.names[0])).includes("10.82.0.0/16"));
});

reloadTest("a peer that has roamed stays where it is", async (tunnel) => {
  await tunnel.net.ip(tunnel.spaces[1], ["address add 192.0.2.3/24 dev eth0"]);
  await wg([
    "set",
    tunnel.names[0],
    "peer",
    tunnel.keys[1].publicKey,
    "endpoint",
    "192.0.2.3:10002",
  ]);
  tunnel.edit((text) => text.replace("10.9.0.2/32", "10.9.0.2/32, 10.81.0.0/16"));
  await tunnel.reload();
  assertEquals((await tunnel.show()).peers[0].endpoint, "192.0.2.3:10002");
  tunnel.edit((text) => text.replace("192.0.2.2:10002", "192.0.2.2:10003"));
  await tunnel.reload();
  assertEquals((await tunnel.show()).peers[0].endpoint, "192.0.2.2:10003");
});

reloadTest(
  "a transfer runs through reloads without a handshake or a burst of retransmissions",
  async (tunnel) => {
    const [a, b] = tunnel.spaces;
    const before = (await tunnel.show()).peers[0].latestHandshake;
    // Slow enough that nothing is lost for want of room.
    const args = ["-b", "200M"];
    const transfer = iperf3({ client: a, server: b, address: "10.9.0.2", seconds: 4, args });
    const sent = async () => (await tunnel.show()).peers[0].sentBytes;
    const start = await sent();
    await waitFor("the transfer runs", 5000, async () => await sent() > start + 5_000_000);
    const other = newKeyPair().publicKey;
    for (let i = 0; i < 5; i++) {
      const peers = Array.from(
        { length: 50 },
        (_, n) =>
          `[Peer]\nPublicKey = ${newKeyPair().publicKey}\nAllowedIPs = 10.${100 + i}.${n}.0/24\n`,
      );
      tunnel.edit((text) =>
        text.split(/(?=\[Peer\])/).slice(0, 2).join("") + peers.join("") +
        `[Peer]\nPublicKey = ${other}\nAllowedIPs = 10.9.0.${30 + i}/32\n`
      );
      assert(/peers? added/.test(await tunnel.reload()));
    }
    const { bitsPerSecond, retransmits } = await transfer;
    assertEquals((await tunnel.show()).peers[0].latestHandshake, before, "no handshake");
    assert(bitsPerSecond > 50e6, `${bitsPerSecond}`);
    // On a busy machine some come about without any reload; a lost batch would be dozens.
    assert(retransmits < 20, `${retransmits} retransmissions`);
  },
  "iperf3",
);

reloadTest("an interface that no config made has nothing to load", async (tunnel) => {
  const node = await NodeProcess.start(tunnel.net, "longhaul", tunnel.spaces[0]);
  const { code, stderr } = await longhaul(["reload", node.name]);
  assertEquals(code, 1);
  assert(stderr.includes("there is no file to load again"), stderr);
  const nobody = await longhaul(["reload", "lh-nobody"]);
  assertEquals([nobody.code, nobody.stderr], [1, "longhaul: Nothing runs as lh-nobody\n"]);
});
