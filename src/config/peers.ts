/**
 * What holds between the peers of a file: the same key twice, our own key, a prefix that two peers
 * claim, and what all of them together mean for routes and MTU.
 */
import { peerName } from "../control/key_text.ts";
import { toHex } from "../wireguard/bytes.ts";
import type { Prefix } from "../wireguard/configuration.ts";
import type { Diagnostics } from "./diagnostic.ts";
import { MTU_MIN_V6 } from "./mtu.ts";
import type { AllowedIpDraft, PeerDraft } from "./sections.ts";
import type { PeerConfig } from "./types.ts";
import type { ConfigValue } from "./value.ts";

/** Derives a public key. */
export type PublicKeyOf = (privateKey: Uint8Array) => Uint8Array;

type KeyedPeer = PeerDraft & { publicKey: Uint8Array };

/**
 * The peers of a file, in order. One that stands there twice is one peer: as with `wg setconf`, what
 * the later section sets replaces what the earlier one set, all allowed IPs included. Our own key is
 * left out.
 */
export function mergePeers(
  drafts: readonly PeerDraft[],
  privateKey: Uint8Array | undefined,
  publicKeyOf: PublicKeyOf | undefined,
  diagnostics: Diagnostics,
): PeerConfig[] {
  const own = privateKey && publicKeyOf ? toHex(publicKeyOf(privateKey)) : null;
  const merged = new Map<string, KeyedPeer>();
  for (const draft of drafts) {
    const { publicKey, line, column } = draft;
    if (publicKey === undefined) {
      if (!draft.hasPublicKey) diagnostics.error(line, column, "[Peer] has no PublicKey");
      continue;
    }
    const key = toHex(publicKey);
    if (key === own) {
      diagnostics.warning(line, column, "this peer has our own key; it is ignored");
      continue;
    }
    const earlier = merged.get(key);
    if (earlier !== undefined) {
      const message = `${peerName(publicKey)} is the peer of line ${earlier.line} again; ` +
        "what is set here replaces what was set there, all allowed IPs included";
      diagnostics.warning(line, column, message);
    }
    merged.set(key, mergePeer(earlier, { ...draft, publicKey }));
  }
  const peers = [...merged.values()];
  warnOfClaims(peers);
  return peers.map(toPeerConfig);
}

function mergePeer(earlier: KeyedPeer | undefined, later: KeyedPeer): KeyedPeer {
  if (earlier === undefined) return later;
  return {
    ...later,
    presharedKey: later.presharedKey ?? earlier.presharedKey,
    endpoint: later.endpoint ?? earlier.endpoint,
    keepaliveSeconds: later.keepaliveSeconds ?? earlier.keepaliveSeconds,
    natAddresses: later.natAddresses.length > 0 ? later.natAddresses : earlier.natAddresses,
  };
}

function toPeerConfig(peer: KeyedPeer): PeerConfig {
  const { publicKey, presharedKey, endpoint, keepaliveSeconds, natAddresses, line } = peer;
  return {
    publicKey,
    ...(presharedKey !== undefined && { presharedKey }),
    ...(endpoint !== undefined && { endpoint }),
    ...(keepaliveSeconds !== undefined && { keepaliveSeconds }),
    allowedIps: peer.allowedIps.map(({ prefix }) => prefix),
    ...(natAddresses.length > 0 && { natAddresses: natAddresses.map(({ address }) => address) }),
    line,
  };
}

/** Warns of each prefix that two peers claim: it belongs to the later one. */
function warnOfClaims(peers: readonly KeyedPeer[]): void {
  const owners = new Map<string, { peer: KeyedPeer; allowedIp: AllowedIpDraft }>();
  for (const peer of peers) {
    for (const allowedIp of peer.allowedIps) {
      const key = prefixKey(allowedIp.prefix);
      const earlier = owners.get(key);
      if (earlier !== undefined && earlier.peer !== peer) {
        const from = `${peerName(earlier.peer.publicKey)} (line ${earlier.allowedIp.value.line})`;
        const to = peerName(peer.publicKey);
        const { value } = allowedIp;
        value.warning(`${value.text} belongs to ${to} now, not to ${from}: the last one wins`);
      }
      owners.set(key, { peer, allowedIp });
    }
  }
}

/** The prefixes of all peers, each once, host bits zero, in the order of the file. */
export function routesOf(peers: readonly PeerConfig[]): Prefix[] {
  const routes = new Map<string, Prefix>();
  for (const peer of peers) {
    for (const prefix of peer.allowedIps) {
      const key = prefixKey(prefix);
      if (!routes.has(key)) routes.set(key, { address: networkOf(prefix), bits: prefix.bits });
    }
  }
  return [...routes.values()];
}

/** Refuses an MTU that IPv6 cannot run over when any of the prefixes is one of IPv6. */
export function checkMtu(
  mtu: { bytes: number; value: ConfigValue } | null,
  prefixes: readonly Prefix[],
): void {
  if (mtu === null || mtu.bytes >= MTU_MIN_V6) return;
  if (!prefixes.some(({ address }) => address.length === 16)) return;
  mtu.value.error(`IPv6 needs at least ${MTU_MIN_V6} bytes, found ${mtu.bytes}`);
}

function networkOf({ address, bits }: Prefix): Uint8Array {
  return address.map((byte, i) => byte & (0xff00 >> Math.min(Math.max(bits - i * 8, 0), 8)));
}

/**
 * A text that equal prefixes, and no others, have in common: the length and the network, 16 bits in
 * each character.
 */
export function prefixKey({ address, bits }: Prefix): string {
  let key = String.fromCharCode(bits);
  for (let i = 0; i < address.length; i += 2) {
    const kept = Math.min(Math.max(bits - i * 8, 0), 16);
    const word = (address[i] << 8 | address[i + 1]) & (0xffff0000 >> kept);
    key += String.fromCharCode(word & 0xffff);
  }
  return key;
}
