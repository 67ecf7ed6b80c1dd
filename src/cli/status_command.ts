/**
 * `longhaul status [NAME] [--json]`: interfaces, peers and traffic, of every program that has a
 * control socket where `wg` looks for one. `src/control/status_json.ts` has the shape of the JSON.
 */
import { Errno } from "../base/errno.ts";
import { systemClock } from "../../ffi/clock.ts";
import { getEnvironment } from "../../ffi/environment.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { exists, listFolder } from "../../ffi/files.ts";
import { exchangeUnix, isUnixLive } from "../../ffi/unix_socket.ts";
import { type InterfaceJson, statusJson } from "../control/status_json.ts";
import { formatStatus } from "../control/status_text.ts";
import { GET_TEXT, isWholeAnswer, parseGet } from "../control/uapi_client.ts";
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import { selectNoiseCrypto } from "../crypto/select.ts";
import { UAPI_FOLDER, uapiPath } from "../daemon/paths.ts";
import { SetupError } from "../daemon/setup_error.ts";
import type { DeviceStatus } from "../wireguard/configuration.ts";
import type { CommandSpec } from "./command_spec.ts";
import { checkInterfaceName } from "./config_file.ts";

const TIMEOUT_MS = 5000;
/** A device with 130,560 allowed IPs tells 4 MB. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;
/** More than the last line of an answer and its blank line take. */
const ANSWER_END_BYTES = 32;

export const statusCommand: CommandSpec = {
  name: "status",
  summary: "show interfaces, peers and traffic",
  words: "[NAME]",
  count: { min: 0, max: 1, rule: "status takes the name of one interface, or none" },
  flags: [{ name: "json", help: "as JSON" }],
  examples: [
    ["status", "all interfaces"],
    ["status wg0 --json", "one of them, for programs"],
  ],
  run: ({ words, flags }) => runStatus(words[0], flags.has("json")),
};

/** Runs the command; returns the exit code. Throws `SetupError` when the named one does not run. */
function runStatus(name: string | undefined, json: boolean): number {
  const { crypto } = selectNoiseCrypto();
  const names = name === undefined ? liveInterfaces() : [checkedName(name)];
  const texts: string[] = [], interfaces: InterfaceJson[] = [];
  let failures = 0;
  for (const each of names) {
    try {
      const status = askStatus(each);
      const publicKey = publicKeyOf(status, crypto);
      if (json) interfaces.push(statusJson(each, status, publicKey));
      else texts.push(statusText(each, status, publicKey));
    } catch (error) {
      // With a name the error is the answer; among many the others are told all the same.
      if (name !== undefined || !(error instanceof Error)) throw error;
      console.error(`longhaul: ${each}: ${error.message}`);
      failures++;
    }
  }
  if (json) console.log(JSON.stringify({ interfaces }, null, 2));
  else if (texts.length > 0) console.log(texts.join("\n").trimEnd());
  else if (failures === 0) console.error("longhaul: no interface is up");
  return failures === 0 ? 0 : 1;
}

function checkedName(name: string): string {
  checkInterfaceName(name);
  const path = uapiPath(name);
  if (!exists(path) || !isUnixLive(path)) throw new SetupError(`Nothing runs as ${name}`);
  return name;
}

function liveInterfaces(): string[] {
  if (!exists(UAPI_FOLDER)) return [];
  return listFolder(UAPI_FOLDER)
    .filter((file) => file.endsWith(".sock"))
    .map((file) => file.slice(0, -".sock".length))
    .filter((name) => isUnixLive(uapiPath(name)));
}

function askStatus(name: string): DeviceStatus {
  try {
    const answer = exchangeUnix(uapiPath(name), new TextEncoder().encode(GET_TEXT), {
      timeoutMs: TIMEOUT_MS,
      answerBytesMax: ANSWER_BYTES_MAX,
      isComplete: (bytes) =>
        isWholeAnswer(new TextDecoder().decode(bytes.slice(-ANSWER_END_BYTES))),
    });
    const text = new TextDecoder().decode(answer);
    answer.fill(0);
    return parseGet(text);
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.errno !== Errno.EACCES) throw error;
    throw new SetupError(`Only root may ask for the status of ${name}`, { cause: error });
  }
}

function publicKeyOf({ privateKey }: DeviceStatus, crypto: NoiseCrypto): Uint8Array | null {
  return privateKey === null ? null : crypto.x25519PublicKey(privateKey);
}

function statusText(name: string, status: DeviceStatus, publicKey: Uint8Array | null): string {
  return formatStatus(status, {
    interfaceName: name,
    publicKey,
    nowWallNs: systemClock.wallNs(),
    showKeys: getEnvironment("WG_HIDE_KEYS") === "never",
  });
}
