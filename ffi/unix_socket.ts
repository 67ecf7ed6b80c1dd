/**
 * Stream sockets with a path in the file system: the server side of the UAPI and control sockets,
 * and their clients. Descriptors are non-blocking and not inherited.
 */
import { Errno } from "../src/base/errno.ts";
import { systemClock } from "./clock.ts";
import { closeFd, pollFd, POLLIN, POLLOUT, readFd } from "./descriptor.ts";
import { orThrow, SystemCallError } from "./error.ts";
import { fileStatus, removeFile } from "./files.ts";
import { SockaddrUn, Ucred } from "./layout.ts";
import { checked, libc } from "./libc.ts";
import { fixedBytes } from "./memory.ts";
import {
  AF_UNIX,
  MSG_NOSIGNAL,
  SO_PEERCRED,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "./socket.ts";

const ENAMETOOLONG = 36;
const BACKLOG = 64;
/** What a umask of 077 leaves of a socket's mode. */
const OWNER_ONLY = 0o700;

/** `struct sockaddr_un` of a path. Throws SystemCallError with ENAMETOOLONG beyond 107 bytes. */
function unixAddress(path: string): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(path);
  if (bytes.length === 0 || bytes.length >= SockaddrUn.pathBytes) {
    const fix = `The path of a socket has 1 to ${SockaddrUn.pathBytes - 1} bytes: choose another`;
    throw new SystemCallError(`bind("${path}")`, ENAMETOOLONG, fix);
  }
  const address = fixedBytes(SockaddrUn.bytes);
  new DataView(address.buffer).setUint16(SockaddrUn.family, AF_UNIX, true);
  address.set(bytes, SockaddrUn.path);
  return address;
}

function openSocket(): number {
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  return orThrow(checked(libc().socket(AF_UNIX, type, 0)), "socket(AF_UNIX)");
}

/**
 * Listens at `path`, for this user only. A socket file that no one listens at is replaced; throws
 * SystemCallError with EADDRINUSE and a fix when some program answers there, or when the file is
 * not a socket.
 */
export function listenUnix(path: string): number {
  const address = unixAddress(path);
  const fd = openSocket();
  try {
    // bind() makes the file with the mode of the socket, less the umask. Unlike a change of the
    // umask, which all threads share, this leaves no moment in which others see a wrong mode.
    orThrow(checked(libc().fchmod(fd, OWNER_ONLY)), `fchmod("${path}")`);
    let bound = checked(libc().bind(fd, address, address.length));
    if (bound === -Errno.EADDRINUSE) {
      removeStale(path);
      bound = checked(libc().bind(fd, address, address.length));
    }
    orThrow(bound, `bind("${path}")`);
    orThrow(checked(libc().listen(fd, BACKLOG)), `listen("${path}")`);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

function removeStale(path: string): void {
  const call = `bind("${path}")`;
  const status = fileStatus(path);
  if (status !== undefined && status.kind !== "socket") {
    const fix = "The file there is not a socket: remove it, or choose another path";
    throw new SystemCallError(call, Errno.EADDRINUSE, fix);
  }
  if (isUnixLive(path)) {
    const fix = "Another program is listening there: stop it, or choose another interface name";
    throw new SystemCallError(call, Errno.EADDRINUSE, fix);
  }
  removeFile(path);
}

/** Whether some program listens at a path. Only a clear refusal counts as "no". */
export function isUnixLive(path: string): boolean {
  const fd = openSocket();
  const address = unixAddress(path);
  const result = checked(libc().connect(fd, address, address.length));
  closeFd(fd);
  return result !== -Errno.ECONNREFUSED && result !== -Errno.ENOENT;
}

/** Takes the next connection: its descriptor, or a negated errno, EAGAIN when there is none. */
export function acceptUnix(listener: number): number {
  for (;;) {
    const fd = checked(libc().accept4(listener, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd !== -Errno.EINTR) return fd;
  }
}

/** Connects to a path. Throws SystemCallError: ENOENT or ECONNREFUSED when no one is there. */
export function connectUnix(path: string): number {
  const address = unixAddress(path);
  const fd = openSocket();
  const result = checked(libc().connect(fd, address, address.length));
  if (result >= 0) return fd;
  closeFd(fd);
  throw new SystemCallError(`connect("${path}")`, -result);
}

/**
 * The id of the process that listens at a path; undefined when nobody does or when it cannot be told
 * (a process of another pid namespace).
 */
export function unixListenerProcess(path: string): number | undefined {
  const fd = openSocket();
  try {
    const address = unixAddress(path);
    if (checked(libc().connect(fd, address, address.length)) < 0) return undefined;
    const credentials = fixedBytes(Ucred.bytes);
    const length = fixedBytes(4);
    new DataView(length.buffer).setUint32(0, Ucred.bytes, true);
    const result = checked(libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length));
    const pid = new DataView(credentials.buffer).getInt32(Ucred.pid, true);
    return result < 0 || pid === 0 ? undefined : pid;
  } finally {
    closeFd(fd);
  }
}

/** Reads once: bytes, 0 at the end, or a negated errno, EAGAIN when nothing is there yet. */
export function readSocket(fd: number, target: Uint8Array<ArrayBuffer>): number {
  return readFd(fd, target);
}

/** Writes once, maybe a part: bytes or a negated errno; EPIPE when the other side has gone. */
export function writeSocket(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  for (;;) {
    const n = checked(libc().send(fd, bytes, bytes.length, MSG_NOSIGNAL));
    if (n !== -Errno.EINTR) return n;
  }
}

/** How one exchange of a client is bounded. */
export interface ExchangeLimits {
  readonly timeoutMs: number;
  readonly answerBytesMax: number;
  /** Whether the answer so far is whole; without it the answer ends with the connection. */
  readonly isComplete?: (answer: Uint8Array) => boolean;
}

/**
 * Connects, sends a request and returns the answer; blocks, for the commands of the CLI. Throws
 * SystemCallError, ETIMEDOUT included.
 */
export function exchangeUnix(
  path: string,
  request: Uint8Array<ArrayBuffer>,
  limits: ExchangeLimits,
): Uint8Array<ArrayBuffer> {
  const deadlineMs = systemClock.nowMs() + limits.timeoutMs;
  const fd = connectUnix(path);
  try {
    for (let at = 0; at < request.length;) {
      waitFor(fd, POLLOUT, deadlineMs, path);
      const n = writeSocket(fd, request.subarray(at));
      if (n !== -Errno.EAGAIN) at += orThrow(n, `write("${path}")`);
    }
    const answer = fixedBytes(limits.answerBytesMax);
    let length = 0;
    try {
      while (length < answer.length) {
        waitFor(fd, POLLIN, deadlineMs, path);
        const n = readSocket(fd, answer.subarray(length));
        if (n === -Errno.EAGAIN) continue;
        length += orThrow(n, `read("${path}")`);
        if (n === 0 || limits.isComplete?.(answer.subarray(0, length))) break;
      }
      return answer.slice(0, length);
    } finally {
      // It may hold private keys.
      answer.fill(0, 0, length);
    }
  } finally {
    closeFd(fd);
  }
}

function waitFor(fd: number, events: number, deadlineMs: number, path: string): void {
  const leftMs = deadlineMs - systemClock.nowMs();
  if (leftMs <= 0 || pollFd(fd, events, leftMs) === 0) {
    throw new SystemCallError(
      `poll("${path}")`,
      Errno.ETIMEDOUT,
      "The program there does not answer",
    );
  }
}
