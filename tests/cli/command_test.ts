import { assert, assertEquals, assertThrows } from "@std/assert";
import { parseCommandLine } from "../../src/cli/command.ts";
import { UsageError } from "../../src/cli/environment.ts";
import { run } from "../netns/command.ts";
import { command, longhaul } from "./longhaul.ts";

Deno.test("flags stand before, between and behind words", () => {
  for (const args of [["-f", "wg0"], ["wg0", "-f"], ["--foreground", "wg0"]]) {
    const { command, words, flags } = parseCommandLine(args);
    assertEquals([command, words, flags.has("foreground")], [null, ["wg0"], true]);
  }
  const { command, words, flags } = parseCommandLine(["status", "--json", "wg0"]);
  assertEquals([command?.name, words, flags.names()], ["status", ["wg0"], ["json"]]);
});

Deno.test("a name of digits stays a text, and a word after -- is never a flag", () => {
  assertEquals(parseCommandLine(["007"]).words, ["007"]);
  assertEquals(parseCommandLine(["--", "-x"]).words, ["-x"]);
});

Deno.test("a flag that does not exist is refused", () => {
  assertThrows(() => parseCommandLine(["--jason"]), UsageError, "--jason");
  assertThrows(() => parseCommandLine(["-x", "wg0"]), UsageError, "-x");
});

Deno.test("--help tells all commands, no arguments tell the same with exit code 2", async () => {
  const help = await longhaul(["--help"]);
  assertEquals([help.code, help.stderr], [0, ""]);
  for (const word of ["up ", "down ", "status ", "INTERFACE", "LOG_LEVEL", "WG_TUN_FD"]) {
    assert(help.stdout.includes(word), word);
  }
  const bare = await longhaul([]);
  assertEquals([bare.code, bare.stdout], [2, help.stdout]);
});

Deno.test("--version tells the version", async () => {
  const { code, stdout } = await longhaul(["--version"]);
  assertEquals(code, 0);
  assert(/^longhaul \d+\.\d+\.\d+\n$/.test(stdout), stdout);
});

Deno.test("what cannot be meant ends with exit code 2, what cannot be done with 1, and one line", async () => {
  const cases: [string[], string][] = [
    [["up", "a", "b"], "up takes"],
    [["down", "a", "b"], "down takes the name"],
    [["status", "a", "b"], "status takes"],
    [["wg0", "wg1"], '"wg0 wg1" is not a command'],
    [["-f"], "-f takes the name of an interface"],
    [["wg0", "--json"], "--json is a flag of "],
    [["sixteen-letters-"], "is not a name for an interface"],
    [["up", "/tmp/no name.conf"], "does not name an interface"],
    [["up", "/nowhere/wg0.conf"], "There is no config file /nowhere/wg0.conf"],
    // Without root the folder itself may be closed to us.
    [["up", "lh-nobody"], "/etc/wireguard/lh-nobody.conf"],
  ];
  for (const [args, text] of cases) {
    const { code, stdout, stderr } = await longhaul(args);
    const isUsage = !/^There is|lh-nobody/.test(text);
    assertEquals([code, stdout], [isUsage ? 2 : 1, ""], args.join(" "));
    assert(stderr.startsWith("longhaul: ") && stderr.includes(text), stderr);
    assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
  }
});

Deno.test("a command that is misspelt or cut short makes no interface", async () => {
  const cases: [string, string][] = [
    ["statsu", "did you mean status?"],
    ["sho", "did you mean show?"],
    ["upp", "did you mean up?"],
    ["peer", "goes with another word: add, remove, list"],
    ["service", "goes with another word: install, remove"],
  ];
  for (const [word, text] of cases) {
    const { code, stderr } = await longhaul([word]);
    assertEquals(code, 2, word);
    assert(stderr.includes(text), stderr);
  }
});

Deno.test("help is the same as --help, also of a command", async () => {
  assertEquals(await longhaul(["help"]), await longhaul(["--help"]));
  assertEquals(await longhaul(["help", "peer", "add"]), await longhaul(["peer", "add", "--help"]));
});

Deno.test("what cannot be written is told; a reader that has gone is no fault", async () => {
  const into = (where: string, ...args: string[]) =>
    run(["bash", "-c", `set -o pipefail; "$@" ${where}`, "bash", ...command(...args)], {
      mayFail: true,
    });
  for (const args of [["--help"], ["version"], ["completions", "bash"], ["genkey"]]) {
    const { code, stderr } = await into(">/dev/full", ...args);
    assertEquals(
      [code, stderr],
      [1, "longhaul: write(standard output): ENOSPC (no space left on device)\n"],
      args.join(" "),
    );
  }
  const { code, stderr } = await into("| true", "completions", "bash");
  assertEquals([code, stderr], [0, ""]);
});
