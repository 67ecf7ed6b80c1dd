/** systemd's watchdog is fed by the data plane: when that stands still, nothing feeds it. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { run, waitFor } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { newKeyPair } from "../netns/wg.ts";
import { command, Foreground, writeConfig } from "../cli/longhaul.ts";
import { DatagramListener } from "./datagram_listener.ts";

Deno.test({
  name: "hazard 29: a lane that hangs starves the watchdog, although everything else goes on",
  ...requires("root", "tun", "ip", "nsenter", "ping"),
  async fn() {
    await using net = new Net();
    const space = await net.namespace("a");
    const socket = `${net.folder}/notify`;
    using systemd = new DatagramListener(socket);
    const file = writeConfig(
      net,
      net.interfaceName(),
      `[Interface]\nPrivateKey = ${newKeyPair().privateKey}\nAddress = 10.9.0.1/24\n`,
    );
    const node = Foreground.start(net, space, command("up", file), {
      NOTIFY_SOCKET: socket,
      WATCHDOG_USEC: "20000000",
      LONGHAUL_TEST: "1",
      LONGHAUL_TEST_FAULT: "lane:hang",
    });
    const meals = () => systemd.received.filter((text) => text === "WATCHDOG=1").length;
    await waitFor("the watchdog is fed", 15_000, () => meals() > 0);
    // The fault strikes after some rounds of work.
    const argv = ["ping", "-c", "50", "-i", "0.01", "-W", "1", "10.9.0.2"];
    await run(argv, { namespace: space, mayFail: true });
    const before = meals();
    assert(await node.ended(25_000) !== 0);
    assert(/has not moved for \d+ s/.test(node.log), node.log);
    // One beat may have been answered just before.
    assert(meals() <= before + 1, `${meals() - before} meals of a lane that hangs`);
    assertEquals(systemd.received.at(-1)?.split("\n")[0], "STOPPING=1");
  },
});
