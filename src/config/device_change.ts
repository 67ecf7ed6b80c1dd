/** From a config to what the device is told. */
import type { DeviceChange, PeerChange, SocketAddress } from "../wireguard/configuration.ts";
import type { DeviceConfig, NamedEndpoint, PeerConfig } from "./types.ts";

/** Finds the address of a named endpoint; null while there is none. */
export type Resolve = (endpoint: NamedEndpoint) => SocketAddress | null;

/** Whether an endpoint has still to be resolved. */
export function isNamed(endpoint: SocketAddress | NamedEndpoint): endpoint is NamedEndpoint {
  return "host" in endpoint;
}

/**
 * The change that makes a device what the config says, whatever it was before. A peer whose endpoint
 * has no address yet gets none: it waits, or is called.
 */
export function toDeviceChange(config: DeviceConfig, resolve: Resolve): DeviceChange {
  const { privateKey, listenPort, fwmark } = config;
  return {
    ...(privateKey !== undefined && { privateKey }),
    ...(listenPort !== undefined && { listenPort }),
    ...(fwmark !== undefined && { fwmark }),
    replacePeers: true,
    peers: config.peers.map((peer) => toPeerChange(peer, resolve)),
  };
}

/** Wipes the secret keys of a config once the device has its copies. */
export function wipeKeys({ privateKey, peers }: DeviceConfig): void {
  privateKey?.fill(0);
  for (const { presharedKey } of peers) presharedKey?.fill(0);
}

function toPeerChange(peer: PeerConfig, resolve: Resolve): PeerChange {
  const { publicKey, presharedKey, keepaliveSeconds } = peer;
  let endpoint: SocketAddress | null = null;
  if (peer.endpoint !== undefined) {
    endpoint = isNamed(peer.endpoint) ? resolve(peer.endpoint) : peer.endpoint;
  }
  return {
    publicKey,
    ...(presharedKey !== undefined && { presharedKey }),
    ...(endpoint !== null && { endpoint }),
    ...(keepaliveSeconds !== undefined && { keepaliveSeconds }),
    replaceAllowedIps: true,
    allowedIps: peer.allowedIps.map(({ address, bits }) => ({ address, bits, remove: false })),
  };
}
