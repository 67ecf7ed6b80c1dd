/** The command line: which command is meant, and what its exit code is. */
import { parseArgs } from "@std/cli/parse-args";
import { effectiveUserId, getEnvironment } from "../../ffi/environment.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { Errno } from "../base/errno.ts";
import { withoutKeyLike, withoutKeys } from "../base/redact.ts";
import { VERSION } from "../base/version.ts";
import { editDistance } from "../config/nearest.ts";
import { isUserError } from "../daemon/daemon.ts";
import { painterFor, printText, STDOUT_FD } from "../daemon/terminal.ts";
import { type CommandSpec, Flags } from "./command_spec.ts";
import { COMMANDS } from "./commands.ts";
import { UsageError } from "./environment.ts";
import { commandHelp, programHelp } from "./help.ts";
import { runInterface } from "./interface_command.ts";

/** A command line, taken apart. */
export interface CommandLine {
  /** The command that is meant; null for `longhaul INTERFACE` and for flags alone. */
  readonly command: CommandSpec | null;
  /** What is left when the command's own words are taken away. */
  readonly words: readonly string[];
  readonly flags: Flags;
}

/** A command line that cannot be meant, as in most programs. */
const EXIT_USAGE = 2;
/** Flags that stand with every command, or without one. */
const COMMON_FLAGS = ["help", "version", "foreground"];
const COMMON_ALIASES = { h: "help", f: "foreground" };

/** Runs the command that `args` name; resolves with the exit code. */
export async function runCommand(args: readonly string[], mainUrl: string): Promise<number> {
  try {
    return await dispatch(parseCommandLine(args), mainUrl);
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`longhaul: ${withoutKeyLike(error.message)}`);
      return EXIT_USAGE;
    }
    if (!isUserError(error)) throw error;
    console.error(`longhaul: ${withoutKeys(error.message)}${remedy(error)}`);
    return 1;
  }
}

/** What helps where the system has refused something to a user and nothing else is known. */
function remedy(error: Error): string {
  if (!(error instanceof SystemCallError) || error.fix !== undefined) return "";
  const isRefused = error.errno === Errno.EACCES || error.errno === Errno.EPERM;
  return isRefused && effectiveUserId() !== 0 ? ". Root may do it: call it with sudo" : "";
}

/** Takes a command line apart. Throws `UsageError` for a flag that does not exist. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const command = findCommand(args);
  if (command?.takesAllWords) {
    const words = args.slice(args.indexOf(command.name) + 1);
    const isHelp = words.length === 1 && (words[0] === "--help" || words[0] === "-h");
    return isHelp
      ? { command, words: [], flags: new Flags(new Map([["help", true]])) }
      : { command, words, flags: new Flags(new Map()) };
  }
  const specs = command?.flags ?? [];
  const aliases = specs.flatMap(({ alias, name }) => alias === undefined ? [] : [[alias, name]]);
  const withValue = specs.filter((flag) => flag.value !== undefined).map((flag) => flag.name);
  const parsed = parseArgs([...args], {
    boolean: [
      ...COMMON_FLAGS,
      ...specs.filter((flag) => flag.value === undefined).map((flag) => flag.name),
    ],
    string: ["_", ...withValue],
    alias: { ...COMMON_ALIASES, ...Object.fromEntries(aliases) },
    unknown: (flag: string, key?: string) => {
      if (key === undefined) return true;
      throw new UsageError(unknownFlag(flag, key, command));
    },
  }) as Record<string, unknown> & { _: string[] };
  const values = new Map<string, string | true>();
  for (const name of [...COMMON_FLAGS, ...specs.map((flag) => flag.name)]) {
    const value = parsed[name];
    if (withValue.includes(name) && value === "") throw new UsageError(`--${name} wants a value`);
    if (value === true || typeof value === "string") values.set(name, value);
  }
  const ownWords = command === null ? 0 : command.name.split(" ").length;
  return { command, words: parsed._.slice(ownWords), flags: new Flags(values) };
}

/** The command whose name the first words are, the longest first. */
function findCommand(args: readonly string[]): CommandSpec | null {
  const words = args.filter((word) => !word.startsWith("-"));
  const isMeant = ({ name }: CommandSpec) =>
    name.split(" ").every((word, index) => words[index] === word);
  const meant = COMMANDS.filter(isMeant);
  return meant.toSorted((a, b) => b.name.length - a.name.length)[0] ?? null;
}

function unknownFlag(flag: string, key: string, command: CommandSpec | null): string {
  const owners = COMMANDS.filter((other) => other.flags.some(({ name }) => name === key));
  if (owners.length > 0) {
    return `--${key} is a flag of ${owners.map(({ name }) => name).join(", ")}`;
  }
  return command === null
    ? `there is no flag ${flag}; see --help`
    : `${command.name} has no flag ${flag}; see ${command.name} --help`;
}

function dispatch(line: CommandLine, mainUrl: string): number | Promise<number> {
  const { command, words, flags } = line;
  if (flags.has("version")) {
    printText(`longhaul ${VERSION}\n`);
    return 0;
  }
  const isForeground = flags.has("foreground");
  // `help` is what people type who do not know `--help` yet; nobody calls an interface so.
  if (command === null && words[0] === "help" && !isForeground) {
    return dispatch(parseCommandLine([...words.slice(1), "--help"]), mainUrl);
  }
  const isBare = command === null && words.length === 0 && !isForeground;
  if (flags.has("help") || isBare) {
    const paint = painterFor(STDOUT_FD);
    const text = command === null ? programHelp(COMMANDS, paint) : commandHelp(command, paint);
    printText(text);
    return isBare && !flags.has("help") ? EXIT_USAGE : 0;
  }
  if (command === null) return runBareInterface(words, isForeground, mainUrl);
  if (isForeground) throw new UsageError("-f goes with the name of an interface alone");
  const { min, max, rule } = command.count;
  if (words.length < min || words.length > max) throw new UsageError(rule);
  return command.run({ words, flags, mainUrl });
}

/**
 * Throws `UsageError` for the name of an interface that is a command, misspelt or cut short: nobody
 * wants a node in the background for it. wg-quick means what it says.
 */
function checkNoCommand(word: string): void {
  if (getEnvironment("WG_QUICK_USERSPACE_IMPLEMENTATION") !== undefined) return;
  const behind = COMMANDS.filter(({ name }) => name.startsWith(`${word} `))
    .map(({ name }) => name.slice(word.length + 1));
  if (behind.length > 0) {
    throw new UsageError(`${word} goes with another word: ${behind.join(", ")}; see --help`);
  }
  const meant = COMMANDS.find(({ name }) => isMisspelt(word, name));
  if (meant === undefined) return;
  throw new UsageError(
    `"${word}" is not a command; did you mean ${meant.name}? ` +
      `An interface of that name is made by -f ${word}`,
  );
}

/** Names of interfaces are short, so only the smallest slip counts: one character, or two swapped. */
function isMisspelt(word: string, name: string): boolean {
  if (word.length < 3 || !/^[a-z]+$/.test(word)) return false;
  if (editDistance(word, name) === 1) return true;
  const sorted = (text: string) => [...text].sort().join("");
  return editDistance(word, name) === 2 && sorted(word) === sorted(name);
}

/** `longhaul [-f] INTERFACE`, as wireguard-go is called. */
function runBareInterface(
  words: readonly string[],
  isForeground: boolean,
  mainUrl: string,
): Promise<number> {
  if (words.length === 1) {
    if (!isForeground) checkNoCommand(words[0]);
    return runInterface(words[0], isForeground, mainUrl);
  }
  throw new UsageError(
    words.length === 0
      ? "-f takes the name of an interface"
      : `"${words.join(" ")}" is not a command; see --help`,
  );
}
