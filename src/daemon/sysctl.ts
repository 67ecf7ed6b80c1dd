/**
 * Settings of the kernel that tunnels need while they are up. Several tunnels may need the same one:
 * each knows the value from before the first of them, and the last puts it back.
 */
import { exists, readTextFile, writeInPlace } from "../../ffi/files.ts";
import { stepsOfOthers, type UpRecord } from "./up_record.ts";

/**
 * Sets a file of /proc/sys, unless it says so already and no tunnel of ours has made it so. Returns
 * why it could not be set, null when it is.
 */
export function setSysctl(record: UpRecord, path: string, value: string): string | null {
  const current = exists(path) ? readTextFile(path, 100).trim() : "";
  const before = valueBeforeOthers(record.interfaceName, path) ?? current;
  if (before === value) return null;
  record.add({ kind: "sysctl", path, value: before });
  if (current === value) return null;
  try {
    writeInPlace(path, value);
    return null;
  } catch (error) {
    record.strikeLast();
    return error instanceof Error ? error.message : String(error);
  }
}

/** Gives a setting its old value back, unless another tunnel of ours still needs the new one. */
export function restoreSysctl(interfaceName: string, path: string, value: string): void {
  if (valueBeforeOthers(interfaceName, path) === undefined) writeInPlace(path, value);
}

/** What a setting was before other tunnels changed it; undefined when none has. */
function valueBeforeOthers(interfaceName: string, path: string): string | undefined {
  for (const step of stepsOfOthers(interfaceName)) {
    if (step.kind === "sysctl" && step.path === path) return step.value;
  }
  return undefined;
}
