/**
 * What forwarding asks of the host: client sockets. `ffi/host_socket.ts` provides them over the
 * kernel, tests over arrays. Sockets are integers; results are counts, or a negated errno.
 *
 * Readiness is told by edges: an event says that something has changed, and holds until a call
 * answers EAGAIN or moves less than was asked for.
 */
import type { Pieces } from "../netstack/inbound.ts";

/** Event bits of `HostSockets.eventsAt`; the numbers are epoll's. */
export const HostEvent = {
  Readable: 0x001,
  Writable: 0x004,
  Error: 0x008,
  HungUp: 0x010,
  /** The other side has closed its direction: there is an end to be read. */
  Ended: 0x2000,
} as const;

/** An error about something that a routed socket has sent, as `readError` fills it in. */
export class HostError {
  errno = 0;
  /** Whether it came as an ICMP message, with `type` and `code`, and not from this host itself. */
  isIcmp = false;
  type = 0;
  code = 0;
  /** Of "too big": what fits. */
  mtu = 0;
  /** Who has sent it. */
  from: Uint8Array | null = null;
  /** Of an echo request: its sequence number. */
  sequence = 0;
}

/** What one call of `writeRun` may send: the kernel's UDP_MAX_SEGMENTS, and the largest datagram. */
export const RUN_DATAGRAMS_MAX = 64;
export const RUN_BYTES_MAX = 65_487;

/** The sockets of one lane. */
export interface HostSockets {
  /** Takes events that wait, without waiting for more: their number. */
  poll(): number;
  /** After `poll`: the token that the socket of event `i` was opened with. */
  tokenAt(i: number): number;
  /** After `poll`: bits of `HostEvent`. */
  eventsAt(i: number): number;

  /**
   * Begins to connect: the socket, or the negated errno of what failed at once. The first event
   * means that the end is known; `connectResult` says which.
   */
  connectTcp(address: Uint8Array, port: number, token: number): number;
  /** 0 when connected, else a negated errno. */
  connectResult(socket: number): number;
  /** Whether this host itself answers at the address, by whichever of its interfaces. */
  isOwnAddress(address: Uint8Array): boolean;
  /** A socket for datagrams to and from that address. */
  connectUdp(address: Uint8Array, port: number, token: number): number;

  /**
   * A socket for datagrams that are carried on to that address: sent with a given hop limit, not
   * fragmented, with every ICMP error told. From `fromPort`, where sockets with other destinations may
   * be, or from any port (0).
   */
  connectRouted(address: Uint8Array, port: number, token: number, fromPort: number): number;
  /** The same for echo requests, written and read with their ICMP header; -EACCES: not allowed. */
  connectEcho(address: Uint8Array, token: number): number;
  /** The port that a socket is bound to, or a negated errno. */
  localPort(socket: number): number;
  /** Sets the TTL or hop limit of what a routed socket sends. */
  setHopLimit(socket: number, ipVersion: number, hopLimit: number): void;
  /** Writes a datagram that may be fragmented on its way. */
  writeFragmenting(socket: number, ipVersion: number, at: number, bytes: number): number;
  /** The MTU of a routed socket's path, or a negated errno. */
  pathMtu(socket: number, ipVersion: number): number;
  /** Takes the oldest error of a routed socket; false when there is none. */
  readError(socket: number, error: HostError): boolean;

  /** Reads to `at`: bytes (0 at the end of a stream) or a negated errno. */
  read(socket: number, at: number, capacity: number): number;
  /**
   * Reads from a UDP socket a run of datagrams, or one, to `at` (65,535 bytes): all their bytes, or a
   * negated errno. Each has `segmentBytes`, the last may be shorter.
   */
  readRun(socket: number, at: number, capacity: number): number;
  readonly segmentBytes: number;
  /** Writes from `at`: the bytes that were taken, or a negated errno. */
  write(socket: number, at: number, bytes: number): number;
  /** Writes all pieces in one call: the bytes that were taken, or a negated errno. */
  writePieces(socket: number, pieces: Pieces): number;
  /**
   * Sends a run of `count` datagrams of `segmentBytes` bytes (the last may be shorter), the pieces from
   * `first` on, in one call: at most `RUN_DATAGRAMS_MAX` and `RUN_BYTES_MAX`. Bytes or a negated errno.
   */
  writeRun(
    socket: number,
    pieces: Pieces,
    first: number,
    count: number,
    segmentBytes: number,
  ): number;
  /** Ends the direction towards the host. */
  shutdownWrite(socket: number): number;
  /** Closes a socket in order. */
  close(socket: number): void;
  /** Closes a TCP socket with RST. */
  abort(socket: number): void;
}
