/** Addresses of interfaces through rtnetlink: list, add, replace, delete. */
import { type NetlinkSocket } from "./netlink.ts";
import {
  AttributeTable,
  NetlinkFlag,
  type NetlinkReader,
  type NetlinkWriter,
} from "./netlink_message.ts";
import { AddressFamily, familyOf, formatPrefix, type IpFamily, RouteMessage } from "./rtnetlink.ts";

/**
 * ```c
 * struct ifaddrmsg {           // include/uapi/linux/if_addr.h
 *   __u8 ifa_family;           // 0
 *   __u8 ifa_prefixlen;        // 1
 *   __u8 ifa_flags;            // 2, the low 8 bits; IFA_FLAGS has all
 *   __u8 ifa_scope;            // 3
 *   __u32 ifa_index;           // 4
 * };
 * ```
 */
export const IfAddrMsg = {
  size: 8,
  ifa_family: 0,
  ifa_prefixlen: 1,
  ifa_flags: 2,
  ifa_scope: 3,
  ifa_index: 4,
} as const;

/** Attributes of an address, include/uapi/linux/if_addr.h. */
export const AddressAttribute = { IFA_ADDRESS: 1, IFA_LOCAL: 2, IFA_FLAGS: 8 } as const;

/** Flags of an address, include/uapi/linux/if_addr.h. */
export const AddressFlag = {
  IFA_F_SECONDARY: 0x01,
  IFA_F_NODAD: 0x02,
  IFA_F_DADFAILED: 0x08,
  IFA_F_DEPRECATED: 0x20,
  IFA_F_TENTATIVE: 0x40,
  IFA_F_PERMANENT: 0x80,
  IFA_F_NOPREFIXROUTE: 0x200,
} as const;

/** An address of an interface. */
export interface InterfaceAddress {
  /** The interface. */
  readonly index: number;
  readonly family: IpFamily;
  /** Our own address, 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly bits: number;
  /** The address of the other end of a point-to-point interface, where one is set. */
  readonly peer: Uint8Array | undefined;
  /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
  readonly scope: number;
  /** IFA_F_* bits. */
  readonly flags: number;
}

/** An address to add. */
export interface AddressSpec {
  readonly index: number;
  readonly address: Uint8Array;
  readonly bits: number;
  /** Use an IPv6 address at once, without duplicate address detection. */
  readonly noDad?: boolean;
  /** Do not make a route to the prefix. */
  readonly noPrefixRoute?: boolean;
  /** RT_SCOPE_*; 0 (global) when left out. */
  readonly scope?: number;
}

const A = AddressAttribute;
const attributes = new AttributeTable(A.IFA_FLAGS);

/** The addresses of the namespace, or of one interface, or of one family. */
export function listAddresses(
  socket: NetlinkSocket,
  filter: { readonly index?: number; readonly family?: IpFamily } = {},
): InterfaceAddress[] {
  return socket.dump("RTM_GETADDR", RouteMessage.RTM_GETADDR, (writer) => {
    const at = writer.reserve(IfAddrMsg.size);
    writer.setU8(at + IfAddrMsg.ifa_family, filter.family ?? AddressFamily.AF_UNSPEC);
    writer.setU32(at + IfAddrMsg.ifa_index, filter.index ?? 0);
  }, (reader) => {
    const item = readAddress(reader);
    const wanted = filter.index === undefined || item?.index === filter.index;
    return wanted ? item : undefined;
  });
}

/**
 * Adds an address; with `replace` one that is there already is brought up to date. Throws
 * `NetlinkError`: EEXIST when it is there and `replace` is not given, ENODEV, EINVAL, EPERM; EACCES
 * when IPv6 is switched off on the interface.
 */
export function addAddress(
  socket: NetlinkSocket,
  spec: AddressSpec,
  options: { readonly replace?: boolean } = {},
): void {
  const mode = options.replace ? NetlinkFlag.NLM_F_REPLACE : NetlinkFlag.NLM_F_EXCL;
  const flags = NetlinkFlag.NLM_F_CREATE | mode;
  socket.request(describe("RTM_NEWADDR", spec), RouteMessage.RTM_NEWADDR, flags, (writer) => {
    buildAddress(writer, spec);
    let addressFlags = 0;
    if (spec.noDad) addressFlags |= AddressFlag.IFA_F_NODAD;
    if (spec.noPrefixRoute) addressFlags |= AddressFlag.IFA_F_NOPREFIXROUTE;
    if (addressFlags !== 0) writer.attributeU32(A.IFA_FLAGS, addressFlags);
  });
}

/** Deletes an address. Throws `NetlinkError`: EADDRNOTAVAIL when it is not there, ENODEV, EPERM. */
export function deleteAddress(
  socket: NetlinkSocket,
  spec: Pick<AddressSpec, "index" | "address" | "bits">,
): void {
  socket.request(describe("RTM_DELADDR", spec), RouteMessage.RTM_DELADDR, 0, (writer) => {
    buildAddress(writer, spec);
  });
}

/** Makes an `InterfaceAddress` of an RTM_NEWADDR or RTM_DELADDR message of IPv4 or IPv6. */
export function readAddress(reader: NetlinkReader): InterfaceAddress | undefined {
  if (!reader.holds(IfAddrMsg.size)) return undefined;
  const { view, bodyAt } = reader;
  attributes.parse(reader, IfAddrMsg.size);
  // IFA_ADDRESS is the other end of a point-to-point interface when IFA_LOCAL is there and differs.
  const prefix = attributes.copy(A.IFA_ADDRESS);
  const address = attributes.copy(A.IFA_LOCAL) ?? prefix;
  if (address === undefined || (address.length !== 4 && address.length !== 16)) return undefined;
  const samePeer = prefix === undefined || prefix.every((byte, i) => byte === address[i]);
  return {
    index: view.getUint32(bodyAt + IfAddrMsg.ifa_index, true),
    family: familyOf(address),
    address,
    bits: view.getUint8(bodyAt + IfAddrMsg.ifa_prefixlen),
    peer: samePeer ? undefined : prefix,
    scope: view.getUint8(bodyAt + IfAddrMsg.ifa_scope),
    flags: attributes.u32(A.IFA_FLAGS, view.getUint8(bodyAt + IfAddrMsg.ifa_flags)),
  };
}

function buildAddress(
  writer: NetlinkWriter,
  spec: Pick<AddressSpec, "index" | "address" | "bits" | "scope">,
): void {
  const at = writer.reserve(IfAddrMsg.size);
  writer.setU8(at + IfAddrMsg.ifa_family, familyOf(spec.address));
  writer.setU8(at + IfAddrMsg.ifa_prefixlen, spec.bits);
  writer.setU8(at + IfAddrMsg.ifa_scope, spec.scope ?? 0);
  writer.setU32(at + IfAddrMsg.ifa_index, spec.index);
  writer.attribute(A.IFA_LOCAL, spec.address);
  writer.attribute(A.IFA_ADDRESS, spec.address);
}

function describe(
  type: string,
  spec: Pick<AddressSpec, "index" | "address" | "bits">,
): string {
  return `${type} ${formatPrefix(spec.address, spec.bits)} on interface ${spec.index}`;
}
