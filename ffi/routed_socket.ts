/**
 * Sockets that carry on what somebody else has sent: connected UDP sockets and ping sockets that send
 * with a given hop limit, do not fragment what may not be, and tell of every ICMP error (ip(7),
 * IP_RECVERR; `net.ipv4.ping_group_range` says who may open ping sockets).
 */
import { Errno } from "../src/base/errno.ts";
import { Cmsghdr, cmsgSpace, Msghdr, SockaddrIn, SockaddrIn6, SockExtendedErr } from "./layout.ts";
import { checked, libc } from "./libc.ts";
import { createFfiMemory, type FfiMemory } from "./memory.ts";
import {
  AF_INET,
  AF_INET6,
  getIntOption,
  internetAddress,
  IPPROTO_IP,
  IPPROTO_IPV6,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  setIntOption,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from "./socket.ts";

const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const IP_TTL = 2;
const IP_MTU_DISCOVER = 10;
const IP_RECVERR = 11;
const IP_MTU = 14;
const IPV6_UNICAST_HOPS = 16;
const IPV6_MTU_DISCOVER = 23;
const IPV6_MTU = 24;
const IPV6_RECVERR = 25;
const IP_PMTUDISC_WANT = 1;
const IP_PMTUDISC_DO = 2;

const SO_EE_ORIGIN_ICMP = 2;
const SO_EE_ORIGIN_ICMP6 = 3;

const ANY_V4 = new Uint8Array(4);
const ANY_V6 = new Uint8Array(16);

/** Bytes of what was sent that an error brings back: the ICMP header of an echo request. */
const QUOTE_BYTES = 8;
// The reader's memory: a message header, an iovec, what was sent, control messages.
const HEADER = 0;
const IOVEC = 64;
const QUOTE = 80;
const CONTROL = 96;
const CONTROL_BYTES = cmsgSpace(SockExtendedErr.bytes + SockaddrIn6.bytes);

/** One error, as `readSocketError` fills it in. */
export interface SocketErrorFields {
  errno: number;
  isIcmp: boolean;
  type: number;
  code: number;
  mtu: number;
  from: Uint8Array | null;
  sequence: number;
}

function open(family: number, protocol: number): number {
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = checked(libc().socket(family, type, protocol));
  if (fd < 0) return fd;
  const isV4 = family === AF_INET;
  setIntOption(fd, isV4 ? IPPROTO_IP : IPPROTO_IPV6, isV4 ? IP_RECVERR : IPV6_RECVERR, 1);
  setFragmenting(fd, isV4 ? 4 : 6, false);
  return fd;
}

/**
 * A UDP socket for `address`'s family, bound to `fromPort` beside others that are connected elsewhere,
 * or to a free port that others may join later (0). A descriptor or a negated errno.
 */
export function openRoutedUdp(address: Uint8Array, fromPort: number): number {
  const isV4 = address.length === 4;
  const fd = open(isV4 ? AF_INET : AF_INET6, 0);
  if (fd < 0) return fd;
  // A port that was chosen with the option set might be one that another client's sockets have.
  if (fromPort !== 0) setIntOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  const name = internetAddress(isV4 ? ANY_V4 : ANY_V6, fromPort);
  const result = checked(libc().bind(fd, name, name.length));
  if (result < 0) {
    libc().close(fd);
    return result;
  }
  if (fromPort === 0) setIntOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  return fd;
}

/** A socket for echo requests; -EACCES where this process may have none. */
export function openEcho(address: Uint8Array): number {
  return address.length === 4 ? open(AF_INET, IPPROTO_ICMP) : open(AF_INET6, IPPROTO_ICMPV6);
}

/** Whether this process may open sockets for echo requests. */
export function mayPing(): boolean {
  const fd = openEcho(ANY_V4);
  if (fd >= 0) libc().close(fd);
  return fd >= 0;
}

/** Sets the TTL or hop limit of what a socket sends. */
export function setHopLimit(fd: number, ipVersion: number, hopLimit: number): void {
  if (ipVersion === 4) setIntOption(fd, IPPROTO_IP, IP_TTL, hopLimit);
  else setIntOption(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, hopLimit);
}

/** Whether what is longer than the path's MTU is sent in fragments, or refused with EMSGSIZE. */
export function setFragmenting(fd: number, ipVersion: number, isAllowed: boolean): void {
  const value = isAllowed ? IP_PMTUDISC_WANT : IP_PMTUDISC_DO;
  if (ipVersion === 4) setIntOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, value);
  else setIntOption(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, value);
}

/** The MTU of a connected socket's path, as far as the kernel knows it; or a negated errno. */
export function pathMtu(fd: number, ipVersion: number): number {
  return ipVersion === 4
    ? getIntOption(fd, IPPROTO_IP, IP_MTU)
    : getIntOption(fd, IPPROTO_IPV6, IPV6_MTU);
}

/** Reads the queues of errors. */
export class SocketErrorReader {
  readonly #recvmsg = libc().recvmsg_at;
  readonly #memory: FfiMemory = createFfiMemory(CONTROL + CONTROL_BYTES);
  readonly #header: bigint = this.#memory.addressOf(HEADER);

  constructor() {
    const memory = this.#memory;
    memory.writeIovec(IOVEC, QUOTE, QUOTE_BYTES);
    memory.writeAddress(HEADER + Msghdr.iov, IOVEC);
    memory.view.setUint32(HEADER + Msghdr.iovlen, 1, true);
    memory.writeAddress(HEADER + Msghdr.control, CONTROL);
  }

  /** Takes the oldest error of a socket into `error`; false when there is none. */
  read(fd: number, error: SocketErrorFields): boolean {
    const { view } = this.#memory;
    view.setUint32(HEADER + Msghdr.controllen, CONTROL_BYTES, true);
    let bytes: number;
    do bytes = checked(
      this.#recvmsg(fd, this.#header, MSG_ERRQUEUE | MSG_DONTWAIT),
    ); while (bytes === -Errno.EINTR);
    if (bytes < 0) return false;
    error.sequence = bytes >= QUOTE_BYTES ? view.getUint16(QUOTE + 6) : 0;
    const hasError = view.getUint32(HEADER + Msghdr.controllen, true) >=
      Cmsghdr.data + SockExtendedErr.bytes;
    if (!hasError) return false;
    const at = CONTROL + Cmsghdr.data;
    const origin = view.getUint8(at + SockExtendedErr.origin);
    error.errno = view.getUint32(at + SockExtendedErr.errno, true);
    error.isIcmp = origin === SO_EE_ORIGIN_ICMP || origin === SO_EE_ORIGIN_ICMP6;
    error.type = view.getUint8(at + SockExtendedErr.type);
    error.code = view.getUint8(at + SockExtendedErr.code);
    error.mtu = view.getUint32(at + SockExtendedErr.info, true);
    error.from = this.#offender(at + SockExtendedErr.bytes);
    return true;
  }

  #offender(at: number): Uint8Array | null {
    const { u8, view } = this.#memory;
    const family = view.getUint16(at, true);
    if (family === AF_INET) return u8.slice(at + SockaddrIn.addr, at + SockaddrIn.addr + 4);
    if (family !== AF_INET6) return null;
    return u8.slice(at + SockaddrIn6.addr, at + SockaddrIn6.addr + 16);
  }
}
