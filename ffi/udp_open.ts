/** Opening and setting up the UDP sockets towards peers. */
import { Errno } from "../src/base/errno.ts";
import { closeFd } from "./descriptor.ts";
import { SystemCallError } from "./error.ts";
import { checked, libc } from "./libc.ts";
import {
  AF_INET,
  AF_INET6,
  internetAddress,
  IP_PKTINFO,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  localPort,
  setIntOption,
  setSocketMark,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SO_TIMESTAMPNS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  SOL_UDP,
  UDP_GRO,
} from "./socket.ts";

const IP_RECVTOS = 13;
const IPV6_RECVPKTINFO = 49;
const IPV6_RECVTCLASS = 66;

/** With port 0 the port that IPv4 was given may be taken on IPv6: how often to begin again. */
const PORT_TRIES = 100;

/** How to open the sockets. */
export interface UdpOptions {
  /** 0: any port that is free on both. */
  readonly port: number;
  /** For each direction of each socket; the kernel may grant less without CAP_NET_ADMIN. */
  readonly bufferBytes: number;
  /** SO_MARK; 0 or left out: none. */
  readonly fwmark?: number;
  /** AF_INET, AF_INET6 or both (the default). */
  readonly families?: readonly number[];
  /** False: every datagram is received alone. */
  readonly gro?: boolean;
  /** Whether the sockets are bound to the loopback address: nobody outside reaches them. */
  readonly loopback?: boolean;
}

/** The open sockets of one port. */
export interface UdpSockets {
  readonly port: number;
  /** Descriptors, -1 for a family that was not asked for or that this machine does not have. */
  readonly v4: number;
  readonly v6: number;
  /** Whether the kernel coalesces what is received (UDP_GRO, Linux 5.0). */
  readonly gro: boolean;
}

/**
 * Opens an IPv4 socket and, where the machine has IPv6, an IPv6-only one on the same port of all
 * local addresses: non-blocking, with packet info and TOS reported.
 *
 * They are bound without SO_REUSEPORT, so that a second program with the same port fails. Throws
 * SystemCallError, for a port in use with a fix.
 */
export function openUdpSockets(options: UdpOptions): UdpSockets {
  for (let left = PORT_TRIES;; left--) {
    try {
      return openPair(options, options.port, false);
    } catch (error) {
      const isTaken = error instanceof SystemCallError && error.errno === Errno.EADDRINUSE;
      if (!isTaken || options.port !== 0 || left === 1) throw error;
    }
  }
}

/**
 * Opens a second set of sockets on the port of `first`, for another lane, and lets both share it by
 * SO_REUSEPORT. Sockets of the same user only can join, and only after `first` has allowed it here.
 */
export function openSiblingUdpSockets(first: UdpSockets, options: UdpOptions): UdpSockets {
  for (const fd of [first.v4, first.v6]) if (fd >= 0) setIntOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  const families: number[] = [];
  if (first.v4 >= 0) families.push(AF_INET);
  if (first.v6 >= 0) families.push(AF_INET6);
  return openPair({ ...options, families }, first.port, true);
}

/** Closes both sockets. */
export function closeUdpSockets(sockets: UdpSockets): void {
  for (const fd of [sockets.v4, sockets.v6]) if (fd >= 0) closeFd(fd);
}

function openPair(options: UdpOptions, wantedPort: number, sharePort: boolean): UdpSockets {
  const families = options.families ?? [AF_INET, AF_INET6];
  const open = { port: wantedPort, v4: -1, v6: -1, gro: options.gro ?? true };
  let missing: SystemCallError | undefined;
  try {
    for (const family of families) {
      const fd = checked(libc().socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      if (fd === -Errno.EAFNOSUPPORT) {
        missing = new SystemCallError(`socket(${familyName(family)})`, Errno.EAFNOSUPPORT);
        continue;
      }
      if (fd < 0) throw new SystemCallError(`socket(${familyName(family)})`, -fd);
      if (family === AF_INET) open.v4 = fd;
      else open.v6 = fd;
      bindTo(fd, addressFor(family, options.loopback ?? false), open.port, sharePort);
      open.port = localPort(fd);
      open.gro = setUp(fd, family, options) && open.gro;
    }
    if (open.v4 < 0 && open.v6 < 0 && missing !== undefined) throw missing;
    return open;
  } catch (error) {
    closeUdpSockets(open);
    throw error;
  }
}

function familyName(family: number): string {
  return family === AF_INET ? "AF_INET" : "AF_INET6";
}

/** The local address to bind to: any, or the loopback address. */
function addressFor(family: number, loopback: boolean): Uint8Array {
  if (family === AF_INET) return new Uint8Array(loopback ? [127, 0, 0, 1] : [0, 0, 0, 0]);
  const address = new Uint8Array(16);
  if (loopback) address[15] = 1;
  return address;
}

function bindTo(fd: number, address: Uint8Array, port: number, sharePort: boolean): void {
  if (address.length === 16) setIntOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (sharePort) setIntOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  const socketAddress = internetAddress(address, port);
  const bound = checked(libc().bind(fd, socketAddress, socketAddress.length));
  if (bound >= 0) return;
  const call = `bind(${address.length === 4 ? address.join(".") : "[::]"}:${port})`;
  throw new SystemCallError(call, -bound, bindFix(-bound, port));
}

function bindFix(errno: number, port: number): string | undefined {
  if (errno === Errno.EADDRINUSE) {
    return `UDP port ${port} is in use by another program: stop it, or choose another ListenPort`;
  }
  if (errno === Errno.EACCES) {
    return `Ports below 1024 need root or CAP_NET_BIND_SERVICE: choose another ListenPort`;
  }
  return undefined;
}

/** Sets the options of one socket; false when the kernel has no UDP_GRO or it was not wanted. */
function setUp(fd: number, family: number, options: UdpOptions): boolean {
  // The FORCE variants pass the limit of net.core.[rw]mem_max and need CAP_NET_ADMIN. Each error
  // is ignored: smaller buffers cost speed, nothing else.
  for (const option of [SO_RCVBUF, SO_SNDBUF, SO_RCVBUFFORCE, SO_SNDBUFFORCE]) {
    setIntOption(fd, SOL_SOCKET, option, options.bufferBytes);
  }
  setIntOption(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
  if (family === AF_INET) {
    setIntOption(fd, IPPROTO_IP, IP_PKTINFO, 1);
    setIntOption(fd, IPPROTO_IP, IP_RECVTOS, 1);
  } else {
    setIntOption(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    setIntOption(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
  }
  const mark = options.fwmark ?? 0;
  if (mark !== 0) {
    const marked = setSocketMark(fd, mark);
    const fix =
      "A firewall mark (FwMark) needs root or CAP_NET_ADMIN: leave it out, or run as root";
    if (marked < 0) throw new SystemCallError("setsockopt(SO_MARK)", -marked, fix);
  }
  return (options.gro ?? true) && setIntOption(fd, SOL_UDP, UDP_GRO, 1) >= 0;
}
