/** Applications that send and check a stream of known bytes through a simulated network. */
import { assertEquals } from "@std/assert";
import type { Slab } from "../../src/memory/slab.ts";
import type { Pieces } from "../../src/netstack/inbound.ts";
import { type TcpConnection, TcpEnd, type TcpHandler } from "../../src/netstack/tcp/tcp_socket.ts";
import type { TcpNetwork } from "./tcp_network.ts";

/** Of prime length, so that a shift by any power of two shows. */
const PATTERN = Uint8Array.from({ length: 65_521 }, (_, i) => {
  const mixed = Math.imul(i + 1, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
});

/** The first `bytes` bytes of the stream. */
export function streamBytes(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => PATTERN[i % PATTERN.length]);
}

/** One end's application: sends `totalBytes`, then FIN, and reads everything. */
export class StreamApp implements TcpHandler {
  connection: TcpConnection | null = null;
  written = 0;
  received = 0;
  isConnected = false;
  isFinished = false;
  isClosed = false;
  end: TcpEnd | null = null;
  /** Reads are made only when this says so; for slow readers. */
  mayRead: () => boolean = () => true;
  takePieces?: (connection: TcpConnection, pieces: Pieces) => number;

  constructor(
    readonly host: { readonly slab: Slab },
    readonly totalBytes: number,
    takesPieces = false,
  ) {
    if (takesPieces) this.takePieces = (_, pieces) => this.#take(pieces);
  }

  onConnected(): void {
    this.isConnected = true;
  }
  onReadable(): void {}
  onWritable(): void {}
  onEnd(_connection: TcpConnection, end: TcpEnd): void {
    this.end = end;
    if (end === TcpEnd.Closed) this.isFinished = true;
  }

  /** Does what can be done at this moment. */
  turn(): void {
    const { connection } = this;
    if (connection === null || this.end !== null) return;
    if (this.mayRead()) this.#read(connection);
    if (this.isConnected) this.#write(connection);
  }

  #read(connection: TcpConnection): void {
    for (let span = connection.readSpan(); span > 0; span = connection.readSpan()) {
      this.#check(connection.spanAt, span);
      connection.consume(span);
    }
    this.isFinished = connection.isReadFinished;
  }

  #write(connection: TcpConnection): void {
    const { u8 } = this.host.slab;
    while (this.written < this.totalBytes) {
      const room = connection.writeSpan(this.totalBytes - this.written);
      if (room === 0) return;
      const at = connection.spanAt;
      for (let done = 0; done < room;) {
        const from = (this.written + done) % PATTERN.length;
        const length = Math.min(room - done, PATTERN.length - from);
        u8.set(PATTERN.subarray(from, from + length), at + done);
        done += length;
      }
      connection.commitWrite(room);
      this.written += room;
    }
    if (!this.isClosed) {
      this.isClosed = true;
      connection.shutdown();
    }
  }

  #take(pieces: Pieces): number {
    for (let i = 0; i < pieces.count; i++) this.#check(pieces.at[i], pieces.bytes[i]);
    return pieces.totalBytes;
  }

  #check(at: number, bytes: number): void {
    const { u8 } = this.host.slab;
    for (let done = 0; done < bytes;) {
      const from = (this.received + done) % PATTERN.length;
      const length = Math.min(bytes - done, PATTERN.length - from);
      for (let i = 0; i < length; i++) {
        if (u8[at + done + i] !== PATTERN[from + i]) {
          assertEquals(u8[at + done + i], PATTERN[from + i], `byte ${this.received + done + i}`);
        }
      }
      done += length;
    }
    this.received += bytes;
  }
}

/** The outcome of a transfer. */
export interface Transfer {
  readonly client: StreamApp;
  readonly server: StreamApp;
  /** From the SYN to the last byte. */
  readonly tookMs: number;
}

/**
 * Connects `network.a` to `network.b`, sends so many bytes each way, and checks that both streams are
 * exact and end with FIN.
 */
export function transfer(
  network: TcpNetwork,
  bytes: { readonly up: number; readonly down?: number },
  options: { takesPieces?: boolean; untilMs?: number; mayRead?: () => boolean } = {},
): Transfer {
  const takes = options.takesPieces ?? false;
  const client = new StreamApp(network.a, bytes.up, takes);
  const server = new StreamApp(network.b, bytes.down ?? 0, takes);
  if (options.mayRead !== undefined) server.mayRead = options.mayRead;
  network.b.layer.listen(null, 80, {
    onSyn: (pending) => server.connection ??= pending.accept(server),
    onPendingGone: () => {},
  });
  const startMs = network.nowMs;
  client.connection = network.a.layer.connect(network.b.address, 80, client, startMs);
  network.onMoment = () => {
    client.turn();
    server.turn();
  };
  const isDone = () =>
    (server.isFinished && client.isFinished) ||
    (client.end !== null && client.end !== 0) || (server.end !== null && server.end !== 0);
  const isInTime = network.run(isDone, startMs + (options.untilMs ?? 1e8));
  const where = `seed ${network.seed}, at ${network.nowMs - startMs} ms`;
  assertEquals([client.end ?? 0, server.end ?? 0], [0, 0], `how it ended: ${where}`);
  assertEquals([server.received, client.received], [bytes.up, bytes.down ?? 0], where);
  assertEquals(isInTime, true, where);
  return { client, server, tookMs: network.nowMs - startMs };
}
