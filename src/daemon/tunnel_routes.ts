/** Which routes lead into a tunnel. */
import type { RouteSpec } from "../../ffi/rtnetlink_route_message.ts";
import type { Prefix } from "../wireguard/configuration.ts";

/**
 * The routes for `prefixes` by the interface `index`. In the main table (`table` undefined) those
 * that lie within a network of the interface's own addresses are left out: the kernel has made a
 * route for that already.
 */
export function tunnelRoutes(
  prefixes: readonly Prefix[],
  addresses: readonly Prefix[],
  index: number,
  table?: number,
): RouteSpec[] {
  const networks = table === undefined ? addresses : [];
  return prefixes
    .filter((prefix) => !networks.some((network) => contains(network, prefix)))
    .map(({ address, bits }) => ({
      destination: address,
      bits,
      outInterface: index,
      ...(table !== undefined && { table }),
    }));
}

/** Whether all addresses of `inner` are among those of `outer`. */
export function contains(outer: Prefix, inner: Prefix): boolean {
  if (outer.address.length !== inner.address.length || outer.bits > inner.bits) return false;
  for (let i = 0; i * 8 < outer.bits; i++) {
    const mask = 0xff00 >> Math.min(outer.bits - i * 8, 8) & 0xff;
    if (((outer.address[i] ^ inner.address[i]) & mask) !== 0) return false;
  }
  return true;
}
