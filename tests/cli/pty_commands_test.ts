/**
 * Every command of the table, on a terminal and under `--allow-ffi` alone: none may come to a point
 * where Deno asks for a permission. A command without a case here fails the test.
 */
import { assert, assertEquals } from "@std/assert";
import { COMMANDS } from "../../src/cli/commands.ts";
import { requires } from "../requires.ts";
import { run } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { newKeyPair } from "../netns/wg.ts";
import { command, Foreground, writeConfig } from "./longhaul.ts";

const PROMPT = /Deno requests|Allow\?/;

/** A running tunnel, its file, and a folder to write to. */
interface Setting {
  readonly name: string;
  readonly file: string;
  readonly folder: string;
}

/** What each command is called with; the tunnel runs until `down`, the last one. */
const CASES: Readonly<Record<string, (setting: Setting) => string[]>> = {
  up: ({ file }) => [file],
  reload: ({ name }) => [name],
  "peer add": ({ name }) => ["phone", "--interface", name, "--endpoint-here", "192.0.2.1"],
  "peer list": ({ name }) => ["--interface", name],
  "peer remove": ({ name }) => ["phone", "--interface", name],
  status: ({ name }) => [name, "--watch", "--interval", "0.2"],
  show: ({ name }) => [name],
  showconf: ({ name }) => [name],
  set: ({ name }) => [name, "fwmark", "1"],
  setconf: ({ name, folder }) => [name, `${folder}/empty.conf`],
  addconf: ({ name, folder }) => [name, `${folder}/empty.conf`],
  syncconf: ({ name, folder }) => [name, `${folder}/empty.conf`],
  demo: () => ["--seconds", "0.2"],
  bench: () => ["--seconds", "1"],
  genkey: () => [],
  genpsk: () => [],
  pubkey: () => [],
  "service install": ({ file, folder }) => [file, "--root-dir", `${folder}/root`],
  "service remove": ({ name, folder }) => [name, "--root-dir", `${folder}/root`],
  completions: () => ["bash"],
  version: () => [],
  down: ({ name }) => [name],
};

Deno.test("every command has a case", () => {
  assertEquals(Object.keys(CASES).toSorted(), COMMANDS.map(({ name }) => name).toSorted());
});

Deno.test({
  name: "no command, and no help of one, asks for a permission",
  ...requires("script", "root", "tun", "ip", "nsenter", "timeout", "systemctl"),
  async fn() {
    await using net = new Net();
    const space = await net.namespace("a");
    const name = net.interfaceName();
    const file = writeConfig(
      net,
      name,
      `[Interface]\nPrivateKey = ${newKeyPair().privateKey}\nAddress = 10.9.0.1/24\n`,
    );
    Deno.writeTextFileSync(`${net.folder}/empty.conf`, "[Interface]\n");
    Deno.mkdirSync(`${net.folder}/root`);
    await Foreground.up(net, space, file);
    const setting = { name, file, folder: net.folder };
    for (const [words, args] of Object.entries(CASES)) {
      for (const rest of [["--help"], args(setting)]) {
        const argv = command(...words.split(" "), ...rest).filter((word) => word !== "--no-prompt");
        const quoted = argv.map((word) => `'${word}'`).join(" ");
        // --watch goes on until Ctrl-C; a prompt would wait for ever.
        const { code, stdout } = await run(
          ["timeout", "-k", "1", "20", "script", "-qec", `timeout -s INT 4 ${quoted}`, "/dev/null"],
          { namespace: space, mayFail: true, timeoutMs: 30_000 },
        );
        const line = `${words} ${rest.join(" ")} (${code})`;
        assert(!PROMPT.test(stdout), `${line}:\n${stdout}`);
        if (rest[0] === "--help") assertEquals(code, 0, line);
        assert(!/Uncaught|NotCapable|at file:/.test(stdout), `${line}:\n${stdout}`);
      }
    }
  },
});
