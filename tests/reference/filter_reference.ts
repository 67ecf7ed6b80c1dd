/** The filter as one function over the rules themselves. */
import { FilterAction, type FilterRule } from "../../src/nat/filter.ts";

/** What the filter needs to know about a packet. */
export interface FilteredPacket {
  readonly remote: Uint8Array;
  /** The other address of the packet. */
  readonly own: Uint8Array;
  readonly protocol: number;
  /** Null when the packet shows none. */
  readonly destinationPort: number | null;
  readonly isLaterFragment: boolean;
}

/** Whether the first rule that matches, or the default, allows the packet. */
export function filterReference(
  rules: readonly FilterRule[],
  packet: FilteredPacket,
  direction: number,
): boolean {
  const rule = rules.find((rule) => matches(rule, packet, direction));
  return rule === undefined || rule.action === FilterAction.Allow;
}

function matches(rule: FilterRule, packet: FilteredPacket, direction: number): boolean {
  if ((rule.directions & direction) === 0) return false;
  if (rule.protocol !== undefined && rule.protocol !== packet.protocol) return false;
  if (!holds(rule.prefix, packet.remote) || !holds(rule.ownPrefix, packet.own)) return false;
  if (rule.ports === undefined) return true;
  const port = packet.destinationPort;
  if (port === null) return packet.isLaterFragment && rule.action === FilterAction.Allow;
  return port >= rule.ports.first && port <= rule.ports.last;
}

function holds(prefix: FilterRule["prefix"], address: Uint8Array): boolean {
  if (prefix === undefined) return true;
  return prefix.address.length === address.length &&
    binary(prefix.address).slice(0, prefix.bits) === binary(address).slice(0, prefix.bits);
}

function binary(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
}
