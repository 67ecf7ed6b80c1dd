/** What the kernel throws away before the node sees it is among the drops that the node tells. */
import { assert } from "@std/assert";
import { requires } from "../requires.ts";
import { run, waitFor } from "./command.ts";
import { Net } from "./net.ts";
import { INNER_V4, longhaulAsNobody, ROOTLESS_NEEDS, startRootless } from "./rootless.ts";
import { assertPing } from "./traffic.ts";

Deno.test({
  name: "datagrams that a stopped node has no room for are counted when it goes on",
  ...requires(...ROOTLESS_NEEDS, "wireguard-go", "bash"),
  async fn() {
    await using net = new Net();
    const scene = await startRootless(net, []);
    const { up, away, name } = scene;
    const drops = async () => {
      const { stdout } = await longhaulAsNobody(scene, "status", name, "--json");
      return JSON.parse(stdout).interfaces[0].node.drops.SocketOverflow ?? 0;
    };
    assert(await drops() === 0);
    up.kill("SIGSTOP");
    // More than the largest buffer that it may have.
    const flood = `b=$(printf %01300d 0); for i in $(seq 5000); do
      echo $b; done >/dev/udp/${INNER_V4}/9`;
    await run(["bash", "-c", flood], { namespace: away, mayFail: true });
    await waitFor("the kernel drops", 10_000, async () => {
      const { stdout } = await run(["cat", "/proc/net/udp"], { namespace: scene.home });
      return stdout.trim().split("\n").slice(1).some((line) =>
        Number(line.split(/\s+/).at(-1)) > 0
      );
    });
    up.kill("SIGCONT");
    await waitFor("the node tells it", 5000, async () => await drops() > 0);
    await assertPing(away, INNER_V4);
  },
});
