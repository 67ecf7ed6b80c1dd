/** What a node is attached to. */

/** The values of `Mode`, and of `up --mode`. */
export const MODES = ["auto", "tun", "rootless", "hybrid"] as const;

/**
 * `tun`: a network interface of the kernel. `rootless`: the userspace stack answers at the tunnel
 * addresses. `hybrid`: an interface, and the stack for the prefixes that it serves. `auto`: an
 * interface where it is possible, with the stack where there is something for it to serve.
 */
export type Mode = (typeof MODES)[number];

/** Whether a text is one of them. */
export function isMode(text: string): text is Mode {
  return (MODES as readonly string[]).includes(text);
}
