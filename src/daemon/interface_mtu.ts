/**
 * The MTU of a tunnel whose config names none: what the way to its endpoints can carry, less what
 * WireGuard over IPv6 adds to a packet.
 */
import { NetlinkSocket } from "../../ffi/netlink.ts";
import { AddressFamily } from "../../ffi/rtnetlink.ts";
import { findLinkByIndex } from "../../ffi/rtnetlink_link.ts";
import { listRoutes, lookUpRoute } from "../../ffi/rtnetlink_route.ts";
import { type Route, RouteTable } from "../../ffi/rtnetlink_route_message.ts";
import { MTU_MAX, MTU_MIN, MTU_MIN_V6 } from "../config/mtu.ts";
import type { SocketAddress } from "../wireguard/configuration.ts";

/** IPv6 40, UDP 8, WireGuard's header and tag 32. */
const OVERHEAD_BYTES = 80;
/** What Ethernet carries, where no route tells anything else. */
const ETHERNET_MTU = 1500;

/**
 * The tunnel's MTU: the smallest of `pathMtus`, else `defaultRouteMtu` (null: there is no default
 * route), less 80, within what an interface can have; never below what IPv6 needs where it is used.
 */
export function tunnelMtu(
  pathMtus: readonly number[],
  defaultRouteMtu: number | null,
  usesV6: boolean,
): number {
  const outer = pathMtus.length > 0 ? Math.min(...pathMtus) : defaultRouteMtu ?? ETHERNET_MTU;
  const least = usesV6 ? MTU_MIN_V6 : MTU_MIN;
  return Math.min(Math.max(outer - OVERHEAD_BYTES, least), MTU_MAX);
}

/**
 * What the routes of this namespace to the endpoints carry, in bytes; endpoints that no route leads
 * to are left out. `fwmark` is the mark of the tunnel's own datagrams. Throws `NetlinkError`.
 */
export function endpointMtus(endpoints: readonly SocketAddress[], fwmark: number): number[] {
  using socket = NetlinkSocket.open();
  const mtus: number[] = [];
  for (const { address, scopeId } of endpoints) {
    const question = { ...(fwmark !== 0 && { mark: fwmark }) };
    const outInterface = scopeId ? { outInterface: scopeId } : {};
    const route = lookUpRoute(socket, address, { ...question, ...outInterface });
    const mtu = route === null ? null : routeMtu(socket, route);
    if (mtu !== null) mtus.push(mtu);
  }
  return mtus;
}

/** What the default route of this namespace carries, or null when there is none. */
export function defaultRouteMtu(): number | null {
  using socket = NetlinkSocket.open();
  for (const family of [AddressFamily.AF_INET, AddressFamily.AF_INET6]) {
    const best = listRoutes(socket, { family, table: RouteTable.RT_TABLE_MAIN })
      .filter((route) => route.bits === 0)
      .sort((a, b) => a.metric - b.metric)[0];
    const mtu = best === undefined ? null : routeMtu(socket, best);
    if (mtu !== null) return mtu;
  }
  return null;
}

function routeMtu(socket: NetlinkSocket, route: Route): number | null {
  if (route.mtu !== 0) return route.mtu;
  const index = route.outInterface || route.hops[0]?.outInterface || 0;
  return index === 0 ? null : findLinkByIndex(socket, index)?.mtu ?? null;
}
