/** Locks between processes (man 2 flock): they go with the process, however it ends. */
import { closeFd, O_CLOEXEC, O_RDONLY } from "./descriptor.ts";
import { orThrow } from "./error.ts";
import { checked, libc } from "./libc.ts";
import { cString } from "./memory.ts";

const LOCK_EX = 2;

/**
 * Calls `action` while no other process that uses this function is in it with the same folder. Files
 * in it may be replaced meanwhile, which a lock on the file itself would not survive. Blocks; throws
 * SystemCallError.
 */
export function withFolderLock<T>(folder: string, action: () => T): T {
  const call = `open("${folder}")`;
  const fd = orThrow(checked(libc().open(cString(folder), O_RDONLY | O_CLOEXEC, 0)), call);
  try {
    orThrow(checked(libc().flock(fd, LOCK_EX)), `flock("${folder}")`);
    return action();
  } finally {
    closeFd(fd);
  }
}
