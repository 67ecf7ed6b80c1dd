/** The command line: which command is meant, and what its exit code is. */
import { UsageError } from "./environment.ts";
import { runInterface } from "./interface_command.ts";
import { isUserError } from "../daemon/daemon.ts";
import { VERSION } from "../base/version.ts";

const HELP = `longhaul ${VERSION}: WireGuard on 64 KB segments

  longhaul up FILE            bring up the tunnel that a config file describes
  longhaul down NAME          end it and undo what up has done
  longhaul status [NAME]      show interfaces, peers and traffic
  longhaul [-f] INTERFACE     make an interface to be set up by wg(8), as wireguard-go does
  longhaul --help | --version

up stays in the foreground; INTERFACE goes to the background unless -f is given.
Environment: LOG_LEVEL (verbose, info, error, silent), LONGHAUL_ENCRYPTORS (0 or 1), and for INTERFACE
WG_TUN_FD, WG_UAPI_FD, WG_PROCESS_FOREGROUND.
`;

/** Runs the command that `args` name; resolves with the exit code. */
export async function runCommand(args: readonly string[], mainUrl: string): Promise<number> {
  try {
    return await dispatch(args, mainUrl);
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`longhaul: ${error.message}`);
      return 2;
    }
    if (!isUserError(error)) throw error;
    console.error(`longhaul: ${error.message}`);
    return 1;
  }
}

function dispatch(args: readonly string[], mainUrl: string): number | Promise<number> {
  const [first, ...rest] = args;
  switch (first) {
    case undefined:
    case "--help":
    case "-h":
    case "help":
      console.log(HELP);
      return first === undefined ? 2 : 0;
    case "--version":
    case "version":
      console.log(`longhaul ${VERSION}`);
      return 0;
    case "-f":
    case "--foreground":
      if (rest.length !== 1) throw new UsageError(`${first} takes the name of one interface`);
      return runInterface(rest[0], true, mainUrl);
    default:
      if (args.length !== 1) {
        throw new UsageError(`"${args.join(" ")}" is not a command; see --help`);
      }
      return runInterface(first, false, mainUrl);
  }
}
