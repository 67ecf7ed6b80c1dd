/** The ways in which Longhaul is started here: this checkout or another one. */
import type { ProgramSpec } from "./spec.ts";

const CHECKOUT = new URL("../../../", import.meta.url).pathname.replace(/\/$/, "");

/** The command that a user gives, with `args`, without a launcher between. */
export function longhaulCommand(spec: ProgramSpec, ...args: string[]): string[] {
  const main = `${spec.checkout ?? CHECKOUT}/main.ts`;
  return [Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-ffi", main, ...args];
}

/** Its environment: what a user gets who sets nothing, but for the log. */
export function longhaulEnvironment(spec: ProgramSpec): Record<string, string> {
  return { LOG_LEVEL: "error", LONGHAUL_ENCRYPTORS: "auto", ...spec.env };
}
