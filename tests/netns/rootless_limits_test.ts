/** A user without rights whose account or session lacks more than that: what is told, and how it ends. */
import { assert, assertEquals } from "@std/assert";
import { command } from "../cli/longhaul.ts";
import { requires } from "../requires.ts";
import { run, type RunResult } from "./command.ts";
import { Net } from "./net.ts";
import { asNobody, makeSandbox, ROOTLESS_NEEDS } from "./rootless.ts";

/** Runs one of our commands as nobody in a new namespace; `prepare` is given the user's folder. */
async function runAsNobody(
  args: readonly string[],
  { prefix = [], prepare }: { prefix?: string[]; prepare?: (sandbox: string) => void },
): Promise<RunResult> {
  await using net = new Net();
  const sandbox = makeSandbox(net);
  prepare?.(sandbox);
  const namespace = await net.namespace("alone");
  return await run([...prefix, ...asNobody(sandbox, command(...args))], {
    namespace,
    mayFail: true,
  });
}

Deno.test({
  name: "a home that cannot be written to is told, and what to set instead",
  ...requires(...ROOTLESS_NEEDS),
  async fn() {
    const { code, stderr } = await runAsNobody(["up"], {
      prepare: (sandbox) => Deno.chownSync(`${sandbox}/home`, 0, 0),
    });
    assertEquals(code, 1);
    assert(/^longhaul: mkdir\(".*"\): EACCES .*Set XDG_STATE_HOME to /m.test(stderr), stderr);
    assert(!/ at .*:\d+:\d+/.test(stderr), stderr);
  },
});

for (const limit of [40, 44, 60]) {
  Deno.test({
    name: `a session that may have ${limit} files open is told so before anything starts`,
    ...requires(...ROOTLESS_NEEDS, "prlimit"),
    async fn() {
      for (const args of [["up"], ["demo", "--seconds", "0.1"]]) {
        const { code, stderr } = await runAsNobody(args, {
          prefix: ["prlimit", `--nofile=${limit}:${limit}`],
        });
        assertEquals(code, 1);
        assert(
          stderr.includes(`This process may have ${limit} files open, and needs 64 `) &&
            stderr.includes("ulimit -n"),
          stderr,
        );
      }
    },
  });
}

Deno.test({
  name: "a low limit of open files is raised as far as it may be",
  ...requires(...ROOTLESS_NEEDS, "prlimit"),
  async fn() {
    const { code, stderr } = await runAsNobody(["demo", "--seconds", "0.1"], {
      prefix: ["prlimit", "--nofile=48:4096"],
    });
    assertEquals(code, 0, stderr);
  },
});
