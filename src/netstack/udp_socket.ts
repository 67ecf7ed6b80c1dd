/** UDP as applications of the stack see it. Everything happens by calls in one thread. */
import type { Flow } from "./flow.ts";
import type { IcmpErrorKind, Pieces } from "./inbound.ts";

/** Addresses and ports of a flow, as the stack's side sees them. */
export type UdpFlow = Flow;

/** A datagram that came in; the stack has one instance, valid during the call that is given it. */
export class UdpDatagram {
  ipVersion: 4 | 6 = 4;
  /** Places of the addresses, 4 or 16 bytes each: source is the other end. */
  sourceAt = 0;
  destinationAt = 0;
  sourcePort = 0;
  destinationPort = 0;
  /** TOS or traffic class, ECN included. */
  tos = 0;
  /** TTL or hop limit that it came with. */
  hopLimit = 0;
  /** Whether whoever carries it on may cut it into fragments: it has been, or IPv4's DF is not set. */
  mayBeFragmented = false;
  /** Place and length of the payload. */
  at = 0;
  bytes = 0;
}

/** What an application is told. */
export interface UdpHandler {
  /** One datagram. */
  onDatagram(socket: UdpSocket, datagram: UdpDatagram): void;
  /**
   * A run of datagrams of one flow that came together, payloads one by one in `payloads`, all of the
   * first one's length but the last, which may be shorter; `at` and `bytes` of `datagram` are the
   * first one's. Leave it out to get each by `onDatagram`.
   */
  onRun?(socket: UdpSocket, datagram: UdpDatagram, payloads: Pieces): void;
  /** An ICMP error about something this socket has sent; `mtu` counts for `TooBig` only. */
  onError?(socket: UdpSocket, kind: IcmpErrorKind, mtu: number): void;
}

/** What is done with the first datagram of a flow that no socket wants, instead of a handler. */
export const UdpVerdict = {
  /** It is answered by "port unreachable". */
  Refuse: 0,
  /** It is answered by "prohibited". */
  Prohibit: 1,
  Drop: 2,
  /** It is answered by "host unreachable". */
  Unreachable: 3,
} as const;
/** One of the values of `UdpVerdict`. */
export type UdpVerdict = (typeof UdpVerdict)[keyof typeof UdpVerdict];

/** Decides about new flows: of forwarded prefixes, and to our own ports that nobody has bound. */
export interface UdpForwarder {
  /**
   * Returns a handler to accept: a socket for this flow alone is made, and the datagram delivered to
   * it. The forwarder closes the socket when the flow has been idle for long enough.
   */
  onFlow(flow: UdpFlow, datagram: UdpDatagram): UdpHandler | UdpVerdict;
}

/** A socket: bound to a port, or to one flow. */
export interface UdpSocket {
  readonly handler: UdpHandler;
  /** For the application: whatever it likes to find again. */
  context: unknown;
  /** The flow it is bound to, null for one that takes datagrams from everybody. */
  readonly flow: UdpFlow | null;
  /** The address it is bound to, null for all of ours. */
  readonly localAddress: Uint8Array | null;
  readonly localPort: number;
  readonly isClosed: boolean;
  /** TOS or traffic class, and hop limit, of what it sends. */
  tos: number;
  hopLimit: number;

  /**
   * Sends `bytes` bytes (0 to 65,507, over IPv6 65,527) at `at` of the slab over the socket's flow.
   * False when it was dropped, which is counted: the link is full, no memory, too long.
   */
  send(at: number, bytes: number): boolean;
  /**
   * The same to anybody, from `local` or from the address that fits best. Of a socket of a flow the
   * flow counts.
   */
  sendTo(
    remote: Uint8Array,
    remotePort: number,
    at: number,
    bytes: number,
    local?: Uint8Array,
  ): boolean;
  /** Sends `bytes` bytes at `at` back to where `datagram` came from, from where it went. */
  reply(datagram: UdpDatagram, at: number, bytes: number): boolean;
  /** `sendTo` for bytes that are not in the slab. */
  sendBytesTo(
    remote: Uint8Array,
    remotePort: number,
    payload: Uint8Array,
    local?: Uint8Array,
  ): boolean;
  /** Frees the port; nothing is called after it. */
  close(): void;
}
