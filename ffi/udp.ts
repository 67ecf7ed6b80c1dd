/**
 * The UDP sockets towards peers as a lane uses them: one `recvmsg` takes a run of datagrams that the
 * kernel has coalesced (UDP_GRO), one `sendmsg` sends a run that the kernel cuts (UDP_SEGMENT).
 * What a failed send means and how it is repeated is the lane's business, not this file's.
 */
import { DOUBLE_ZERO } from "../src/base/double_zero.ts";
import { Errno } from "../src/base/errno.ts";
import { CLOCK_REALTIME } from "./clock.ts";
import { Cmsghdr, cmsgSpace, In6Pktinfo, InPktinfo, Msghdr } from "./layout.ts";
import { checked, libc } from "./libc.ts";
import type { FfiMemory } from "./memory.ts";
import {
  AF_INET,
  IP_PKTINFO,
  IPPROTO_IP,
  IPPROTO_IPV6,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SO_TIMESTAMPNS,
  SOL_SOCKET,
  SOL_UDP,
  UDP_GRO,
  UDP_SEGMENT,
} from "./socket.ts";
import type { UdpSockets } from "./udp_open.ts";

export {
  closeUdpSockets,
  openSiblingUdpSockets,
  openUdpSockets,
  type UdpOptions,
  type UdpSockets,
} from "./udp_open.ts";

/**
 * The endpoint record of `src/tables/endpoint.ts`: a socket address, its length, and the local
 * address and interface that the last datagram came to.
 */
export const EndpointRecord = {
  sockaddr: 0,
  sockaddrLength: 28,
  sourceInterface: 32,
  sourceAddress: 36,
  bytes: 64,
} as const;

const IP_TOS = 1;
const IPV6_PKTINFO = 50;
const IPV6_TCLASS = 67;

// The scratch region: a message header, an iovec and control data each way.
const RECEIVE_HEADER = 0;
const SEND_HEADER = 64;
const RECEIVE_IOVEC = 128;
const SEND_IOVEC = 144;
const RECEIVE_CONTROL = 192;
const SEND_CONTROL = 320;
const CONTROL_BYTES = 128;
const NOW = 448;

/** Bytes of slab that one `UdpSocketPair` needs, at a multiple of 8; a cache line is better. */
export const UDP_SCRATCH_BYTES = 464;

/**
 * A lane's handle on an IPv4 and an IPv6 socket (`UdpPort` of src/lane/ports.ts). Several workers
 * may have handles on the same descriptors, each with a scratch region of its own. It allocates
 * nothing while it receives and sends.
 */
export class UdpSocketPair {
  /** After `receive`: the length of each datagram of a run; the result itself for a single one. */
  segmentBytes = 0;
  /** After `receive`: the TOS or traffic class byte of the outer header. */
  tos = 0;
  /** After `receive`: for how many milliseconds it has stood in the socket's queue. */
  queuedMs = DOUBLE_ZERO;

  readonly #recvmsg = libc().recvmsg_at;
  readonly #sendmsg = libc().sendmsg_at;
  readonly #clockGettime = libc().clock_gettime_at;
  readonly #memory: FfiMemory;
  readonly #i32: Int32Array;
  readonly #scratchAt: number;
  readonly #receiveHeader: bigint;
  readonly #sendHeader: bigint;
  readonly #now: bigint;
  #v4 = -1;
  #v6 = -1;

  /** `scratchAt`: a region of UDP_SCRATCH_BYTES that no one else uses. */
  constructor(memory: FfiMemory, scratchAt: number, sockets: Pick<UdpSockets, "v4" | "v6">) {
    this.#memory = memory;
    this.#i32 = memory.i32;
    this.#scratchAt = scratchAt;
    this.#receiveHeader = memory.addressOf(scratchAt + RECEIVE_HEADER);
    this.#sendHeader = memory.addressOf(scratchAt + SEND_HEADER);
    this.#now = memory.addressOf(scratchAt + NOW);
    memory.u8.fill(0, scratchAt, scratchAt + UDP_SCRATCH_BYTES);
    this.#prepareHeader(RECEIVE_HEADER, RECEIVE_IOVEC, RECEIVE_CONTROL);
    this.#prepareHeader(SEND_HEADER, SEND_IOVEC, SEND_CONTROL);
    this.useSockets(sockets);
  }

  #prepareHeader(header: number, iovec: number, control: number): void {
    const memory = this.#memory, base = this.#scratchAt;
    memory.writeAddress(base + header + Msghdr.iov, base + iovec);
    memory.i32[(base + header + Msghdr.iovlen) >> 2] = 1;
    memory.writeAddress(base + header + Msghdr.control, base + control);
  }

  /** Goes on with other sockets (after a change of the port); -1 stands for none. */
  useSockets(sockets: Pick<UdpSockets, "v4" | "v6">): void {
    this.#v4 = sockets.v4;
    this.#v6 = sockets.v6;
  }

  /**
   * Receives a datagram or a coalesced run from the socket of `family` to `at`, without waiting.
   * Writes the sender's endpoint record to `endpointAt` and sets `segmentBytes` and `tos`. The
   * length (0 for an empty datagram; what exceeds `capacity` is lost), or a negated errno: EAGAIN
   * when nothing is there.
   */
  receive(family: number, at: number, capacity: number, endpointAt: number): number {
    const fd = family === AF_INET ? this.#v4 : this.#v6;
    if (fd < 0) return -Errno.EAFNOSUPPORT;
    const i32 = this.#i32, memory = this.#memory, scratch = this.#scratchAt;
    const endpoint = endpointAt >> 2;
    const header = (scratch + RECEIVE_HEADER) >> 2;
    // The kernel writes the sender straight into the record: 16 bytes of the 28 for IPv4.
    memory.writeAddress(scratch + RECEIVE_HEADER + Msghdr.name, endpointAt);
    i32[header + (Msghdr.namelen >> 2)] = EndpointRecord.sockaddrLength;
    i32[header + (Msghdr.controllen >> 2)] = CONTROL_BYTES;
    memory.writeIovec(scratch + RECEIVE_IOVEC, at, capacity);
    for (let i = 4; i < 16; i++) i32[endpoint + i] = 0;

    const length = checked(this.#recvmsg(fd, this.#receiveHeader, MSG_DONTWAIT));
    if (length < 0) return length;
    i32[endpoint + (EndpointRecord.sockaddrLength >> 2)] = i32[header + (Msghdr.namelen >> 2)];
    this.segmentBytes = length;
    this.tos = 0;
    this.queuedMs = 0;
    this.#readControl(i32[header + (Msghdr.controllen >> 2)], endpointAt);
    return length;
  }

  #readControl(controlBytes: number, endpointAt: number): void {
    const i32 = this.#i32;
    let at = this.#scratchAt + RECEIVE_CONTROL;
    const end = at + controlBytes;
    while (at + Cmsghdr.bytes <= end) {
      const cmsgBytes = i32[(at + Cmsghdr.length) >> 2];
      if (cmsgBytes < Cmsghdr.bytes) return;
      const level = i32[(at + Cmsghdr.level) >> 2];
      const type = i32[(at + Cmsghdr.type) >> 2];
      const data = at + Cmsghdr.data;
      if (level === SOL_UDP) {
        if (type === UDP_GRO) this.segmentBytes = i32[data >> 2];
      } else if (level === SOL_SOCKET) {
        if (type === SO_TIMESTAMPNS) this.queuedMs = this.#msSince(data);
      } else if (level === IPPROTO_IP) {
        // The kernel gives the TOS as one byte, the traffic class as an int (net/ipv4/ip_sockglue.c).
        if (type === IP_TOS) this.tos = this.#memory.u8[data];
        else if (type === IP_PKTINFO) this.#copySourceV4(data, endpointAt);
      } else if (level === IPPROTO_IPV6) {
        if (type === IPV6_TCLASS) this.tos = i32[data >> 2] & 0xff;
        else if (type === IPV6_PKTINFO) this.#copySourceV6(data, endpointAt);
      }
      at += (cmsgBytes + 7) & ~7;
    }
  }

  /** How long ago the struct timespec of CLOCK_REALTIME at `at` was; 0 where it is to come. */
  #msSince(at: number): number {
    this.#clockGettime(CLOCK_REALTIME, this.#now);
    const i32 = this.#i32;
    const now = (this.#scratchAt + NOW) >> 2, then = at >> 2;
    const seconds = (i32[now] - i32[then]) | 0;
    return Math.max(0, seconds * 1000 + (i32[now + 2] - i32[then + 2]) / 1e6);
  }

  /** Of the two addresses in a pktinfo, spec_dst is the local one that an answer can leave from. */
  #copySourceV4(pktinfoAt: number, endpointAt: number): void {
    const i32 = this.#i32;
    i32[(endpointAt + EndpointRecord.sourceInterface) >> 2] =
      i32[(pktinfoAt + InPktinfo.ifindex) >> 2];
    i32[(endpointAt + EndpointRecord.sourceAddress) >> 2] =
      i32[(pktinfoAt + InPktinfo.specDst) >> 2];
  }

  #copySourceV6(pktinfoAt: number, endpointAt: number): void {
    const i32 = this.#i32;
    i32[(endpointAt + EndpointRecord.sourceInterface) >> 2] =
      i32[(pktinfoAt + In6Pktinfo.ifindex) >> 2];
    const from = (pktinfoAt + In6Pktinfo.addr) >> 2;
    const to = (endpointAt + EndpointRecord.sourceAddress) >> 2;
    for (let i = 0; i < 4; i++) i32[to + i] = i32[from + i];
  }

  /**
   * Sends `length` bytes at `at` to the endpoint record at `endpointAt`, cut into datagrams of
   * `segmentBytes` (a value of at least `length` means one datagram), with that TOS byte, from the
   * record's source when it has one. Never waits. `length`, or a negated errno.
   */
  send(
    at: number,
    length: number,
    segmentBytes: number,
    endpointAt: number,
    tos: number,
  ): number {
    const i32 = this.#i32, memory = this.#memory, scratch = this.#scratchAt;
    const isV4 = (i32[endpointAt >> 2] & 0xffff) === AF_INET;
    const fd = isV4 ? this.#v4 : this.#v6;
    if (fd < 0) return -Errno.EAFNOSUPPORT;
    const header = (scratch + SEND_HEADER) >> 2;
    memory.writeAddress(scratch + SEND_HEADER + Msghdr.name, endpointAt);
    // Per message: a header that served the other family has the other length.
    i32[header + (Msghdr.namelen >> 2)] = i32[(endpointAt + EndpointRecord.sockaddrLength) >> 2];
    memory.writeIovec(scratch + SEND_IOVEC, at, length);

    // Control messages that do not apply must not be there at all, or sendmsg fails with EINVAL.
    const controlAt = scratch + SEND_CONTROL;
    let control = controlAt;
    if (segmentBytes < length) {
      control = this.#addWord(control, SOL_UDP, UDP_SEGMENT, 2, segmentBytes);
    }
    if (this.#hasSource(endpointAt)) {
      control = isV4
        ? this.#addSourceV4(control, endpointAt)
        : this.#addSourceV6(control, endpointAt);
    }
    if (tos !== 0) {
      control = isV4
        ? this.#addWord(control, IPPROTO_IP, IP_TOS, 4, tos)
        : this.#addWord(control, IPPROTO_IPV6, IPV6_TCLASS, 4, tos);
    }
    i32[header + (Msghdr.controllen >> 2)] = control - controlAt;
    return checked(this.#sendmsg(fd, this.#sendHeader, MSG_DONTWAIT | MSG_NOSIGNAL));
  }

  #hasSource(endpointAt: number): boolean {
    const i32 = this.#i32, source = (endpointAt + EndpointRecord.sourceInterface) >> 2;
    return (i32[source] | i32[source + 1] | i32[source + 2] | i32[source + 3] |
      i32[source + 4]) !== 0;
  }

  #beginControl(at: number, level: number, type: number, dataBytes: number): number {
    const i32 = this.#i32;
    i32[(at + Cmsghdr.length) >> 2] = Cmsghdr.data + dataBytes;
    i32[(at + Cmsghdr.length + 4) >> 2] = 0;
    i32[(at + Cmsghdr.level) >> 2] = level;
    i32[(at + Cmsghdr.type) >> 2] = type;
    return at + Cmsghdr.data;
  }

  /** A control message with a u16 or an int; little-endian, so that one store serves both. */
  #addWord(at: number, level: number, type: number, dataBytes: number, value: number): number {
    this.#i32[this.#beginControl(at, level, type, dataBytes) >> 2] = value;
    return at + WORD_CONTROL_BYTES;
  }

  #addSourceV4(at: number, endpointAt: number): number {
    const i32 = this.#i32;
    const data = this.#beginControl(at, IPPROTO_IP, IP_PKTINFO, InPktinfo.bytes);
    i32[(data + InPktinfo.ifindex) >> 2] = i32[(endpointAt + EndpointRecord.sourceInterface) >> 2];
    i32[(data + InPktinfo.specDst) >> 2] = i32[(endpointAt + EndpointRecord.sourceAddress) >> 2];
    i32[(data + InPktinfo.addr) >> 2] = 0;
    return at + SOURCE_V4_CONTROL_BYTES;
  }

  #addSourceV6(at: number, endpointAt: number): number {
    const i32 = this.#i32;
    const data = this.#beginControl(at, IPPROTO_IPV6, IPV6_PKTINFO, In6Pktinfo.bytes);
    const from = (endpointAt + EndpointRecord.sourceAddress) >> 2;
    const to = (data + In6Pktinfo.addr) >> 2;
    for (let i = 0; i < 4; i++) i32[to + i] = i32[from + i];
    i32[(data + In6Pktinfo.ifindex) >> 2] = i32[(endpointAt + EndpointRecord.sourceInterface) >> 2];
    return at + SOURCE_V6_CONTROL_BYTES;
  }
}

const WORD_CONTROL_BYTES = cmsgSpace(4);
const SOURCE_V4_CONTROL_BYTES = cmsgSpace(InPktinfo.bytes);
const SOURCE_V6_CONTROL_BYTES = cmsgSpace(In6Pktinfo.bytes);
