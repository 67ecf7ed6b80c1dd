/** Routing policy rules through rtnetlink: list, add, delete. */
import { type NetlinkSocket } from "./netlink.ts";
import {
  AttributeTable,
  NetlinkFlag,
  type NetlinkReader,
  type NetlinkWriter,
} from "./netlink_message.ts";
import { AddressFamily, formatPrefix, type IpFamily, RouteMessage } from "./rtnetlink.ts";

/**
 * ```c
 * struct fib_rule_hdr {        // include/uapi/linux/fib_rules.h
 *   __u8 family;               // 0
 *   __u8 dst_len;              // 1
 *   __u8 src_len;              // 2
 *   __u8 tos;                  // 3
 *   __u8 table;                // 4, 0 when FRA_TABLE is larger than a byte
 *   __u8 res1;                 // 5
 *   __u8 res2;                 // 6
 *   __u8 action;               // 7, FR_ACT_*
 *   __u32 flags;               // 8, FIB_RULE_*
 * };
 * ```
 */
export const FibRuleHdr = {
  size: 12,
  family: 0,
  dst_len: 1,
  src_len: 2,
  tos: 3,
  table: 4,
  action: 7,
  flags: 8,
} as const;

/** Attributes of a rule, include/uapi/linux/fib_rules.h. */
export const RuleAttribute = {
  FRA_DST: 1,
  FRA_SRC: 2,
  FRA_IIFNAME: 3,
  FRA_PRIORITY: 6,
  FRA_FWMARK: 10,
  FRA_SUPPRESS_PREFIXLEN: 14,
  FRA_TABLE: 15,
  FRA_FWMASK: 16,
  FRA_OIFNAME: 17,
} as const;

/** What a rule does with a packet it matches, include/uapi/linux/fib_rules.h. */
export const RuleAction = {
  FR_ACT_TO_TBL: 1,
  FR_ACT_GOTO: 2,
  FR_ACT_NOP: 3,
  FR_ACT_BLACKHOLE: 6,
  FR_ACT_UNREACHABLE: 7,
  FR_ACT_PROHIBIT: 8,
} as const;

/** `flags` of struct fib_rule_hdr: the rule matches what its selectors do not. */
export const FIB_RULE_INVERT = 2;

const NO_SUPPRESSION = 0xffffffff;

/** A prefix of addresses. */
export interface RulePrefix {
  readonly address: Uint8Array;
  readonly bits: number;
}

/** A rule, to add or to delete. For a deletion, what is left out matches anything. */
export interface RuleSpec {
  readonly family: IpFamily;
  /** Routing table to look in; 0 when the action is another one. */
  readonly table?: number;
  /** Lower is asked first. Left out, the kernel puts the rule right behind the one for local. */
  readonly priority?: number;
  /** Matches packets with this firewall mark. */
  readonly mark?: number;
  /** Which bits of the mark count; all of them when left out. */
  readonly mask?: number;
  /** Turns the selectors round: `not fwmark ...`. */
  readonly invert?: boolean;
  /** Ignores routes that the table finds with a prefix of at most so many bits. */
  readonly suppressPrefixLength?: number;
  readonly source?: RulePrefix;
  readonly destination?: RulePrefix;
  readonly inInterface?: string;
  readonly outInterface?: string;
  /** RuleAction; FR_ACT_TO_TBL when left out. */
  readonly action?: number;
}

/** A rule as the kernel lists it. */
export interface Rule extends RuleSpec {
  readonly table: number;
  readonly priority: number;
  readonly invert: boolean;
  readonly action: number;
}

const A = RuleAttribute;
const attributes = new AttributeTable(A.FRA_OIFNAME);

/** The rules of one family, by priority. */
export function listRules(socket: NetlinkSocket, family: IpFamily): Rule[] {
  return socket.dump("RTM_GETRULE", RouteMessage.RTM_GETRULE, (writer) => {
    const at = writer.reserve(FibRuleHdr.size);
    writer.setU8(at + FibRuleHdr.family, family);
  }, readRule);
}

/** Adds a rule. Throws `NetlinkError`: EEXIST when the same one is there, EINVAL, EPERM. */
export function addRule(socket: NetlinkSocket, spec: RuleSpec): void {
  const flags = NetlinkFlag.NLM_F_CREATE | NetlinkFlag.NLM_F_EXCL;
  socket.request(describe("RTM_NEWRULE", spec), RouteMessage.RTM_NEWRULE, flags, (writer) => {
    buildRule(writer, spec, RuleAction.FR_ACT_TO_TBL);
  });
}

/** Deletes the first rule that has all that `spec` names. Throws `NetlinkError`: ENOENT, EPERM. */
export function deleteRule(socket: NetlinkSocket, spec: RuleSpec): void {
  socket.request(describe("RTM_DELRULE", spec), RouteMessage.RTM_DELRULE, 0, (writer) => {
    buildRule(writer, spec, 0);
  });
}

/** Makes a `Rule` of an RTM_NEWRULE or RTM_DELRULE message of IPv4 or IPv6. */
export function readRule(reader: NetlinkReader): Rule | undefined {
  if (!reader.holds(FibRuleHdr.size)) return undefined;
  const { view, bodyAt } = reader;
  const family = view.getUint8(bodyAt + FibRuleHdr.family);
  if (family !== AddressFamily.AF_INET && family !== AddressFamily.AF_INET6) return undefined;
  attributes.parse(reader, FibRuleHdr.size);
  const suppress = attributes.u32(A.FRA_SUPPRESS_PREFIXLEN, NO_SUPPRESSION);
  const hasMark = attributes.has(A.FRA_FWMARK) || attributes.has(A.FRA_FWMASK);
  return {
    family,
    table: attributes.u32(A.FRA_TABLE, view.getUint8(bodyAt + FibRuleHdr.table)),
    priority: attributes.u32(A.FRA_PRIORITY, 0),
    mark: hasMark ? attributes.u32(A.FRA_FWMARK, 0) : undefined,
    mask: hasMark ? attributes.u32(A.FRA_FWMASK, 0xffffffff) : undefined,
    invert: (view.getUint32(bodyAt + FibRuleHdr.flags, true) & FIB_RULE_INVERT) !== 0,
    suppressPrefixLength: suppress === NO_SUPPRESSION ? undefined : suppress,
    source: prefix(A.FRA_SRC, view.getUint8(bodyAt + FibRuleHdr.src_len)),
    destination: prefix(A.FRA_DST, view.getUint8(bodyAt + FibRuleHdr.dst_len)),
    inInterface: attributes.text(A.FRA_IIFNAME, "") || undefined,
    outInterface: attributes.text(A.FRA_OIFNAME, "") || undefined,
    action: view.getUint8(bodyAt + FibRuleHdr.action),
  };
}

function prefix(type: number, bits: number): RulePrefix | undefined {
  const address = attributes.copy(type);
  return address === undefined ? undefined : { address, bits };
}

function buildRule(writer: NetlinkWriter, spec: RuleSpec, actionDefault: number): void {
  const table = spec.table ?? 0;
  const at = writer.reserve(FibRuleHdr.size);
  writer.setU8(at + FibRuleHdr.family, spec.family);
  writer.setU8(at + FibRuleHdr.table, table < 256 ? table : 0);
  writer.setU8(at + FibRuleHdr.action, spec.action ?? actionDefault);
  if (spec.invert) writer.setU32(at + FibRuleHdr.flags, FIB_RULE_INVERT);
  if (table !== 0) writer.attributeU32(A.FRA_TABLE, table);
  if (spec.priority !== undefined) writer.attributeU32(A.FRA_PRIORITY, spec.priority);
  if (spec.mark !== undefined) writer.attributeU32(A.FRA_FWMARK, spec.mark);
  if (spec.mask !== undefined) writer.attributeU32(A.FRA_FWMASK, spec.mask);
  if (spec.suppressPrefixLength !== undefined) {
    writer.attributeU32(A.FRA_SUPPRESS_PREFIXLEN, spec.suppressPrefixLength);
  }
  if (spec.inInterface !== undefined) writer.attributeString(A.FRA_IIFNAME, spec.inInterface);
  if (spec.outInterface !== undefined) writer.attributeString(A.FRA_OIFNAME, spec.outInterface);
  if (spec.source !== undefined && spec.source.bits > 0) {
    writer.setU8(at + FibRuleHdr.src_len, spec.source.bits);
    writer.attribute(A.FRA_SRC, spec.source.address);
  }
  if (spec.destination !== undefined && spec.destination.bits > 0) {
    writer.setU8(at + FibRuleHdr.dst_len, spec.destination.bits);
    writer.attribute(A.FRA_DST, spec.destination.address);
  }
}

function describe(type: string, spec: RuleSpec): string {
  const parts = [type, spec.family === AddressFamily.AF_INET ? "IPv4" : "IPv6"];
  if (spec.priority !== undefined) parts.push(`priority ${spec.priority}`);
  if (spec.invert) parts.push("not");
  if (spec.source !== undefined) {
    parts.push(`from ${formatPrefix(spec.source.address, spec.source.bits)}`);
  }
  if (spec.destination !== undefined) {
    parts.push(`to ${formatPrefix(spec.destination.address, spec.destination.bits)}`);
  }
  if (spec.mark !== undefined) parts.push(`fwmark ${spec.mark}`);
  if (spec.table !== undefined) parts.push(`table ${spec.table}`);
  if (spec.suppressPrefixLength !== undefined) {
    parts.push(`suppress_prefixlength ${spec.suppressPrefixLength}`);
  }
  return parts.join(" ");
}
