/** Pairs of UDP ports over one slab, as two lanes would have them. */
import { pollFd, POLLIN } from "../../ffi/descriptor.ts";
import { createFfiMemory, type FfiMemory } from "../../ffi/memory.ts";
import { AF_INET, AF_INET6, internetAddress } from "../../ffi/socket.ts";
import {
  EndpointRecord,
  openUdpSockets,
  UDP_SCRATCH_BYTES,
  type UdpOptions,
  UdpSocketPair,
  type UdpSockets,
} from "../../ffi/udp.ts";
import { closeUdpSockets } from "../../ffi/udp_open.ts";

const V4_LOOPBACK = new Uint8Array([127, 0, 0, 1]);
const V6_LOOPBACK = new Uint8Array(16).fill(1, 15);

/** Where the fixture keeps things in its memory. */
export const Place = {
  scratchA: 64,
  scratchB: 1024,
  endpointA: 2048,
  endpointB: 2112,
  /** 70,000 bytes to send, and 70,000 to receive into. */
  sent: 4096,
  received: 81920,
} as const;
export const CAPACITY = 70_000;

/** Two sockets pairs A and B of this machine, with their descriptors. */
export class UdpFixture {
  readonly memory: FfiMemory = createFfiMemory(160_000);
  readonly socketsA: UdpSockets;
  readonly socketsB: UdpSockets;
  readonly a: UdpSocketPair;
  readonly b: UdpSocketPair;

  constructor(options: Partial<UdpOptions> = {}) {
    const all = { port: 0, bufferBytes: 1 << 20, ...options };
    this.socketsA = openUdpSockets(all);
    this.socketsB = openUdpSockets(all);
    this.a = new UdpSocketPair(this.memory, Place.scratchA, this.socketsA);
    this.b = new UdpSocketPair(this.memory, Place.scratchB, this.socketsB);
    if (Place.scratchA + UDP_SCRATCH_BYTES > Place.scratchB) throw new Error("scratch too large");
    for (let i = 0; i < CAPACITY; i++) this.memory.u8[Place.sent + i] = (i * 31 + (i >> 8)) & 0xff;
  }

  /** Writes an endpoint record without a source. */
  setEndpoint(at: number, address: Uint8Array, port: number): void {
    const bytes = internetAddress(address, port);
    this.memory.u8.fill(0, at, at + EndpointRecord.bytes);
    this.memory.u8.set(bytes, at);
    this.memory.i32[(at + EndpointRecord.sockaddrLength) >> 2] = bytes.length;
  }

  /** Addresses B over loopback in endpoint A. */
  towardsB(family: number): void {
    const address = family === AF_INET ? V4_LOOPBACK : V6_LOOPBACK;
    this.setEndpoint(Place.endpointA, address, this.socketsB.port);
  }

  /** Waits for B to be readable and receives there; the sender is in endpoint B. */
  receiveAtB(family: number, capacity = CAPACITY): number {
    const fd = family === AF_INET ? this.socketsB.v4 : this.socketsB.v6;
    pollFd(fd, POLLIN, 2000);
    return this.b.receive(family, Place.received, capacity, Place.endpointB);
  }

  /** The bytes sent from A and received at B, for comparison. */
  sentBytes(length: number): Uint8Array {
    return this.memory.u8.slice(Place.sent, Place.sent + length);
  }

  receivedBytes(length: number): Uint8Array {
    return this.memory.u8.slice(Place.received, Place.received + length);
  }

  close(): void {
    closeUdpSockets(this.socketsA);
    closeUdpSockets(this.socketsB);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Both families with the overhead that one datagram of theirs has. */
export const FAMILIES = [
  { family: AF_INET, name: "IPv4", loopback: V4_LOOPBACK, payloadMax: 65_507 },
  { family: AF_INET6, name: "IPv6", loopback: V6_LOOPBACK, payloadMax: 65_487 },
] as const;
