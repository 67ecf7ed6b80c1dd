/** SaveConfig: the running state goes back into the file. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { Net } from "../netns/net.ts";
import { newKeyPair, newPresharedKey, wg } from "../netns/wg.ts";
import { Foreground, longhaul, writeConfig } from "./longhaul.ts";

const NEEDS = requires("root", "tun", "ip", "nsenter", "wg");

Deno.test({
  name: "down writes the running state back, and keeps comments, hooks and our own keys",
  ...NEEDS,
  async fn() {
    await using net = new Net();
    const space = await net.namespace("a");
    const name = net.interfaceName();
    const [own, gone, kept, added] = [newKeyPair(), newKeyPair(), newKeyPair(), newKeyPair()];
    const psk = newPresharedKey();
    const text = `# the office
[Interface]
PrivateKey = ${own.privateKey}
Address = 10.9.0.1/24 # inside
ListenPort = 12000
SaveConfig = true
PreDown = wg set %i listen-port 12001
PostDown = true # still there
#: [Longhaul]
#: Encryptors = 0

# will go
[Peer]
PublicKey = ${gone.publicKey}
AllowedIPs = 10.9.0.2/32

# will stay
[Peer]
PublicKey = ${kept.publicKey}
AllowedIPs = 10.9.0.3/32
Endpoint = 192.0.2.3:1
`;
    const file = writeConfig(net, name, text);
    // The file is found by a link, and stays where it is.
    const link = `${net.folder}/links/${name}.conf`;
    Deno.mkdirSync(`${net.folder}/links`);
    Deno.symlinkSync(file, link);
    const up = await Foreground.up(net, space, link);
    await net.ip(space, [`address add 10.9.1.1/24 dev ${name}`]);
    const pskFile = `${net.folder}/psk`;
    Deno.writeTextFileSync(pskFile, psk, { mode: 0o600 });
    const words = [
      ...["set", name, "peer", gone.publicKey, "remove"],
      ...["peer", kept.publicKey, "endpoint", "192.0.2.4:2", "persistent-keepalive", "9"],
      ...["peer", added.publicKey, "preshared-key", pskFile, "allowed-ips", "10.9.0.4/32"],
    ];
    await wg(words);
    assertEquals((await longhaul(["down", link], { namespace: space })).code, 0);
    assertEquals(await up.ended(), 0, up.log);
    const from = text.indexOf("# will go"), to = text.indexOf("# will stay");
    const expected = (text.slice(0, from) + text.slice(to))
      .replace("10.9.0.1/24 #", "10.9.0.1/24, 10.9.1.1/24 #")
      .replace("12000", "12001")
      .replace("192.0.2.3:1\n", "192.0.2.4:2\nPersistentKeepalive = 9\n") +
      `\n[Peer]\nPublicKey = ${added.publicKey}\nPresharedKey = ${psk}\nAllowedIPs = 10.9.0.4/32\n`;
    assertEquals(Deno.readTextFileSync(file), expected);
    assertEquals(Deno.statSync(file).mode! & 0o777, 0o600);
    assert(Deno.lstatSync(link).isSymlink);

    // What was saved comes up again; the end by a signal finds nothing to change.
    const again = await Foreground.up(net, space, file);
    again.kill("SIGTERM");
    assertEquals(await again.ended(), 0, again.log);
    assertEquals(Deno.readTextFileSync(file), expected);
  },
});

Deno.test({
  name: "a start that failed saves nothing, nor does a tunnel without SaveConfig",
  ...NEEDS,
  async fn() {
    await using net = new Net();
    const space = await net.namespace("a");
    const name = net.interfaceName();
    const head = `[Interface]\nPrivateKey = ${newKeyPair().privateKey}\nAddress = 10.9.0.1/24\n`;
    const peer = newKeyPair().publicKey;
    const change = `PostUp = wg set %i peer ${peer}\n`;
    const failing = `${head}SaveConfig = true\n${change}PostUp = false\n`;
    const file = writeConfig(net, name, failing);
    assertEquals((await longhaul(["up", file], { namespace: space })).code, 1);
    assertEquals(Deno.readTextFileSync(file), failing);
    for (const line of ["", "SaveConfig = false\n"]) {
      const text = head + line + change;
      Deno.writeTextFileSync(file, text);
      const up = await Foreground.up(net, space, file);
      up.kill("SIGTERM");
      assertEquals(await up.ended(), 0, up.log);
      assertEquals(Deno.readTextFileSync(file), text);
    }
  },
});

Deno.test({
  name: "a file that has gone, or is broken by now, is told and left alone",
  ...NEEDS,
  async fn() {
    await using net = new Net();
    const space = await net.namespace("a");
    const name = net.interfaceName();
    const text = `[Interface]\nPrivateKey = ${newKeyPair().privateKey}\nSaveConfig = true\n`;
    for (const broken of [null, `${text}Adress = 10.0.0.1\n`]) {
      const file = writeConfig(net, name, text);
      const up = await Foreground.up(net, space, file);
      if (broken === null) Deno.removeSync(file);
      else Deno.writeTextFileSync(file, broken);
      up.kill("SIGTERM");
      assertEquals(await up.ended(), 0, up.log);
      if (broken !== null) assertEquals(Deno.readTextFileSync(file), broken);
      assert(/ERROR: .*(open\(.*\): ENOENT|has errors by now)/.test(up.log), up.log);
    }
  },
});
