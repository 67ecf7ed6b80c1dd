/**
 * `Serve`: prefixes of this host's network that peers reach through the userspace stack, such as
 * `192.168.0.0/16`; `0.0.0.0/0, ::/0` makes the node an exit to the internet. What the other end needs
 * are the same prefixes among the AllowedIPs that it has for this node: `servedPrefixes`.
 */
import type { Prefix } from "../wireguard/configuration.ts";
import type { NodeConfig } from "./types.ts";
import { type ConfigValue, readPrefix } from "./value.ts";

/** Reads the list of one line, host bits zeroed; what is wrong is reported and left out. */
export function readServe(value: ConfigValue): Prefix[] {
  const prefixes: Prefix[] = [];
  for (const item of value.items()) {
    const prefix = readPrefix(item);
    if (prefix === undefined) continue;
    const network = networkOf(prefix);
    if (String(network.address) !== String(prefix.address)) {
      item.warning(`${item.text} has host bits; they are ignored`);
    }
    prefixes.push(network);
  }
  return prefixes;
}

/** The prefix with its host bits zero. */
export function networkOf({ address, bits }: Prefix): Prefix {
  const network = address.map((byte, i) => {
    const kept = Math.min(8, Math.max(0, bits - 8 * i));
    return byte & (0xff00 >> kept);
  });
  return { address: network, bits };
}

/** What this node serves, each prefix once, for the other end's AllowedIPs beside our addresses. */
export function servedPrefixes({ longhaul }: Pick<NodeConfig, "longhaul">): Prefix[] {
  const byText = new Map(
    longhaul.serve.map((prefix) => [`${prefix.address}/${prefix.bits}`, prefix]),
  );
  return [...byText.values()];
}
