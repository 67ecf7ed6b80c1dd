/** Which offloads may be used, and the words that switch them off. */

/** One flag for each offload; all are used where the kernel has them unless switched off. */
export interface OffloadConfig {
  /** UDP_SEGMENT: one send carries many datagrams. */
  readonly udpGso: boolean;
  /** UDP_GRO: one receive takes many datagrams. */
  readonly udpGro: boolean;
  /** The kernel hands TCP super-packets to the TUN's reader. */
  readonly tunTso: boolean;
  /** The same for UDP. */
  readonly tunUso: boolean;
  /** Packets are coalesced before they are written to the TUN. */
  readonly tunGro: boolean;
  /** The userspace stack makes segments of up to 64 KB, which are cut later. */
  readonly netstackGso: boolean;
}

export const ALL_OFFLOADS: OffloadConfig = {
  udpGso: true,
  udpGro: true,
  tunTso: true,
  tunUso: true,
  tunGro: true,
  netstackGso: true,
};

/** What a user writes to switch an offload off. */
export const OFFLOAD_SWITCHES: ReadonlyMap<string, keyof OffloadConfig> = new Map([
  ["no-udp-gso", "udpGso"],
  ["no-udp-gro", "udpGro"],
  ["no-tun-tso", "tunTso"],
  ["no-tun-uso", "tunUso"],
  ["no-tun-gro", "tunGro"],
  ["no-netstack-gso", "netstackGso"],
]);
