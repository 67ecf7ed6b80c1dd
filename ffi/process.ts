/** Other processes: starting, waiting and signalling; and settings of this one. */
import { Errno } from "../src/base/errno.ts";
import { closeFd, duplicateFd, O_RDWR, sleepBlocking } from "./descriptor.ts";
import { orThrow, SystemCallError } from "./error.ts";
import { OpaqueBytes, Rlimit } from "./layout.ts";
import { checked, libc } from "./libc.ts";
import { addressOfBytes, cString, fixedBytes } from "./memory.ts";
import { systemClock } from "./clock.ts";

const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;
const WNOHANG = 1;
/** The same number on every architecture (include/uapi/asm-generic/unistd.h). */
const SYS_pidfd_open = 434n;
const PR_SET_DUMPABLE = 4;
const PR_GET_DUMPABLE = 3;
const RLIMIT_NOFILE = 7;
/** What most systems allow. */
const OPEN_FILES_USUAL = 1024;

export const SIGTERM = 15;
export const SIGKILL = 9;

/** How to start a program. */
export interface SpawnOptions {
  /** A path, or a name that is searched for in PATH. */
  readonly program: string;
  /** Arguments, without the program's name itself. */
  readonly args: readonly string[];
  /** `NAME=value` each; all there is, nothing is added. */
  readonly environment: readonly string[];
  /**
   * Descriptors of the new process: `[ours, its]`. Of the others 0, 1 and 2 lead to /dev/null there
   * and the rest is closed.
   */
  readonly descriptors: readonly (readonly [number, number])[];
  /** A session of its own: no terminal, and a process group of which it is the leader. */
  readonly newSession?: boolean;
}

/**
 * A `char *const []` closed by a null pointer, with the strings behind it in the same buffer, so
 * that they live as long as the array does.
 */
function stringArray(strings: readonly string[]): Uint8Array<ArrayBuffer> {
  const texts = strings.map(cString);
  let at = 8 * (texts.length + 1);
  const all = fixedBytes(texts.reduce((sum, text) => sum + text.length, at));
  const view = new DataView(all.buffer);
  const address = addressOfBytes(all);
  texts.forEach((text, i) => {
    view.setBigUint64(8 * i, address + BigInt(at), true);
    all.set(text, at);
    at += text.length;
  });
  return all;
}

/**
 * Starts a program and returns its process id. Signals have their default actions there, although
 * Deno ignores SIGPIPE. Throws SystemCallError, ENOENT when there is no such program.
 */
export function spawnProcess(options: SpawnOptions): number {
  const attributes = fixedBytes(OpaqueBytes.posixSpawnattr);
  const actions = fixedBytes(OpaqueBytes.posixSpawnFileActions);
  const c = libc();
  c.posix_spawnattr_init(attributes);
  c.posix_spawn_file_actions_init(actions);
  const copies: number[] = [];
  try {
    const flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
      (options.newSession ? POSIX_SPAWN_SETSID : 0);
    c.posix_spawnattr_setflags(attributes, flags);
    c.posix_spawnattr_setsigdefault(attributes, fixedBytes(OpaqueBytes.sigset).fill(0xff));
    c.posix_spawnattr_setsigmask(attributes, fixedBytes(OpaqueBytes.sigset));
    mapDescriptors(actions, options.descriptors, copies);
    return start(options, actions, attributes);
  } finally {
    for (const fd of copies) closeFd(fd);
    c.posix_spawn_file_actions_destroy(actions);
    c.posix_spawnattr_destroy(attributes);
  }
}

/**
 * Each descriptor is first copied to a number above all targets, so that the order of the dup2 calls
 * in the new process does not matter (`[[3, 4], [4, 3]]` swaps).
 */
function mapDescriptors(
  actions: Uint8Array<ArrayBuffer>,
  descriptors: SpawnOptions["descriptors"],
  copies: number[],
): void {
  const c = libc();
  const above = 1 + Math.max(2, ...descriptors.map(([, target]) => target));
  for (const [ours, target] of descriptors) {
    const copy = orThrow(duplicateFd(ours, above), `dup(${ours})`);
    copies.push(copy);
    mustBeZero(c.posix_spawn_file_actions_adddup2(actions, copy, target), "adddup2");
  }
  for (let standard = 0; standard < 3; standard++) {
    if (descriptors.some(([, target]) => target === standard)) continue;
    const path = cString("/dev/null");
    mustBeZero(c.posix_spawn_file_actions_addopen(actions, standard, path, O_RDWR, 0), "addopen");
  }
  // Ours are all close-on-exec; this is for what whoever started us has left open.
  const closeFrom = c.posix_spawn_file_actions_addclosefrom_np;
  if (closeFrom !== null) mustBeZero(closeFrom(actions, above), "addclosefrom_np");
}

function mustBeZero(errno: number, action: string): void {
  if (errno !== 0) throw new SystemCallError(`posix_spawn_file_actions_${action}`, errno);
}

function start(
  options: SpawnOptions,
  actions: Uint8Array<ArrayBuffer>,
  attributes: Uint8Array<ArrayBuffer>,
): number {
  const pid = fixedBytes(4);
  const result = libc().posix_spawnp(
    pid,
    cString(options.program),
    actions,
    attributes,
    stringArray([options.program, ...options.args]),
    stringArray(options.environment),
  );
  // posix_spawn returns the error number instead of setting errno.
  if (result !== 0) throw new SystemCallError(`posix_spawn("${options.program}")`, result);
  return new DataView(pid.buffer).getInt32(0, true);
}

/** How a process ended: its exit code, or the signal that ended it (the other is 0). */
export interface ExitStatus {
  readonly code: number;
  readonly signal: number;
}

/** The exit status of a child process, or undefined while it runs. Throws SystemCallError: ECHILD. */
export function pollExit(pid: number): ExitStatus | undefined {
  const status = fixedBytes(4);
  for (;;) {
    const result = checked(libc().waitpid(pid, status, WNOHANG));
    if (result === 0) return undefined;
    if (result === -Errno.EINTR) continue;
    orThrow(result, `waitpid(${pid})`);
    const word = new DataView(status.buffer).getInt32(0, true);
    return { code: (word >> 8) & 0xff, signal: word & 0x7f };
  }
}

/** Waits, blocking this thread, until a child process ends; undefined when the time has passed. */
export function waitExit(pid: number, timeoutMs: number): ExitStatus | undefined {
  const deadlineMs = systemClock.nowMs() + timeoutMs;
  for (let pauseMs = 1;; pauseMs = Math.min(2 * pauseMs, 20)) {
    const status = pollExit(pid);
    if (status !== undefined || systemClock.nowMs() >= deadlineMs) return status;
    sleepBlocking(pauseMs);
  }
}

/** Sends a signal; a negative pid means a process group. 0 or a negated errno (ESRCH: gone). */
export function killProcess(pid: number, signal: number): number {
  return checked(libc().kill(pid, signal));
}

/**
 * A descriptor of a process, child or not, that `poll` calls readable once the process has ended,
 * also before anybody has taken note of it. A negated errno when there is none: ESRCH, or ENOSYS
 * before Linux 5.3. The caller closes it.
 */
export function openProcess(pid: number): number {
  return checked(libc().syscall_pidfd_open(SYS_pidfd_open, BigInt(pid), 0n));
}

/** The id of this process. */
export function ownProcessId(): number {
  return libc().getpid();
}

/** How many descriptors this process may have open; the soft limit is raised to the hard one. */
export function openFilesMax(): number {
  const limit = fixedBytes(Rlimit.bytes);
  if (libc().getrlimit(RLIMIT_NOFILE, limit) < 0) return OPEN_FILES_USUAL;
  limit.copyWithin(Rlimit.soft, Rlimit.hard, Rlimit.bytes);
  libc().setrlimit(RLIMIT_NOFILE, limit);
  libc().getrlimit(RLIMIT_NOFILE, limit);
  return Number(new DataView(limit.buffer).getBigUint64(Rlimit.soft, true));
}

/**
 * Keeps this process out of core dumps and out of reach of other processes of the same user
 * (ptrace, /proc/PID/mem). It holds for all threads: the flag belongs to the memory.
 */
export function makeUndumpable(): void {
  orThrow(checked(libc().prctl(PR_SET_DUMPABLE, 0n, 0n, 0n, 0n)), "prctl(PR_SET_DUMPABLE)");
}

/** Whether a core dump of this process can be made. */
export function isDumpable(): boolean {
  return libc().prctl(PR_GET_DUMPABLE, 0n, 0n, 0n, 0n) !== 0;
}
