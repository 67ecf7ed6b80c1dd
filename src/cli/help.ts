/** What `--help` prints, for the program and for each command, from their tables. */
import { VERSION } from "../base/version.ts";
import type { Painter } from "../daemon/terminal.ts";
import type { CommandSpec, FlagSpec } from "./command_spec.ts";
import { ENVIRONMENT } from "./environment.ts";

/** What a program's exit codes mean, here and everywhere. */
export const EXIT_CODES: readonly (readonly [code: string, meaning: string])[] = [
  ["0", "done"],
  ["1", "could not be done; why is told on standard error"],
  ["2", "the command line cannot be meant"],
];

/** Command lines to begin with. */
const FIRST_EXAMPLES: readonly (readonly [line: string, does: string])[] = [
  ["up", "a first tunnel: makes keys and a config, and says how peers join"],
  ["peer add phone", "a peer, with a QR code for the phone"],
  ["up wg0", "the tunnel of /etc/wireguard/wg0.conf, until Ctrl-C"],
  ["status wg0 --watch", "its peers and rates, live"],
  ["service install wg0", "the same tunnel from every boot on"],
];

type Row = readonly [left: string, right: string];

/** The help of the whole program. */
export function programHelp(commands: readonly CommandSpec[], paint: Painter): string {
  const rows = commands.map((command): Row => [callOf(command), command.summary]);
  rows.push(["[-f] INTERFACE", "make an interface to be set up by wg(8), as wireguard-go does"]);
  const title = (text: string) => paint("bold", text);
  return [
    `${title(`longhaul ${VERSION}`)}: WireGuard on 64 KB segments`,
    `${title("Examples")}\n${table(exampleRows(FIRST_EXAMPLES))}`,
    `${title("Commands")}\n${table(rows)}`,
    "COMMAND --help tells more of a command. FILE is path/to/NAME.conf in wg-quick's format; NAME\n" +
    "alone means /etc/wireguard/NAME.conf, or what up has made. up stays in the foreground; INTERFACE\n" +
    "goes to the background unless -f (--foreground) is given.",
    `${title("Environment")}\n${table(ENVIRONMENT)}`,
    `${title("Exit codes")}\n${table(EXIT_CODES)}`,
  ].join("\n\n") + "\n";
}

/** The help of one command: examples first. */
export function commandHelp(command: CommandSpec, paint: Painter): string {
  const { summary, examples, about, flags } = command;
  const title = (text: string) => paint("bold", text);
  const parts = [`${title(`longhaul ${usage(command)}`)}\n\n${summary}`];
  if (examples.length > 0) parts.push(`${title("Examples")}\n${table(exampleRows(examples))}`);
  if (about !== undefined) parts.push(about);
  if (flags.length > 0) {
    const rows = flags.map((flag): Row => [flagText(flag), flag.help]);
    parts.push(`${title("Flags")}\n${table(rows)}`);
  }
  return parts.join("\n\n") + "\n";
}

/** How a command is called, with its flags: `status [NAME] [-w, --watch] [--json]`. */
export function usage(command: CommandSpec): string {
  return callOf(command) + command.flags.map((flag) => ` [${flagText(flag)}]`).join("");
}

/** A flag with its letter and its value: `-w, --watch`, `--interval SECONDS`. */
export function flagText({ name, alias, value }: FlagSpec): string {
  const short = alias === undefined ? "" : `-${alias}, `;
  return `${short}--${name}${value === undefined ? "" : ` ${value}`}`;
}

function callOf({ name, words }: CommandSpec): string {
  return words === "" ? name : `${name} ${words}`;
}

function exampleRows(examples: readonly Row[]): Row[] {
  return examples.map(([line, does]): Row => [`longhaul ${line}`, does]);
}

function table(rows: readonly Row[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows
    .map(([left, right]) =>
      `  ${left.padEnd(width)}  ${right.replaceAll("\n", `\n${" ".repeat(width + 4)}`)}`
    )
    .join("\n");
}
