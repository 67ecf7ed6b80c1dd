/**
 * Every command in a terminal, where Deno would stop at a prompt for a permission that the program
 * has not got: there must be none under `--allow-ffi` alone.
 */
import { assert, assertEquals } from "@std/assert";
import { requires } from "../requires.ts";
import { run, type RunResult, waitFor } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { answers } from "../netns/node_process.ts";
import { newKeyPair } from "../netns/wg.ts";
import { resolvconfStub } from "./host.ts";
import { command, Foreground, longhaul, writeConfig } from "./longhaul.ts";

/** The first words of a prompt, and its last ones. */
const PROMPT = /Deno requests|Allow\?/;

/** `argv` on a terminal of its own. */
function onTerminal(argv: string[]): string[] {
  const quoted = argv.map((word) => `'${word}'`).join(" ");
  return ["script", "-qec", quoted, "/dev/null"];
}

/** The documented command, prompts allowed. */
function prompting(...args: string[]): string[] {
  return command(...args).filter((word) => word !== "--no-prompt");
}

async function runOnTerminal(
  args: string[],
  namespace?: string,
  env?: Record<string, string>,
): Promise<RunResult> {
  // A prompt would wait for an answer until the time is over.
  const options = { namespace, env, mayFail: true, timeoutMs: 8000 };
  const result = await run(onTerminal(prompting(...args)), options);
  assertNoPrompt(result.stdout, args);
  return result;
}

function assertNoPrompt(output: string, args: string[]): void {
  assert(!PROMPT.test(output), `${args.join(" ")}:\n${output}`);
}

Deno.test({
  name: "a prompt would be noticed",
  ...requires("script", "root", "ip", "nsenter"),
  async fn() {
    await using net = new Net();
    const program = `${net.folder}/prompt.ts`;
    Deno.writeTextFileSync(program, 'Deno.permissions.requestSync({ name: "env" })');
    const argv = onTerminal([Deno.execPath(), "run", program]);
    const started = Foreground.start(net, await net.namespace("a"), argv);
    await started.says(PROMPT);
  },
});

Deno.test({
  name: "commands that only tell something never ask for a permission",
  ...requires("script", "root", "tun", "ip", "nsenter"),
  async fn() {
    await using net = new Net();
    const space = await net.namespace("a");
    const name = net.interfaceName();
    const broken = writeConfig(net, name, "[Interface]\nPrivateKey = no\n");
    const cases: [string[], number][] = [
      [["--help"], 0],
      [["--version"], 0],
      [[], 2],
      [["--nonsense"], 2],
      [["status"], 0],
      [["status", "--json"], 0],
      [["status", name], 1],
      [["down", name], 1],
      [["up", broken], 1],
      [["up", "lh-nobody"], 1],
    ];
    for (const [args, code] of cases) {
      const result = await runOnTerminal(args, space);
      assertEquals(result.code, code, `${args.join(" ")}:\n${result.stdout}`);
    }
  },
});

Deno.test({
  name: "up, down, status and an interface never ask for a permission",
  ...requires("script", "root", "tun", "ip", "nsenter"),
  async fn() {
    await using net = new Net();
    const space = await net.namespace("a");
    const [tunnel, bare] = [net.interfaceName(), net.interfaceName()];
    const file = writeConfig(
      net,
      tunnel,
      `[Interface]\nPrivateKey = ${newKeyPair().privateKey}\nAddress = 10.9.0.1/24\n` +
        `[Peer]\nPublicKey = ${newKeyPair().publicKey}\nEndpoint = nobody.invalid:1\n` +
        "AllowedIPs = 10.9.0.2/32\n",
    );
    const up = Foreground.start(net, space, onTerminal(prompting("up", file)));
    await up.says(/ is up, UDP port /);
    assertEquals((await runOnTerminal(["status", tunnel], space)).code, 0);
    assertEquals((await runOnTerminal(["down", file], space)).code, 0);
    assertEquals(await up.ended(), 0);
    assertNoPrompt(up.log, ["up"]);

    const started = await runOnTerminal([bare], space);
    assertEquals([started.code, started.stdout], [0, ""]);
    assert(await answers(bare));
    assertEquals((await longhaul(["down", bare])).code, 0);
    const foreground = Foreground.start(net, space, onTerminal(prompting("-f", bare)));
    await waitFor(`${bare} answers`, 10_000, () => answers(bare));
    assertEquals((await longhaul(["down", bare])).code, 0);
    assertEquals([await foreground.ended(), foreground.log], [0, ""]);
  },
});

Deno.test({
  name: "a tunnel with hooks, name servers, a default route and SaveConfig never asks either",
  ...requires("script", "root", "tun", "ip", "nsenter", "nft", "bash"),
  async fn() {
    await using net = new Net();
    const space = await net.namespace("a");
    await net.ip(space, [
      "link add eth0 type veth peer name wire",
      "link set wire up",
      "address add 192.0.2.1/24 dev eth0",
      "link set eth0 up",
    ]);
    const tunnel = net.interfaceName();
    const file = writeConfig(
      net,
      tunnel,
      `[Interface]\nPrivateKey = ${newKeyPair().privateKey}\nAddress = 10.9.0.1/24\n` +
        "DNS = 10.9.0.53, corp.example\nTable = auto\nSaveConfig = true\nPreUp = true\n" +
        "PostUp = if test -t 0; then echo on a terminal; fi\nPreDown = true\nPostDown = true\n" +
        `[Peer]\nPublicKey = ${newKeyPair().publicKey}\nEndpoint = 192.0.2.2:1\n` +
        "AllowedIPs = 0.0.0.0/0\n",
    );
    const { env } = resolvconfStub(net, tunnel);
    const up = Foreground.start(net, space, onTerminal(prompting("up", file)), env);
    await up.says(/ is up, UDP port /);
    assert(/^on a terminal\s*$/m.test(up.log), up.log);
    assertEquals((await runOnTerminal(["down", tunnel], space, env)).code, 0);
    assertEquals(await up.ended(), 0, up.log);
    assertNoPrompt(up.log, ["up"]);
    // Killed, it is undone by a command that never asks.
    const killed = Foreground.start(net, space, command("up", file), env);
    await killed.says(/ is up, UDP port /);
    killed.kill("SIGKILL");
    await killed.ended();
    assertEquals((await runOnTerminal(["down", tunnel], space, env)).code, 0);
  },
});
