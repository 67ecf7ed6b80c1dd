/** TCP of the stack for tests of forwarding: peers play their side by calls. */
import { assert } from "@std/assert";
import type {
  PendingTcp,
  TcpConnection,
  TcpEnd,
  TcpFlow,
  TcpHandler,
} from "../../src/netstack/tcp/tcp_socket.ts";
import { type FakeHost, placeRuns } from "./fake_host.ts";

/** Where a connection has its send and its receive buffer. */
const SEND_AT = 1024 * 1024;
const RECEIVE_AT = 4 * 1024 * 1024;

/** A SYN; what became of it, and the connection if it was accepted. */
export class FakePending implements PendingTcp {
  answer: "none" | "accepted" | "refused" | "unreachable" | "dropped" = "none";
  /** The peer has withdrawn the SYN without that anybody was told. */
  isGone = false;
  connection: FakeConnection | null = null;
  readonly flow: TcpFlow;

  constructor(
    readonly host: FakeHost,
    flow: Partial<TcpFlow> = {},
    readonly sendBytesMax = 65_536,
  ) {
    const ipVersion = flow.ipVersion ?? 4;
    const addressBytes = ipVersion === 4 ? 4 : 16;
    this.flow = {
      ipVersion,
      localAddress: new Uint8Array(addressBytes).fill(10),
      localPort: 80,
      remoteAddress: new Uint8Array(addressBytes).fill(20),
      remotePort: 40_000,
      ...flow,
    };
  }

  accept(handler: TcpHandler): TcpConnection | null {
    if (this.isGone) return null;
    this.#decide("accepted");
    return this.connection = new FakeConnection(this, handler);
  }

  refuse(): void {
    this.#decide("refused");
  }

  unreachable(): void {
    this.#decide("unreachable");
  }

  drop(): void {
    this.#decide("dropped");
  }

  #decide(answer: FakePending["answer"]): void {
    assert(this.answer === "none", `${answer} after ${this.answer}`);
    this.answer = answer;
  }
}

/** A connection of the stack: the peer's side is played by calls. */
export class FakeConnection implements TcpConnection {
  context: unknown = null;
  spanAt = 0;
  unacknowledgedBytes = 0;
  isCorked = false;
  hasFin = false;
  keepaliveMs = 0;
  end: TcpEnd | "aborted" | null = null;
  /** Everything that was written to the peer. */
  readonly sent: number[] = [];
  /** How many calls of `takePieces` there were. */
  takes = 0;
  readonly #received: number[] = [];
  #hasPeerFin = false;
  #wantsRoom = false;
  readonly flow: TcpFlow;

  constructor(readonly pending: FakePending, readonly handler: TcpHandler) {
    this.flow = pending.flow;
  }

  get #u8(): Uint8Array {
    return this.pending.host.slab.u8;
  }

  /** The handshake is complete. */
  establish(): void {
    this.handler.onConnected?.(this);
  }

  /** The peer sends bytes in pieces, as GRO leaves them. */
  deliver(...runs: number[][]): void {
    const pieces = placeRuns(this.pending.host.slab, runs);
    const all = runs.flat();
    let taken = 0;
    if (this.#received.length === 0 && this.handler.takePieces !== undefined) {
      this.takes++;
      taken = this.handler.takePieces(this, pieces);
    }
    if (this.end !== null || taken === all.length) return;
    for (const byte of all.slice(taken)) this.#received.push(byte);
    this.handler.onReadable(this);
  }

  /** The peer ends its direction. */
  deliverFin(): void {
    this.#hasPeerFin = true;
    this.handler.onReadable(this);
  }

  /** The peer acknowledges. */
  acknowledge(bytes: number): void {
    this.unacknowledgedBytes -= bytes;
    if (!this.#wantsRoom) return;
    this.#wantsRoom = false;
    this.handler.onWritable(this);
  }

  /** The connection ends. */
  finish(end: TcpEnd): void {
    this.end = end;
    this.handler.onEnd(this, end);
  }

  writeSpan(maxBytes: number): number {
    const room = Math.min(maxBytes, this.pending.sendBytesMax - this.unacknowledgedBytes);
    if (room === 0) this.#wantsRoom = true;
    this.spanAt = SEND_AT;
    return room;
  }

  commitWrite(bytes: number): void {
    assert(!this.hasFin, "written after shutdown");
    for (const byte of this.#u8.subarray(SEND_AT, SEND_AT + bytes)) this.sent.push(byte);
    this.unacknowledgedBytes += bytes;
  }

  cork(isCorked: boolean): void {
    this.isCorked = isCorked;
  }

  shutdown(): void {
    this.hasFin = true;
  }

  readSpan(): number {
    this.#u8.set(this.#received, RECEIVE_AT);
    this.spanAt = RECEIVE_AT;
    return this.#received.length;
  }

  consume(bytes: number): void {
    this.#received.splice(0, bytes);
  }

  get isReadFinished(): boolean {
    return this.#hasPeerFin && this.#received.length === 0;
  }

  /** Bytes that wait to be read. */
  get waitingBytes(): number {
    return this.#received.length;
  }

  close(): void {
    this.hasFin = true;
  }

  abort(): void {
    assert(this.end === null, "aborted twice");
    this.end = "aborted";
  }

  setNagle(): void {}

  setKeepalive(idleMs: number): void {
    this.keepaliveMs = idleMs;
  }
}
