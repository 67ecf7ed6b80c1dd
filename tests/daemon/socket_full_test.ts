import { assert, assertEquals } from "@std/assert";
import { pause, run } from "../netns/command.ts";
import type { Kind } from "../netns/node_process.ts";
import { assertAlive, connectUp, nodeTest } from "../netns/pair.ts";
import { Background } from "../netns/traffic.ts";

const KINDS: readonly Kind[] = ["longhaul", "longhaul with an encryptor"];

for (const kind of KINDS) {
  nodeTest(
    `a socket that stays full costs no CPU and does not end the node (${kind})`,
    async (net) => {
      const { a, b } = await connectUp(net, [kind, kind]);
      // The socket's buffer of 2 MiB takes a quarter of a minute to drain at this rate.
      await run(
        ["tc", "qdisc", "add", "dev", "eth0", "root", "tbf"].concat(
          ["rate", "1mbit", "burst", "10kb", "limit", "100mb"],
        ),
        { namespace: a.namespace },
      );
      const server = new Background(b.namespace, ["iperf3", "-s", "-1"]);
      await pause(300);
      const client = new Background(
        a.namespace,
        ["iperf3", "-c", b.inner4, "-u", "-b", "50M", "-t", "17"],
      );
      await pause(1500);
      const beforeS = a.node.cpuSeconds();
      const before = a.node.deviceCounters();
      await pause(2000);
      const after = a.node.deviceCounters();
      assert(after.sentDropped > before.sentDropped, "the node has stopped reading");
      const usedS = a.node.cpuSeconds() - beforeS;
      assert(usedS < 1, `${usedS} s of CPU in 2 s`);
      // Longer than the watchdog waits for signs of life.
      await pause(11_000);
      assertAlive(a, b);
      assertEquals((await a.node.show()).peers.length, 1);
      await client.stop();
      await server.stop();
    },
    ["tc"],
  );
}
