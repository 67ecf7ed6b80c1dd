/** A forwarder with a faked host and faked peers, in virtual time. */
import { assertEquals } from "@std/assert";
import type { DropReason } from "../../src/base/drop_reason.ts";
import type { ForwardLimits } from "../../src/forward/limits.ts";
import { DEFAULT_FORWARD_LIMITS } from "../../src/forward/limits.ts";
import { LocalForwarder } from "../../src/forward/local_forwarder.ts";
import type { LocalService } from "../../src/forward/local_services.ts";
import type { TcpFlow } from "../../src/netstack/tcp/tcp_socket.ts";
import { FakeHost, type FakeSocket } from "./fake_host.ts";
import { type FakeConnection, FakePending } from "./fake_tcp.ts";
import { FakeUdp } from "./fake_udp.ts";

/** One flow that both ends have agreed on. */
export interface OpenFlow {
  readonly socket: FakeSocket;
  readonly connection: FakeConnection;
}

export const WEB: LocalService = {
  transport: "tcp",
  firstPort: 80,
  lastPort: 80,
  host: Uint8Array.of(127, 0, 0, 1),
  port: 8080,
};

const DATAGRAM_AT = 7 * 1024 * 1024;

/** The forwarder and what surrounds it. */
export class Scene {
  readonly host = new FakeHost();
  readonly udp = new FakeUdp(this.host, () => this.forwarder.udp);
  readonly drops = new Map<DropReason, number>();
  readonly forwarder: LocalForwarder;
  nowMs = 1_000_000;
  #nextPort = 40_000;

  constructor(
    services: readonly LocalService[] = [WEB],
    limits: Partial<ForwardLimits> = {},
  ) {
    this.forwarder = new LocalForwarder({
      host: this.host,
      time: this,
      counters: {
        drop: (reason, packets = 1) =>
          this.drops.set(reason, (this.drops.get(reason) ?? 0) + packets),
      },
      services,
      datagramAt: DATAGRAM_AT,
      limits: { ...DEFAULT_FORWARD_LIMITS, ...limits },
    });
  }

  /** A SYN comes. */
  syn(flow: Partial<TcpFlow> = {}, sendBytesMax?: number): FakePending {
    const pending = new FakePending(
      this.host,
      { remotePort: this.#nextPort++, ...flow },
      sendBytesMax,
    );
    this.forwarder.tcp.onSyn(pending);
    return pending;
  }

  /** One turn of the lane; whether it has more to do. */
  turn(): boolean {
    const isBusy = this.forwarder.turn(true);
    this.forwarder.onTimeout(this.nowMs);
    return isBusy;
  }

  /** Turns until there is nothing more to do. */
  settle(): void {
    for (let i = 0; this.turn(); i++) {
      if (i > 1000) throw new Error("the forwarder does not come to rest");
    }
  }

  /** Lets time pass, with all that is due in it. */
  pass(durationMs: number): void {
    const endMs = this.nowMs + durationMs;
    for (;;) {
      const dueMs = this.forwarder.nextTimeoutMs();
      if (dueMs > endMs) break;
      this.nowMs = Math.max(this.nowMs, dueMs);
      this.turn();
    }
    this.nowMs = endMs;
  }

  /** A flow over which bytes can go both ways. */
  open(flow: Partial<TcpFlow> = {}, sendBytesMax?: number): OpenFlow {
    const pending = this.syn(flow, sendBytesMax);
    const socket = this.host.last;
    this.host.dialled(socket);
    this.settle();
    assertEquals(pending.answer, "accepted");
    pending.connection!.establish();
    this.settle();
    return { socket, connection: pending.connection! };
  }

  /** Fails unless everything has been given back. */
  assertEmpty(): void {
    assertEquals(this.host.open.length, 0, "sockets are open");
    assertEquals(this.forwarder.tcp.flowCount, 0);
    assertEquals(this.forwarder.tcp.dialCount, 0);
    assertEquals(this.forwarder.udp.flowCount, 0);
    assertEquals(this.forwarder.flowCount, 0);
  }
}

/** Bytes that tell where they are in a stream. */
export function bytes(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, i) => (from + i) * 31 & 0xff);
}
