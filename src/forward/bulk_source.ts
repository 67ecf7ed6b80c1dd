/** The sending end of a bulk transfer: writes the pattern as fast as the connection takes it. */
import type { TcpConnection, TcpHandler } from "../netstack/tcp/tcp_socket.ts";
import { TcpEnd } from "../netstack/tcp/tcp_socket.ts";
import type { BulkPattern } from "./bulk_pattern.ts";
import type { TurnTime } from "./tcp_forwarder.ts";

/** Bytes that are written before others get their turn, and at once. */
const TURN_BYTES = 1024 * 1024;
const SPAN_BYTES = 256 * 1024;

/** One sender. */
export class BulkSource implements TcpHandler {
  /** Bytes written so far. */
  sentBytes = 0;
  /** When the connection was made; 0 before. */
  startedMs = 0;
  /** How it ended; null while it runs. */
  end: TcpEnd | null = null;
  /** Whether there is room that was not used in this turn. */
  hasMore = false;
  #connection: TcpConnection | null = null;
  #isShut = false;

  constructor(
    readonly time: TurnTime,
    readonly pattern: BulkPattern,
    readonly durationMs: number,
  ) {}

  onConnected(connection: TcpConnection): void {
    this.#connection = connection;
    this.startedMs = this.time.nowMs;
    this.hasMore = true;
  }

  onReadable(connection: TcpConnection): void {
    const waiting = connection.readSpan();
    if (waiting > 0) connection.consume(waiting);
  }

  onWritable(): void {
    this.hasMore = true;
  }

  onEnd(_connection: TcpConnection, end: TcpEnd): void {
    this.#connection = null;
    this.hasMore = false;
    this.end = end;
  }

  /** Writes as much as there is room for in one turn; ends the stream when its time has passed. */
  turn(): void {
    const connection = this.#connection;
    if (connection === null || !this.hasMore || this.#isShut) return;
    for (let left = TURN_BYTES; left > 0;) {
      const room = connection.writeSpan(Math.min(SPAN_BYTES, left));
      if (room === 0) {
        this.hasMore = false;
        break;
      }
      this.pattern.copy(this.sentBytes, connection.spanAt, room);
      connection.commitWrite(room);
      this.sentBytes += room;
      left -= room;
    }
    if (this.time.nowMs - this.startedMs < this.durationMs) return;
    this.#isShut = true;
    this.hasMore = false;
    connection.shutdown();
  }
}
