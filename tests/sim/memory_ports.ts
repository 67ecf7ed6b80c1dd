/** Ports over arrays: a TUN and UDP sockets for nodes that run in the simulator. */
import { Errno } from "../../src/base/errno.ts";
import type { TunPort, UdpPort } from "../../src/lane/ports.ts";
import type { Slab } from "../../src/memory/slab.ts";
import {
  AF_INET,
  ENDPOINT_SOCKADDR_LENGTH,
  ENDPOINT_SOURCE_ADDRESS,
} from "../../src/tables/endpoint.ts";

/** Most datagrams that the kernel's UDP_GRO joins (UDP_GRO_CNT_MAX). */
const RUN_MAX = 64;

/** A TUN whose other side is two arrays. Packets have their vnet header first. */
export class MemoryTun implements TunPort {
  /** What the host sends: read by the lane in this order. */
  readonly fromHost: Uint8Array[] = [];
  /** What the lane wrote. */
  readonly toHost: Uint8Array[] = [];
  /** What the next writes answer, instead of succeeding: negated errnos. */
  readonly writeErrors: number[] = [];

  constructor(readonly slab: Slab) {}

  read(at: number, capacity: number): number {
    const packet = this.fromHost.shift();
    if (packet === undefined) return -Errno.EAGAIN;
    if (packet.length > capacity) return -Errno.EINVAL;
    this.slab.u8.set(packet, at);
    return packet.length;
  }

  writev(iovecAt: number, count: number): number {
    const error = this.writeErrors.shift();
    if (error !== undefined) return error;
    const parts: number[] = [];
    for (let i = 0; i < count; i++) {
      const at = this.slab.u32[(iovecAt >> 2) + i * 4];
      const length = this.slab.u32[(iovecAt >> 2) + i * 4 + 2];
      for (let j = 0; j < length; j++) parts.push(this.slab.u8[at + j]);
    }
    this.toHost.push(Uint8Array.from(parts));
    return parts.length;
  }
}

/** A datagram under way in the simulated network. */
export interface Datagram {
  readonly from: number;
  readonly to: number;
  /** IPv4 addresses as numbers. */
  readonly fromAddress: number;
  readonly toAddress: number;
  readonly bytes: Uint8Array;
  readonly tos: number;
}

/** IPv4-only sockets; `onSend` is the network. Runs are cut up, and received one by one or as runs. */
export class MemoryUdp implements UdpPort {
  segmentBytes = 0;
  tos = 0;
  queuedMs = 0;
  readonly received: Datagram[] = [];
  /** What the next sends answer, instead of succeeding: negated errnos. */
  readonly sendErrors: number[] = [];
  /** The sticky source of each send, 0 for none. */
  readonly sources: number[] = [];
  sends = 0;

  constructor(
    readonly slab: Slab,
    public address: number,
    public port: number,
    readonly onSend: (datagram: Datagram) => void,
    readonly coalesce = true,
  ) {}

  receive(family: number, at: number, capacity: number, endpointAt: number): number {
    if (family !== AF_INET || this.received.length === 0) return -Errno.EAGAIN;
    const first = this.received.shift()!;
    const { u8, view } = this.slab;
    u8.set(first.bytes, at);
    let total = first.bytes.length;
    this.segmentBytes = total;
    this.tos = first.tos;
    for (let n = 1; n < RUN_MAX && this.coalesce && this.#mayJoin(first, total, capacity); n++) {
      const next = this.received.shift()!;
      u8.set(next.bytes, at + total);
      total += next.bytes.length;
      if (next.bytes.length < first.bytes.length) break;
    }
    u8.fill(0, endpointAt, endpointAt + 64);
    view.setUint16(endpointAt, AF_INET, true);
    view.setUint16(endpointAt + 2, first.from);
    view.setUint32(endpointAt + 4, first.fromAddress);
    view.setUint32(endpointAt + ENDPOINT_SOCKADDR_LENGTH, 16, true);
    view.setUint32(endpointAt + ENDPOINT_SOURCE_ADDRESS, first.toAddress);
    return total;
  }

  #mayJoin(first: Datagram, total: number, capacity: number): boolean {
    const next = this.received[0];
    return next !== undefined && next.from === first.from &&
      next.fromAddress === first.fromAddress && next.tos === first.tos &&
      next.bytes.length <= first.bytes.length && total + next.bytes.length <= capacity;
  }

  send(at: number, length: number, segmentBytes: number, endpointAt: number, tos: number): number {
    const error = this.sendErrors.shift();
    if (error !== undefined) return error;
    this.sends++;
    const { u8, view } = this.slab;
    const source = view.getUint32(endpointAt + ENDPOINT_SOURCE_ADDRESS);
    this.sources.push(source);
    for (let done = 0; done < length; done += segmentBytes) {
      this.onSend({
        from: this.port,
        to: view.getUint16(endpointAt + 2),
        fromAddress: source || this.address,
        toAddress: view.getUint32(endpointAt + 4),
        bytes: u8.slice(at + done, at + Math.min(done + segmentBytes, length)),
        tos,
      });
    }
    return length;
  }
}
