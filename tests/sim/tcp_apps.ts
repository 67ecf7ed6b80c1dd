/** Applications over a stack's TCP for simulated nodes: one sends a pattern, one checks it. */
import type { Slab } from "../../src/memory/slab.ts";
import type {
  PendingTcp,
  TcpAcceptor,
  TcpConnection,
  TcpEnd,
  TcpHandler,
} from "../../src/netstack/tcp/tcp_socket.ts";

/** Byte `index` of every stream. */
function streamByte(index: number): number {
  return (Math.imul(index, 2_654_435_761) >>> 24) ^ (index & 0xff);
}

/** Writes `totalBytes` bytes of the pattern and closes its direction. */
export class PatternSource implements TcpHandler {
  written = 0;
  end: TcpEnd | null = null;
  isConnected = false;

  constructor(readonly slab: Slab, readonly totalBytes: number) {}

  onConnected(connection: TcpConnection): void {
    this.isConnected = true;
    this.#write(connection);
  }

  onReadable(): void {}

  onWritable(connection: TcpConnection): void {
    this.#write(connection);
  }

  onEnd(_connection: TcpConnection, end: TcpEnd): void {
    this.end = end;
  }

  #write(connection: TcpConnection): void {
    while (this.written < this.totalBytes) {
      const room = connection.writeSpan(this.totalBytes - this.written);
      if (room === 0) return;
      const { u8 } = this.slab;
      const at = connection.spanAt;
      for (let i = 0; i < room; i++) u8[at + i] = streamByte(this.written + i);
      connection.commitWrite(room);
      this.written += room;
    }
    connection.shutdown();
  }
}

/** Reads to the end, checks every byte, and closes. `takesPieces`: without the receive buffer. */
export class PatternSink implements TcpHandler {
  received = 0;
  /** The place in the stream of the first wrong byte, -1 while all are right. */
  wrongAt = -1;
  isFinished = false;
  end: TcpEnd | null = null;
  /** Items that were taken from where they were decrypted. */
  takenItems = 0;
  readonly takePieces?: TcpHandler["takePieces"];

  constructor(readonly slab: Slab, takesPieces = false) {
    if (!takesPieces) return;
    this.takePieces = (_connection, pieces) => {
      this.takenItems++;
      for (let i = 0; i < pieces.count; i++) this.#check(pieces.at[i], pieces.bytes[i]);
      return pieces.totalBytes;
    };
  }

  onReadable(connection: TcpConnection): void {
    for (;;) {
      const bytes = connection.readSpan();
      if (bytes === 0) break;
      this.#check(connection.spanAt, bytes);
      connection.consume(bytes);
    }
    if (!connection.isReadFinished || this.isFinished) return;
    this.isFinished = true;
    connection.close();
  }

  onWritable(): void {}

  onEnd(_connection: TcpConnection, end: TcpEnd): void {
    this.end = end;
  }

  #check(at: number, bytes: number): void {
    const { u8 } = this.slab;
    for (let i = 0; i < bytes && this.wrongAt < 0; i++) {
      if (u8[at + i] !== streamByte(this.received + i)) this.wrongAt = this.received + i;
    }
    this.received += bytes;
  }
}

/** Accepts every SYN with a handler of its own. */
export class Acceptor implements TcpAcceptor {
  constructor(readonly makeHandler: () => TcpHandler) {}

  onSyn(pending: PendingTcp): void {
    pending.accept(this.makeHandler());
  }

  onPendingGone(): void {}
}
