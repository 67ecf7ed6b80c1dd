/**
 * Files through the C library, since the program has no permission of Deno's to read or write any.
 * Calls block; they are for configuration, keys and state, never for the data plane.
 */
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
import { orThrow, SystemCallError } from "./error.ts";
import { Dirent, Statx } from "./layout.ts";
import { checked, errno, libc } from "./libc.ts";
import { cString, fixedBytes } from "./memory.ts";
import { systemRandom } from "./random.ts";

const EFBIG = 27;
const W_OK = 2;
const X_OK = 1;
const PATH_MAX = 4096;
const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFSOCK = 0o140000;

const READ_CHUNK_BYTES = 65_536;

/** What `fileStatus` tells. */
export interface FileStatus {
  readonly kind: "file" | "folder" | "socket" | "other";
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly ownerUid: number;
  readonly ownerGid: number;
  readonly sizeBytes: number;
  /** Equal for two paths exactly when both mean the same file. */
  readonly identity: string;
  readonly modifiedNs: bigint;
}

/** Status of what a path leads to, links followed; undefined when there is nothing. */
export function fileStatus(path: string): FileStatus | undefined {
  return status(AT_FDCWD, path, 0, `stat("${path}")`);
}

/** Status of an open descriptor. */
export function descriptorStatus(fd: number): FileStatus | undefined {
  return status(fd, "", AT_EMPTY_PATH, `stat(${fd})`);
}

function status(fd: number, path: string, flags: number, call: string): FileStatus | undefined {
  const record = fixedBytes(Statx.bytes);
  const result = checked(libc().statx(fd, cString(path), flags, STATX_BASIC_STATS, record));
  if (result === -Errno.ENOENT || result === -Errno.ENOTDIR) return undefined;
  orThrow(result, call);
  const view = new DataView(record.buffer);
  const mode = view.getUint16(Statx.mode, true);
  const device = `${view.getUint32(Statx.devMajor, true)}:${view.getUint32(Statx.devMinor, true)}`;
  return {
    kind: kindOf(mode & S_IFMT),
    mode: mode & 0o7777,
    ownerUid: view.getUint32(Statx.uid, true),
    ownerGid: view.getUint32(Statx.gid, true),
    sizeBytes: Number(view.getBigUint64(Statx.size, true)),
    identity: `${device}:${view.getBigUint64(Statx.ino, true)}`,
    modifiedNs: view.getBigInt64(Statx.mtimeSec, true) * 1_000_000_000n +
      BigInt(view.getUint32(Statx.mtimeNsec, true)),
  };
}

function kindOf(format: number): FileStatus["kind"] {
  if (format === S_IFREG) return "file";
  if (format === S_IFDIR) return "folder";
  return format === S_IFSOCK ? "socket" : "other";
}

/** Whether a path leads to anything. */
export function exists(path: string): boolean {
  return fileStatus(path) !== undefined;
}

/** Whether this user may write to a path (into a folder); false when there is nothing. */
export function isWritable(path: string): boolean {
  return libc().access(cString(path), W_OK) === 0;
}

/** Whether this user may run the program at a path; false when there is nothing. */
export function isExecutable(path: string): boolean {
  return fileStatus(path)?.kind === "file" && libc().access(cString(path), X_OK) === 0;
}

/** The absolute path of what a path leads to, links followed; undefined when there is nothing. */
export function canonicalPath(path: string): string | undefined {
  const resolved = fixedBytes(PATH_MAX);
  if (libc().realpath(cString(path), resolved) === null) return undefined;
  return new TextDecoder().decode(resolved.subarray(0, resolved.indexOf(0)));
}

/**
 * Writes into a file that is there, such as one of /proc/sys, which cannot be replaced by another.
 * Throws SystemCallError.
 */
export function writeInPlace(path: string, content: string): void {
  const call = `open("${path}")`;
  const fd = orThrow(checked(libc().open(cString(path), O_WRONLY | O_CLOEXEC, 0)), call);
  try {
    orThrow(writeAllFd(fd, new TextEncoder().encode(content)), `write("${path}")`);
  } finally {
    closeFd(fd);
  }
}

/**
 * Reads a whole file, a pipe or a device to its end. Throws SystemCallError, with EFBIG as soon as
 * there are more than `bytesMax` bytes.
 */
export function readFile(path: string, bytesMax: number): Uint8Array<ArrayBuffer> {
  const fd = orThrow(
    checked(libc().open(cString(path), O_RDONLY | O_CLOEXEC, 0)),
    `open("${path}")`,
  );
  try {
    return readToEnd(fd, bytesMax, `read("${path}")`);
  } finally {
    closeFd(fd);
  }
}

/** The same from an open, blocking descriptor, such as standard input. `call` names it in errors. */
export function readToEnd(fd: number, bytesMax: number, call: string): Uint8Array<ArrayBuffer> {
  let all = fixedBytes(Math.min(bytesMax + 1, READ_CHUNK_BYTES));
  let length = 0;
  for (;;) {
    const n = orThrow(readFd(fd, all.subarray(length)), call);
    length += n;
    if (length > bytesMax) {
      throw new SystemCallError(call, EFBIG, `At most ${bytesMax} bytes are accepted here`);
    }
    if (n === 0) break;
    if (length === all.length) {
      const larger = fixedBytes(Math.min(bytesMax + 1, 2 * all.length));
      larger.set(all);
      // The old copy may hold a private key.
      all.fill(0);
      all = larger;
    }
  }
  const result = all.slice(0, length);
  all.fill(0);
  return result;
}

/** Reads a whole file as UTF-8 text. */
export function readTextFile(path: string, bytesMax: number): string {
  const bytes = readFile(path, bytesMax);
  const text = new TextDecoder().decode(bytes);
  bytes.fill(0);
  return text;
}

/**
 * Replaces or makes a file so that a reader, or a machine that loses power, sees the old content or
 * the new one, never a part: written beside it, synced, renamed over it. `mode` is set exactly,
 * whatever the umask; the owner of a file that is replaced stays, as far as this user may give files
 * away. Throws SystemCallError; the file is then unchanged.
 */
export function writeFileAtomic(
  path: string,
  content: Uint8Array<ArrayBuffer> | string,
  mode: number,
): void {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const slash = path.lastIndexOf("/");
  const folder = slash < 0 ? "." : path.slice(0, slash) || "/";
  const suffix = [...systemRandom.fill(new Uint8Array(6))]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const temporary = `${path.slice(0, slash + 1)}.${path.slice(slash + 1)}.${suffix}`;
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  const call = `open("${temporary}")`;
  const before = fileStatus(path);
  const fd = orThrow(checked(libc().open(cString(temporary), flags, 0o600)), call);
  try {
    try {
      if (before !== undefined) libc().fchown(fd, before.ownerUid, before.ownerGid);
      orThrow(writeAllFd(fd, bytes), `write("${temporary}")`);
      orThrow(checked(libc().fchmod(fd, mode)), `fchmod("${temporary}")`);
      orThrow(checked(libc().fsync(fd)), `fsync("${temporary}")`);
    } finally {
      closeFd(fd);
    }
    const renamed = checked(libc().rename(cString(temporary), cString(path)));
    orThrow(renamed, `rename("${temporary}", "${path}")`);
  } catch (error) {
    libc().unlink(cString(temporary));
    throw error;
  }
  syncFolder(folder);
}

/** Makes a rename durable; file systems that cannot sync a folder do not matter here. */
function syncFolder(folder: string): void {
  const fd = checked(libc().open(cString(folder), O_RDONLY | O_CLOEXEC, 0));
  if (fd < 0) return;
  libc().fsync(fd);
  closeFd(fd);
}

/** Removes a file or a socket; false when there was none. */
export function removeFile(path: string): boolean {
  const result = checked(libc().unlink(cString(path)));
  if (result === -Errno.ENOENT) return false;
  orThrow(result, `unlink("${path}")`);
  return true;
}

/** Removes an empty folder; false when there was none. */
export function removeFolder(path: string): boolean {
  const result = checked(libc().rmdir(cString(path)));
  if (result === -Errno.ENOENT) return false;
  orThrow(result, `rmdir("${path}")`);
  return true;
}

/**
 * Makes a folder and those above it that are missing; what exists keeps its mode. `fix` tells the
 * user what to do when it cannot be made.
 */
export function makeFolders(path: string, mode: number, fix?: string): void {
  for (let end = path.indexOf("/", 1);; end = path.indexOf("/", end + 1)) {
    const part = end < 0 ? path : path.slice(0, end);
    const result = checked(libc().mkdir(cString(part), mode));
    // Folders above may be on a read-only file system, or closed to us, and exist all the same.
    if (result < 0 && fileStatus(part)?.kind !== "folder") orThrow(result, `mkdir("${part}")`, fix);
    if (end < 0) return;
  }
}

/** The names in a folder, sorted, without `.` and `..`. */
export function listFolder(path: string): string[] {
  const folder = libc().opendir(cString(path));
  if (folder === null) throw new SystemCallError(`opendir("${path}")`, errno());
  const names: string[] = [];
  for (;;) {
    const entry = libc().readdir(folder);
    if (entry === null) break;
    const name = new Deno.UnsafePointerView(entry).getCString(Dirent.name);
    if (name !== "." && name !== "..") names.push(name);
  }
  libc().closedir(folder);
  return names.sort();
}

/** Sets the permission bits of a path. */
export function setFileMode(path: string, mode: number): void {
  orThrow(checked(libc().chmod(cString(path), mode)), `chmod("${path}")`);
}
