/**
 * ICMP errors to the senders of packets that no peer can take: host unreachable, as the kernel's
 * WireGuard sends it. They seem to come from the unreachable address itself, because an address of
 * this host would be refused as a martian source on the way in. At most `PER_SECOND` are sent.
 */
import { DOUBLE_ZERO } from "../base/double_zero.ts";
import type { SuperPacket } from "../offload/super_packet.ts";
import { ICMP_ERROR_BYTES_MAX, writeUnreachable } from "../wire/icmp.ts";
import { LaneCounter } from "./counters.ts";
import type { LaneContext } from "./lane_context.ts";
import type { InboundSink } from "./inbound_sink.ts";

const PER_SECOND = 100;

/** Delivers the errors to the TUN or the stack, wherever the packet came from. */
export class Unreachables {
  readonly #context: LaneContext;
  readonly #sink: InboundSink;
  readonly #packetAt: number;
  readonly #joinAt: number;
  #windowStartMs = DOUBLE_ZERO;
  #sentInWindow = 0;

  /**
   * `scratchAt`: room for a vnet header and an error message (2 KiB). `joinAt`: room for the beginning
   * of a packet of two parts (2 KiB), free whenever `answer` is called for one.
   */
  constructor(context: LaneContext, sink: InboundSink, scratchAt: number, joinAt: number) {
    this.#context = context;
    this.#sink = sink;
    this.#packetAt = scratchAt + 64;
    this.#joinAt = joinAt;
  }

  /** Tells the sender of `packet` that its destination cannot be reached. */
  answer(packet: SuperPacket): void {
    if (!this.#mayAnswer()) return;
    const { slab, kernel, channels } = this.#context;
    const { destinationAt: sourceAt, isContiguous } = packet;
    const bytes = writeUnreachable(
      slab,
      kernel,
      this.#packetAt,
      isContiguous ? packet.at : this.#join(packet),
      isContiguous ? packet.bytes : Math.min(packet.bytes, ICMP_ERROR_BYTES_MAX),
      sourceAt,
    );
    if (bytes === 0) return;
    this.#sink.deliverSingle(this.#packetAt, bytes);
    channels.counters.add(LaneCounter.IcmpUnreachables, 1);
  }

  /** Puts as much of a packet of two parts together as an error quotes. */
  #join(packet: SuperPacket): number {
    const { at, bytes, headerBytes, payloadAt } = packet;
    const { u8 } = this.#context.slab;
    const quotedBytes = Math.min(bytes, ICMP_ERROR_BYTES_MAX) - headerBytes;
    u8.copyWithin(this.#joinAt, at, at + headerBytes);
    u8.copyWithin(this.#joinAt + headerBytes, payloadAt, payloadAt + quotedBytes);
    return this.#joinAt;
  }

  #mayAnswer(): boolean {
    const { nowMs } = this.#context;
    if (nowMs - this.#windowStartMs >= 1000) {
      this.#windowStartMs = nowMs;
      this.#sentInWindow = 0;
    }
    return this.#sentInWindow++ < PER_SECOND;
  }
}
