/** A node that any user may start, with a kernel's TCP/IP at the other end of the tunnel. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { Net } from "./net.ts";
import {
  INNER_V4,
  INNER_V6,
  longhaulAsNobody,
  ROOTLESS_NEEDS,
  type RootlessScene,
  startRootless,
} from "./rootless.ts";
import { assertPing } from "./traffic.ts";

/** Registers a test with a rootless node that has these lines in its `[Longhaul]` section. */
function rootlessTest(
  name: string,
  longhaul: readonly string[],
  scenario: (scene: RootlessScene, net: Net) => Promise<void>,
  needs: readonly string[] = [],
): void {
  Deno.test({
    name,
    ...requires(...ROOTLESS_NEEDS, "wireguard-go", ...needs),
    fn: async () => {
      await using net = new Net();
      const scene = await startRootless(net, longhaul);
      try {
        await scenario(scene, net);
      } catch (error) {
        throw new Error(scene.up.log, { cause: error });
      }
    },
  });
}

rootlessTest(
  "a user without rights gets a node that answers pings, and is told why",
  [],
  async (scene) => {
    const { up, away, name } = scene;
    assert(/rootless \(this user lacks CAP_NET_ADMIN\)/.test(up.log), up.log);
    for (const address of [INNER_V4, INNER_V6]) {
      await assertPing(away, address);
      await assertPing(away, address, { size: 8000 });
    }
    const status = await longhaulAsNobody(scene, "status", name, "--json");
    assertEquals(status.code, 0, status.stderr);
    const [device] = JSON.parse(status.stdout).interfaces;
    assertEquals(device.name, name);
    const down = await longhaulAsNobody(scene, "down", name);
    assertEquals(down.code, 0, down.stderr);
    assertEquals(await up.ended(), 0);
  },
);
