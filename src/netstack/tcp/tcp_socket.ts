/**
 * TCP as applications of the stack see it. Everything happens by calls in one thread: the stack calls
 * the handler, the application calls the connection; nothing waits.
 *
 * Handlers are called while the stack works. They may call any method of the connection, but output
 * leaves at the stack's next `flush`.
 */
import type { Flow } from "../flow.ts";
import type { Pieces } from "../inbound.ts";
import type { Unreachable } from "../output.ts";

/** How a connection ended. */
export const TcpEnd = {
  /** Both directions were closed and acknowledged. */
  Closed: 0,
  /** The other end sent RST. */
  Reset: 1,
  /** We sent RST: `abort`, or data for nobody. */
  Aborted: 2,
  /** Retransmissions or keepalives were not answered. */
  TimedOut: 3,
  /** A SYN was answered by RST. */
  Refused: 4,
  /** ICMP said that the destination cannot be reached. */
  Unreachable: 5,
} as const;
/** One of the values of `TcpEnd`. */
export type TcpEnd = (typeof TcpEnd)[keyof typeof TcpEnd];

/** Addresses and ports of a connection, as the stack's side sees them. */
export type TcpFlow = Flow;

/** What an application is told. */
export interface TcpHandler {
  /** The handshake is complete. */
  onConnected?(connection: TcpConnection): void;
  /** There is something to read, or the other end has closed its direction. */
  onReadable(connection: TcpConnection): void;
  /** There is room to write again after `writeSpan` had found none. */
  onWritable(connection: TcpConnection): void;
  /** The connection is over; called exactly once, and nothing is called after it. */
  onEnd(connection: TcpConnection, end: TcpEnd): void;
  /**
   * Takes in-order data from where it was decrypted, without a copy: returns how many bytes of
   * `pieces`, from the front, it has taken. What it leaves goes to the receive buffer. Called only
   * while the receive buffer is empty. Leave it out to read from the buffer only.
   */
  takePieces?(connection: TcpConnection, pieces: Pieces): number;
}

/** One connection. */
export interface TcpConnection {
  readonly flow: TcpFlow;
  readonly handler: TcpHandler;
  /** For the application: whatever it likes to find again. */
  context: unknown;

  /**
   * Finds contiguous free room of the send buffer, at most `maxBytes`; then `spanAt` and the result
   * say where and how much. 0: none; `onWritable` will be called.
   */
  writeSpan(maxBytes: number): number;
  /** Makes the first `bytes` of the span part of the stream. */
  commitWrite(bytes: number): void;
  /** Bytes written and not yet acknowledged. */
  readonly unacknowledgedBytes: number;
  /**
   * While corked, a last segment shorter than the MSS waits for more (or for `cork(false)`): set it
   * while a source has more to give in this turn.
   */
  cork(isCorked: boolean): void;
  /** Sends FIN after what was written; writing is over. */
  shutdown(): void;

  /** Finds contiguous received bytes; then `spanAt` and the result say where and how much. */
  readSpan(): number;
  /** Frees the first `bytes` of what was received, which opens the window. */
  consume(bytes: number): void;
  /** Whether FIN was received and everything before it was read or taken. */
  readonly isReadFinished: boolean;

  /** Place of the span that `writeSpan` or `readSpan` has found. */
  readonly spanAt: number;
  /** Ends both directions: FIN after what was written; what still comes in is answered by RST. */
  close(): void;
  /** Ends at once with RST. */
  abort(): void;
  /** Turns Nagle's algorithm on or off; it is off at first. */
  setNagle(isOn: boolean): void;
  /** Probes after so much idle time; 0 for never, which is how it begins. */
  setKeepalive(idleMs: number): void;
}

/** A SYN that waits for a decision; its retransmissions are absorbed meanwhile. */
export interface PendingTcp {
  readonly flow: TcpFlow;
  /** Answers with SYN-ACK. Null when the SYN has timed out or was reset meanwhile. */
  accept(handler: TcpHandler): TcpConnection | null;
  /** Answers with RST. */
  refuse(): void;
  /** Answers with an ICMP error; "host unreachable" unless said otherwise. */
  unreachable(reason?: Unreachable): void;
  /** Forgets it without an answer. */
  drop(): void;
}

/** What is done with a SYN for a listening port or a forwarded prefix. */
export interface TcpAcceptor {
  /** May decide at once or keep `pending` and decide later; `onPendingGone` ends the waiting. */
  onSyn(pending: PendingTcp): void;
  /** The SYN has timed out or was reset before a decision. */
  onPendingGone(pending: PendingTcp): void;
}
