/**
 * The write side of a lane's TUN queue: one writev per coalesced item, and what errors mean.
 *
 * Some kernels refuse certain coalesced writes (6.6.44 and 6.10.3 with EINVAL). The first refusal
 * switches coalescing of that kind off for good; the refused item is cut up again and written packet
 * by packet, so that nothing is lost by it.
 */
import { DropReason } from "../base/drop_reason.ts";
import { Errno } from "../base/errno.ts";
import type { GroCoalescer, GroSink } from "../offload/gro_coalesce.ts";
import { IovecWriter } from "../offload/iovec.ts";
import { segmentBytes, splitSegments } from "../offload/gso_split.ts";
import { parseSuperPacket, SuperPacket } from "../offload/super_packet.ts";
import { IpProtocol } from "../wire/ip.ts";
import { clearVnetHeader, VNET_HEADER_BYTES } from "../wire/virtio_net.ts";
import { LaneCounter } from "./counters.ts";
import type { LaneContext } from "./lane_context.ts";
import type { TunPort } from "./ports.ts";

/** Scratch of the fallback: an iovec, one packet, and a whole super-packet. */
export const TUN_OUTPUT_SCRATCH_BYTES = 64 + 2 * (65_536 + 64);
const SINGLE_AT = 64 + 64;
const WHOLE_AT = SINGLE_AT + 65_536;

/** What an output needs beside the lane's context. */
export interface TunOutputOptions {
  readonly tun: TunPort;
  /** `TUN_OUTPUT_SCRATCH_BYTES` in the slab. */
  readonly scratchAt: number;
  readonly slabAddress: number;
  readonly onGone: () => void;
  /** The kernel has refused a coalesced write; told once per protocol. */
  readonly onFallback: () => void;
}

/** Writes packets and super-packets to the TUN. */
export class TunOutput implements GroSink {
  readonly #context: LaneContext;
  readonly #options: TunOutputOptions;
  readonly #packet = new SuperPacket();
  readonly #iovecs: IovecWriter;
  /** The coalescer whose items come here; set once it exists. */
  gro: GroCoalescer | null = null;

  constructor(context: LaneContext, options: TunOutputOptions) {
    this.#context = context;
    this.#options = options;
    this.#iovecs = new IovecWriter(context.slab, options.slabAddress);
  }

  /** Writes one item, of as many packets as it has iovecs; an interface that is down is a drop. */
  write(iovecAt: number, iovecCount: number, totalBytes: number): void {
    const result = this.#writev(iovecAt, iovecCount);
    if (result >= 0) {
      this.#count(iovecCount, totalBytes);
    } else if (result === -Errno.EINVAL && iovecCount > 1) {
      this.#writeApart(iovecAt, iovecCount, totalBytes);
    } else {
      this.#failed(-result, iovecCount);
    }
  }

  #writev(iovecAt: number, iovecCount: number): number {
    let result = this.#options.tun.writev(iovecAt, iovecCount);
    while (result === -Errno.EINTR) result = this.#options.tun.writev(iovecAt, iovecCount);
    return result;
  }

  #count(packets: number, bytes: number): void {
    const counters = this.#context.channels.counters;
    counters.add(LaneCounter.TunWrites, 1);
    counters.add(LaneCounter.TunWritePackets, packets);
    counters.add(LaneCounter.TunWriteBytes, bytes);
  }

  #failed(errno: number, packets: number): void {
    this.#context.channels.counters.drop(DropReason.TunWriteFailed, packets);
    if (errno === Errno.EBADFD || errno === Errno.EBADF) this.#options.onGone();
  }

  /** Cuts a refused item up again, and sees to it that no other is made. */
  #writeApart(iovecAt: number, iovecCount: number, totalBytes: number): void {
    const { slab, kernel, channels } = this.#context;
    const wholeAt = this.#options.scratchAt + WHOLE_AT;
    this.#gather(iovecAt, iovecCount, wholeAt);
    const packet = this.#packet;
    if (parseSuperPacket(slab, wholeAt, totalBytes, packet) !== DropReason.None) {
      this.#failed(Errno.EINVAL, iovecCount);
      return;
    }
    const singleAt = this.#options.scratchAt + SINGLE_AT;
    for (let i = 0; i < packet.segmentCount; i++) {
      splitSegments(slab, kernel, packet, i, 1, singleAt, 0);
      this.writeSingle(singleAt, segmentBytes(packet, i));
    }
    channels.counters.add(LaneCounter.TunSegmentationFallbacks, 1);
    this.#switchOff(packet.protocol);
  }

  /** Writes one packet, whose checksums are complete, that has `VNET_HEADER_BYTES` free before it. */
  writeSingle(packetAt: number, bytes: number): void {
    const vnetAt = packetAt - VNET_HEADER_BYTES;
    clearVnetHeader(this.#context.slab.view, vnetAt);
    const iovecAt = this.#options.scratchAt;
    const total = bytes + VNET_HEADER_BYTES;
    this.#iovecs.write(iovecAt, vnetAt, total);
    const result = this.#writev(iovecAt, 1);
    if (result >= 0) this.#count(1, total);
    else this.#failed(-result, 1);
  }

  #gather(iovecAt: number, iovecCount: number, to: number): void {
    const { u8, u32 } = this.#context.slab;
    for (let i = 0; i < iovecCount; i++) {
      const word = (iovecAt >> 2) + 4 * i;
      const address = u32[word] + u32[word + 1] * 4294967296;
      const from = address - this.#options.slabAddress;
      u8.copyWithin(to, from, from + u32[word + 2]);
      to += u32[word + 2];
    }
  }

  #switchOff(protocol: number): void {
    const gro = this.gro;
    if (gro === null) return;
    const wasOn = protocol === IpProtocol.Tcp ? gro.tcp : gro.udp;
    if (protocol === IpProtocol.Tcp) gro.tcp = false;
    else gro.udp = false;
    if (wasOn) this.#options.onFallback();
  }
}
