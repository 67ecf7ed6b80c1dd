/**
 * What can be configured on a device and what it tells of itself: the one shape that the UAPI
 * socket, config files and the library speak.
 */

/** An address prefix: 4 or 16 address bytes in network order, and its length in bits. */
export interface Prefix {
  readonly address: Uint8Array;
  readonly bits: number;
}

/** The address and port of a peer: 4 or 16 address bytes in network order. */
export interface SocketAddress {
  readonly address: Uint8Array;
  readonly port: number;
  /** The interface of a link-local IPv6 address, 0 or absent for none. */
  readonly scopeId?: number;
}

/** A change to one allowed IP of a peer. */
export interface AllowedIpChange extends Prefix {
  /** Takes the prefix away from the peer instead of giving it to it. */
  readonly remove: boolean;
}

/** A change to one peer; what is absent stays as it is. */
export interface PeerChange {
  readonly publicKey: Uint8Array;
  /** Removes the peer; everything else is then ignored. */
  readonly remove?: boolean;
  /** Changes the peer only if it exists already. */
  readonly updateOnly?: boolean;
  /** 32 bytes; all zero clears it. */
  readonly presharedKey?: Uint8Array;
  readonly endpoint?: SocketAddress;
  /** Seconds, 0 for off. */
  readonly keepaliveSeconds?: number;
  /** Forgets the peer's allowed IPs before `allowedIps` is applied. */
  readonly replaceAllowedIps?: boolean;
  /** Applied in this order. */
  readonly allowedIps: readonly AllowedIpChange[];
}

/** A change to the device; what is absent stays as it is. Peers are applied in this order. */
export interface DeviceChange {
  /** 32 bytes; all zero clears it. */
  readonly privateKey?: Uint8Array;
  /** 0 lets the kernel choose. */
  readonly listenPort?: number;
  /** 0 clears it. */
  readonly fwmark?: number;
  /** Removes all peers before `peers` is applied. */
  readonly replacePeers?: boolean;
  readonly peers: readonly PeerChange[];
}

/** A peer as `get=1` and the status page tell of it. */
export interface PeerStatus {
  readonly publicKey: Uint8Array;
  readonly presharedKey: Uint8Array;
  readonly endpoint: SocketAddress | null;
  readonly keepaliveSeconds: number;
  /** Nanoseconds since 1970, 0 for never. */
  readonly lastHandshakeWallNs: bigint;
  readonly rxBytes: number;
  readonly txBytes: number;
  /** In the order in which the peer got them; may be gone through more than once. */
  readonly allowedIps: Iterable<Prefix>;
}

/** A device as `get=1` and the status page tell of it. */
export interface DeviceStatus {
  /** Null when none is set. */
  readonly privateKey: Uint8Array | null;
  readonly listenPort: number;
  readonly fwmark: number;
  readonly peers: readonly PeerStatus[];
}

/**
 * What the control socket and the config commands act on. `apply` checks everything first, then
 * applies everything; it throws `ConfigurationError` and has changed nothing when it cannot.
 */
export interface ConfigurationTarget {
  apply(change: DeviceChange): void;
  status(): DeviceStatus;
}

/** A change that could not be applied; `errno` is positive and goes to `wg` negated. */
export class ConfigurationError extends Error {
  override name = "ConfigurationError";

  constructor(message: string, readonly errno: number, options?: ErrorOptions) {
    super(message, options);
  }
}
