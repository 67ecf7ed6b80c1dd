/** What a running tunnel logs: states once, by the names that people gave. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { Net } from "../netns/net.ts";
import { pingUntilAnswered } from "../netns/traffic.ts";
import { wg } from "../netns/wg.ts";
import { command, Foreground, longhaul, writeConfig } from "./longhaul.ts";
import { twoTunnels } from "./two_tunnels.ts";

Deno.test({
  name: "a peer that connects and moves is told once each, by its friendly name",
  ...requires("root", "tun", "ip", "nsenter", "ping", "wg"),
  async fn() {
    await using net = new Net();
    const { spaces, names, texts } = await twoTunnels(net, () => "# friendly_name = my laptop\n");
    const [a] = await Promise.all(texts.map(async (text, side) => {
      const file = writeConfig(net, names[side], text);
      const argv = command("up", file, "--log-format", "json");
      const started = Foreground.start(net, spaces[side], argv);
      await started.says(/ is up, UDP port /);
      return started;
    }));
    await pingUntilAnswered(spaces[0], "10.9.0.2");
    await a.says(/my laptop: connected/);
    await wg(["set", names[1], "listen-port", "20002"]);
    await pingUntilAnswered(spaces[1], "10.9.0.1");
    await a.says(/is at 192\.0\.2\.2:20002 now/);
    assertEquals((await longhaul(["down", names[0]], { namespace: spaces[0] })).code, 0);
    assertEquals(await a.ended(), 0);
    const lines = a.log.trimEnd().split("\n").map((line) => JSON.parse(line));
    const of = (event: string) => lines.filter((line) => line.event === event);
    assertEquals(of("session-established").map(({ message }) => message), ["my laptop: connected"]);
    assertEquals(
      of("endpoint-changed").map(({ message, peer, endpoint }) => [message, peer, endpoint]),
      [[
        "my laptop: is at 192.0.2.2:20002 now, not at 192.0.2.2:10002",
        "my laptop",
        "192.0.2.2:20002",
      ]],
    );
    assert(lines.every(({ interface: name, level, time }) => name === names[0] && level && time));
  },
});
