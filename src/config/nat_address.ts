/**
 * `NatAddress`: by which addresses a peer knows us, where its network has given us others than our own.
 * The first `Address` of each family in `[Interface]` is then translated towards this peer and back;
 * several peers may know us by the same address, since each is translated apart.
 */
import { formatAddress, parseAddress } from "../control/address_text.ts";
import type { NatPair } from "../nat/nat_table.ts";
import { equalBytes } from "../wireguard/bytes.ts";
import type { Prefix } from "../wireguard/configuration.ts";
import { prefixKey } from "./peers.ts";
import type { PeerDraft } from "./sections.ts";
import type { NodeConfig } from "./types.ts";
import type { ConfigValue } from "./value.ts";

/** An address and the place where it was given, for what is said about it later. */
export interface NatAddressDraft {
  readonly address: Uint8Array;
  readonly value: ConfigValue;
}

/** What a peer's translation is: its public key, and one pair of each family at most. */
export interface PeerNat {
  readonly publicKey: Uint8Array;
  readonly pairs: readonly NatPair[];
}

/** Reads the list of one line; what is wrong is reported and left out. */
export function readNatAddresses(value: ConfigValue): NatAddressDraft[] {
  const found: NatAddressDraft[] = [];
  for (const item of value.items()) {
    const address = parseAddress(item.text);
    if (address === null) {
      item.expected("an address without a prefix length, such as 10.9.0.7 or fd00::7");
    } else if (!isUnicast(address)) {
      item.error(`${item.text} cannot be the address of one node`);
    } else found.push({ address, value: item });
  }
  return found;
}

/** Neither unspecified, loopback, multicast nor broadcast. */
function isUnicast(address: Uint8Array): boolean {
  if (address.length === 4) return ![0, 127].includes(address[0]) && address[0] < 224;
  const isLow = address.subarray(0, 15).every((byte) => byte === 0) && address[15] <= 1;
  return !isLow && address[0] !== 0xff;
}

/**
 * Reports what cannot be translated: a second address of a family, one that stands for none of
 * `own`, and one that already belongs to this node or to a peer.
 */
export function checkNatAddresses(peers: readonly PeerDraft[], own: readonly Prefix[]): void {
  if (peers.every(({ natAddresses }) => natAddresses.length === 0)) return;
  const owners = hostOwners(peers);
  for (const peer of peers) {
    const earlier = new Map<string, ConfigValue>();
    for (const { address, value } of peer.natAddresses) {
      const family = familyOf(address);
      const first = earlier.get(family);
      if (first !== undefined) {
        value.error(
          `a peer knows us by one ${family} address, and that is ${first.text} (line ${first.line})`,
        );
      } else checkNatAddress({ address, value }, own, owners.get(hostKey(address)), peer);
      earlier.set(family, value);
    }
  }
}

function checkNatAddress(
  { address, value }: NatAddressDraft,
  own: readonly Prefix[],
  owner: PeerDraft | undefined,
  peer: PeerDraft,
): void {
  const { text } = value;
  const native = ownAddress(own, address);
  const isOwn = own.some((prefix) => isSame(prefix.address, address));
  if (native === undefined) {
    value.error(`[Interface] has no ${familyOf(address)} Address that ${text} could stand for`);
  } else if (isSame(native, address)) {
    value.warning(`${text} is our own address: there is nothing to translate`);
  } else if (isOwn) {
    value.error(
      `${text} is another Address of this node; only ${formatAddress(native)} is translated`,
    );
  } else if (owner !== undefined) {
    const whose = owner === peer ? "this peer itself" : `the peer of line ${owner.line}`;
    value.error(`${text} is an address of ${whose}, by its AllowedIPs`);
  }
}

/** Which peer has each single address among its allowed IPs. */
function hostOwners(peers: readonly PeerDraft[]): Map<string, PeerDraft> {
  const owners = new Map<string, PeerDraft>();
  for (const peer of peers) {
    for (const { prefix } of peer.allowedIps) {
      if (prefix.bits === prefix.address.length * 8) owners.set(prefixKey(prefix), peer);
    }
  }
  return owners;
}

function hostKey(address: Uint8Array): string {
  return prefixKey({ address, bits: address.length * 8 });
}

function familyOf(address: Uint8Array): string {
  return address.length === 4 ? "IPv4" : "IPv6";
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && equalBytes(a, 0, b, 0, a.length);
}

/** Our address of that family which is translated: the first in the file. */
function ownAddress(own: readonly Prefix[], like: Uint8Array): Uint8Array | undefined {
  return own.find(({ address }) => address.length === like.length)?.address;
}

/** The translation for each peer that needs one, for `NodePolicy.replaceNat`. */
export function peerNats({ interface: { addresses }, device }: NodeConfig): PeerNat[] {
  return device.peers.flatMap(({ publicKey, natAddresses = [] }) => {
    const pairs = natAddresses.flatMap((theirs) => {
      const own = ownAddress(addresses, theirs);
      return own === undefined || isSame(own, theirs) ? [] : [{ own, theirs }];
    });
    return pairs.length === 0 ? [] : [{ publicKey, pairs }];
  });
}
