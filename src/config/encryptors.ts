/**
 * How many encryptors a lane has beside it: read from `Encryptors`, `--encryptors` and
 * LONGHAUL_ENCRYPTORS, and chosen for `auto`.
 */

/** Encryptors that a lane can have. */
export const ENCRYPTORS_MAX = 16;

/** A wanted number, 0 for sealing and opening in the lane itself. */
export type Encryptors = number | "auto";

/**
 * What `auto` takes at most: a lane needs nearly as long for a packet as its cipher does, so a second
 * encryptor leaves the lane no wait, and a third would only sleep (docs/scaling.md).
 */
const AUTO_MAX = 2;
/** Cores that `auto` leaves alone: one for the lane, one for all else that runs there. */
const CORES_KEPT = 2;

/** What a text asks for; undefined when it is neither `auto` nor a number that is possible. */
export function readEncryptors(text: string): Encryptors | undefined {
  if (text.toLowerCase() === "auto") return "auto";
  if (!/^\d{1,2}$/.test(text)) return undefined;
  const count = Number(text);
  return count <= ENCRYPTORS_MAX ? count : undefined;
}

/** The number of encryptor workers to start on a machine with so many cores. */
export function chooseEncryptors(wanted: Encryptors, cores: number): number {
  if (wanted !== "auto") return wanted;
  return Math.max(0, Math.min(cores - CORES_KEPT, AUTO_MAX));
}
