/** The receiving end of a bulk transfer: compares every byte with the pattern and keeps none. */
import type { Pieces } from "../netstack/inbound.ts";
import type {
  PendingTcp,
  TcpAcceptor,
  TcpConnection,
  TcpEnd,
  TcpHandler,
} from "../netstack/tcp/tcp_socket.ts";
import type { BulkPattern } from "./bulk_pattern.ts";

/** One receiver: takes the first connection that comes. */
export class BulkSink implements TcpAcceptor, TcpHandler {
  /** Bytes received so far. */
  receivedBytes = 0;
  /** Runs of bytes that were not what had been sent. */
  wrongRuns = 0;
  /** Whether the sender has ended the stream. */
  isWhole = false;
  /** How the connection ended; null while it runs. */
  end: TcpEnd | null = null;
  #isTaken = false;

  constructor(readonly pattern: BulkPattern) {}

  onSyn(pending: PendingTcp): void {
    if (this.#isTaken) pending.refuse();
    else this.#isTaken = pending.accept(this) !== null;
  }

  onPendingGone(): void {}

  takePieces(_connection: TcpConnection, pieces: Pieces): number {
    for (let i = 0; i < pieces.count; i++) this.#check(pieces.at[i], pieces.bytes[i]);
    return pieces.totalBytes;
  }

  onReadable(connection: TcpConnection): void {
    for (;;) {
      const waiting = connection.readSpan();
      if (waiting === 0) break;
      this.#check(connection.spanAt, waiting);
      connection.consume(waiting);
    }
    if (!connection.isReadFinished || this.isWhole) return;
    this.isWhole = true;
    connection.close();
  }

  onWritable(): void {}

  onEnd(_connection: TcpConnection, end: TcpEnd): void {
    this.end = end;
  }

  #check(at: number, bytes: number): void {
    if (!this.pattern.matches(this.receivedBytes, at, bytes)) this.wrongRuns++;
    this.receivedBytes += bytes;
  }
}
