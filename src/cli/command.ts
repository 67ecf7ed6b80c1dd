/** The command line: which command is meant, and what its exit code is. */
import { parseArgs } from "@std/cli/parse-args";
import { VERSION } from "../base/version.ts";
import { isUserError } from "../daemon/daemon.ts";
import { runDown } from "./down_command.ts";
import { UsageError } from "./environment.ts";
import { HELP } from "./help.ts";
import { runInterface } from "./interface_command.ts";
import { runStatus } from "./status_command.ts";
import { runUp } from "./up_command.ts";

/** What the flags and the words of a command line are. */
export interface CommandLine {
  readonly words: readonly string[];
  readonly foreground: boolean;
  readonly json: boolean;
  readonly help: boolean;
  readonly version: boolean;
}

const EXIT_USAGE = 1;

/** Runs the command that `args` name; resolves with the exit code. */
export async function runCommand(args: readonly string[], mainUrl: string): Promise<number> {
  try {
    return await dispatch(parseCommandLine(args), mainUrl);
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`longhaul: ${error.message}`);
      return EXIT_USAGE;
    }
    if (!isUserError(error)) throw error;
    console.error(`longhaul: ${error.message}`);
    return 1;
  }
}

/** Takes a command line apart. Throws `UsageError` for a flag that does not exist. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const flags = parseArgs([...args], {
    boolean: ["foreground", "json", "help", "version"],
    string: ["_"],
    alias: { f: "foreground", h: "help" },
    unknown: (flag: string, key?: string) => {
      if (key !== undefined) throw new UsageError(`there is no flag ${flag}; see --help`);
      return true;
    },
  }) as Record<"foreground" | "json" | "help" | "version", boolean> & { _: string[] };
  const { foreground, json, help, version } = flags;
  return { words: flags._, foreground, json, help, version };
}

function dispatch(line: CommandLine, mainUrl: string): number | Promise<number> {
  const [command, ...rest] = line.words;
  if (line.version) {
    console.log(`longhaul ${VERSION}`);
    return 0;
  }
  const isBare = command === undefined && !line.foreground && !line.json;
  if (line.help || isBare) {
    console.log(HELP);
    return isBare && !line.help ? EXIT_USAGE : 0;
  }
  if (line.json && command !== "status") throw new UsageError("--json is a flag of status");
  if (line.foreground) {
    return runInterface(only(line.words, "-f takes the name of an interface"), true, mainUrl);
  }
  switch (command) {
    case "up":
      return runUp(only(rest, "up takes a config file or the name of one"));
    case "down":
      return runDown(only(rest, "down takes the name of an interface or its config file"));
    case "status":
      if (rest.length > 1) throw new UsageError("status takes the name of one interface, or none");
      return runStatus({ name: rest[0], json: line.json });
    default:
      if (rest.length > 0) {
        throw new UsageError(`"${line.words.join(" ")}" is not a command; see --help`);
      }
      return runInterface(command, false, mainUrl);
  }
}

function only(words: readonly string[], rule: string): string {
  if (words.length !== 1) throw new UsageError(rule);
  return words[0];
}
