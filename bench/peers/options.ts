/** The command line of the peers benchmark. */
import { parseArgs } from "@std/cli/parse-args";
import { parseContestant } from "./programs/spec.ts";

/** What the user wants. */
export interface Options {
  readonly help: boolean;
  readonly list: boolean;
  /** Names of workloads; undefined means all. */
  readonly only?: readonly string[];
  readonly contestants?: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
  /** Files to be written. */
  readonly json?: string;
  readonly svg?: string;
  /** Results to be read and reported in the place of a run. */
  readonly merge?: readonly string[];
}

/** Text of `--help`. */
export const USAGE = `deno task bench:peers [options]

  --list                  the workloads, with their contestants
  --only NAME,...         these workloads
  --programs NAME,...     these contestants in the place of each workload's own, the first being the
                          one that the others are compared with: longhaul, wireguard-go, boringtun,
                          tailscaled, wireproxy; longhaul@/other/checkout; longhaul+VARIABLE=value;
                          longhaul+Setting=value; longhaul:boringtun for sides a and b of a tunnel
  --rounds N              turns of each contestant (4)
  --seconds N             length of each load (3)
  --quick                 one round of 2 s
  --json FILE             write every turn
  --svg FILE              write the chart
  --merge FILE FILE...    report what such files hold instead of measuring`;

/** Reads the arguments. Throws `Error` on what it does not know. */
export function parseOptions(args: readonly string[]): Options {
  const parsed = parseArgs([...args], {
    boolean: ["help", "list", "quick", "merge"],
    string: ["only", "programs", "rounds", "seconds", "json", "svg"],
    unknown: (argument: string, key?: string) => {
      if (key !== undefined) throw new Error(`no such option: ${argument}`);
      return true;
    },
  });
  const files = parsed._.map(String);
  if (files.length > 0 && !parsed.merge) throw new Error(`not an option: ${files[0]}`);
  if (parsed.merge && files.length === 0) throw new Error("--merge needs files to read");
  const contestants = parsed.programs?.split(",");
  contestants?.forEach(parseContestant);
  return {
    help: parsed.help,
    list: parsed.list,
    only: parsed.only?.split(","),
    contestants,
    rounds: positive("--rounds", parsed.rounds, parsed.quick ? 1 : 4),
    seconds: positive("--seconds", parsed.seconds, parsed.quick ? 2 : 3),
    json: parsed.json,
    svg: parsed.svg,
    merge: parsed.merge ? files : undefined,
  };
}

/** Whole numbers: iperf3 takes no others as seconds. */
function positive(option: string, text: string | undefined, byDefault: number): number {
  const value = text === undefined ? byDefault : Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new Error(`${option} takes a whole number above zero, not "${text}"`);
  }
  return value;
}
