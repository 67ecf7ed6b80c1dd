/**
 * `Serve` and `Netstack`: prefixes of this host's network that peers reach through the userspace stack, such as
 * `192.168.0.0/16`; `0.0.0.0/0, ::/0` makes the node an exit to the internet. `Netstack` is `Serve`
 * of a node that has an interface too. What the other end needs
 * are the same prefixes among the AllowedIPs that it has for this node: `servedPrefixes`.
 */
import type { Prefix } from "../wireguard/configuration.ts";
import { networkOf } from "./next_address.ts";
import type { NodeConfig } from "./types.ts";
import { type ConfigValue, readPrefix } from "./value.ts";

/** Prefixes that Serve and Netstack may have together: what the divert table holds. */
const PREFIXES_MAX = 256;

/** Adds the list of one line to `prefixes`, host bits zeroed; what is wrong is reported. */
export function readServe(value: ConfigValue, prefixes: Prefix[]): void {
  for (const item of value.items()) {
    const prefix = readPrefix(item);
    if (prefix === undefined) continue;
    const network = networkOf(prefix);
    if (String(network.address) !== String(prefix.address)) {
      item.warning(`${item.text} has host bits; they are ignored`);
    }
    if (prefixes.length < PREFIXES_MAX) prefixes.push(network);
    else return item.error(`more than ${PREFIXES_MAX} prefixes`);
  }
}

/** What this node serves, each prefix once, for the other end's AllowedIPs beside our addresses. */
export function servedPrefixes({ longhaul }: Pick<NodeConfig, "longhaul">): Prefix[] {
  const all = [...longhaul.serve, ...longhaul.netstack];
  return [...new Map(all.map((prefix) => [`${prefix.address}/${prefix.bits}`, prefix])).values()];
}
