import { assert, assertEquals } from "@std/assert";
import { pause, run, waitFor } from "../netns/command.ts";
import { NodeProcess } from "../netns/node_process.ts";
import { nodeTest } from "../netns/pair.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

for (const stays of [["-f"], []]) {
  nodeTest(
    `hazard 28: a worker that fails at the start ends the program (${stays[0] ?? "background"})`,
    async (net) => {
      const space = await net.namespace("a");
      const name = net.interfaceName();
      const parts = ["main.ts", "deno.json", "deno.lock", "src", "ffi", "scripts"];
      await run(["cp", "-r", ...parts.map((part) => ROOT + part), net.folder]);
      const bundle = `${net.folder}/src/worker/worker.bundle.js`;
      await Deno.writeTextFile(bundle, 'throw new Error("no worker today");');
      const program = `${net.folder}/scripts/longhaul`;
      const { code, stderr } = await run(["timeout", "-s", "KILL", "12", program, ...stays, name], {
        namespace: space,
        mayFail: true,
      });
      assertEquals(code, 1, stderr);
      assert(/worker \w+ died: .*no worker today/.test(stderr), stderr);
      const links = (await run(["ip", "-n", space, "-o", "link"])).stdout;
      assertEquals(links.includes(name), false, links);
    },
  );
}

nodeTest("a signal at any moment of the start ends the program and leaves nothing", async (net) => {
  const space = await net.namespace("a");
  for (const delayMs of [0, 40, 80, 120, 160, 200, 260, 320, 400]) {
    const name = net.interfaceName();
    const child = new Deno.Command("nsenter", {
      args: [
        `--net=/var/run/netns/${space}`,
        "--",
        `${ROOT}scripts/longhaul`,
        "-f",
        name,
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    await pause(delayMs);
    child.kill("SIGTERM");
    const killer = setTimeout(() => child.kill("SIGKILL"), 5000);
    const { signal } = await child.status;
    clearTimeout(killer);
    assert(signal !== "SIGKILL", `after ${delayMs} ms`);
    await waitFor("the interface is gone", 2000, async () => {
      return !(await run(["ip", "-n", space, "-o", "link"])).stdout.includes(name);
    });
  }
  const node = await NodeProcess.start(net, "longhaul", space);
  assertEquals(node.exit, null);
});
