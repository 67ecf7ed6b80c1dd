/** How the stack counts: drops by reason, and what each protocol has done. */
import type { DropReason } from "../base/drop_reason.ts";

/** Counts drops; `LaneCounters` is one. */
export interface DropCounters {
  /** Counts `packets` (1 if left out) as dropped for `reason`. */
  drop(reason: DropReason, packets?: number): void;
}

/** What the stack counts beside drops. */
export const StackCounter = {
  /** Packets that came in, merged ones counted one by one, and their bytes. */
  PacketsIn: 0,
  BytesIn: 1,
  /** Items that came in: a run of packets is one. */
  ItemsIn: 2,
  /** Fragments that came in, datagrams made of them. */
  FragmentsIn: 3,
  Reassembled: 4,
  /** UDP datagrams to and from applications. */
  UdpIn: 5,
  UdpOut: 6,
  /** ICMP echo requests that were answered here. */
  EchoAnswered: 7,
  /** ICMP errors that reached a flow. */
  IcmpErrorsIn: 8,
  /** Datagrams cut into fragments, fragments made. */
  Fragmented: 9,
  FragmentsOut: 10,
} as const;
/** One of the values of `StackCounter`. */
export type StackCounter = (typeof StackCounter)[keyof typeof StackCounter];

/** Number of counters. */
export const STACK_COUNTER_COUNT = 16;

/** The stack's own counters: doubles, in an array that may be a view of the slab. */
export class StackCounters {
  /** By `StackCounter`. */
  readonly values: Float64Array;

  constructor(values: Float64Array = new Float64Array(STACK_COUNTER_COUNT)) {
    this.values = values;
  }

  /** Adds to a counter. */
  add(counter: StackCounter, value: number): void {
    this.values[counter] += value;
  }

  /** The value of a counter. */
  value(counter: StackCounter): number {
    return this.values[counter];
  }
}
