/**
 * How many lanes a node has, and how many encryptors beside each: read from the file, from flags and
 * from variables alike, and chosen for `auto`.
 */

/** A wanted number of workers. */
export type WorkerCount = number | "auto";

/** The numbers that may be wanted, both ends included. */
export interface CountRange {
  readonly min: number;
  readonly max: number;
}

/** Lanes of a node: `Lanes`, `--lanes`, LONGHAUL_LANES. */
export const LANES: CountRange = { min: 1, max: 16 };
/**
 * Encryptors of a lane, 0 for sealing and opening in the lane itself: `Encryptors`, `--encryptors`,
 * LONGHAUL_ENCRYPTORS.
 */
export const ENCRYPTORS: CountRange = { min: 0, max: 16 };

/**
 * Cores for each lane that `auto` makes, for its encryptors and for the kernel's share. A node with a
 * single core's work to do is best off with one lane; beyond two cores this is not measured.
 */
const AUTO_CORES_PER_LANE = 4;
/**
 * Encryptors that `auto` takes at most: a lane needs nearly as long for a packet as its cipher does,
 * so a second encryptor leaves the lane no wait, and a third would only sleep (docs/scaling.md).
 */
const AUTO_ENCRYPTORS_MAX = 2;
/** Cores that `auto` keeps free of encryptors: one for the lane, one for all else that runs there. */
const CORES_KEPT = 2;

/** What a text asks for; undefined when it is neither `auto` nor a number of the range. */
export function readWorkerCount(text: string, { min, max }: CountRange): WorkerCount | undefined {
  if (text.toLowerCase() === "auto") return "auto";
  if (!/^\d{1,2}$/.test(text)) return undefined;
  const count = Number(text);
  return count >= min && count <= max ? count : undefined;
}

/** What may stand beside `auto`, for messages. */
export function rangeText({ min, max }: CountRange): string {
  return `a number from ${min} to ${max}`;
}

/**
 * The number of lanes for a machine with so many cores and a node with so many peers: each peer has
 * one, so that more lanes than peers would have nothing to do.
 */
export function chooseLanes(wanted: WorkerCount, cores: number, peers: number): number {
  if (wanted !== "auto") return wanted;
  return Math.max(1, Math.min(Math.floor(cores / AUTO_CORES_PER_LANE), peers, LANES.max));
}

/** The number of encryptors for each lane that has so many cores. */
export function chooseEncryptors(wanted: WorkerCount, cores: number): number {
  if (wanted !== "auto") return wanted;
  return Math.max(0, Math.min(cores - CORES_KEPT, AUTO_ENCRYPTORS_MAX));
}
