/** Hazard 39: a log that cannot be written never stops the data plane. */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { inNamespace, waitFor } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { answers } from "../netns/node_process.ts";
import { assertPing, pingUntilAnswered } from "../netns/traffic.ts";
import { command, Foreground, longhaul, writeConfig } from "./longhaul.ts";
import { twoTunnels } from "./two_tunnels.ts";

/** Ways for standard error to be of no use, as redirections of a shell. */
const TROUBLES: readonly (readonly [what: string, redirection: string])[] = [
  ["a full disk", "2>/dev/full"],
  ["a closed pipe", "2> >(exec 0<&-)"],
  ["a reader that has stopped", "2> >(exec sleep 300)"],
  ["no standard error at all", "2>&-"],
];

for (const [what, redirection] of TROUBLES) {
  Deno.test({
    name: `${what} for the log: the tunnel comes up, carries packets and ends as ever`,
    ...requires("root", "tun", "ip", "nsenter", "ping", "bash"),
    async fn() {
      await using net = new Net();
      const { spaces, names, texts } = await twoTunnels(net);
      const files = texts.map((text, side) => writeConfig(net, names[side], text));
      await Foreground.up(net, spaces[1], files[1]);
      const argv = command("up", files[0], "--log-level", "verbose");
      const script = `exec "$@" ${redirection} </dev/null >/dev/null`;
      const [program, ...args] = inNamespace(["bash", "-c", script, "bash", ...argv], spaces[0]);
      const child = new Deno.Command(program, { args, stdin: "null" }).spawn();
      net.defer(async () => {
        try {
          child.kill("SIGKILL");
        } catch {
          // It has ended.
        }
        await child.status;
      });
      await waitFor(`${names[0]} answers`, 15_000, () => answers(names[0]));
      await pingUntilAnswered(spaces[0], "10.9.0.2");
      await assertPing(spaces[0], "10.9.0.2", { count: 5 });
      const down = await longhaul(["down", names[0]], { namespace: spaces[0] });
      assertEquals([down.code, down.stderr], [0, ""]);
      assert((await child.status).success);
    },
  });
}
