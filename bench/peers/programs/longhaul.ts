/** The ways in which Longhaul is started here: this checkout or another one. */
import { run } from "../../../tests/netns/command.ts";
import type { ProgramSpec } from "./spec.ts";

const CHECKOUT = new URL("../../../", import.meta.url).pathname.replace(/\/$/, "");
const BUNDLE_CHECK_MS = 60_000;

/** Checkouts that have to be started from the sources. */
const withoutBundle = new Set<string>();

/**
 * Looks whether the checked-in bundles are those of the sources; if not, the sources run, which takes
 * the permission to read. Returns a line that says so, or null.
 */
export async function checkBundle(spec: ProgramSpec): Promise<string | null> {
  const checkout = spec.checkout ?? CHECKOUT;
  const argv = [Deno.execPath(), "task", "--cwd", checkout, "bundle", "--check"];
  const { code } = await run(argv, { mayFail: true, timeoutMs: BUNDLE_CHECK_MS });
  if (code === 0) return null;
  withoutBundle.add(checkout);
  return `longhaul in ${checkout}: its bundles are stale, so it runs from the sources`;
}

/** The command that a user gives, with `args`, without a launcher between. */
export function longhaulCommand(spec: ProgramSpec, ...args: string[]): string[] {
  const checkout = spec.checkout ?? CHECKOUT;
  const permission = withoutBundle.has(checkout) ? "--allow-all" : "--allow-ffi";
  const main = `${checkout}/main.ts`;
  return [Deno.execPath(), "run", "--quiet", "--no-prompt", permission, main, ...args];
}

/** Its environment: what a user gets who sets nothing, but for the log. */
export function longhaulEnvironment(spec: ProgramSpec): Record<string, string> {
  return { LOG_LEVEL: "error", LONGHAUL_ENCRYPTORS: "auto", ...spec.env };
}
