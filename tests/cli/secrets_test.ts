/**
 * Secrets are fed through every way in, right and wrong, and must come out of none: errors of
 * configs and of the control socket, logs in every form, status in every form, crashes.
 */
import { assert, assertEquals } from "@std/assert";
import { exchangeUnix } from "../../ffi/unix_socket.ts";
import { formatDiagnostic } from "../../src/config/diagnostic.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { INTERFACE_KEYS, LONGHAUL_KEYS, PEER_KEYS } from "../../src/config/sections.ts";
import { parseKeyBase64 } from "../../src/control/key_text.ts";
import { toHex } from "../../src/wireguard/bytes.ts";
import { requires } from "../requires.ts";
import { run } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { pingUntilAnswered } from "../netns/traffic.ts";
import { newKeyPair, newPresharedKey } from "../netns/wg.ts";
import { command, Foreground, longhaul, socketPath, writeConfig } from "./longhaul.ts";
import { twoTunnels } from "./two_tunnels.ts";

/** Characters of a key that are enough to guess nothing, and more than a message may hold. */
const TELLING = 12;

/** Fails when any part of `secret` that is long enough to tell something is in the text. */
function assertHidden(text: string, secret: string, where: string): void {
  for (let at = 0; at + TELLING <= secret.length; at++) {
    const part = secret.slice(at, at + TELLING);
    assert(!text.includes(part), `${where} tells "${part}" of ${secret}:\n${text}`);
  }
}

/** A key as it may be pasted: whole, cut short, with something in front or behind, in hexadecimal. */
function pasted(secret: string): string[] {
  const hex = toHex(parseKeyBase64(secret)!);
  return [
    secret,
    secret.slice(0, -1),
    secret.slice(1),
    `${secret}=`,
    `x${secret}`,
    hex,
    hex.slice(2),
  ];
}

Deno.test("a key pasted anywhere into a config is not in what is said of the config", () => {
  const secret = newKeyPair().privateKey;
  const tables = { Interface: INTERFACE_KEYS, Peer: PEER_KEYS, Longhaul: LONGHAUL_KEYS };
  for (const paste of pasted(secret)) {
    const lines = [`[${paste}]`, paste, `${paste} = 1`, `[Interface]\n${paste}`, `[${paste}`];
    for (const [section, keys] of Object.entries(tables)) {
      lines.push(`[${section}]\n${paste} = 1`, `[${section}]\n${paste}`);
      for (const { name } of keys.values()) {
        lines.push(`[${section}]\n${name} = ${paste}`, `[${section}]\n${name} = 1, ${paste}`);
        lines.push(`[${section}]\n${name} ${paste}`, `[${section}]\n#: ${name} = ${paste}`);
      }
    }
    for (const line of lines) {
      const { diagnostics } = parseConfig(`${line}\n`, { file: "wg0.conf" });
      assertHidden(diagnostics.map(formatDiagnostic).join("\n"), paste, JSON.stringify(line));
    }
  }
});

Deno.test("a key pasted into a command line is not in what is said of it", async () => {
  const secret = newKeyPair().privateKey;
  const cases = [
    [secret],
    ["status", secret],
    ["up", secret],
    [`--${secret}`],
    ["down", secret],
    ["status", `--${secret}`],
    ["completions", secret],
  ];
  for (const args of cases) {
    const { code, stdout, stderr } = await longhaul(args);
    assert(code !== 0, args.join(" "));
    assertHidden(stdout + stderr, secret, args.join(" "));
  }
});

/** Sends text to a control socket; the answer, which may be an end of the connection. */
function talk(name: string, text: string): string {
  const answer = exchangeUnix(socketPath(name), new TextEncoder().encode(text), {
    timeoutMs: 5000,
    answerBytesMax: 100_000,
    isComplete: (bytes) => new TextDecoder().decode(bytes).endsWith("\n\n"),
  });
  return new TextDecoder().decode(answer);
}

for (const format of ["text", "json"]) {
  Deno.test({
    name: `a running tunnel tells no secret, in its log (${format}), its status and its errors`,
    ...requires("root", "tun", "ip", "nsenter", "ping"),
    async fn() {
      await using net = new Net();
      const psk = newPresharedKey();
      const { spaces, names, keys, texts } = await twoTunnels(
        net,
        () => `# friendly_name = ${psk}\nPresharedKey = ${psk}\n`,
      );
      const [a, b] = await Promise.all(texts.map(async (text, side) => {
        const file = writeConfig(net, names[side], text);
        const argv = command("up", file, "--log-level", "verbose", "--log-format", format);
        const started = Foreground.start(net, spaces[side], argv);
        await started.says(/ is up, UDP port /);
        return started;
      }));
      await pingUntilAnswered(spaces[0], "10.9.0.2");
      const secrets = [keys[0].privateKey, keys[1].privateKey, psk];
      const told: string[] = [];
      for (const args of [[], ["--json"], ["--watch", "--interval", "0.1"]]) {
        const isWatch = args.includes("--watch");
        const watched = isWatch
          ? Foreground.start(net, spaces[0], command("status", names[0], ...args))
          : null;
        if (watched !== null) {
          await watched.says(/peers in session/);
          watched.kill("SIGINT");
          await watched.ended();
          told.push(watched.log);
        } else {
          const { stdout, stderr } = await longhaul(["status", names[0], ...args]);
          told.push(stdout + stderr);
        }
      }
      for (const secret of secrets) {
        const hex = toHex(parseKeyBase64(secret)!);
        for (
          const line of [
            `private_key=${hex.slice(1)}`,
            `public_key=${secret}`,
            `preshared_key=${hex}`,
            `public_key=${hex}\npreshared_key=${hex}0`,
            `public_key=${hex}\nendpoint=${hex}:1`,
            `public_key=${hex}\nallowed_ip=${hex}`,
            `listen_port=${hex}`,
            `${hex}=1`,
            hex,
          ]
        ) told.push(talk(names[0], `set=1\n${line}\n\n`));
        told.push(talk(names[0], `${hex}\n\n`), talk(names[0], `longhaul=${secret}\n\n`));
        told.push(talk(names[0], `longhaul=stats\n${hex}\n\n`));
      }
      a.kill("SIGTERM");
      b.kill("SIGINT");
      assertEquals([await a.ended(), await b.ended()], [0, 0]);
      for (const secret of secrets) {
        for (const form of [secret, toHex(parseKeyBase64(secret)!)]) {
          assertHidden(told.join("\n"), form, "an answer");
          assertHidden(a.log + b.log, form, "the log");
        }
      }
    },
  });
}

Deno.test({
  name: "a crash tells where, and no secret",
  ...requires("root", "tun", "ip", "nsenter", "ping"),
  async fn() {
    await using net = new Net();
    const space = await net.namespace("a");
    const name = net.interfaceName();
    const { privateKey } = newKeyPair();
    const file = writeConfig(
      net,
      name,
      `[Interface]\nPrivateKey = ${privateKey}\nAddress = 10.9.0.1/24\n`,
    );
    const env = { LONGHAUL_TEST: "1", LONGHAUL_TEST_FAULT: "lane:crash" };
    const node = Foreground.start(net, space, command("up", file, "--log-level", "verbose"), env);
    await node.says(/ is up, UDP port /);
    // The fault strikes after some rounds of work.
    const argv = ["ping", "-c", "50", "-i", "0.01", "-W", "1", "10.9.0.2"];
    await run(argv, { namespace: space, mayFail: true });
    assert(await node.ended() !== 0);
    assert(/died/.test(node.log), node.log);
    assertHidden(node.log, privateKey, "the crash");
    assertHidden(node.log, toHex(parseKeyBase64(privateKey)!), "the crash");
  },
});
