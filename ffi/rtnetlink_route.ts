/** Routes through rtnetlink: list, add, replace and delete one or many, look one up. */
import { Errno } from "../src/base/errno.ts";
import { type NetlinkFailure, type NetlinkSocket } from "./netlink.ts";
import { NetlinkError } from "./netlink_error.ts";
import { NetlinkFlag } from "./netlink_message.ts";
import { familyOf, formatAddress, formatPrefix, type IpFamily, RouteMessage } from "./rtnetlink.ts";
import {
  buildRoute,
  isCloned,
  readRoute,
  type Route,
  RouteAttribute,
  RouteFlag,
  type RouteSpec,
  RtMsg,
} from "./rtnetlink_route_message.ts";

/** What `lookUpRoute` may be told about the packet. */
export interface RouteQuestion {
  readonly mark?: number;
  readonly source?: Uint8Array;
  readonly outInterface?: number;
}

const A = RouteAttribute;
/** ENOENT of a dump: the table that was asked for does not exist. */
const NO_SUCH_TABLE = Errno.ENOENT;
/** How the kernel answers a look-up that ends at no route, at `unreachable` and at `prohibit`. */
const NO_WAY: readonly number[] = [Errno.ENETUNREACH, Errno.EHOSTUNREACH, Errno.EACCES];

/** The routes of one family, of one table or of all, by one interface or by any. */
export function listRoutes(
  socket: NetlinkSocket,
  filter: { readonly family: IpFamily; readonly table?: number; readonly outInterface?: number },
): Route[] {
  const { family, table, outInterface } = filter;
  try {
    return socket.dump("RTM_GETROUTE", RouteMessage.RTM_GETROUTE, (writer) => {
      const at = writer.reserve(RtMsg.size);
      writer.setU8(at + RtMsg.rtm_family, family);
      if (table !== undefined) writer.attributeU32(A.RTA_TABLE, table);
      if (outInterface !== undefined) writer.attributeU32(A.RTA_OIF, outInterface);
    }, (reader) => {
      if (isCloned(reader)) return undefined;
      const route = readRoute(reader);
      if (route === undefined) return undefined;
      if (table !== undefined && route.table !== table) return undefined;
      return outInterface === undefined || leavesBy(route, outInterface) ? route : undefined;
    });
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === NO_SUCH_TABLE) return [];
    throw error;
  }
}

/**
 * Adds a route; with `replace`, in place of one with the same destination, table and metric. Throws
 * `NetlinkError`: EEXIST, ENODEV, ENETDOWN, ENETUNREACH for an unreachable gateway, EINVAL, EPERM.
 */
export function addRoute(
  socket: NetlinkSocket,
  spec: RouteSpec,
  options: { readonly replace?: boolean } = {},
): void {
  const flags = addFlags(options.replace);
  socket.request(describe("RTM_NEWROUTE", spec), RouteMessage.RTM_NEWROUTE, flags, (writer) => {
    buildRoute(writer, spec, false);
  });
}

/** Deletes the first route that has all that `spec` names. Throws `NetlinkError`: ESRCH, EPERM. */
export function deleteRoute(socket: NetlinkSocket, spec: RouteSpec): void {
  socket.request(describe("RTM_DELROUTE", spec), RouteMessage.RTM_DELROUTE, 0, (writer) => {
    buildRoute(writer, spec, true);
  });
}

/**
 * Adds many routes with few system calls, and returns the refused ones; one refusal does not stop
 * the others. The thread is busy until all are done (see `requestMany`): a caller that has other
 * things to do gives a slice of its list at a time.
 */
export function addRoutes(
  socket: NetlinkSocket,
  routes: readonly RouteSpec[],
  options: { readonly replace?: boolean } = {},
): NetlinkFailure[] {
  const flags = addFlags(options.replace);
  const type = RouteMessage.RTM_NEWROUTE;
  return socket.requestMany("RTM_NEWROUTE", routes.length, type, flags, (writer, index) => {
    buildRoute(writer, routes[index], false);
  });
}

/** Deletes many routes with few system calls, and returns the refused ones. */
export function deleteRoutes(
  socket: NetlinkSocket,
  routes: readonly RouteSpec[],
): NetlinkFailure[] {
  const type = RouteMessage.RTM_DELROUTE;
  return socket.requestMany("RTM_DELROUTE", routes.length, type, 0, (writer, index) => {
    buildRoute(writer, routes[index], true);
  });
}

/**
 * The route that a packet to `destination` would take: its interface, gateway, source address
 * (`preferredSource`), table, and the path MTU where the kernel knows one that is smaller than the
 * interface's (`mtu`, else 0). Null when the packet would not be sent. Throws `NetlinkError`.
 */
export function lookUpRoute(
  socket: NetlinkSocket,
  destination: Uint8Array,
  question: RouteQuestion = {},
): Route | null {
  const call = `RTM_GETROUTE ${formatAddress(destination)}`;
  try {
    return socket.query(call, RouteMessage.RTM_GETROUTE, (writer) => {
      const at = writer.reserve(RtMsg.size);
      writer.setU8(at + RtMsg.rtm_family, familyOf(destination));
      writer.setU8(at + RtMsg.rtm_dst_len, destination.length * 8);
      // IPv6 tells the table anyway and refuses the flag.
      if (destination.length === 4) {
        writer.setU32(at + RtMsg.rtm_flags, RouteFlag.RTM_F_LOOKUP_TABLE);
      }
      writer.attribute(A.RTA_DST, destination);
      if (question.source !== undefined) {
        writer.setU8(at + RtMsg.rtm_src_len, question.source.length * 8);
        writer.attribute(A.RTA_SRC, question.source);
      }
      if (question.outInterface !== undefined) {
        writer.attributeU32(A.RTA_OIF, question.outInterface);
      }
      if (question.mark !== undefined) writer.attributeU32(A.RTA_MARK, question.mark);
    }, readRoute) ?? null;
  } catch (error) {
    if (error instanceof NetlinkError && saysNoWay(error)) return null;
    throw error;
  }
}

function saysNoWay(error: NetlinkError): boolean {
  // A blackhole answers EINVAL, as does a bad question, but that one is explained.
  if (error.errno === Errno.EINVAL) return error.kernelMessage === "";
  return NO_WAY.includes(error.errno);
}

function leavesBy(route: Route, outInterface: number): boolean {
  return route.outInterface === outInterface ||
    route.hops.some((hop) => hop.outInterface === outInterface);
}

function addFlags(replace: boolean | undefined): number {
  const mode = replace ? NetlinkFlag.NLM_F_REPLACE : NetlinkFlag.NLM_F_EXCL;
  return NetlinkFlag.NLM_F_CREATE | mode;
}

function describe(type: string, spec: RouteSpec): string {
  const parts = [type, formatPrefix(spec.destination, spec.bits)];
  if (spec.gateway !== undefined) parts.push(`via ${formatAddress(spec.gateway)}`);
  if (spec.outInterface) parts.push(`on interface ${spec.outInterface}`);
  if (spec.table !== undefined) parts.push(`table ${spec.table}`);
  return parts.join(" ");
}
