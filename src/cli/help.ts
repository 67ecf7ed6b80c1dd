/** What `--help` prints, for the program and for each command, from their tables. */
import { VERSION } from "../base/version.ts";
import type { CommandSpec, FlagSpec } from "./command_spec.ts";

const ENVIRONMENT = `Environment
  LOG_LEVEL               verbose (or debug), info, error, silent; up: info, INTERFACE: error
  LONGHAUL_ENCRYPTORS     for INTERFACE: 0 encrypts in the data plane's own thread, 1 in another one,
                          auto chooses by the number of cores
  LONGHAUL_OFFLOAD        for INTERFACE: offloads to switch off, as in the config file's Offload
  WG_PROCESS_FOREGROUND   for INTERFACE: 1 is the same as -f
  WG_TUN_FD, WG_UAPI_FD   for INTERFACE: open descriptors of the TUN and of the control socket
  WG_HIDE_KEYS            for status: never shows private and preshared keys`;

/** The help of the whole program. */
export function programHelp(commands: readonly CommandSpec[]): string {
  const rows = commands.map((command): [string, string] => [usage(command), command.summary]);
  rows.push(["longhaul [-f] INTERFACE", "make an interface to be set up by wg(8)"]);
  rows.push(["longhaul --help | --version", "COMMAND --help tells more of a command"]);
  return `longhaul ${VERSION}: WireGuard on 64 KB segments

${table(rows)}

FILE is path/to/NAME.conf in wg-quick's format; NAME alone means /etc/wireguard/NAME.conf.
up stays in the foreground; INTERFACE goes to the background unless -f (--foreground) is given.

${ENVIRONMENT}
`;
}

/** The help of one command: examples first. */
export function commandHelp(command: CommandSpec): string {
  const examples = command.examples.map(([line, does]): [string, string] => [
    `longhaul ${line}`,
    does,
  ]);
  const parts = [`${usage(command)}\n\n${command.summary}`];
  if (examples.length > 0) parts.push(`Examples\n${table(examples)}`);
  if (command.about !== undefined) parts.push(command.about);
  if (command.flags.length > 0) {
    const rows = command.flags.map((flag): [string, string] => [flagText(flag), flag.help]);
    parts.push(`Flags\n${table(rows)}`);
  }
  return parts.join("\n\n") + "\n";
}

function usage({ name, words, flags }: CommandSpec): string {
  const shown = flags.map((flag) => ` [${flagText(flag)}]`).join("");
  return `longhaul ${name}${words === "" ? "" : ` ${words}`}${shown}`;
}

function flagText({ name, alias, value }: FlagSpec): string {
  const short = alias === undefined ? "" : `-${alias}, `;
  return `${short}--${name}${value === undefined ? "" : ` ${value}`}`;
}

function table(rows: readonly [string, string][]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n");
}
