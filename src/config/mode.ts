/** What a node is attached to. */

/** The values of `Mode`, and of `up --mode`. */
export const MODES = ["auto", "tun", "rootless"] as const;

/**
 * `tun`: a network interface of the kernel. `rootless`: the userspace stack answers at the tunnel
 * addresses. `auto`: the first where it is possible.
 */
export type Mode = (typeof MODES)[number];

/** Whether a text is one of them. */
export function isMode(text: string): text is Mode {
  return (MODES as readonly string[]).includes(text);
}
