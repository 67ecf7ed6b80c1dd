/** The environment variables that the program obeys, read once. */
import { ALL_OFFLOADS, OFFLOAD_SWITCHES, type OffloadConfig } from "../config/offload.ts";
import { getEnvironment } from "../../ffi/environment.ts";
import { DEFAULT_SESSION_LIMITS, type SessionLimits } from "../lane/limits.ts";

/** The variables, for the help and the docs. */
export const ENVIRONMENT: readonly (readonly [name: string, meaning: string])[] = [
  ["LOG_LEVEL", "verbose (or debug), info, warn, error, silent; up: info, INTERFACE: error"],
  ["LOG_FORMAT", "text, json, journal; without it the form that fits"],
  ["NO_COLOR", "no colours, also on a terminal (no-color.org)"],
  ["WG_HIDE_KEYS", "never shows private and preshared keys in status and show"],
  [
    "WG_ENDPOINT_RESOLUTION_RETRIES",
    "for set and setconf: how often a name is asked for while\nthe resolver has trouble, 15 or another number or infinity",
  ],
  ["XDG_STATE_HOME", "where up without a file keeps keys and config (not for root)"],
  ["XDG_RUNTIME_DIR", "where control sockets are where /var/run/wireguard is closed"],
  [
    "LONGHAUL_ENCRYPTORS",
    "for INTERFACE: 0 encrypts in the data plane's own thread, a number in so\nmany others, auto chooses by the number of cores",
  ],
  [
    "LONGHAUL_LANES",
    "for INTERFACE: threads that the peers are divided among, 1 without it",
  ],
  ["LONGHAUL_OFFLOAD", "for INTERFACE: offloads to switch off, as in the config file's Offload"],
  ["WG_PROCESS_FOREGROUND", "for INTERFACE: 1 is the same as -f"],
  ["WG_TUN_FD, WG_UAPI_FD", "for INTERFACE: open descriptors of the TUN and of the control socket"],
];

/** A whole number in a variable; undefined when it is unset. Throws `UsageError` otherwise. */
export function environmentNumber(name: string): number | undefined {
  const text = getEnvironment(name);
  if (text === undefined || text === "") return undefined;
  if (!/^\d{1,9}$/.test(text)) {
    throw new UsageError(`${name} must be a whole number, not "${text}"`);
  }
  return Number(text);
}

/** A command line or environment that cannot be meant; told without a stack, exit code 2. */
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

/** The offloads that LONGHAUL_OFFLOAD leaves on: a list of switches as in the config file's `Offload`. */
export function environmentOffload(): OffloadConfig {
  const offload: { -readonly [Name in keyof OffloadConfig]: boolean } = { ...ALL_OFFLOADS };
  for (const word of (getEnvironment("LONGHAUL_OFFLOAD") ?? "").split(/[\s,]+/)) {
    if (word === "") continue;
    const name = OFFLOAD_SWITCHES.get(word.toLowerCase());
    if (name === undefined) {
      const known = [...OFFLOAD_SWITCHES.keys()].join(", ");
      throw new UsageError(`LONGHAUL_OFFLOAD: "${word}" is not one of ${known}`);
    }
    offload[name] = false;
  }
  return offload;
}
