/**
 * The model over the simulation: what a lane reaches with so many encryptors, what a machine with so
 * many cores reaches for one peer and for many, and what its memory has to move for that.
 */
import {
  BESIDE,
  CLIENT_NS,
  INLINE,
  type Machine,
  type MeasuredRun,
  PACKETS_PER_BATCH,
  PAYLOAD_BYTES,
  SERVER_NS,
  TOUCHED_CACHED,
  TOUCHED_RECEIVING,
  TOUCHED_SENDING,
  WAKE_NS,
  WINDOW_BATCHES,
} from "./costs.ts";
import {
  type EndOptions,
  type PipelineOptions,
  type PipelineResult,
  simulate,
} from "./pipeline.ts";

export type Direction = "send" | "receive";

/** Cores of a machine that lanes and encryptors leave to main, the kernel and all else. */
export const CORES_KEPT = 1;
const BATCHES = 2000;

export function gbitOf({ packetsPerSecond }: PipelineResult): number {
  return packetsPerSecond * PAYLOAD_BYTES * 8 / 1e9;
}

/** One end with so many encryptors. */
function endWith(direction: Direction, encryptors: number): EndOptions {
  return { costs: (encryptors === 0 ? INLINE : BESIDE)[direction], encryptors };
}

const COMMON = {
  windowBatches: WINDOW_BATCHES,
  packetsPerBatch: PACKETS_PER_BATCH,
  wakeNs: WAKE_NS,
  batches: BATCHES,
} as const;

/** Both ends and the programs that send and receive on the same two cores, as it was measured. */
export function simulateTwoCores({ encryptors, otherShare }: MeasuredRun): PipelineResult {
  return simulate({
    ...COMMON,
    cores: 2,
    sender: endWith("send", encryptors),
    receiver: endWith("receive", encryptors),
    clientNs: CLIENT_NS,
    serverNs: SERVER_NS,
    otherShare,
  });
}

/** One lane of one end, every thread with a core of its own, the other end as fast as it likes. */
export function simulateLane(
  direction: Direction,
  encryptors: number,
  more: Partial<PipelineOptions> = {},
): PipelineResult {
  const end = endWith(direction, encryptors);
  return simulate({
    ...COMMON,
    cores: null,
    sender: direction === "send" ? end : null,
    receiver: direction === "receive" ? end : null,
    clientNs: 1,
    serverNs: 1,
    otherShare: 0,
    ...more,
  });
}

/** The most that one direction reaches. */
export interface Reached {
  readonly lanes: number;
  /** Of each lane. */
  readonly encryptors: number;
  /** By the threads alone. */
  readonly gbit: number;
  /** What saturates first there. */
  readonly busiest: string;
}

/** The fastest placement for one peer: one lane, and of encryptors as many as still add something. */
export function bestForOnePeer(direction: Direction, cores: number): Reached {
  return bestOf(direction, cores, 1);
}

/** The fastest placement for many peers on many lanes. */
export function bestForManyPeers(direction: Direction, cores: number): Reached {
  return bestOf(direction, cores, cores - CORES_KEPT);
}

function bestOf(direction: Direction, cores: number, lanesMax: number): Reached {
  const threads = cores - CORES_KEPT;
  let best: Reached | null = null;
  for (let encryptors = 0; encryptors <= 4 && encryptors < threads; encryptors++) {
    const lanes = Math.min(lanesMax, Math.floor(threads / (1 + encryptors)));
    const result = simulateLane(direction, encryptors);
    const gbit = lanes * gbitOf(result);
    // Two hundredths more are not worth a thread.
    if (best !== null && gbit < best.gbit * 1.02) continue;
    best = { lanes, encryptors, gbit, busiest: result.busiest };
  }
  return best!;
}

/** GB/s that the memory has to move at this rate: with nothing, and with all buffers, in caches. */
export function memoryNeeded(
  direction: Direction,
  gbit: number,
): { worst: number; cached: number } {
  const carried = gbit / 8;
  const touched = direction === "send" ? TOUCHED_SENDING : TOUCHED_RECEIVING;
  return { worst: carried * touched, cached: carried * TOUCHED_CACHED };
}

/** Gbit/s at which the memory of a machine is full, if nothing stays in caches. */
export function memoryLimit(direction: Direction, { memoryGbPerS }: Machine): number {
  return memoryGbPerS / memoryNeeded(direction, 1).worst;
}

/** Time per packet at a rate. */
export function packetNs(gbit: number): number {
  return PAYLOAD_BYTES * 8 / gbit;
}
