/** What one end of a bulk transfer has done: numbers in the slab, written by its lane. */
import type { Slab } from "../memory/slab.ts";

/** The numbers, as indexes. */
export const BulkField = {
  /** The task that the others belong to. */
  Task: 0,
  /** One of `BulkState`. */
  State: 1,
  /** Bytes that were sent or received. */
  Bytes: 2,
  /** When the first byte could go, and the last was there, on CLOCK_BOOTTIME. */
  StartedMs: 3,
  EndedMs: 4,
  /** Runs of bytes that were not what had been sent. */
  WrongRuns: 5,
  /** CPU time of the lane's thread, in seconds since it began: at the first byte, and at the end. */
  CpuStartSeconds: 6,
  CpuEndSeconds: 7,
} as const;
/** One of the values of `BulkField`. */
export type BulkField = (typeof BulkField)[keyof typeof BulkField];

/** Where a transfer is. */
export const BulkState = { Waiting: 0, Running: 1, Done: 2, Failed: 3 } as const;

/** Bytes of slab, at a multiple of 8. */
export const BULK_REPORT_BYTES = 64;

/** One worker's handle. A reader may see numbers of two moments; the state is written last. */
export class BulkReport {
  readonly #f64: Float64Array;
  readonly #first: number;

  constructor(slab: Slab, at: number) {
    this.#f64 = slab.f64;
    this.#first = at >> 3;
  }

  get(field: BulkField): number {
    return this.#f64[this.#first + field];
  }

  set(field: BulkField, value: number): void {
    this.#f64[this.#first + field] = value;
  }
}
