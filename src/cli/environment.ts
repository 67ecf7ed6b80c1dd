/** The environment variables that the program obeys, read once. */
import { getEnvironment } from "../../ffi/environment.ts";
import { DEFAULT_SESSION_LIMITS, type SessionLimits } from "../lane/limits.ts";

/** A whole number in a variable; undefined when it is unset. Throws `UsageError` otherwise. */
export function environmentNumber(name: string): number | undefined {
  const text = getEnvironment(name);
  if (text === undefined || text === "") return undefined;
  if (!/^\d{1,9}$/.test(text)) {
    throw new UsageError(`${name} must be a whole number, not "${text}"`);
  }
  return Number(text);
}

/** A command line or environment that cannot be obeyed; told without a stack, exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/**
 * Session limits, lowered by LONGHAUL_TEST_REKEY_AFTER_MS and LONGHAUL_TEST_REJECT_AFTER_MS when
 * LONGHAUL_TEST=1, so that tests see many rekeys on real traffic within seconds.
 */
export function sessionLimits(): SessionLimits {
  if (getEnvironment("LONGHAUL_TEST") !== "1") return DEFAULT_SESSION_LIMITS;
  const rejectAfterMs = environmentNumber("LONGHAUL_TEST_REJECT_AFTER_MS") ??
    DEFAULT_SESSION_LIMITS.rejectAfterMs;
  const rekeyAfterMs = environmentNumber("LONGHAUL_TEST_REKEY_AFTER_MS") ??
    DEFAULT_SESSION_LIMITS.rekeyAfterMs;
  const rekeyOnReceiveAfterMs = Math.min(
    DEFAULT_SESSION_LIMITS.rekeyOnReceiveAfterMs,
    (rekeyAfterMs + rejectAfterMs) / 2,
  );
  return { ...DEFAULT_SESSION_LIMITS, rejectAfterMs, rekeyAfterMs, rekeyOnReceiveAfterMs };
}

/** The fault that a test wants acted out (`src/worker/faults.ts`); empty in real life. */
export function testFault(): string {
  return getEnvironment("LONGHAUL_TEST") === "1" ? getEnvironment("LONGHAUL_TEST_FAULT") ?? "" : "";
}
