/**
 * How a contestant is named on the command line and in reports.
 *
 *     longhaul                                this checkout
 *     longhaul@/other/checkout                another one
 *     longhaul+LONGHAUL_ENCRYPTORS=1          with a variable of the environment (names in capitals)
 *     longhaul+Offload=no-netstack-gso        with a line of its config's [Longhaul] section
 *     longhaul:wireguard-go                   side a and side b of a tunnel are different programs
 */

/** The programs that take part. */
const PROGRAMS = [
  "longhaul",
  "wireguard-go",
  "boringtun",
  "tailscaled",
  "wireproxy",
  "deno",
] as const;

export type ProgramName = typeof PROGRAMS[number];

/** One program as it is to be started. */
export interface ProgramSpec {
  readonly name: ProgramName;
  /** Folder of another checkout of Longhaul; undefined means this one. */
  readonly checkout?: string;
  readonly env: Readonly<Record<string, string>>;
  /** Lines for the [Longhaul] section of a config file. */
  readonly settings: readonly string[];
}

/** What takes part in a workload: one program, or one for each side. */
export interface Contestant {
  /** As it was written. */
  readonly label: string;
  readonly a: ProgramSpec;
  readonly b: ProgramSpec;
}

/** Reads a contestant. Throws `Error` on what is no program or no setting. */
export function parseContestant(label: string): Contestant {
  const sides = label.split(":");
  if (sides.length > 2) throw new Error(`${label}: a tunnel has two ends`);
  const [a, b = a] = sides.map(parseSpec);
  return { label, a, b };
}

function parseSpec(text: string): ProgramSpec {
  const [head, ...additions] = text.split("+");
  const [name, checkout] = head.split("@");
  if (!(PROGRAMS as readonly string[]).includes(name)) {
    throw new Error(`no such program: ${name} (there are ${PROGRAMS.join(", ")})`);
  }
  if (name !== "longhaul" && (checkout !== undefined || additions.length > 0)) {
    throw new Error(`${text}: only longhaul takes a checkout or settings`);
  }
  const env: Record<string, string> = {};
  const settings: string[] = [];
  for (const addition of additions) {
    const match = /^(\w+)=(.*)$/.exec(addition);
    if (match === null) throw new Error(`${text}: "${addition}" is no NAME=VALUE`);
    if (/^[A-Z_]+$/.test(match[1])) env[match[1]] = match[2];
    else settings.push(`${match[1]} = ${match[2]}`);
  }
  return { name: name as ProgramName, checkout, env, settings };
}
