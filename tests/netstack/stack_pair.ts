/**
 * Two whole stacks joined by a wire: what one sends is cut into packets as a lane does it, and comes
 * to the other through GRO as on a lane. Virtual time; a packet is on its way for half of `rttMs`.
 */
import { GroCoalescer } from "../../src/offload/gro_coalesce.ts";
import { InboundItem } from "../../src/netstack/inbound.ts";
import type { TcpConnection, TcpEnd, TcpHandler } from "../../src/netstack/tcp/tcp_socket.ts";
import { address, OWN4, OWN6, PEER4, PEER6 } from "./packets.ts";
import { type SceneOptions, StackScene } from "./stack_scene.ts";

const GRO_AT = 1 << 14;
const ARRIVALS_AT = 1 << 18;

/** Takes packets of one batch and gives them to a stack as GRO merges them. */
class Arrivals {
  readonly #scene: StackScene;
  readonly #gro: GroCoalescer;
  readonly #item = new InboundItem();
  #at = ARRIVALS_AT;

  constructor(scene: StackScene, { gro = true, joinsStreams = true }: WireOptions) {
    this.#scene = scene;
    const options = { slabAddress: 0, tcp: gro, udp: gro };
    this.#gro = new GroCoalescer(scene.slab, scene.kernel, GRO_AT, options);
    this.#gro.joinsStreams = joinsStreams;
  }

  add(packet: Uint8Array): void {
    const isFull = this.#at + packet.length > ARRIVALS_AT + (1 << 17);
    if (this.#gro.isFull || isFull) this.flush();
    this.#at += 16;
    this.#scene.slab.u8.set(packet, this.#at);
    this.#gro.add(this.#at, packet.length);
    this.#at += packet.length;
  }

  flush(): void {
    this.#gro.flush(this);
    this.#at = ARRIVALS_AT;
  }

  write(): void {
    const item = this.#item;
    item.takeDelivered(this.#gro);
    this.#scene.stack.onItem(item, this.#scene.nowMs);
  }
}

/** One end. */
export class End {
  readonly scene: StackScene;
  readonly arrivals: Arrivals;

  constructor(options: SceneOptions, wire: WireOptions) {
    this.scene = new StackScene(options);
    this.arrivals = new Arrivals(this.scene, wire);
  }
}

/** What a wire does. */
export interface WireOptions {
  rttMs?: number;
  gso?: boolean;
  gro?: boolean;
  /** Whether GRO may join more than an IP packet holds, as on a lane without a TUN. */
  joinsStreams?: boolean;
  mtu?: number;
  /** What becomes of a packet: itself, none, or others (also back to where it came from). */
  router?: (packet: Uint8Array, fromA: boolean) => { on?: Uint8Array; back?: Uint8Array };
}

/** Both ends: a is 10.0.0.1, fd00::1; b is 10.0.0.2, fd00::2. */
export class StackPair {
  readonly a: End;
  readonly b: End;
  /** Packets that went over the wire. */
  packetCount = 0;
  nowMs = 1000;
  readonly #options: WireOptions;
  readonly #flights: { atMs: number; to: End; packet: Uint8Array }[] = [];

  constructor(options: WireOptions = {}) {
    const { gso = true, mtu } = options;
    this.#options = options;
    const ends = [[OWN4, OWN6], [PEER4, PEER6]].map(([v4, v6]) => {
      const addresses = [{ address: address(v4), bits: 24 }, { address: address(v6), bits: 64 }];
      const sceneOptions = { addresses, mtu, gsoMaxBytes: gso ? 65_535 : 0 };
      return new End(sceneOptions, options);
    });
    [this.a, this.b] = ends;
  }

  /** Lets time pass until `isDone`, for `limitMs` at most; whether it was done. */
  run(isDone: () => boolean, limitMs = 60_000): boolean {
    const endMs = this.nowMs + limitMs;
    for (;;) {
      this.#turn();
      if (isDone()) return true;
      const nextMs = Math.min(
        this.#flights[0]?.atMs ?? Infinity,
        this.a.scene.stack.nextTimeoutMs(),
        this.b.scene.stack.nextTimeoutMs(),
      );
      if (nextMs > endMs) return false;
      this.nowMs = Math.max(this.nowMs, nextMs);
    }
  }

  #turn(): void {
    for (const { scene } of [this.a, this.b]) scene.nowMs = scene.stack.nowMs = this.nowMs;
    while (this.#flights.length > 0 && this.#flights[0].atMs <= this.nowMs) {
      const { to, packet } = this.#flights.shift()!;
      to.arrivals.add(packet);
    }
    for (const end of [this.a, this.b]) {
      const { stack } = end.scene;
      end.arrivals.flush();
      if (stack.nextTimeoutMs() <= this.nowMs) stack.onTimeout(this.nowMs);
      do {
        stack.flush(this.nowMs);
        for (const packet of end.scene.sent()) this.#carry(end, packet);
      } while (stack.hasOutput);
    }
  }

  #carry(from: End, packet: Uint8Array): void {
    this.packetCount++;
    const other = from === this.a ? this.b : this.a;
    const { router } = this.#options;
    const { on, back } = router === undefined ? { on: packet } : router(packet, from === this.a);
    if (on !== undefined) this.#launch(other, on);
    if (back !== undefined) this.#launch(from, back);
  }

  #launch(to: End, packet: Uint8Array): void {
    const atMs = this.nowMs + (this.#options.rttMs ?? 10) / 2;
    this.#flights.push({ atMs, to, packet });
  }
}

/** An application that sends `bytes` and takes whatever comes. */
export class Peer implements TcpHandler {
  readonly received: Uint8Array[] = [];
  receivedBytes = 0;
  sentBytes = 0;
  end: TcpEnd | null = null;
  connection: TcpConnection | null = null;
  readonly #scene: StackScene;
  readonly #bytes: Uint8Array;

  constructor(scene: StackScene, bytes: Uint8Array) {
    this.#scene = scene;
    this.#bytes = bytes;
  }

  onConnected(connection: TcpConnection): void {
    this.connection = connection;
    this.#write(connection);
  }

  onWritable(connection: TcpConnection): void {
    this.#write(connection);
  }

  #write(connection: TcpConnection): void {
    while (this.sentBytes < this.#bytes.length) {
      const room = connection.writeSpan(this.#bytes.length - this.sentBytes);
      if (room === 0) return;
      const part = this.#bytes.subarray(this.sentBytes, this.sentBytes + room);
      this.#scene.slab.u8.set(part, connection.spanAt);
      connection.commitWrite(room);
      this.sentBytes += room;
    }
    if (connection.isReadFinished) connection.close();
    else connection.shutdown();
  }

  onReadable(connection: TcpConnection): void {
    for (let bytes = connection.readSpan(); bytes > 0; bytes = connection.readSpan()) {
      this.received.push(this.#scene.slab.u8.slice(connection.spanAt, connection.spanAt + bytes));
      this.receivedBytes += bytes;
      connection.consume(bytes);
    }
    const hasSent = this.sentBytes === this.#bytes.length;
    if (connection.isReadFinished && hasSent) connection.close();
  }

  onEnd(_connection: TcpConnection, end: TcpEnd): void {
    this.end = end;
  }

  /** All that was received. */
  whole(): Uint8Array {
    const whole = new Uint8Array(this.receivedBytes);
    let at = 0;
    for (const part of this.received) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }
}
