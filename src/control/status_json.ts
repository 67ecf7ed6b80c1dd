/**
 * A status for programs. Its shape is stable: fields may be added, none changes or goes.
 *
 * ```ts
 * { interfaces: {
 *     name: string,
 *     publicKey: string | null,       // base64; null while no private key is set
 *     listenPort: number,             // 0 while no socket is open and none is wanted
 *     fwmark: number,                 // 0 for none
 *     peers: {                        // the latest handshake first
 *       publicKey: string,            // base64
 *       hasPresharedKey: boolean,
 *       endpoint: string | null,      // "192.0.2.1:51820", "[2001:db8::1]:51820"
 *       allowedIps: string[],         // "10.0.0.0/24"
 *       latestHandshake: number,      // seconds since 1970 with fraction, 0 for never
 *       receivedBytes: number,
 *       sentBytes: number,
 *       persistentKeepalive: number,  // seconds, 0 for off
 *     }[],
 * }[] }
 * ```
 *
 * Private and preshared keys are never in it.
 */
import { isZero } from "../wireguard/bytes.ts";
import type { DeviceStatus, PeerStatus } from "../wireguard/configuration.ts";
import { formatPrefix, formatSocketAddress } from "./address_text.ts";
import { formatKeyBase64 } from "./key_text.ts";
import { byLatestHandshake } from "./status_text.ts";

/** A peer; see the module's text. */
export interface PeerJson {
  readonly publicKey: string;
  readonly hasPresharedKey: boolean;
  readonly endpoint: string | null;
  readonly allowedIps: readonly string[];
  readonly latestHandshake: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly persistentKeepalive: number;
}

/** An interface; see the module's text. */
export interface InterfaceJson {
  readonly name: string;
  readonly publicKey: string | null;
  readonly listenPort: number;
  readonly fwmark: number;
  readonly peers: readonly PeerJson[];
}

/** An interface's status for programs; `publicKey` is that of the device's private key. */
export function statusJson(
  name: string,
  status: DeviceStatus,
  publicKey: Uint8Array | null,
): InterfaceJson {
  return {
    name,
    publicKey: publicKey === null ? null : formatKeyBase64(publicKey),
    listenPort: status.listenPort,
    fwmark: status.fwmark,
    peers: byLatestHandshake(status.peers).map(peerJson),
  };
}

function peerJson(peer: PeerStatus): PeerJson {
  return {
    publicKey: formatKeyBase64(peer.publicKey),
    hasPresharedKey: !isZero(peer.presharedKey),
    endpoint: peer.endpoint === null ? null : formatSocketAddress(peer.endpoint),
    allowedIps: Array.from(peer.allowedIps, formatPrefix),
    latestHandshake: Number(peer.lastHandshakeWallNs / 1_000_000n) / 1000,
    receivedBytes: peer.rxBytes,
    sentBytes: peer.txBytes,
    persistentKeepalive: peer.keepaliveSeconds,
  };
}
