/** Routes as rtnetlink messages: their constants, and how one is written and read. */
import { AttributeTable, type NetlinkReader, type NetlinkWriter } from "./netlink_message.ts";
import { AddressFamily, anyAddress, familyOf, type IpFamily } from "./rtnetlink.ts";

/**
 * ```c
 * struct rtmsg {                   // include/uapi/linux/rtnetlink.h
 *   unsigned char rtm_family;      // 0
 *   unsigned char rtm_dst_len;     // 1
 *   unsigned char rtm_src_len;     // 2
 *   unsigned char rtm_tos;         // 3
 *   unsigned char rtm_table;       // 4, 0 when RTA_TABLE is larger than a byte
 *   unsigned char rtm_protocol;    // 5, RTPROT_*
 *   unsigned char rtm_scope;       // 6, RT_SCOPE_*
 *   unsigned char rtm_type;        // 7, RTN_*
 *   unsigned rtm_flags;            // 8, RTM_F_*
 * };
 * ```
 */
export const RtMsg = {
  size: 12,
  rtm_family: 0,
  rtm_dst_len: 1,
  rtm_src_len: 2,
  rtm_tos: 3,
  rtm_table: 4,
  rtm_protocol: 5,
  rtm_scope: 6,
  rtm_type: 7,
  rtm_flags: 8,
} as const;

/**
 * ```c
 * struct rtnexthop {               // include/uapi/linux/rtnetlink.h, then attributes
 *   unsigned short rtnh_len;       // 0
 *   unsigned char rtnh_flags;      // 2
 *   unsigned char rtnh_hops;       // 3, weight - 1
 *   int rtnh_ifindex;              // 4
 * };
 * ```
 */
export const RtNextHop = { size: 8, rtnh_len: 0, rtnh_flags: 2, rtnh_ifindex: 4 } as const;

/** Attributes of a route, include/uapi/linux/rtnetlink.h. */
export const RouteAttribute = {
  RTA_DST: 1,
  RTA_SRC: 2,
  RTA_OIF: 4,
  RTA_GATEWAY: 5,
  RTA_PRIORITY: 6,
  RTA_PREFSRC: 7,
  RTA_METRICS: 8,
  RTA_MULTIPATH: 9,
  RTA_TABLE: 15,
  RTA_MARK: 16,
  RTA_VIA: 18,
} as const;

/** Attributes inside RTA_METRICS. */
export const RouteMetric = { RTAX_MTU: 2 } as const;

/** Tables that the kernel has names for. */
export const RouteTable = {
  RT_TABLE_DEFAULT: 253,
  RT_TABLE_MAIN: 254,
  RT_TABLE_LOCAL: 255,
} as const;

/** What a route does with a packet. */
export const RouteType = {
  RTN_UNICAST: 1,
  RTN_LOCAL: 2,
  RTN_BROADCAST: 3,
  RTN_BLACKHOLE: 6,
  RTN_UNREACHABLE: 7,
  RTN_PROHIBIT: 8,
  RTN_THROW: 9,
} as const;

/** How far away a destination is. */
export const RouteScope = {
  RT_SCOPE_UNIVERSE: 0,
  RT_SCOPE_LINK: 253,
  RT_SCOPE_HOST: 254,
  RT_SCOPE_NOWHERE: 255,
} as const;

/** Who made a route. */
export const RouteProtocol = { RTPROT_KERNEL: 2, RTPROT_BOOT: 3, RTPROT_STATIC: 4 } as const;

/** `rtm_flags`. */
export const RouteFlag = { RTM_F_CLONED: 0x200, RTM_F_LOOKUP_TABLE: 0x1000 } as const;

/** A route to add or delete. For a deletion, what is left out matches anything. */
export interface RouteSpec {
  /** 4 or 16 bytes; the family follows from it. Bits behind `bits` must be zero. */
  readonly destination: Uint8Array;
  readonly bits: number;
  /** Index of the interface that packets leave by. */
  readonly outInterface?: number;
  /** Next hop, 4 or 16 bytes; may be of the other family. */
  readonly gateway?: Uint8Array;
  /** RouteTable, or any number; the main table when left out, also for a deletion. */
  readonly table?: number;
  /** RouteScope; left out, what `ip route` would choose. */
  readonly scope?: number;
  /** RouteType; RTN_UNICAST when left out. */
  readonly type?: number;
  /** RouteProtocol; RTPROT_STATIC when left out. */
  readonly protocol?: number;
  /** Lower is preferred; left out, 0 for IPv4 and 1024 for IPv6. */
  readonly metric?: number;
  /** Source address that packets of this host get. */
  readonly preferredSource?: Uint8Array;
  /** The largest packet for this route, in bytes. */
  readonly mtu?: number;
}

/** One of several next hops of a route. */
export interface RouteHop {
  readonly outInterface: number;
  readonly gateway: Uint8Array | undefined;
}

/** A route as the kernel lists it. */
export interface Route extends RouteSpec {
  readonly family: IpFamily;
  /** 0 for a route without interface (blackhole and so on) or with several hops. */
  readonly outInterface: number;
  readonly table: number;
  readonly scope: number;
  readonly type: number;
  readonly protocol: number;
  readonly metric: number;
  /** 0 when the route sets none: the interface's MTU counts. */
  readonly mtu: number;
  /** The next hops when there are several; empty otherwise. */
  readonly hops: readonly RouteHop[];
}

const A = RouteAttribute;
const attributes = new AttributeTable(A.RTA_VIA);
const metrics = new AttributeTable(RouteMetric.RTAX_MTU);
const hopAttributes = new AttributeTable(A.RTA_VIA);

/** Makes a `Route` of an RTM_NEWROUTE or RTM_DELROUTE message of IPv4 or IPv6. */
export function readRoute(reader: NetlinkReader): Route | undefined {
  if (!reader.holds(RtMsg.size)) return undefined;
  const { view, bodyAt } = reader;
  const family = view.getUint8(bodyAt + RtMsg.rtm_family);
  if (family !== AddressFamily.AF_INET && family !== AddressFamily.AF_INET6) return undefined;
  attributes.parse(reader, RtMsg.size);
  metrics.parseNest(attributes, A.RTA_METRICS);
  return {
    family,
    destination: attributes.copy(A.RTA_DST) ?? anyAddress(family),
    bits: view.getUint8(bodyAt + RtMsg.rtm_dst_len),
    outInterface: attributes.u32(A.RTA_OIF, 0),
    gateway: readGateway(attributes),
    table: attributes.u32(A.RTA_TABLE, view.getUint8(bodyAt + RtMsg.rtm_table)),
    scope: view.getUint8(bodyAt + RtMsg.rtm_scope),
    type: view.getUint8(bodyAt + RtMsg.rtm_type),
    protocol: view.getUint8(bodyAt + RtMsg.rtm_protocol),
    metric: attributes.u32(A.RTA_PRIORITY, 0),
    preferredSource: attributes.copy(A.RTA_PREFSRC),
    mtu: metrics.u32(RouteMetric.RTAX_MTU, 0),
    hops: readHops(reader),
  };
}

/** Whether the message tells of a cached exception (a path MTU, a redirect), not of a route. */
export function isCloned(reader: NetlinkReader): boolean {
  if (!reader.holds(RtMsg.size)) return false;
  const flags = reader.view.getUint32(reader.bodyAt + RtMsg.rtm_flags, true);
  return (flags & RouteFlag.RTM_F_CLONED) !== 0;
}

function readGateway(table: AttributeTable): Uint8Array | undefined {
  // struct rtvia { __kernel_sa_family_t rtvia_family; __u8 rtvia_addr[]; }
  return table.copy(A.RTA_GATEWAY) ?? table.copy(A.RTA_VIA)?.slice(2);
}

function readHops(reader: NetlinkReader): RouteHop[] {
  const hops: RouteHop[] = [];
  let at = attributes.place(A.RTA_MULTIPATH);
  const end = at + attributes.size(A.RTA_MULTIPATH);
  while (at + RtNextHop.size <= end) {
    const length = reader.view.getUint16(at + RtNextHop.rtnh_len, true);
    if (length < RtNextHop.size || length > end - at) break;
    hopAttributes.parseRange(reader, at + RtNextHop.size, at + length);
    const outInterface = reader.view.getInt32(at + RtNextHop.rtnh_ifindex, true);
    hops.push({ outInterface, gateway: readGateway(hopAttributes) });
    at += (length + 3) & ~3;
  }
  return hops;
}

/** Appends the body of a request to add a route, or with `deletion` to delete it. */
export function buildRoute(writer: NetlinkWriter, spec: RouteSpec, deletion: boolean): void {
  const table = spec.table ?? RouteTable.RT_TABLE_MAIN;
  const type = spec.type ?? (deletion ? 0 : RouteType.RTN_UNICAST);
  const at = writer.reserve(RtMsg.size);
  writer.setU8(at + RtMsg.rtm_family, familyOf(spec.destination));
  writer.setU8(at + RtMsg.rtm_dst_len, spec.bits);
  writer.setU8(at + RtMsg.rtm_table, table < 256 ? table : 0);
  writer.setU8(at + RtMsg.rtm_type, type);
  writer.setU8(at + RtMsg.rtm_scope, spec.scope ?? defaultScope(spec, type, deletion));
  const protocol = spec.protocol ?? (deletion ? 0 : RouteProtocol.RTPROT_STATIC);
  writer.setU8(at + RtMsg.rtm_protocol, protocol);
  writer.attributeU32(A.RTA_TABLE, table);
  if (spec.bits > 0) writer.attribute(A.RTA_DST, spec.destination);
  if (spec.outInterface) writer.attributeU32(A.RTA_OIF, spec.outInterface);
  if (spec.metric !== undefined) writer.attributeU32(A.RTA_PRIORITY, spec.metric);
  if (spec.preferredSource !== undefined) writer.attribute(A.RTA_PREFSRC, spec.preferredSource);
  if (spec.gateway !== undefined) buildGateway(writer, spec.destination, spec.gateway);
  if (spec.mtu) {
    const nest = writer.openNest(A.RTA_METRICS);
    writer.attributeU32(RouteMetric.RTAX_MTU, spec.mtu);
    writer.closeNest(nest);
  }
}

function buildGateway(writer: NetlinkWriter, destination: Uint8Array, gateway: Uint8Array): void {
  if (gateway.length === destination.length) {
    writer.attribute(A.RTA_GATEWAY, gateway);
    return;
  }
  const via = new Uint8Array(2 + gateway.length);
  via[0] = familyOf(gateway);
  via.set(gateway, 2);
  writer.attribute(A.RTA_VIA, via);
}

/** IPv6 has no scopes. For IPv4, RT_SCOPE_NOWHERE in a deletion matches every scope. */
function defaultScope(spec: RouteSpec, type: number, deletion: boolean): number {
  if (spec.destination.length === 16) return RouteScope.RT_SCOPE_UNIVERSE;
  if (deletion) return RouteScope.RT_SCOPE_NOWHERE;
  if (type === RouteType.RTN_LOCAL) return RouteScope.RT_SCOPE_HOST;
  const direct = type === RouteType.RTN_UNICAST && spec.gateway === undefined;
  return direct ? RouteScope.RT_SCOPE_LINK : RouteScope.RT_SCOPE_UNIVERSE;
}
