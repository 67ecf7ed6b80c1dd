/**
 * A forwarded TCP connection whose host side is connected. Bytes go both ways, each direction ends
 * by itself, and an error on one side resets the other: anything but EAGAIN is an end.
 *
 * Towards the host, what GRO has merged goes out in one write from where it was decrypted; what the
 * host does not take waits in the receive buffer, whose filling closes the peer's window. Towards
 * the peer, the host is read straight into the send buffer, corked until it has nothing more.
 */
import { Errno } from "../base/errno.ts";
import type { Pieces } from "../netstack/inbound.ts";
import { TcpEnd } from "../netstack/tcp/tcp_socket.ts";
import type { PendingTcp, TcpConnection, TcpHandler } from "../netstack/tcp/tcp_socket.ts";
import { type FlowFacts, FlowKind, FlowState } from "./flow_snapshot.ts";
import type { HostFlow } from "./flow_slots.ts";
import { HostEvent, type HostSockets } from "./host_sockets.ts";
import { HOST_READ_BYTES_MAX, KEEPALIVE_IDLE_MS, STALLED_TIMEOUT_MS } from "./limits.ts";

/** What a flow needs of the forwarder that it belongs to. */
export interface FlowOwner {
  readonly host: HostSockets;
  /** Time of the lane's turn. */
  readonly nowMs: number;
  /** The host has bytes for the peer: `readHost` is called when the flow's turn comes. */
  enqueue(flow: TcpFlow): void;
  /** The flow is over and its socket closed. */
  onFlowEnd(flow: TcpFlow): void;
}

const NO_SOCKET = -1;
const READ_EVENTS = HostEvent.Readable | HostEvent.Ended | HostEvent.Error | HostEvent.HungUp;
const WRITE_EVENTS = HostEvent.Writable | HostEvent.Error | HostEvent.HungUp;
const END_EVENTS = HostEvent.Ended | HostEvent.Error | HostEvent.HungUp;

/** One flow; see the module's text. */
export class TcpFlow implements HostFlow, TcpHandler {
  /** Whether the flow waits in the owner's queue. */
  isQueued = false;
  readonly #owner: FlowOwner;
  #connection: TcpConnection | null = null;
  #isConnected = false;
  #socket: number;
  /** What the host was last heard to be ready for; a call that says otherwise ends it. */
  #isReadable = false;
  #isWritable = true;
  /** The host has ended or failed: there is something to be read until a read says what. */
  #isEnding = false;
  /** The host's direction is at its end; the peer's is, and the host has been told. */
  #isHostFinished = false;
  #isPeerFinished = false;
  #isOver = false;
  /** When bytes were moved last. */
  #progressMs: number;
  /** What waited for the peer at the last look; a change is progress too. */
  #unacknowledgedBytes = 0;
  readonly #startedMs: number;
  #toHostBytes = 0;
  #toPeerBytes = 0;

  /** `socket` is a connected one of the host; the flow closes it. */
  constructor(
    owner: FlowOwner,
    readonly slot: number,
    readonly client: string,
    socket: number,
    readonly target: FlowFacts["target"],
  ) {
    this.#owner = owner;
    this.#socket = socket;
    this.#progressMs = this.#startedMs = owner.nowMs;
  }

  /** The flow as status shows it; null before the SYN is answered. */
  facts(nowMs: number): FlowFacts | null {
    if (this.#connection === null) return null;
    const { flow } = this.#connection;
    return {
      kind: FlowKind.Tcp,
      state: this.#state,
      client: flow.remoteAddress,
      clientPort: flow.remotePort,
      destination: flow.localAddress,
      destinationPort: flow.localPort,
      target: this.target,
      ageMs: nowMs - this.#startedMs,
      toHostBytes: this.#toHostBytes,
      toPeerBytes: this.#toPeerBytes,
    };
  }

  get #state(): FlowState {
    if (!this.#isConnected) return FlowState.Opening;
    if (this.#isHostFinished && this.#isPeerFinished) return FlowState.Ending;
    if (this.#isHostFinished) return FlowState.HostEnded;
    return this.#isPeerFinished ? FlowState.PeerEnded : FlowState.Open;
  }

  /** Answers the peer's SYN; false, and the socket is closed, when it has been withdrawn. */
  accept(pending: PendingTcp): boolean {
    this.#connection = pending.accept(this);
    if (this.#connection !== null) {
      this.#connection.setKeepalive(KEEPALIVE_IDLE_MS);
      return true;
    }
    this.#isOver = true;
    this.#abortHost();
    return false;
  }

  /** Ends both sides at once with RST. */
  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#abortHost();
    this.#connection?.abort();
    this.#owner.onFlowEnd(this);
  }

  onConnected(): void {
    this.#isConnected = true;
    this.#enqueue();
  }

  onHostEvents(events: number): void {
    if ((events & END_EVENTS) !== 0) this.#isEnding = true;
    if ((events & READ_EVENTS) !== 0) {
      this.#isReadable = true;
      this.#enqueue();
    }
    if ((events & WRITE_EVENTS) !== 0 && !this.#isWritable) {
      this.#isWritable = true;
      this.#writeHost();
    }
  }

  takePieces(_connection: TcpConnection, pieces: Pieces): number {
    if (!this.#isWritable || this.#socket === NO_SOCKET) return 0;
    const bytes = this.#owner.host.writePieces(this.#socket, pieces);
    if (bytes >= 0) return this.#noteWritten(bytes, pieces.totalBytes);
    this.#hostFailed(bytes);
    return 0;
  }

  onReadable(): void {
    this.#writeHost();
  }

  onWritable(): void {
    this.#enqueue();
  }

  onEnd(_connection: TcpConnection, end: TcpEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (end === TcpEnd.Closed) this.#closeHost();
    else this.#abortHost();
    this.#owner.onFlowEnd(this);
  }

  /** Reads the host for the peer until it has no more, but not much beyond `budgetBytes`. */
  readHost(budgetBytes: number): number {
    const connection = this.#connection;
    if (connection === null) return 0;
    let movedBytes = 0;
    while (this.#wantsHost && movedBytes < budgetBytes) {
      const room = connection.writeSpan(HOST_READ_BYTES_MAX);
      if (room === 0) return movedBytes;
      const bytes = this.#owner.host.read(this.#socket, connection.spanAt, room);
      if (bytes <= 0) {
        this.#noteNothingRead(connection, bytes);
        return movedBytes;
      }
      movedBytes += bytes;
      this.#toPeerBytes += bytes;
      this.#progressMs = this.#owner.nowMs;
      // Less than was asked for is all there was, unless the end stands behind it.
      if (bytes < room && !this.#isEnding) this.#isReadable = false;
      connection.cork(this.#isReadable);
      connection.commitWrite(bytes);
    }
    this.#enqueue();
    return movedBytes;
  }

  onSweep(nowMs: number): number {
    const dueMs = this.#progressMs + STALLED_TIMEOUT_MS;
    if (nowMs < dueMs) return dueMs;
    if (this.#isStalled()) {
      this.abort();
      return Infinity;
    }
    this.#progressMs = nowMs;
    return nowMs + STALLED_TIMEOUT_MS;
  }

  /** Whether bytes wait or one direction has ended, and nothing has moved since the last look. */
  #isStalled(): boolean {
    const connection = this.#connection!;
    const { unacknowledgedBytes } = connection;
    const isMoving = unacknowledgedBytes !== this.#unacknowledgedBytes;
    this.#unacknowledgedBytes = unacknowledgedBytes;
    if (isMoving) return false;
    return unacknowledgedBytes > 0 || !this.#isConnected || !this.#isWritable ||
      this.#isHostFinished || this.#isPeerFinished;
  }

  /** Whether the host has, or may have, something that the peer can be given. */
  get #wantsHost(): boolean {
    return this.#isReadable && this.#isConnected && !this.#isHostFinished && !this.#isOver;
  }

  #enqueue(): void {
    if (this.#wantsHost) this.#owner.enqueue(this);
  }

  #noteNothingRead(connection: TcpConnection, result: number): void {
    if (result !== 0 && result !== -Errno.EAGAIN) return this.#hostFailed(result);
    this.#isReadable = false;
    connection.cork(false);
    if (result !== 0) return;
    this.#isHostFinished = true;
    this.#progressMs = this.#owner.nowMs;
    connection.shutdown();
    // The socket is not needed any more once both directions have ended; the peer may still ACK.
    if (this.#isPeerFinished) this.#closeHost();
  }

  /** Gives the host what waits in the receive buffer, and the end that may stand behind it. */
  #writeHost(): void {
    const connection = this.#connection;
    if (connection === null || this.#isOver) return;
    while (this.#isWritable && this.#socket !== NO_SOCKET) {
      const waiting = connection.readSpan();
      if (waiting === 0) break;
      const bytes = this.#owner.host.write(this.#socket, connection.spanAt, waiting);
      if (bytes < 0) return this.#hostFailed(bytes);
      connection.consume(this.#noteWritten(bytes, waiting));
    }
    if (!connection.isReadFinished || this.#isPeerFinished || this.#isOver) return;
    this.#isPeerFinished = true;
    this.#progressMs = this.#owner.nowMs;
    // Closing ends the direction too.
    if (this.#isHostFinished) this.#closeHost();
    else this.#owner.host.shutdownWrite(this.#socket);
  }

  #noteWritten(bytes: number, wantedBytes: number): number {
    if (bytes > 0) this.#progressMs = this.#owner.nowMs;
    this.#toHostBytes += bytes;
    if (bytes < wantedBytes) this.#isWritable = false;
    return bytes;
  }

  #hostFailed(result: number): void {
    if (result === -Errno.EAGAIN) this.#isWritable = false;
    else this.abort();
  }

  #closeHost(): void {
    if (this.#socket !== NO_SOCKET) this.#owner.host.close(this.#socket);
    this.#socket = NO_SOCKET;
  }

  #abortHost(): void {
    if (this.#socket !== NO_SOCKET) this.#owner.host.abort(this.#socket);
    this.#socket = NO_SOCKET;
  }
}
