/**
 * What a lane asks of the outside world. `ffi/` provides these over the kernel, the simulator over
 * arrays; a lane cannot tell which. Results are byte counts, or a negated errno.
 */

/** One queue of a TUN interface with vnet headers. */
export interface TunPort {
  /** Reads one super-packet, vnet header first, to `at`; `-EAGAIN` when there is none. */
  read(at: number, capacity: number): number;
  /** Writes one packet or super-packet given as `count` struct iovec at `iovecAt`. */
  writev(iovecAt: number, count: number): number;
}

/** The UDP sockets (IPv4 and IPv6, same port) that a lane receives from and sends to. */
export interface UdpPort {
  /**
   * Receives from one of the sockets (`family` AF_INET or AF_INET6) one datagram, or a run of equal
   * ones that the kernel has coalesced, to `at`; the last of a run may be shorter. Writes the
   * endpoint record of the sender to `endpointAt` and sets `segmentBytes` and `tos`.
   */
  receive(family: number, at: number, capacity: number, endpointAt: number): number;
  /** After `receive`: the length of each datagram of a run; equal to the result for a single one. */
  readonly segmentBytes: number;
  /** After `receive`: the outer TOS or traffic class byte. */
  readonly tos: number;
  /**
   * Sends `length` bytes at `at` to the endpoint record at `endpointAt`, cut by the kernel into
   * datagrams of `segmentBytes` (equal to `length` for a single one), with that TOS byte.
   */
  send(at: number, length: number, segmentBytes: number, endpointAt: number, tos: number): number;
}
