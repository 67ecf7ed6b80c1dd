/** Peers for tests of what tells of them. */
import type { PeerStatus } from "../../src/wireguard/configuration.ts";

/** A peer that has not been heard of yet, its key filled with one byte; `fields` are otherwise. */
export function peerStatus(keyByte: number, fields: Partial<PeerStatus> = {}): PeerStatus {
  return {
    publicKey: new Uint8Array(32).fill(keyByte),
    presharedKey: new Uint8Array(32),
    endpoint: null,
    keepaliveSeconds: 0,
    lastHandshakeWallNs: 0n,
    rxBytes: 0,
    txBytes: 0,
    allowedIps: [],
    ...fields,
  };
}
