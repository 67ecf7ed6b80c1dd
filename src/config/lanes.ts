/**
 * How many lanes a node has: read from `Lanes`, `--lanes` and LONGHAUL_LANES, and chosen for `auto`.
 */

/** Lanes that a node can have. */
export const LANES_MAX = 16;

/** A wanted number of lanes. */
export type Lanes = number | "auto";

/**
 * Cores for each lane that `auto` makes, for its encryptors and for the kernel's share. A node with a
 * single core's work to do is best off with one lane; beyond two cores this is not measured.
 */
const AUTO_CORES_PER_LANE = 4;

/** What a text asks for; undefined when it is neither `auto` nor a number that is possible. */
export function readLanes(text: string): Lanes | undefined {
  if (text.toLowerCase() === "auto") return "auto";
  if (!/^\d{1,2}$/.test(text)) return undefined;
  const count = Number(text);
  return count >= 1 && count <= LANES_MAX ? count : undefined;
}

/**
 * The number of lanes for a machine with so many cores and a node with so many peers: each peer has
 * one, so that more lanes than peers would have nothing to do.
 */
export function chooseLanes(wanted: Lanes, cores: number, peers: number): number {
  if (wanted !== "auto") return wanted;
  return Math.max(1, Math.min(Math.floor(cores / AUTO_CORES_PER_LANE), peers, LANES_MAX));
}
