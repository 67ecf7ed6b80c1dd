/** Network interfaces through rtnetlink: list, find, change, delete. */
import { Errno } from "../src/base/errno.ts";
import { type NetlinkSocket } from "./netlink.ts";
import { NetlinkError } from "./netlink_error.ts";
import { AttributeTable, type NetlinkReader, type NetlinkWriter } from "./netlink_message.ts";
import { AddressFamily, RouteMessage } from "./rtnetlink.ts";

/**
 * ```c
 * struct ifinfomsg {           // include/uapi/linux/rtnetlink.h
 *   unsigned char ifi_family;  // 0
 *   unsigned char __ifi_pad;   // 1
 *   unsigned short ifi_type;   // 2, ARPHRD_*
 *   int ifi_index;             // 4
 *   unsigned ifi_flags;        // 8, IFF_*
 *   unsigned ifi_change;       // 12, which of the flags count
 * };
 * ```
 */
export const IfInfoMsg = {
  size: 16,
  ifi_family: 0,
  ifi_type: 2,
  ifi_index: 4,
  ifi_flags: 8,
  ifi_change: 12,
} as const;

/** Attributes of a link, include/uapi/linux/if_link.h. */
export const LinkAttribute = {
  IFLA_IFNAME: 3,
  IFLA_MTU: 4,
  IFLA_WIRELESS: 11,
  IFLA_LINKINFO: 18,
  IFLA_NET_NS_FD: 28,
  IFLA_EXT_MASK: 29,
  IFLA_GSO_MAX_SEGS: 40,
  IFLA_GSO_MAX_SIZE: 41,
  IFLA_NEW_NETNSID: 45,
  IFLA_NEW_IFINDEX: 49,
  IFLA_MIN_MTU: 50,
  IFLA_MAX_MTU: 51,
} as const;

/** Attributes inside IFLA_LINKINFO. */
export const LinkInfoAttribute = { IFLA_INFO_KIND: 1 } as const;

/** Flags of an interface, include/uapi/linux/if.h. */
export const InterfaceFlag = {
  IFF_UP: 0x1,
  IFF_LOOPBACK: 0x8,
  IFF_POINTOPOINT: 0x10,
  IFF_RUNNING: 0x40,
  IFF_NOARP: 0x80,
  IFF_MULTICAST: 0x1000,
  IFF_LOWER_UP: 0x10000,
} as const;

/** Leaves counters out of an answer (include/uapi/linux/rtnetlink.h). */
export const RTEXT_FILTER_SKIP_STATS = 0x8;

/** An interface as the kernel describes it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** `tun`, `veth`, `wireguard` and so on; empty for hardware and the loopback. */
  readonly infoKind: string;
  /** IFF_* bits. */
  readonly flags: number;
  /** Switched on (IFF_UP). */
  readonly up: boolean;
  /** Able to carry packets (IFF_RUNNING). */
  readonly running: boolean;
  /** Bytes of one IP packet. */
  readonly mtu: number;
  readonly mtuMin: number;
  /** 0 when there is no limit. */
  readonly mtuMax: number;
  /** The most segments in one super-packet; 0 when the kernel does not say. */
  readonly gsoMaxSegs: number;
  /** The most bytes in one super-packet; 0 when the kernel does not say. */
  readonly gsoMaxSize: number;
}

/** What `changeLink` can change; what is left out stays. */
export interface LinkChange {
  readonly up?: boolean;
  readonly mtu?: number;
  /** At most 15 bytes. Kernels before 6.2 rename only an interface that is down. */
  readonly name?: string;
  readonly gsoMaxSegs?: number;
  readonly gsoMaxSize?: number;
  /** Moves the interface to the namespace of this descriptor. */
  readonly namespaceFd?: number;
}

const A = LinkAttribute;
const attributes = new AttributeTable(A.IFLA_MAX_MTU);
const infoAttributes = new AttributeTable(LinkInfoAttribute.IFLA_INFO_KIND);

/** All interfaces of the namespace. */
export function listLinks(socket: NetlinkSocket): Link[] {
  return socket.dump(
    "RTM_GETLINK",
    RouteMessage.RTM_GETLINK,
    (writer) => buildGet(writer, 0),
    readLink,
  );
}

/** The interface with this index, or null. */
export function findLinkByIndex(socket: NetlinkSocket, index: number): Link | null {
  return find(socket, `RTM_GETLINK ${index}`, (writer) => buildGet(writer, index));
}

/** The interface with this name, or null. */
export function findLinkByName(socket: NetlinkSocket, name: string): Link | null {
  return find(socket, `RTM_GETLINK ${name}`, (writer) => {
    buildGet(writer, 0);
    writer.attributeString(A.IFLA_IFNAME, name);
  });
}

/**
 * Changes an interface, all in one request. Throws `NetlinkError`: ENODEV when it is gone, EINVAL
 * for an MTU out of its range, EEXIST for a name that is taken, EPERM.
 */
export function changeLink(socket: NetlinkSocket, index: number, change: LinkChange): void {
  socket.request(`RTM_SETLINK ${index}`, RouteMessage.RTM_SETLINK, 0, (writer) => {
    const at = reserveHeader(writer, index);
    if (change.up !== undefined) {
      writer.setU32(at + IfInfoMsg.ifi_flags, change.up ? InterfaceFlag.IFF_UP : 0);
      writer.setU32(at + IfInfoMsg.ifi_change, InterfaceFlag.IFF_UP);
    }
    if (change.namespaceFd !== undefined) {
      writer.attributeU32(A.IFLA_NET_NS_FD, change.namespaceFd);
    }
    if (change.mtu !== undefined) writer.attributeU32(A.IFLA_MTU, change.mtu);
    if (change.name !== undefined) writer.attributeString(A.IFLA_IFNAME, change.name);
    if (change.gsoMaxSegs !== undefined) {
      writer.attributeU32(A.IFLA_GSO_MAX_SEGS, change.gsoMaxSegs);
    }
    if (change.gsoMaxSize !== undefined) {
      writer.attributeU32(A.IFLA_GSO_MAX_SIZE, change.gsoMaxSize);
    }
  });
}

/** Deletes a virtual interface. Throws `NetlinkError`: ENODEV, EOPNOTSUPP for hardware, EPERM. */
export function deleteLink(socket: NetlinkSocket, index: number): void {
  socket.request(`RTM_DELLINK ${index}`, RouteMessage.RTM_DELLINK, 0, (writer) => {
    reserveHeader(writer, index);
  });
}

/**
 * Makes a `Link` of an RTM_NEWLINK or RTM_DELLINK message; `undefined` for messages of bridges
 * and of wireless extensions, which use the same types for other things.
 */
export function readLink(reader: NetlinkReader): Link | undefined {
  if (!reader.holds(IfInfoMsg.size)) return undefined;
  const { view, bodyAt } = reader;
  if (view.getUint8(bodyAt + IfInfoMsg.ifi_family) !== AddressFamily.AF_UNSPEC) return undefined;
  attributes.parse(reader, IfInfoMsg.size);
  if (attributes.has(A.IFLA_WIRELESS)) return undefined;
  infoAttributes.parseNest(attributes, A.IFLA_LINKINFO);
  const flags = view.getUint32(bodyAt + IfInfoMsg.ifi_flags, true);
  return {
    index: view.getInt32(bodyAt + IfInfoMsg.ifi_index, true),
    name: attributes.text(A.IFLA_IFNAME, ""),
    infoKind: infoAttributes.text(LinkInfoAttribute.IFLA_INFO_KIND, ""),
    flags,
    up: (flags & InterfaceFlag.IFF_UP) !== 0,
    running: (flags & InterfaceFlag.IFF_RUNNING) !== 0,
    mtu: attributes.u32(A.IFLA_MTU, 0),
    mtuMin: attributes.u32(A.IFLA_MIN_MTU, 0),
    mtuMax: attributes.u32(A.IFLA_MAX_MTU, 0),
    gsoMaxSegs: attributes.u32(A.IFLA_GSO_MAX_SEGS, 0),
    gsoMaxSize: attributes.u32(A.IFLA_GSO_MAX_SIZE, 0),
  };
}

/** Whether an RTM_DELLINK message tells of a move to another namespace, not of an end. */
export function linkHasMoved(reader: NetlinkReader): boolean {
  attributes.parse(reader, IfInfoMsg.size);
  return attributes.has(A.IFLA_NEW_NETNSID);
}

function find(
  socket: NetlinkSocket,
  call: string,
  build: (writer: NetlinkWriter) => void,
): Link | null {
  try {
    return socket.query(call, RouteMessage.RTM_GETLINK, build, readLink) ?? null;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === Errno.ENODEV) return null;
    throw error;
  }
}

function reserveHeader(writer: NetlinkWriter, index: number): number {
  const at = writer.reserve(IfInfoMsg.size);
  writer.setU32(at + IfInfoMsg.ifi_index, index);
  return at;
}

function buildGet(writer: NetlinkWriter, index: number): void {
  reserveHeader(writer, index);
  writer.attributeU32(A.IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
}
