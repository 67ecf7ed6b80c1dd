import { assert } from "@std/assert";
import { pause, waitFor } from "../netns/command.ts";
import { connectUp, OWN_PAIRS, pairTest } from "../netns/pair.ts";

pairTest(
  "persistent keepalives go on after the interface was down, and after the private key was away",
  OWN_PAIRS.slice(0, 1),
  async (net, kinds) => {
    const { a, b } = await connectUp(net, kinds, { keepalive: 1 });
    // From here on only a keeps the tunnel alive.
    await b.node.set("peer", a.key.publicKey, "persistent-keepalive", "0");
    const received = async () => (await b.node.show()).peers[0].receivedBytes;
    const goesOn = async (when: string) => {
      await waitFor(`a session ${when}`, 12_000, async () => {
        const before = await received();
        await pause(1300);
        return await received() > before;
      });
      const before = await received();
      await pause(4300);
      const keepalives = (await received() - before) / 32;
      assert(keepalives >= 2, `${keepalives} keepalives in 4 s ${when}`);
    };
    await net.ip(a.namespace, [`link set ${a.node.name} down`]);
    await pause(300);
    await net.ip(a.namespace, [`link set ${a.node.name} up`]);
    await goesOn("after down and up");
    await a.node.set("private-key", await a.node.secretFile(""));
    await pause(100);
    await a.node.set("private-key", await a.node.secretFile(a.key.privateKey));
    await goesOn("after the key came back");
  },
);
