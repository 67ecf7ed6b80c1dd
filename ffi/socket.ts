/** Calls that work on any socket: options, addresses, names of constants. */
import { Errno } from "../src/base/errno.ts";
import { checked, libc } from "./libc.ts";
import { fixedBytes } from "./memory.ts";

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export const IPPROTO_IP = 0;
export const IPPROTO_TCP = 6;
export const IPPROTO_IPV6 = 41;
export const TCP_NODELAY = 1;
export const IPV6_V6ONLY = 26;
export const IP_PKTINFO = 8;
export const SHUT_WR = 1;

export const SOL_UDP = 17;
export const UDP_SEGMENT = 103;
export const UDP_GRO = 104;

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_REUSEPORT = 15;
export const SO_PEERCRED = 17;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_TIMESTAMPNS = 35;
export const SO_MARK = 36;
export const SO_ATTACH_REUSEPORT_CBPF = 51;
export const SO_MEMINFO = 55;

export const MSG_DONTWAIT = 0x40;
export const MSG_ERRQUEUE = 0x2000;
export const MSG_NOSIGNAL = 0x4000;

const word = fixedBytes(4);
const wordView = new DataView(word.buffer);
const wordLength = fixedBytes(4);
const wordLengthView = new DataView(wordLength.buffer);

/** Sets an option of type int; 0 or a negated errno. */
export function setIntOption(fd: number, level: number, option: number, value: number): number {
  wordView.setInt32(0, value, true);
  return checked(libc().setsockopt(fd, level, option, word, 4));
}

/** Reads an option of type int that is never negative; its value or a negated errno. */
export function getIntOption(fd: number, level: number, option: number): number {
  wordLengthView.setUint32(0, 4, true);
  const result = checked(libc().getsockopt(fd, level, option, word, wordLength));
  return result < 0 ? result : wordView.getInt32(0, true);
}

// include/uapi/linux/sock_diag.h: nine words, the last one counts drops.
const MEMINFO_BYTES = 36;
const MEMINFO_DROPS_AT = 32;
const memoryInfo = fixedBytes(MEMINFO_BYTES);
const memoryInfoView = new DataView(memoryInfo.buffer);

/**
 * How many datagrams the kernel has thrown away because a socket's receive buffer was full, a run that
 * was coalesced counting once; 0 where the kernel does not tell. The count wraps at 2^32.
 */
export function socketDrops(fd: number): number {
  wordLengthView.setUint32(0, MEMINFO_BYTES, true);
  const result = checked(libc().getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memoryInfo, wordLength));
  const isTold = result >= 0 && wordLengthView.getUint32(0, true) === MEMINFO_BYTES;
  return isTold ? memoryInfoView.getUint32(MEMINFO_DROPS_AT, true) : 0;
}

/** Marks all that a socket sends (SO_MARK, for policy routing); needs CAP_NET_ADMIN. 0 unmarks. */
export function setSocketMark(fd: number, mark: number): number {
  return setIntOption(fd, SOL_SOCKET, SO_MARK, mark);
}

/** An IPv4 or IPv6 socket address as the kernel takes it; `address` has 4 or 16 bytes. */
export function internetAddress(
  address: Uint8Array,
  port: number,
  scopeId = 0,
): Uint8Array<ArrayBuffer> {
  const isV4 = address.length === 4;
  const bytes = fixedBytes(isV4 ? 16 : 28);
  bytes[0] = isV4 ? AF_INET : AF_INET6;
  bytes[2] = port >> 8;
  bytes[3] = port;
  bytes.set(address, isV4 ? 4 : 8);
  if (!isV4) new DataView(bytes.buffer).setUint32(24, scopeId, true);
  return bytes;
}

/** The port that an IPv4 or IPv6 socket is bound to, or a negated errno. */
export function localPort(fd: number): number {
  const bytes = fixedBytes(28);
  wordLengthView.setUint32(0, bytes.length, true);
  const result = checked(libc().getsockname(fd, bytes, wordLength));
  return result < 0 ? result : bytes[2] << 8 | bytes[3];
}

/** The IPv4 or IPv6 address that a socket is bound to, 4 or 16 bytes; null when it has none. */
export function localAddress(fd: number): Uint8Array | null {
  const bytes = fixedBytes(28);
  wordLengthView.setUint32(0, bytes.length, true);
  if (checked(libc().getsockname(fd, bytes, wordLength)) < 0) return null;
  const family = bytes[0] | bytes[1] << 8;
  if (family === AF_INET) return bytes.slice(4, 8);
  return family === AF_INET6 ? bytes.slice(8, 24) : null;
}

/** Index of an interface, or `-ENODEV`. */
export function interfaceIndex(name: Uint8Array<ArrayBuffer>): number {
  const index = libc().if_nametoindex(name);
  return index === 0 ? -Errno.ENODEV : index;
}
