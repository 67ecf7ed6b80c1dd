/** Names of the two benches that each stage has. */

/** The plainest way to do the work. */
export const NAIVE = "naive";
/** The program's way. */
export const OURS = "ours";
