/**
 * What a lane asks of the outside world. `ffi/` provides the sockets and the TUN over the kernel, the
 * simulator over arrays; a lane cannot tell which. Results are byte counts, or a negated errno. The
 * userspace stack and what feeds it from the host are given to a lane in the same way.
 */
import type { InboundItem } from "../netstack/inbound.ts";
import type { StackGso } from "../offload/gso_options.ts";

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
  /** After `receive`: how long it has waited in the socket's queue; 0 where nobody knows. */
  readonly queuedMs: number;
  /**
   * Sends `length` bytes at `at` to the endpoint record at `endpointAt`, cut by the kernel into
   * datagrams of `segmentBytes` (equal to `length` for a single one), with that TOS byte.
   */
  send(at: number, length: number, segmentBytes: number, endpointAt: number, tos: number): number;
}

/** The lower edge of a stack: a bounded queue of segments, each in two parts. */
export interface LinkPort {
  readonly isEmpty: boolean;
  /** The oldest segment: place and length of its IP and transport header, and of its payload. */
  readonly frontHeaderAt: number;
  readonly frontHeaderBytes: number;
  readonly frontPayloadAt: number;
  readonly frontPayloadBytes: number;
  /** How the oldest segment is to be cut; valid until `pop`. */
  readonly frontGso: StackGso;
  /** Takes the oldest segment away, which frees what it refers to. */
  pop(): void;
}

/** A userspace TCP/IP stack as its lane drives it. Everything happens within these calls. */
export interface StackPort {
  readonly link: LinkPort;
  /** The time of the turn: the lane sets it before anything else is called. */
  nowMs: number;
  /** Takes an item that came in at `arrivedMs`; nothing of it is valid after the call. */
  onItem(item: InboundItem, arrivedMs: number): void;
  /** When `onTimeout` is due; Infinity for never. */
  nextTimeoutMs(): number;
  onTimeout(nowMs: number): void;
  /** Queues on the link what is owed, as far as it has room; cheap when nothing is. */
  flush(nowMs: number): void;
}

/** Sockets of the host that forward to and from the stack of a lane. */
export interface HostWork {
  /** Moves what is ready, between the stack's input and its output; whether there may be more. */
  poll(nowMs: number): boolean;
  /** When `poll` is due even if no socket is ready; Infinity for never. */
  nextTimeoutMs(): number;
}
