/**
 * What a test needs from the machine, decided when the test is registered. A test whose needs are
 * not met is ignored with one printed reason, or fails the whole run where skipping is forbidden
 * (`LONGHAUL_FORBID_SKIP=1`, set by `.ci/run`).
 */

/** What `requires` gives to be spread into the options of `Deno.test`. */
export interface Requirement {
  readonly ignore: boolean;
}

/** Capability bits of `linux/capability.h` that "root" stands for: CAP_NET_ADMIN, CAP_SYS_ADMIN. */
const ROOT_CAPABILITIES = (1n << 12n) | (1n << 21n);

const missing = new Map<string, string | null>();

/**
 * Decides whether a test can run here.
 *
 * `names` are `root` (uid 0 that may make network namespaces), `tun` (/dev/net/tun opens),
 * `wycheproof` (LONGHAUL_WYCHEPROOF names the folder with the vectors), or else programs that must
 * be on PATH. Throws when something is missing and `LONGHAUL_FORBID_SKIP` is `1`.
 */
export function requires(...names: string[]): Requirement {
  const reasons: string[] = [];
  for (const name of names) {
    let reason = missing.get(name);
    if (reason === undefined) {
      reason = reasonMissing(name);
      missing.set(name, reason);
      if (reason !== null) console.error(`tests that need ${name} are skipped: ${reason}`);
    }
    if (reason !== null) reasons.push(`${name}: ${reason}`);
  }
  if (reasons.length === 0) return { ignore: false };
  if (Deno.env.get("LONGHAUL_FORBID_SKIP") === "1") {
    throw new Error(`skipping tests is forbidden here, but ${reasons.join("; ")}`);
  }
  return { ignore: true };
}

/** Where `program` is on PATH, or null. A name with a slash is a path itself. */
export function findProgram(program: string): string | null {
  const candidates = program.includes("/")
    ? [program]
    : (Deno.env.get("PATH") ?? "").split(":").map((folder) => `${folder || "."}/${program}`);
  for (const path of candidates) {
    try {
      const info = Deno.statSync(path);
      if (info.isFile && ((info.mode ?? 0) & 0o111) !== 0) return path;
    } catch {
      // Not in this folder.
    }
  }
  return null;
}

function reasonMissing(name: string): string | null {
  switch (name) {
    case "root":
      return rootReason();
    case "tun":
      return openReason("/dev/net/tun");
    case "wycheproof":
      return wycheproofReason();
    default:
      return findProgram(name) === null ? "no such program on PATH" : null;
  }
}

function rootReason(): string | null {
  if (Deno.uid() !== 0) return `the user id is ${Deno.uid()}`;
  const status = Deno.readTextFileSync("/proc/self/status");
  const effective = BigInt("0x" + (/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0"));
  if ((effective & ROOT_CAPABILITIES) !== ROOT_CAPABILITIES) {
    return "CAP_NET_ADMIN or CAP_SYS_ADMIN is missing";
  }
  return null;
}

function openReason(path: string): string | null {
  try {
    Deno.openSync(path, { read: true, write: true }).close();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function wycheproofReason(): string | null {
  const folder = Deno.env.get("LONGHAUL_WYCHEPROOF");
  if (!folder) return "LONGHAUL_WYCHEPROOF is not set to the folder with the vectors";
  try {
    Deno.statSync(`${folder}/chacha20_poly1305_test.json`);
    return null;
  } catch {
    return `LONGHAUL_WYCHEPROOF=${folder} holds no chacha20_poly1305_test.json`;
  }
}
