import { assert, assertEquals, assertThrows } from "@std/assert";
import { setEnvironment } from "../../ffi/environment.ts";
import { chooseLogFormat, chooseLogLevel, parseLogLevel } from "../../src/daemon/log_setup.ts";
import { SetupError } from "../../src/daemon/setup_error.ts";
import { run } from "../netns/command.ts";
import { requires } from "../requires.ts";
import { DatagramListener } from "./datagram_listener.ts";

const PROGRAM = `
import { setUpLog } from "${new URL("../../src/daemon/log_setup.ts", import.meta.url)}";
const log = setUpLog("wg0", "verbose", Deno.args[0]);
log.info("it is {up} and {{running}}", { peer: "phone" });
log.debug("quiet");
`;

async function logOf(env: Record<string, string>, ...prefix: string[]): Promise<string> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, PROGRAM);
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const argv = [Deno.execPath(), "run", "-A", "--no-prompt", "--config", config, file];
    const { stdout, stderr } = await run([...prefix, ...argv], { env });
    return stdout + stderr;
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("levels are wireguard-go's and warn; others mean error", () => {
  const names = ["verbose", "DEBUG", "info", "warn", "error", "silent", "", "toString", undefined];
  assertEquals(
    names.map(parseLogLevel),
    ["verbose", "debug", "info", "warn", "error", "silent", "error", "error", "error"],
  );
});

Deno.test("a log format that does not exist is told with those that do", () => {
  assertThrows(() => chooseLogFormat("yaml"), SetupError, "expected text, json, journal");
  assertEquals(chooseLogFormat("JSON"), "json");
});

Deno.test("a JOURNAL_STREAM of another stream is not ours", () => {
  setEnvironment("JOURNAL_STREAM", "8:1");
  try {
    assertEquals(chooseLogFormat(""), "text");
  } finally {
    setEnvironment("JOURNAL_STREAM", undefined);
  }
});

Deno.test("into a file or pipe go plain lines, with braces as they are", async () => {
  assertEquals(
    await logOf({ LOG_FORMAT: "" }),
    "INFO: (wg0) it is {up} and {{running}}\nDEBUG: (wg0) quiet\n",
  );
});

Deno.test("LOG_FORMAT=json makes a JSON text of each line", async () => {
  const lines = (await logOf({ LOG_FORMAT: "json" })).trimEnd().split("\n");
  const { time, ...rest } = JSON.parse(lines[0]);
  assert(!Number.isNaN(Date.parse(time)));
  assertEquals(rest, {
    level: "info",
    interface: "wg0",
    message: "it is {up} and {{running}}",
    peer: "phone",
  });
});

for (
  const [env, isColoured] of [[{}, true], [{ NO_COLOR: "1" }, false], [
    { TERM: "dumb" },
    false,
  ]] as const
) {
  Deno.test({
    name: `on a terminal with ${JSON.stringify(env)} there are ${isColoured ? "" : "no "}colours`,
    ...requires("script"),
    async fn() {
      const clean = { NO_COLOR: "", TERM: "xterm", ...env };
      const text = await logOf(clean, "sh", "-c", 'script -qec "$*" /dev/null', "sh");
      assertEquals(text.includes("\x1b[2mDEBUG"), isColoured, JSON.stringify(text));
      assert(text.includes("INFO: (wg0) it is {up}"), text);
    },
  });
}

Deno.test({
  name: "under systemd lines go to the journal with their fields, and as text when it is away",
  ...requires("root", "unshare", "mount", "stat"),
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const script = `mkdir -p /run/systemd/journal && mount --bind ${folder} /run/systemd/journal
export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); exec "$@"`;
      const prefix = ["unshare", "--mount", "sh", "-c", script, "sh"];
      assertEquals(
        await logOf({}, ...prefix),
        "<6>INFO: (wg0) it is {up} and {{running}}\n<7>DEBUG: (wg0) quiet\n",
      );
      using journal = new DatagramListener(`${folder}/socket`);
      assertEquals(await logOf({}, ...prefix), "");
      assertEquals(journal.received, [
        "MESSAGE=it is {up} and {{running}}\nPRIORITY=6\nSYSLOG_IDENTIFIER=longhaul\n" +
        "LONGHAUL_INTERFACE=wg0\nLONGHAUL_PEER=phone\n",
        "MESSAGE=quiet\nPRIORITY=7\nSYSLOG_IDENTIFIER=longhaul\nLONGHAUL_INTERFACE=wg0\n",
      ]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("a level that does not exist is refused, whoever names it", () => {
  assertEquals(chooseLogLevel("WARN"), "warn");
  assertThrows(() => chooseLogLevel("loud"), SetupError, "expected verbose, debug");
  setEnvironment("LOG_LEVEL", "loud");
  assertThrows(() => chooseLogLevel(undefined), SetupError, '"loud" is not a log level');
  setEnvironment("LOG_LEVEL", "");
  assertEquals(chooseLogLevel(undefined), "info");
  setEnvironment("LOG_LEVEL", undefined);
});
