/** `scripts/longhaul`: which Deno it starts. Programs named deno and npx stand in for the real ones. */
import { assert, assertEquals } from "@std/assert";
import { run } from "../netns/command.ts";

const LAUNCHER = new URL("../../scripts/longhaul", import.meta.url).pathname;

/** Runs the launcher with these programs on its PATH: names, and shell scripts that they are. */
async function launch(
  programs: Record<string, string>,
  env: Record<string, string> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, script] of Object.entries(programs)) {
      await Deno.writeTextFile(`${folder}/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    }
    for (const tool of ["sh", "readlink", "dirname", "printf", "sort", "head"]) {
      const { stdout } = await run(["sh", "-c", `command -v ${tool}`]);
      if (stdout.startsWith("/")) await Deno.symlink(stdout.trim(), `${folder}/${tool}`);
    }
    const argv = ["env", "-i", `PATH=${folder}`];
    for (const [name, value] of Object.entries(env)) {
      argv.push(`${name}=${value.replace("FOLDER", folder)}`);
    }
    return await run([...argv, LAUNCHER, "status", "a b"], { mayFail: true });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A program that tells its name and its arguments, one a line; as deno it has a version. */
function teller(name: string, version = ""): string {
  const tells = version === "" ? "" : `[ "$1" = eval ] && { echo ${version}; exit 0; }\n`;
  return `${tells}echo ${name}\nfor word; do echo "$word"; done`;
}

const RUN = ["run", "--no-prompt", "--allow-ffi"];
const MAIN = new URL("../../main.ts", import.meta.url).pathname;

Deno.test("LONGHAUL_DENO comes first, whatever is on the PATH", async () => {
  const programs = { deno: teller("path", "2.9.6"), mine: teller("mine") };
  const { stdout } = await launch(programs, { LONGHAUL_DENO: "FOLDER/mine" });
  assertEquals(stdout.trimEnd().split("\n"), ["mine", ...RUN, MAIN, "status", "a b"]);
});

Deno.test("deno on the PATH is taken when it is recent enough", async () => {
  for (const version of ["2.9.0", "2.9.6", "2.10.0", "3.0.0"]) {
    const { stdout } = await launch({ deno: teller("path", version), npx: teller("npx") });
    assertEquals(stdout.trimEnd().split("\n"), ["path", ...RUN, MAIN, "status", "a b"], version);
  }
});

Deno.test("npx is asked when deno is too old or missing", async () => {
  for (const version of ["", "2.8.9", "1.46.3"]) {
    const npx = teller("npx");
    const programs: Record<string, string> = version === ""
      ? { npx }
      : { npx, deno: teller("path", version) };
    const { stdout } = await launch(programs);
    const lines = stdout.trimEnd().split("\n");
    assertEquals([lines[0], lines.slice(-6)], ["npx", [...RUN, MAIN, "status", "a b"]]);
    assert(lines.some((line) => /^deno@2\.9\.\d+$/.test(line)), stdout);
  }
});

Deno.test("without any of them it says what to do", async () => {
  const { code, stdout, stderr } = await launch({});
  assertEquals([code, stdout], [1, ""]);
  assertEquals(
    stderr,
    "longhaul: no Deno 2.9 or newer found: install it, or name it in LONGHAUL_DENO\n",
  );
});
