/** Calls that work on any file descriptor. */
import { Errno } from "../src/base/errno.ts";
import { systemClock } from "./clock.ts";
import { orThrow } from "./error.ts";
import { Pollfd } from "./layout.ts";
import { checked, libc } from "./libc.ts";
import { fixedBytes } from "./memory.ts";

/** Open flags (include/uapi/asm-generic/fcntl.h; O_DIRECTORY differs on arm64 and is not used). */
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

const F_GETFD = 1;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const FD_CLOEXEC = 1;

/** Closes a descriptor. Linux has let go of it even when close reports EINTR: never try again. */
export function closeFd(fd: number): number {
  return checked(libc().close(fd));
}

/**
 * Reads up to `target.length` bytes once; 0 at the end, `-EAGAIN` when nothing is there. EINTR is
 * resumed.
 */
export function readFd(fd: number, target: Uint8Array<ArrayBuffer>): number {
  for (;;) {
    const n = checked(libc().read(fd, target, target.length));
    if (n !== -Errno.EINTR) return n;
  }
}

/** Writes once; may be short. EINTR is resumed. */
export function writeFd(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  for (;;) {
    const n = checked(libc().write(fd, bytes, bytes.length));
    if (n !== -Errno.EINTR) return n;
  }
}

/** Writes all of `bytes` to a blocking descriptor; the result is their number or an error. */
export function writeAllFd(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  let at = 0;
  while (at < bytes.length) {
    const n = writeFd(fd, at === 0 ? bytes : bytes.subarray(at));
    if (n < 0) return n;
    at += n;
  }
  return at;
}

/** Switches O_NONBLOCK. */
export function setNonBlocking(fd: number, nonBlocking: boolean): number {
  const flags = checked(libc().fcntl(fd, F_GETFL, 0));
  if (flags < 0) return flags;
  const wanted = nonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return wanted === flags ? 0 : checked(libc().fcntl(fd, F_SETFL, wanted));
}

/** Chooses whether a program started from this one keeps the descriptor. */
export function setInherited(fd: number, inherited: boolean): number {
  const flags = checked(libc().fcntl(fd, F_GETFD, 0));
  if (flags < 0) return flags;
  const wanted = inherited ? flags & ~FD_CLOEXEC : flags | FD_CLOEXEC;
  return checked(libc().fcntl(fd, F_SETFD, wanted));
}

/** Whether a descriptor of that number is open. */
export function isOpen(fd: number): boolean {
  return libc().fcntl(fd, F_GETFD, 0) >= 0;
}

/** A second descriptor, not inherited, numbered `lowest` or higher. */
export function duplicateFd(fd: number, lowest = 3): number {
  return checked(libc().fcntl(fd, F_DUPFD_CLOEXEC, lowest));
}

/** Whether the descriptor is a terminal. */
export function isTerminal(fd: number): boolean {
  return libc().isatty(fd) === 1;
}

/** The two ends of a pipe, not inherited by programs started from this one. */
export function openPipe(): { readEnd: number; writeEnd: number } {
  const pair = fixedBytes(8);
  orThrow(checked(libc().pipe2(pair, O_CLOEXEC)), "pipe2");
  const view = new DataView(pair.buffer);
  return { readEnd: view.getInt32(0, true), writeEnd: view.getInt32(4, true) };
}

export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLNVAL = 32;

/**
 * Waits, blocking this thread, until one of `events` (POLLIN, POLLOUT) holds for `fd`; returns the
 * events that hold, 0 when `timeoutMs` has passed. A signal does not end the wait. For one-shot
 * commands and short probes; never to wait in a worker's loop.
 */
export function pollFd(fd: number, events: number, timeoutMs: number): number {
  const entry = fixedBytes(Pollfd.bytes);
  const view = new DataView(entry.buffer);
  view.setInt32(Pollfd.fd, fd, true);
  view.setInt16(Pollfd.events, events, true);
  const deadlineMs = systemClock.nowMs() + timeoutMs;
  let leftMs = Math.ceil(timeoutMs);
  for (;;) {
    const n = checked(libc().poll(entry, 1, leftMs));
    if (n > 0) return view.getInt16(Pollfd.revents, true);
    if (n !== -Errno.EINTR) return n;
    leftMs = Math.max(0, Math.ceil(deadlineMs - systemClock.nowMs()));
  }
}

/** Blocks this thread for that time, or until a signal comes; for one-shot commands. */
export function sleepBlocking(durationMs: number): void {
  libc().poll(null, 0, Math.ceil(durationMs));
}
