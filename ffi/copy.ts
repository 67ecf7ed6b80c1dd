/** Copying and removing files and whole folders through the C library. Calls block. */
import { Errno } from "../src/base/errno.ts";
import {
  closeFd,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
  readFd,
  writeAllFd,
} from "./descriptor.ts";
import { orThrow } from "./error.ts";
import { fileStatus, listFolder, makeFolders, removeFolder } from "./files.ts";
import { checked, libc } from "./libc.ts";
import { cString, fixedBytes } from "./memory.ts";

const CHUNK_BYTES = 4 * 1024 * 1024;

/**
 * Copies a file to a path where there is none yet, with that mode exactly. Throws SystemCallError,
 * EEXIST included; what was copied so far stays.
 */
export function copyFile(from: string, to: string, mode: number): void {
  const source = orThrow(
    checked(libc().open(cString(from), O_RDONLY | O_CLOEXEC, 0)),
    `open("${from}")`,
  );
  try {
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    const target = orThrow(checked(libc().open(cString(to), flags, 0o600)), `open("${to}")`);
    try {
      copyBytes(source, target, from, to);
      orThrow(checked(libc().fchmod(target, mode)), `fchmod("${to}")`);
    } finally {
      closeFd(target);
    }
  } finally {
    closeFd(source);
  }
}

function copyBytes(source: number, target: number, from: string, to: string): void {
  const chunk = fixedBytes(CHUNK_BYTES);
  for (;;) {
    const length = orThrow(readFd(source, chunk), `read("${from}")`);
    if (length === 0) return;
    orThrow(writeAllFd(target, chunk.subarray(0, length)), `write("${to}")`);
  }
}

/**
 * Copies a folder with everything in it, links followed, for everybody to read. `isWanted` is asked
 * for each path in it, as it stands below `from`.
 */
export function copyFolder(
  from: string,
  to: string,
  isWanted: (path: string) => boolean = () => true,
  below = "",
): void {
  makeFolders(to, 0o755);
  for (const name of listFolder(from)) {
    const path = `${below}${name}`;
    if (!isWanted(path)) continue;
    const status = fileStatus(`${from}/${name}`);
    if (status?.kind === "folder") {
      copyFolder(`${from}/${name}`, `${to}/${name}`, isWanted, `${path}/`);
    } else if (status?.kind === "file") {
      const mode = (status.mode & 0o100) !== 0 ? 0o755 : 0o644;
      copyFile(`${from}/${name}`, `${to}/${name}`, mode);
    }
  }
}

/** Removes a file or a folder with everything in it; links are removed, not followed. */
export function removeTree(path: string): void {
  const result = checked(libc().unlink(cString(path)));
  if (result >= 0 || result === -Errno.ENOENT) return;
  if (result !== -Errno.EISDIR && result !== -Errno.EPERM) orThrow(result, `unlink("${path}")`);
  for (const name of listFolder(path)) removeTree(`${path}/${name}`);
  removeFolder(path);
}

/** Gives a file or a folder another name in the same file system. */
export function renamePath(from: string, to: string): void {
  orThrow(checked(libc().rename(cString(from), cString(to))), `rename("${from}", "${to}")`);
}
