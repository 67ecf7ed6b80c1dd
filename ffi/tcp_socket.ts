/** TCP sockets for commands: a listener, and connections whose bytes pass through a buffer. */
import { Errno } from "../src/base/errno.ts";
import { closeFd, pollFd, POLLOUT } from "./descriptor.ts";
import { orThrow } from "./error.ts";
import { checked, libc } from "./libc.ts";
import {
  AF_INET,
  AF_INET6,
  getIntOption,
  internetAddress,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  setIntOption,
  SHUT_WR,
  SO_ERROR,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_NODELAY,
} from "./socket.ts";

const BACKLOG = 16;
const TYPE = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

const ANY_V4 = new Uint8Array(4);
const ANY_V6 = new Uint8Array(16);

/**
 * Listens on a port of all addresses, IPv6 and IPv4, or IPv4 alone where the machine has no IPv6.
 * Throws SystemCallError, for a port in use with a fix.
 */
export function listenTcp(port: number): number {
  const fd = checked(libc().socket(AF_INET6, TYPE, 0));
  if (fd < 0) {
    return listenOn(orThrow(checked(libc().socket(AF_INET, TYPE, 0)), "socket"), ANY_V4, port);
  }
  setIntOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  return listenOn(fd, ANY_V6, port);
}

function listenOn(fd: number, address: Uint8Array, port: number): number {
  setIntOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  const name = internetAddress(address, port);
  let result = checked(libc().bind(fd, name, name.length));
  if (result >= 0) result = checked(libc().listen(fd, BACKLOG));
  if (result >= 0) return fd;
  closeFd(fd);
  const fix = "Another program listens there: choose another port";
  return orThrow(result, `bind(TCP port ${port})`, result === -Errno.EADDRINUSE ? fix : undefined);
}

/** Takes the next connection: its descriptor, or a negated errno, EAGAIN when there is none. */
export function acceptTcp(listener: number): number {
  for (;;) {
    const fd = checked(libc().accept4(listener, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd === -Errno.EINTR) continue;
    if (fd >= 0) setIntOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return fd;
  }
}

/** Connects, waiting for `timeoutMs` at most: a descriptor or a negated errno, such as ETIMEDOUT. */
export function connectTcp(address: Uint8Array, port: number, timeoutMs: number): number {
  const family = address.length === 4 ? AF_INET : AF_INET6;
  const fd = checked(libc().socket(family, TYPE, 0));
  if (fd < 0) return fd;
  setIntOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  const name = internetAddress(address, port);
  let result = checked(libc().connect(fd, name, name.length));
  if (result === -Errno.EINPROGRESS) {
    const ready = pollFd(fd, POLLOUT, timeoutMs);
    if (ready > 0) result = -getIntOption(fd, SOL_SOCKET, SO_ERROR);
    else result = ready === 0 ? -Errno.ETIMEDOUT : ready;
  }
  if (result >= 0) return fd;
  closeFd(fd);
  return result;
}

/** Reads what is there, 0 at the end, or a negated errno, EAGAIN when nothing is there yet. */
export function receiveTcp(fd: number, target: Uint8Array<ArrayBuffer>): number {
  for (;;) {
    const n = checked(libc().recv(fd, target, target.length, MSG_DONTWAIT));
    if (n !== -Errno.EINTR) return n;
  }
}

/** Writes what there is room for: bytes or a negated errno, EAGAIN when there is none. */
export function sendTcp(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  for (;;) {
    const n = checked(libc().send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL));
    if (n !== -Errno.EINTR) return n;
  }
}

/** Ends the direction away from us (FIN). */
export function shutdownTcp(fd: number): void {
  libc().shutdown(fd, SHUT_WR);
}
