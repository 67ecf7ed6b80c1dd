/** A TCP connection between the stacks of two nodes that carries bytes nobody looks at. */
import type { TcpConnection, TcpHandler } from "../src/netstack/tcp/tcp_socket.ts";
import { INNER_A, INNER_B, type NodePair, runPair } from "./node_bed.ts";

const PORT = 5201;
const CONNECT_ROUNDS_MAX = 1000;

/** Writes as many bytes as it is asked for. */
class Source implements TcpHandler {
  connection: TcpConnection | null = null;
  left = 0;

  onConnected(connection: TcpConnection): void {
    this.connection = connection;
  }

  onReadable(): void {}

  onWritable(): void {
    this.write();
  }

  onEnd(): void {
    throw new Error("the connection has ended");
  }

  write(): void {
    while (this.left > 0) {
      const room = this.connection!.writeSpan(this.left);
      if (room === 0) return;
      this.connection!.commitWrite(room);
      this.left -= room;
    }
  }
}

/** Takes what comes from where it was decrypted, as a forwarder does. */
class Sink implements TcpHandler {
  received = 0;

  onReadable(connection: TcpConnection): void {
    for (let bytes = connection.readSpan(); bytes > 0; bytes = connection.readSpan()) {
      connection.consume(bytes);
      this.received += bytes;
    }
  }

  takePieces(_connection: TcpConnection, pieces: { readonly totalBytes: number }): number {
    this.received += pieces.totalBytes;
    return pieces.totalBytes;
  }

  onWritable(): void {}

  onEnd(): void {}
}

/** One connection from the first node to the second. */
export class BulkFlow {
  readonly #pair: NodePair;
  readonly #source = new Source();
  readonly #sink = new Sink();

  constructor(pair: NodePair, nowMs: number) {
    this.#pair = pair;
    const { stack: stackA } = pair.a, { stack: stackB } = pair.b;
    stackB!.tcp.listen(INNER_B, PORT, {
      onSyn: (pending) => void pending.accept(this.#sink),
      onPendingGone: () => {},
    });
    stackA!.tcp.connect(INNER_B, PORT, this.#source, nowMs, { address: INNER_A });
    for (let i = 0; this.#source.connection === null; i++) {
      if (i === CONNECT_ROUNDS_MAX) throw new Error("the stacks cannot connect");
      runPair(pair);
    }
  }

  /** Carries `bytes` bytes from end to end. */
  transfer(bytes: number): void {
    const end = this.#sink.received + bytes;
    this.#source.left = bytes;
    this.#source.write();
    while (this.#sink.received < end) runPair(this.#pair);
  }
}
