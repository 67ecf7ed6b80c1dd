/** `longhaul reload [NAME]`: a running tunnel loads its config file again. */
import { SystemCallError } from "../../ffi/error.ts";
import { readTextFile } from "../../ffi/files.ts";
import { type ControlRequest, RequestError, textFields } from "../control/request.ts";
import { liveInterfaces } from "../daemon/paths.ts";
import { CONFIG_REQUEST, RELOAD_REQUEST, TEXT_FIELD } from "../daemon/reloader.ts";
import { SetupError } from "../daemon/setup_error.ts";
import { printText } from "../daemon/terminal.ts";
import type { CommandSpec } from "./command_spec.ts";
import { CONFIG_BYTES_MAX, findConfig } from "./config_file.ts";
import { askDevice } from "./device_client.ts";

/** Names that cannot be resolved and 100,000 routes take their time. */
const TIMEOUT_MS = 60_000;

export const reloadCommand: CommandSpec = {
  name: "reload",
  summary: "apply what has changed in the config file of a running tunnel",
  words: "[NAME]",
  count: { min: 0, max: 1, rule: "reload takes the name of one interface, or none" },
  flags: [{ name: "file", value: "FILE", help: "take the text of this file in place of its own" }],
  examples: [
    ["reload wg0", "apply the changes of wg0's file; sessions that stay are not touched"],
    ["reload", "the same where only one tunnel runs"],
  ],
  about: "A file with an error changes nothing, and the errors are told. Hooks, DNS, Table,\n" +
    "SaveConfig and [Longhaul] come with the next up. kill -HUP does the same, told in the log.\n" +
    "A service in a sandbox cannot read its file: the file's text is sent to it.",
  run: ({ words, flags }) => runReload(words[0] ?? onlyTunnel(), flags.text("file")),
};

function runReload(name: string, file: string | undefined): number {
  const reloaded = file === undefined ? reloadTunnel(name) : reloadFromText(name, file);
  if (reloaded === "foreign") {
    throw new SetupError(
      `${name} was not brought up by this program's up: there is no file to load again`,
    );
  }
  for (const reason of reloaded.errors) console.error(`longhaul: ${reason}`);
  if (reloaded.errors.length > 0) {
    console.error("longhaul: nothing has changed");
    return 1;
  }
  for (const note of reloaded.notes) console.error(`longhaul: warning: ${note}`);
  const { changes } = reloaded;
  printText(`${changes.length === 0 ? "nothing to change" : changes.join("\n")}\n`);
  return 0;
}

/** Whether a path is that of a copy which systemd has made for a service (LoadCredential). */
export function isServiceCopy(path: string): boolean {
  return path.startsWith("/run/credentials/");
}

/** What came of a reload: errors, and then nothing has changed, or changes. */
export interface Reloaded {
  readonly errors: readonly string[];
  readonly changes: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Reloads a tunnel; `foreign` when it cannot, because no `up` of this program runs it. `path` is the
 * file that is meant: it is an error when the tunnel runs with another one.
 */
export function reloadTunnel(name: string, path?: string): Reloaded | "foreign" {
  if (path === undefined && isServiceCopy(configOfTunnel(name) ?? "")) {
    return reloadFromText(name, findConfig(name).path);
  }
  return ask(name, path === undefined ? [] : [["file", path]]);
}

/** Reloads a tunnel with the text of a file that its process cannot read. */
export function reloadFromText(name: string, file: string): Reloaded | "foreign" {
  return ask(name, textFields(TEXT_FIELD, readTextFile(file, CONFIG_BYTES_MAX)));
}

function ask(name: string, fields: ControlRequest["fields"]): Reloaded | "foreign" {
  try {
    const answer = askDevice(name, { name: RELOAD_REQUEST, fields }, TIMEOUT_MS);
    if (answer === null) return "foreign";
    const all = (wanted: string) =>
      answer.filter(([key]) => key === wanted).map(([, text]) => text);
    return { errors: [], changes: all("change"), notes: all("note") };
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    return { errors: error.reasons, changes: [], notes: [] };
  }
}

/** The config file that a running tunnel was brought up with; null when no `up` of ours runs it. */
export function configOfTunnel(name: string): string | null {
  const answer = askDevice(name, { name: CONFIG_REQUEST, fields: [] });
  return answer?.find(([key]) => key === "file")?.[1] ?? null;
}

/** The tunnels that run with a config file. */
export interface RunningTunnels {
  readonly names: readonly string[];
  /** What to say where none was found; empty unless there are some that are closed to this user. */
  readonly hint: string;
}

/** Asks all that run. */
export function tunnelsWithConfig(): RunningTunnels {
  const names: string[] = [], closed: string[] = [];
  for (const name of liveInterfaces()) {
    try {
      if (configOfTunnel(name) !== null) names.push(name);
    } catch (error) {
      // It may also have just ended.
      if (error instanceof SetupError && error.cause instanceof SystemCallError) closed.push(name);
    }
  }
  const hint = closed.length === 0 ? "" : `; ${closed.join(", ")} may be asked by root (sudo)`;
  return { names, hint };
}

function onlyTunnel(): string {
  const { names, hint } = tunnelsWithConfig();
  if (names.length === 1) return names[0];
  throw new SetupError(
    names.length === 0
      ? `No tunnel runs with a config file${hint}`
      : `Which one: ${names.join(", ")}?`,
  );
}
