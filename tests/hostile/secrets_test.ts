import { assert, assertEquals } from "@std/assert";
import { processTree } from "../netns/node_process.ts";
import { connectUp, OWN_PAIRS, pairTest } from "../netns/pair.ts";
import { assertPing } from "../netns/traffic.ts";
import { newPresharedKey } from "../netns/wg.ts";
import { addRogue, attackedPair, ATTACKER, statusJson } from "./scene.ts";
import { hexKey, UapiClient } from "./uapi.ts";
import { UdpSocket } from "./sockets.ts";

pairTest(
  "no key is told by logs, errors, status, the environment or the command line",
  OWN_PAIRS,
  async (net, kinds) => {
    const psk = newPresharedKey();
    const { a, b } = await connectUp(net, kinds, { presharedKeys: [psk, psk] });
    const secrets = [a.key.privateKey, b.key.privateKey, psk];
    const texts = new Map<string, string>();
    using client = await UapiClient.open(a.node.name);
    // Errors with keys in the lines that are wrong.
    const hex = hexKey(a.key.privateKey);
    for (
      const bad of [
        `private_key=${hex}0\n`,
        `private_key=${hex}\nlisten_port=-1\n`,
        `private_keys=${hex}\n`,
        `public_key=${hexKey(b.key.publicKey)}\npreshared_key=${hexKey(psk)}ff\n`,
        `public_key=${hexKey(b.key.publicKey)}\nallowed_ip=${hex}\n`,
        `public_key=${hexKey(b.key.publicKey)}\nendpoint=${hex}\n`,
      ]
    ) {
      const answer = await client.ask(`set=1\n${bad}\n`);
      assert(/^errno=-\d+$/.test(answer), answer);
    }
    texts.set("status --json", await statusJson(a.node.name, a.namespace));
    assert(texts.get("status --json")!.includes(a.key.publicKey));
    texts.set("log", a.node.log() + b.node.log());
    for (const pid of processTree(a.node.pid)) {
      for (const file of ["environ", "cmdline"]) {
        texts.set(`${pid}/${file}`, await Deno.readTextFile(`/proc/${pid}/${file}`));
      }
    }
    await assertPing(a.namespace, b.inner4);
    texts.set("log later", a.node.log());
    for (const [where, text] of texts) {
      for (const secret of secrets) {
        assertEquals(text.includes(secret.slice(0, 20)), false, `${where}: ${text}`);
        assertEquals(text.toLowerCase().includes(hexKey(secret).slice(0, 20)), false, where);
      }
    }
  },
);

pairTest(
  "the memory of session keys is left out of core dumps and out of swap",
  OWN_PAIRS.slice(0, 1),
  async (net, kinds) => {
    const { a } = await connectUp(net, kinds);
    const maps = await Deno.readTextFile(`/proc/${a.node.pid}/smaps`);
    const flags = [...maps.matchAll(/^VmFlags:(.*)$/gm)].map((match) => match[1]);
    assert(flags.some((text) => /\bdd\b/.test(text) && /\blo\b/.test(text)), "dd and lo");
  },
);

pairTest("log lines stay few under a flood of bad handshakes", OWN_PAIRS.slice(0, 1), async (
  net,
  kinds,
) => {
  const scene = await attackedPair(net, kinds);
  const { rogue } = await addRogue(scene);
  using socket = new UdpSocket(scene.attacker, { local: ATTACKER });
  const message = rogue.initiation().message;
  for (let i = 0; i < 20_000; i++) socket.send(message, rogue.to);
  await assertPing(scene.a.namespace, scene.b.inner4);
  const lines = scene.b.node.log().split("\n").length;
  assert(lines < 100, `${lines} lines`);
});
