/**
 * Network namespaces: run something inside another one. `tunNamespace` of `tun.ts` finds the one that
 * a TUN was moved to.
 *
 * A namespace belongs to a thread. `withNamespace` changes that of the calling thread and changes it
 * back before it returns, so nothing else of this program ever sees the other namespace. A socket
 * stays for its whole life in the namespace where it was opened.
 */
import { invariant } from "../src/base/invariant.ts";
import { closeFd, O_CLOEXEC, O_RDONLY } from "./descriptor.ts";
import { orThrow, SystemCallError } from "./error.ts";
import { Statx } from "./layout.ts";
import { checked, libc } from "./libc.ts";
import { cString, fixedBytes } from "./memory.ts";
import { AF_INET, SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET } from "./socket.ts";

/** include/uapi/linux/sched.h */
const CLONE_NEWNET = 0x40000000;
/** EX_SOFTWARE of sysexits.h. */
const EXIT_SOFTWARE = 70;

/** include/uapi/asm-generic/socket.h */
const SO_NETNS_COOKIE = 71;
const AT_EMPTY_PATH = 0x1000;
const STATX_INO = 0x100;

/**
 * Opens a namespace by path, such as `/run/netns/NAME` or `/proc/PID/ns/net`. The caller closes the
 * descriptor. Throws `SystemCallError`.
 */
export function openNamespace(path: string): number {
  const fd = checked(libc().open(cString(path), O_RDONLY | O_CLOEXEC, 0));
  return orThrow(fd, `open("${path}")`);
}

/** Opens the namespace that the calling thread is in. The caller closes the descriptor. */
export function openOwnNamespace(): number {
  return openNamespace("/proc/thread-self/ns/net");
}

/**
 * The number that tells one namespace from another, given its descriptor: two descriptors mean the
 * same namespace when this is equal. Throws `SystemCallError`.
 */
export function namespaceIdentity(netnsFd: number): number {
  const target = fixedBytes(Statx.bytes);
  const result = libc().statx(netnsFd, cString(""), AT_EMPTY_PATH, STATX_INO, target);
  orThrow(checked(result), `statx(${netnsFd})`);
  return Number(new DataView(target.buffer).getBigUint64(Statx.ino, true));
}

/**
 * A text that tells the calling thread's namespace from every other one since boot: its cookie, or,
 * before Linux 5.14, its number, which a later namespace may get again. Throws `SystemCallError`.
 */
export function ownNamespaceName(): string {
  const fd = orThrow(checked(libc().socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), "socket");
  try {
    const cookie = fixedBytes(8), length = fixedBytes(4);
    new DataView(length.buffer).setUint32(0, cookie.length, true);
    const result = libc().getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, length);
    if (result === 0) return `cookie ${new DataView(cookie.buffer).getBigUint64(0, true)}`;
  } finally {
    closeFd(fd);
  }
  const own = openOwnNamespace();
  try {
    return `number ${namespaceIdentity(own)}`;
  } finally {
    closeFd(own);
  }
}

/**
 * Runs `action` with the calling thread inside the namespace of `netnsFd`, and returns what it
 * returns or throws what it throws. `action` is synchronous: a promise would go on in the wrong
 * namespace, so returning one is a bug. Calls may be nested.
 *
 * Throws `SystemCallError` when the namespace cannot be entered (EPERM without CAP_SYS_ADMIN). When
 * the thread cannot come back, the process ends at once with exit code 70: everything this thread
 * did afterwards would happen in a foreign network.
 */
export function withNamespace<T>(netnsFd: number, action: () => T): T {
  const home = openOwnNamespace();
  try {
    orThrow(checked(libc().setns(netnsFd, CLONE_NEWNET)), `setns(${netnsFd}, CLONE_NEWNET)`);
    let result: T;
    try {
      result = action();
    } finally {
      returnTo(home);
    }
    invariant(!(result instanceof Promise), "the action in a namespace must be synchronous");
    return result;
  } finally {
    closeFd(home);
  }
}

function returnTo(home: number): void {
  const result = checked(libc().setns(home, CLONE_NEWNET));
  if (result >= 0) return;
  const error = new SystemCallError("setns back to the own network namespace", -result);
  console.error(`longhaul: ${error.message}; ending at once`);
  // Not Deno.exit, which in a worker ends that worker alone.
  libc()._exit(EXIT_SOFTWARE);
}
