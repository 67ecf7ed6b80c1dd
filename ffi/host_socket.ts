/**
 * Sockets of this host that a lane speaks through for its peers: TCP clients and connected UDP
 * sockets, non-blocking, with an epoll instance of their own. Bytes go straight between a socket and
 * places in the slab.
 *
 * Readiness is edge-triggered: a socket is registered once, and whoever uses it remembers what it
 * was told until a call answers EAGAIN (or moves less than was asked for). Nothing is allocated
 * while bytes move; opening a socket may allocate.
 */
import { Errno } from "../src/base/errno.ts";
import { closeFd } from "./descriptor.ts";
import { Epoll, EPOLLET, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "./epoll.ts";
import { Cmsghdr, cmsgSpace, Msghdr } from "./layout.ts";
import { checked, libc } from "./libc.ts";
import { type FfiMemory, fixedBytes } from "./memory.ts";
import {
  openEcho,
  openRoutedUdp,
  pathMtu,
  setFragmenting,
  setHopLimit,
  type SocketErrorFields,
  SocketErrorReader,
} from "./routed_socket.ts";
import {
  AF_INET,
  AF_INET6,
  getIntOption,
  internetAddress,
  IPPROTO_TCP,
  localAddress,
  localPort,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  setIntOption,
  SHUT_WR,
  SO_ERROR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SOL_UDP,
  TCP_NODELAY,
  UDP_GRO,
  UDP_SEGMENT,
} from "./socket.ts";

const SO_LINGER = 13;
/** Room for the length of segments, an int, as UDP_GRO tells it. */
const READ_CONTROL_BYTES = 24;
/** A segment's length: u16. */
const SEGMENT_DATA_BYTES = 2;
/** Connecting a UDP socket sends nothing, whatever the port. */
const PROBE_PORT = 9;

/** Pieces of one write: what a GRO item can have. */
const IOVECS_MAX = 256;
const IOVEC_BYTES = 16;
// The scratch region: a message header, a control message and the iovecs of a write, an iovec of a
// read.
const WRITE_HEADER = 0;
const READ_IOVEC = 64;
const WRITE_CONTROL = 80;
const READ_HEADER = 104;
const READ_CONTROL = 160;
const WRITE_IOVECS = 256;
/** Bytes of slab that one `HostSocketSet` needs, at a multiple of 8. */
export const HOST_SOCKET_SCRATCH_BYTES = WRITE_IOVECS + IOVECS_MAX * IOVEC_BYTES;

/** Events of one `poll`; the others come with the next. */
const EVENTS_MAX = 256;

/** `struct linger { int l_onoff; int l_linger; }`: closing sends RST. */
const LINGER_RESET = fixedBytes(8);
LINGER_RESET[0] = 1;

/** Bytes that stand in several places, as `Pieces` of src/netstack/inbound.ts. */
interface Gather {
  readonly count: number;
  readonly at: Int32Array;
  readonly bytes: Int32Array;
}

/** One lane's sockets; `HostSockets` of src/forward/host_sockets.ts. */
export class HostSocketSet {
  readonly #recvmsg = libc().recvmsg_at;
  readonly #sendmsg = libc().sendmsg_at;
  readonly #readv = libc().readv_at;
  readonly #memory: FfiMemory;
  readonly #epoll = new Epoll(EVENTS_MAX);
  readonly #errors = new SocketErrorReader();
  readonly #scratchAt: number;
  readonly #header: bigint;
  readonly #readIovec: bigint;
  readonly #readHeader: bigint;
  /** After `readRun`: the length of each datagram but the last. */
  segmentBytes = 0;

  /** `scratchAt`: a region of HOST_SOCKET_SCRATCH_BYTES that no one else uses. */
  constructor(memory: FfiMemory, scratchAt: number) {
    this.#memory = memory;
    this.#scratchAt = scratchAt;
    this.#header = memory.addressOf(scratchAt + WRITE_HEADER);
    this.#readIovec = memory.addressOf(scratchAt + READ_IOVEC);
    this.#readHeader = memory.addressOf(scratchAt + READ_HEADER);
    memory.u8.fill(0, scratchAt, scratchAt + HOST_SOCKET_SCRATCH_BYTES);
    memory.writeAddress(scratchAt + WRITE_HEADER + Msghdr.iov, scratchAt + WRITE_IOVECS);
    memory.writeAddress(scratchAt + WRITE_HEADER + Msghdr.control, scratchAt + WRITE_CONTROL);
    memory.writeAddress(scratchAt + READ_HEADER + Msghdr.iov, scratchAt + READ_IOVEC);
    memory.i32[(scratchAt + READ_HEADER + Msghdr.iovlen) >> 2] = 1;
    memory.writeAddress(scratchAt + READ_HEADER + Msghdr.control, scratchAt + READ_CONTROL);
    const controlAt = scratchAt + WRITE_CONTROL;
    memory.view.setUint32(controlAt + Cmsghdr.length, Cmsghdr.data + SEGMENT_DATA_BYTES, true);
    memory.view.setInt32(controlAt + Cmsghdr.level, SOL_UDP, true);
    memory.view.setInt32(controlAt + Cmsghdr.type, UDP_SEGMENT, true);
  }

  /** Readable while any socket has events for `poll`: a lane watches this one descriptor. */
  get pollFd(): number {
    return this.#epoll.fd;
  }

  /** Takes events that wait, without waiting for more: their number. */
  poll(): number {
    return this.#epoll.wait(0);
  }

  /** After `poll`: the token that socket `i` was opened with. */
  tokenAt(i: number): number {
    return this.#epoll.tokenAt(i);
  }

  /** After `poll`: the event bits of socket `i`. */
  eventsAt(i: number): number {
    return this.#epoll.eventsAt(i);
  }

  /**
   * Begins to connect to `address` (4 or 16 bytes) and `port`. The descriptor, or a negated errno
   * when the end of it is known at once. An event follows when the connection is made or refused;
   * `connectResult` then says which.
   */
  connectTcp(address: Uint8Array, port: number, token: number): number {
    const fd = this.#open(SOCK_STREAM, address);
    if (fd < 0) return fd;
    setIntOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return this.#connect(fd, address, port, token);
  }

  /** After the first event of a TCP socket: 0 when it is connected, else the negated errno. */
  connectResult(fd: number): number {
    const error = getIntOption(fd, SOL_SOCKET, SO_ERROR);
    return error > 0 ? -error : error;
  }

  /**
   * Whether this host itself answers at the address: the kernel then sends from that very address.
   * Asked anew each time, since a host's addresses come and go.
   */
  isOwnAddress(address: Uint8Array): boolean {
    const fd = this.#open(SOCK_DGRAM, address);
    if (fd < 0) return false;
    const name = internetAddress(address, PROBE_PORT);
    const isConnected = checked(libc().connect(fd, name, name.length)) >= 0;
    const source = isConnected ? localAddress(fd) : null;
    closeFd(fd);
    return source !== null && source.length === address.length &&
      source.every((byte, i) => byte === address[i]);
  }

  /**
   * A UDP socket that speaks with that address alone, to be read by `readRun`: the descriptor or a
   * negated errno.
   */
  connectUdp(address: Uint8Array, port: number, token: number): number {
    const fd = this.#open(SOCK_DGRAM, address);
    if (fd >= 0) setIntOption(fd, SOL_UDP, UDP_GRO, 1);
    return fd < 0 ? fd : this.#connect(fd, address, port, token);
  }

  /**
   * A UDP socket that carries on what a peer has sent, from `fromPort` or (0) from any port; see
   * `ffi/routed_socket.ts`.
   */
  connectRouted(address: Uint8Array, port: number, token: number, fromPort: number): number {
    const fd = openRoutedUdp(address, fromPort);
    if (fd >= 0) setIntOption(fd, SOL_UDP, UDP_GRO, 1);
    return fd < 0 ? fd : this.#connect(fd, address, port, token);
  }

  /** A socket for echo requests to that address; -EACCES where this process may have none. */
  connectEcho(address: Uint8Array, token: number): number {
    const fd = openEcho(address);
    return fd < 0 ? fd : this.#connect(fd, address, 0, token);
  }

  /** The port that a socket is bound to, or a negated errno. */
  localPort(fd: number): number {
    return localPort(fd);
  }

  /** Sets the TTL or hop limit of what a socket sends. */
  setHopLimit(fd: number, ipVersion: number, hopLimit: number): void {
    setHopLimit(fd, ipVersion, hopLimit);
  }

  /** Sends a datagram that may be fragmented on a path too narrow for it, as `write`. */
  writeFragmenting(fd: number, ipVersion: number, at: number, bytes: number): number {
    setFragmenting(fd, ipVersion, true);
    const result = this.write(fd, at, bytes);
    setFragmenting(fd, ipVersion, false);
    return result;
  }

  /** The MTU of a socket's path, or a negated errno. */
  pathMtu(fd: number, ipVersion: number): number {
    return pathMtu(fd, ipVersion);
  }

  /** Takes the oldest ICMP error about what a routed socket has sent; false when there is none. */
  readError(fd: number, error: SocketErrorFields): boolean {
    return this.#errors.read(fd, error);
  }

  /**
   * Reads up to `capacity` bytes, or one datagram, to `at`: the number of bytes (0: the end of a
   * stream, or an empty datagram) or a negated errno.
   */
  read(fd: number, at: number, capacity: number): number {
    this.#memory.writeIovec(this.#scratchAt + READ_IOVEC, at, capacity);
    for (;;) {
      const n = checked(this.#readv(fd, this.#readIovec, 1));
      if (n !== -Errno.EINTR) return n;
    }
  }

  /**
   * Reads a run of datagrams that the kernel has merged, or one, to `at` (65,535 bytes): all of its
   * bytes, `segmentBytes` of them each, or a negated errno.
   */
  readRun(fd: number, at: number, capacity: number): number {
    const memory = this.#memory;
    const lengthAt = this.#scratchAt + READ_HEADER + Msghdr.controllen;
    memory.writeIovec(this.#scratchAt + READ_IOVEC, at, capacity);
    memory.i32[lengthAt >> 2] = READ_CONTROL_BYTES;
    let n: number;
    do n = checked(this.#recvmsg(fd, this.#readHeader, MSG_DONTWAIT)); while (
      n === -Errno.EINTR
    );
    const isMerged = n > 0 && memory.i32[lengthAt >> 2] >= Cmsghdr.data + 4;
    const dataAt = this.#scratchAt + READ_CONTROL + Cmsghdr.data;
    this.segmentBytes = isMerged ? memory.i32[dataAt >> 2] : Math.max(0, n);
    return n;
  }

  /** Writes `bytes` bytes at `at`, or a datagram of them: what was taken, or a negated errno. */
  write(fd: number, at: number, bytes: number): number {
    this.#memory.writeIovec(this.#scratchAt + WRITE_IOVECS, at, bytes);
    return this.#send(fd, 1);
  }

  /** Writes all pieces in one call; may take less of them. Bytes or a negated errno. */
  writePieces(fd: number, pieces: Gather): number {
    const { count, at, bytes } = pieces;
    const memory = this.#memory;
    let iovec = this.#scratchAt + WRITE_IOVECS;
    for (let i = 0; i < count; i++) {
      memory.writeIovec(iovec, at[i], bytes[i]);
      iovec += IOVEC_BYTES;
    }
    return this.#send(fd, count);
  }

  /**
   * Sends `count` datagrams of `segmentBytes` bytes each (the last may be shorter), the pieces from
   * `first` on, in one call: at most 64 and 65,507 bytes. Bytes or a negated errno: EIO, EINVAL or
   * EMSGSIZE where they can only be sent one by one.
   */
  writeRun(fd: number, pieces: Gather, first: number, count: number, segmentBytes: number): number {
    const memory = this.#memory;
    let iovec = this.#scratchAt + WRITE_IOVECS;
    for (let i = first; i < first + count; i++) {
      memory.writeIovec(iovec, pieces.at[i], pieces.bytes[i]);
      iovec += IOVEC_BYTES;
    }
    const lengthAt = this.#scratchAt + WRITE_HEADER + Msghdr.controllen;
    memory.view.setUint16(this.#scratchAt + WRITE_CONTROL + Cmsghdr.data, segmentBytes, true);
    memory.i32[lengthAt >> 2] = cmsgSpace(SEGMENT_DATA_BYTES);
    const result = this.#send(fd, count);
    memory.i32[lengthAt >> 2] = 0;
    return result;
  }

  /** Ends the direction towards the host (FIN). */
  shutdownWrite(fd: number): number {
    return checked(libc().shutdown(fd, SHUT_WR));
  }

  /** Closes a socket; what was written still goes out. */
  close(fd: number): void {
    // A program that is being started may have a copy of the descriptor for a moment, which would
    // keep the entry, and with it events under a token that is given out again.
    this.#epoll.remove(fd);
    closeFd(fd);
  }

  /** Closes a TCP socket with RST. */
  abort(fd: number): void {
    libc().setsockopt(fd, SOL_SOCKET, SO_LINGER, LINGER_RESET, LINGER_RESET.length);
    this.close(fd);
  }

  /** Closes the epoll instance; sockets are their users' to close. */
  dispose(): void {
    this.#epoll.close();
  }

  /** KEEPALIVE stays off, as it is at first: the other end of the flow has its own. */
  #open(type: number, address: Uint8Array): number {
    const family = address.length === 4 ? AF_INET : AF_INET6;
    return checked(libc().socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }

  #connect(fd: number, address: Uint8Array, port: number, token: number): number {
    const name = internetAddress(address, port);
    let result = checked(libc().connect(fd, name, name.length));
    if (result === -Errno.EINPROGRESS) result = 0;
    // Registered when it is under way: a socket that has not begun to connect counts as hung up.
    if (result >= 0) {
      result = this.#epoll.add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, token);
    }
    if (result >= 0) return fd;
    closeFd(fd);
    return result;
  }

  /** sendmsg and not writev, because of MSG_NOSIGNAL. */
  #send(fd: number, count: number): number {
    this.#memory.i32[(this.#scratchAt + WRITE_HEADER + Msghdr.iovlen) >> 2] = count;
    for (;;) {
      const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
      const n = checked(this.#sendmsg(fd, this.#header, flags));
      if (n !== -Errno.EINTR) return n;
    }
  }
}
