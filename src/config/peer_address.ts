/** Which addresses a new peer gets, and what leads to it. */
import type { Prefix } from "../wireguard/configuration.ts";
import { networkOf, nextAddresses, overlaps } from "./next_address.ts";
import type { NodeConfig } from "./types.ts";

/** The place of a new peer. */
export interface PeerPlace {
  /** Its own addresses, of full length. */
  readonly addresses: readonly Prefix[];
  /** What leads to it: its addresses and the prefixes behind it. */
  readonly allowedIps: readonly Prefix[];
}

/**
 * Finds a place in the networks of the interface's addresses, the first of each family, beside all
 * peers. Of the prefixes that are asked for, a single address within such a network is taken as the
 * peer's own. Null when there is no room, or no network at all and no address asked for.
 */
export function placePeer(config: NodeConfig, asked: readonly Prefix[]): PeerPlace | null {
  const { addresses } = config.interface;
  const networks = [4, 16].flatMap((length) => {
    const first = addresses.find(({ address, bits }) =>
      address.length === length && bits < length * 8
    );
    return first === undefined ? [] : [networkOf(first)];
  });
  const isOwn = (prefix: Prefix) =>
    isHost(prefix) && networks.some((network) => overlaps(network, prefix));
  const chosen = asked.filter(isOwn);
  const open = networks.filter((network) => !chosen.some((host) => overlaps(network, host)));
  // A peer that has everything, such as a way out, does not have each of our addresses.
  const coversNetwork = (prefix: Prefix) =>
    networks.some((network) => overlaps(network, prefix) && prefix.bits <= network.bits);
  const taken = [
    ...addresses.map(({ address }) => ({ address, bits: address.length * 8 })),
    ...config.device.peers.flatMap((peer) => peer.allowedIps),
    ...asked,
  ].filter((prefix) => !coversNetwork(prefix));
  const found = nextAddresses(open, taken);
  if (found === null) return null;
  const own = [...chosen, ...found];
  if (own.length === 0) return null;
  return { addresses: own, allowedIps: [...own, ...asked.filter((prefix) => !isOwn(prefix))] };
}

/** The networks of all of the interface's addresses, each once: what leads to this end. */
export function networksOf(config: NodeConfig): Prefix[] {
  const networks = config.interface.addresses.map(networkOf);
  const isFirst = (network: Prefix, at: number) =>
    networks.findIndex((other) => overlaps(other, network) && other.bits === network.bits) === at;
  return networks.filter(isFirst);
}

function isHost({ address, bits }: Prefix): boolean {
  return bits === address.length * 8;
}
