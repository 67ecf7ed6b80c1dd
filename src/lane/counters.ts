/** The counters of a lane: doubles in the slab, written by the lane, read by status. */
import { DROP_REASON_COUNT, type DropReason } from "../base/drop_reason.ts";
import type { Slab } from "../memory/slab.ts";

/** What a lane counts beside drops; indexes into the second half of its counters. */
export const LaneCounter = {
  TunReads: 0,
  TunReadPackets: 1,
  TunReadBytes: 2,
  TunWrites: 3,
  TunWritePackets: 4,
  TunWriteBytes: 5,
  UdpSends: 6,
  UdpSendMessages: 7,
  UdpSendBytes: 8,
  UdpReceives: 9,
  UdpReceiveMessages: 10,
  UdpReceiveBytes: 11,
  Turns: 12,
  Sleeps: 13,
  SendRetries: 14,
  SourceForgotten: 15,
  SegmentationFallbacks: 16,
  TunSegmentationFallbacks: 17,
  IcmpUnreachables: 18,
  /** From the stack: segments, and the packets that they become. */
  StackSegments: 19,
  StackSegmentPackets: 20,
  StackSegmentBytes: 21,
  /** To the stack: items, and the packets in them. */
  StackItems: 22,
  StackPackets: 23,
  StackBytes: 24,
  /** Packets that were placed in batches, whoever made them. */
  PacketsOut: 25,
  /** Super-packets that were given to, and taken from, other lanes. */
  HandedOver: 26,
  TakenOver: 27,
  /** Packets that were marked CE because the UDP socket's queue stood. */
  CongestionMarks: 28,
} as const;

/** One of the values of `LaneCounter`. */
export type LaneCounter = (typeof LaneCounter)[keyof typeof LaneCounter];

const LANE_COUNTER_COUNT = 64;

/** Bytes of slab for the counters of one lane. */
export const LANE_COUNTERS_BYTES = 8 * (DROP_REASON_COUNT + LANE_COUNTER_COUNT);

/** Accessors over one lane's counters. */
export class LaneCounters {
  readonly #f64: Float64Array;
  readonly #first: number;

  constructor(slab: Slab, at: number) {
    this.#f64 = slab.f64;
    this.#first = at >> 3;
  }

  /** Lane: counts `packets` as dropped for `reason`. */
  drop(reason: DropReason, packets = 1): void {
    this.#f64[this.#first + reason] += packets;
  }

  /** Lane: adds to a counter. */
  add(counter: LaneCounter, value: number): void {
    this.#f64[this.#first + DROP_REASON_COUNT + counter] += value;
  }

  /** Packets dropped for `reason`. */
  dropped(reason: number): number {
    return this.#f64[this.#first + reason];
  }

  /** The value of a counter. */
  value(counter: LaneCounter): number {
    return this.#f64[this.#first + DROP_REASON_COUNT + counter];
  }
}
