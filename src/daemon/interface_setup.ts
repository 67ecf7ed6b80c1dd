/**
 * What `up` does with the interface itself: addresses, MTU, up, routes. None of it has to be undone:
 * with the interface go its addresses, and its routes out of every table.
 */
import { Errno } from "../base/errno.ts";
import { describeErrno } from "../../ffi/error.ts";
import { NetlinkSocket } from "../../ffi/netlink.ts";
import { NetlinkError } from "../../ffi/netlink_error.ts";
import { addAddress } from "../../ffi/rtnetlink_address.ts";
import { changeLink, findLinkByName, type Link } from "../../ffi/rtnetlink_link.ts";
import { addRoutes } from "../../ffi/rtnetlink_route.ts";
import type { RouteSpec } from "../../ffi/rtnetlink_route_message.ts";
import { formatPrefix } from "../control/address_text.ts";
import type { Prefix } from "../wireguard/configuration.ts";
import { SetupError } from "./setup_error.ts";
import { tunnelRoutes } from "./tunnel_routes.ts";

/** Routes that are added in one go, some milliseconds of work; then others get their turn. */
const ROUTES_PER_TURN = 2048;
/** Refused routes that are told one by one. */
const REFUSALS_TOLD = 3;

/** What an interface is to be. */
export interface InterfaceSetup {
  readonly name: string;
  readonly addresses: readonly Prefix[];
  readonly mtu: number;
}

/** Routes by an interface that is up. */
export interface RouteSetup {
  readonly name: string;
  readonly addresses: readonly Prefix[];
  /** Prefixes that lead into the tunnel; host bits are zero. */
  readonly routes: readonly Prefix[];
  /** The routing table for them, the main one when undefined. */
  readonly table?: number;
}

/** Whether this network namespace has an interface of that name. */
export function interfaceExists(name: string): boolean {
  using socket = NetlinkSocket.open();
  return findLinkByName(socket, name) !== null;
}

/**
 * Gives the interface addresses and MTU and sets it up; returns its index. Throws `SetupError`, and
 * leaves what was done so far to go with the interface.
 */
export function setUpInterface(setup: InterfaceSetup): number {
  using socket = NetlinkSocket.open();
  const { name, mtu } = setup;
  const link = mustFind(socket, name);
  for (const prefix of setup.addresses) {
    attempt(`give ${name} the address ${formatPrefix(prefix)}`, addressFix, () => {
      addAddress(socket, { index: link.index, ...prefix }, { replace: true });
    });
  }
  attempt(`set ${name} up with MTU ${mtu}`, mtuFix, () => {
    changeLink(socket, link.index, { mtu, up: true });
  });
  return link.index;
}

/**
 * Adds the routes; they are there when the promise resolves. Rejects with `SetupError`, and leaves
 * those that were added to go with the interface. `isEnding` is asked between the turns.
 */
export async function addTunnelRoutes(setup: RouteSetup, isEnding: () => boolean): Promise<void> {
  using socket = NetlinkSocket.open();
  const { name } = setup;
  const link = mustFind(socket, name);
  const routes = tunnelRoutes(setup.routes, setup.addresses, link.index, setup.table);
  for (let from = 0; from < routes.length && !isEnding(); from += ROUTES_PER_TURN) {
    const end = from + ROUTES_PER_TURN;
    addSome(socket, name, routes.slice(from, end));
    if (end < routes.length) await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

function mustFind(socket: NetlinkSocket, name: string): Link {
  const link = findLinkByName(socket, name);
  if (link === null) throw new SetupError(`The interface ${name} has gone again`);
  return link;
}

function addSome(socket: NetlinkSocket, name: string, routes: readonly RouteSpec[]): void {
  const refusals = addRoutes(socket, routes);
  if (refusals.length === 0) return;
  const told = refusals.slice(0, REFUSALS_TOLD).map(({ index, errno, kernelMessage }) => {
    const { destination, bits } = routes[index];
    const reason = errno === Errno.EEXIST
      ? "there is a route already"
      : kernelMessage || describeErrno(errno);
    return `${formatPrefix({ address: destination, bits })} (${reason})`;
  });
  const rest = refusals.length - told.length;
  const more = rest === 0 ? "" : `, and ${rest} more`;
  throw new SetupError(
    `Cannot route ${told.join(", ")}${more} into ${name}. ` +
      "Remove the other route, or choose a table of its own or none (Table = NUMBER, Table = off)",
  );
}

function attempt(what: string, fix: (errno: number) => string, action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    const message = `Cannot ${what}: ${error.message}${fix(error.errno)}`;
    throw new SetupError(message, { cause: error });
  }
}

function addressFix(errno: number): string {
  if (errno !== Errno.EACCES) return "";
  return ". IPv6 is switched off on this machine: leave the address out, " +
    "or set net.ipv6.conf.all.disable_ipv6 to 0";
}

function mtuFix(errno: number): string {
  return errno === Errno.EINVAL ? ". Choose another MTU" : "";
}
