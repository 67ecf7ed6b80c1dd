/** Locks between processes (man 2 flock): they go with the process, however it ends. */
import { closeFd, O_CLOEXEC, O_RDONLY } from "./descriptor.ts";
import { orThrow } from "./error.ts";
import { checked, libc } from "./libc.ts";
import { cString } from "./memory.ts";

const LOCK_EX = 2;

/**
 * Calls `action` while no other process that uses this function is in it with the same folder. Files
 * in it may be replaced meanwhile, which a lock on the file itself would not survive. Blocks until the
 * lock is free, so a process takes one at a time; rejects with SystemCallError.
 */
export async function withFolderLock<T>(
  folder: string,
  action: () => T | Promise<T>,
): Promise<T> {
  const call = `open("${folder}")`;
  const fd = orThrow(checked(libc().open(cString(folder), O_RDONLY | O_CLOEXEC, 0)), call);
  try {
    orThrow(checked(libc().flock(fd, LOCK_EX)), `flock("${folder}")`);
    return await action();
  } finally {
    closeFd(fd);
  }
}
