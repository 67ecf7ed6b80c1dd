/**
 * A forwarder on a real stack, a faked host behind it, and another real stack as the peer: packets
 * between them may get lost, in virtual time.
 */
import { SeededRandom } from "../../src/base/random.ts";
import { DEFAULT_FORWARD_LIMITS, type ForwardLimits } from "../../src/forward/limits.ts";
import { LocalForwarder } from "../../src/forward/local_forwarder.ts";
import type { LocalService } from "../../src/forward/local_services.ts";
import type { TcpConnection, TcpEnd, TcpHandler } from "../../src/netstack/tcp/tcp_socket.ts";
import { StackScene } from "../netstack/stack_scene.ts";
import { FakeHost } from "./fake_host.ts";

/** The forwarder's address and the peer's. */
export const HERE = Uint8Array.of(10, 0, 0, 1);
const THERE = Uint8Array.of(10, 0, 0, 2);

const DATAGRAM_BYTES = 65_536;

export class StackPair {
  readonly here = new StackScene({ addresses: [{ address: HERE, bits: 24 }] });
  readonly there = new StackScene({ addresses: [{ address: THERE, bits: 24 }] });
  readonly host = new FakeHost(this.here.slab);
  readonly forwarder: LocalForwarder;
  readonly random: SeededRandom;
  /** Packets of a thousand that get lost. */
  lossPerMille = 0;
  /** Bytes of the pool that are in use before any flow exists. */
  readonly idleBytes: number;

  constructor(
    services: readonly LocalService[],
    seed: number,
    limits: Partial<ForwardLimits> = {},
  ) {
    this.random = new SeededRandom(seed);
    const { here } = this;
    this.forwarder = new LocalForwarder({
      host: this.host,
      time: here.stack,
      counters: here,
      services,
      datagramAt: here.pool.allocate(DATAGRAM_BYTES),
      limits: { ...DEFAULT_FORWARD_LIMITS, ...limits },
    });
    here.stack.tcp.forwarder = this.forwarder.tcp;
    here.stack.udp.forwarder = this.forwarder.udp;
    this.idleBytes = here.pool.usedBytes;
  }

  get nowMs(): number {
    return this.here.nowMs;
  }

  /** Lets both stacks do everything that can be done now; packets take no time. */
  step(): void {
    for (let isMoving = true; isMoving;) {
      const isBusy = this.forwarder.turn(true);
      for (const scene of [this.here, this.there]) scene.stack.flush(scene.nowMs);
      const moved = this.#carry(this.here, this.there) + this.#carry(this.there, this.here);
      isMoving = moved > 0 || isBusy;
    }
  }

  /** Moves time on by `ms`, deadline by deadline. */
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    this.step();
    while (this.nowMs < endMs) {
      const dueMs = Math.min(
        this.here.stack.nextTimeoutMs(),
        this.there.stack.nextTimeoutMs(),
        this.forwarder.nextTimeoutMs(),
      );
      const stepMs = Math.max(0, Math.min(dueMs, endMs) - this.nowMs);
      this.here.advance(stepMs);
      this.there.advance(stepMs);
      this.forwarder.onTimeout(this.nowMs);
      this.step();
    }
  }

  #carry(from: StackScene, to: StackScene): number {
    const packets = from.sent();
    for (const packet of packets) {
      if (this.random.below(1000) >= this.lossPerMille) to.receive(packet);
    }
    return packets.length;
  }
}

/** A peer's application: it keeps what it gets, and writes what it is told to. */
export class PeerApp implements TcpHandler {
  connection: TcpConnection | null = null;
  isConnected = false;
  hasFin = false;
  end: TcpEnd | null = null;
  /** Whether it reads; else its window closes. */
  reads = true;
  readonly received: number[] = [];
  readonly #toWrite: number[] = [];
  #isClosing = false;

  constructor(readonly pair: StackPair) {}

  connect(port: number): this {
    const { stack, nowMs } = this.pair.there;
    this.connection = stack.tcp.connect(HERE, port, this, nowMs);
    return this;
  }

  write(bytes: readonly number[], isLast = false): void {
    for (const byte of bytes) this.#toWrite.push(byte);
    this.#isClosing ||= isLast;
    this.#flush();
  }

  onConnected(): void {
    this.isConnected = true;
    this.#flush();
  }

  onReadable(connection: TcpConnection): void {
    if (this.reads) this.readAll(connection);
  }

  readAll(connection: TcpConnection): void {
    const { u8 } = this.pair.there.slab;
    for (;;) {
      const bytes = connection.readSpan();
      if (bytes === 0) break;
      for (const byte of u8.subarray(connection.spanAt, connection.spanAt + bytes)) {
        this.received.push(byte);
      }
      connection.consume(bytes);
    }
    if (connection.isReadFinished) this.hasFin = true;
  }

  onWritable(): void {
    this.#flush();
  }

  onEnd(_connection: TcpConnection, end: TcpEnd): void {
    this.end = end;
  }

  #flush(): void {
    const { connection } = this;
    if (connection === null || !this.isConnected || this.end !== null) return;
    while (this.#toWrite.length > 0) {
      const room = connection.writeSpan(this.#toWrite.length);
      if (room === 0) return;
      this.pair.there.slab.u8.set(this.#toWrite.splice(0, room), connection.spanAt);
      connection.commitWrite(room);
    }
    if (this.#isClosing) connection.shutdown();
  }
}
