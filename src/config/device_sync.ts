/**
 * The change that brings a running device to what a config says and leaves everything else alone:
 * sessions of peers that stay go on, counters go on, endpoints to which peers have roamed stay. For
 * `syncconf` and `reload`.
 */
import { equalBytes, isZero, toHex, wipe } from "../wireguard/bytes.ts";
import type {
  AllowedIpChange,
  DeviceChange,
  DeviceStatus,
  PeerChange,
  PeerStatus,
  Prefix,
  SocketAddress,
} from "../wireguard/configuration.ts";
import { KEY_BYTES } from "../wireguard/constants.ts";
import { clampPrivateKey } from "../wireguard/noise.ts";
import { formatSocketAddress } from "../control/address_text.ts";
import { isNamed, type Resolve } from "./device_change.ts";
import { prefixKey } from "./peers.ts";
import type { DeviceConfig, NamedEndpoint, PeerConfig } from "./types.ts";

/** How a device is brought to a config. */
export interface SyncOptions {
  readonly resolve: Resolve;
  /** Takes away peers that the config does not have, and keys and keepalives that it leaves out. */
  readonly removeAbsent: boolean;
  /**
   * Tells prefixes one by one, with removals, instead of whole lists. Only this program and recent
   * versions of others know removals.
   */
  readonly incremental: boolean;
  /**
   * The config that the device was brought to before. An endpoint that it has as well is not set
   * again: its peer may have roamed since. Undefined: endpoints are set as the config has them.
   */
  readonly previous?: DeviceConfig;
}

/** The smallest change that does it; without `peers` and with no other field there is none. */
export function syncDevice(
  config: DeviceConfig,
  status: DeviceStatus,
  options: SyncOptions,
): DeviceChange {
  const { privateKey, listenPort, fwmark } = config;
  const running = new Map(status.peers.map((peer) => [toHex(peer.publicKey), peer]));
  const previous = new Map(
    (options.previous?.peers ?? []).map((peer) => [toHex(peer.publicKey), peer]),
  );
  const peers: PeerChange[] = [];
  const wanted = new Set<string>();
  const owners = ownersOf(config.peers);
  for (const peer of config.peers) {
    const key = toHex(peer.publicKey);
    wanted.add(key);
    const change = syncPeer(peer, {
      running: running.get(key),
      previous: previous.get(key),
      prefixes: ownPrefixes(peer, owners),
      options,
    });
    if (change !== null) peers.push(change);
  }
  if (options.removeAbsent) {
    for (const [key, { publicKey }] of running) {
      if (!wanted.has(key)) peers.unshift({ publicKey, remove: true, allowedIps: [] });
    }
  }
  return {
    ...(privateKey !== undefined && !isSamePrivateKey(privateKey, status.privateKey) &&
      { privateKey }),
    ...(listenPort !== undefined && listenPort !== status.listenPort && { listenPort }),
    ...(fwmark !== undefined && fwmark !== status.fwmark && { fwmark }),
    peers,
  };
}

/** Whether a change has nothing in it. */
export function isEmptyChange(change: DeviceChange): boolean {
  const { privateKey, listenPort, fwmark, replacePeers, peers } = change;
  return privateKey === undefined && listenPort === undefined && fwmark === undefined &&
    !replacePeers && peers.length === 0;
}

/** What a peer is compared with. */
interface PeerContext {
  readonly running: PeerStatus | undefined;
  readonly previous: PeerConfig | undefined;
  /** The prefixes that it is to have, by their keys. */
  readonly prefixes: ReadonlyMap<string, Prefix>;
  readonly options: SyncOptions;
}

function syncPeer(peer: PeerConfig, context: PeerContext): PeerChange | null {
  const { running, previous, options } = context;
  const endpoint = endpointToSet(peer, running, previous, options.resolve);
  const settings = {
    ...presharedKeyToSet(peer, running, options.removeAbsent),
    ...(endpoint !== null && { endpoint }),
    ...keepaliveToSet(peer, running, options.removeAbsent),
  };
  const prefixes = allowedIpsToSet(context);
  const isSame = running !== undefined && Object.keys(settings).length === 0 && prefixes === null;
  if (isSame) return null;
  return { publicKey: peer.publicKey, ...settings, allowedIps: [], ...prefixes };
}

/** Which peer has each prefix in the end: the last one that claims it. */
function ownersOf(peers: readonly PeerConfig[]): Map<string, PeerConfig> {
  const owners = new Map<string, PeerConfig>();
  for (const peer of peers) {
    for (const prefix of peer.allowedIps) owners.set(prefixKey(prefix), peer);
  }
  return owners;
}

function ownPrefixes(
  peer: PeerConfig,
  owners: ReadonlyMap<string, PeerConfig>,
): Map<string, Prefix> {
  return new Map([...keyed(peer.allowedIps)].filter(([key]) => owners.get(key) === peer));
}

function presharedKeyToSet(
  { presharedKey }: PeerConfig,
  running: PeerStatus | undefined,
  removeAbsent: boolean,
): { presharedKey?: Uint8Array } {
  if (presharedKey === undefined) {
    const isToGo = removeAbsent && running !== undefined && !isZero(running.presharedKey);
    return isToGo ? { presharedKey: new Uint8Array(KEY_BYTES) } : {};
  }
  return isSameKey(presharedKey, running?.presharedKey ?? null) ? {} : { presharedKey };
}

function keepaliveToSet(
  { keepaliveSeconds }: PeerConfig,
  running: PeerStatus | undefined,
  removeAbsent: boolean,
): { keepaliveSeconds?: number } {
  const seconds = keepaliveSeconds ?? (removeAbsent ? 0 : undefined);
  if (seconds === undefined || seconds === (running?.keepaliveSeconds ?? 0)) return {};
  return { keepaliveSeconds: seconds };
}

function endpointToSet(
  { endpoint }: PeerConfig,
  running: PeerStatus | undefined,
  previous: PeerConfig | undefined,
  resolve: Resolve,
): SocketAddress | null {
  if (endpoint === undefined) return null;
  const current = running?.endpoint ?? null;
  const isOld = previous?.endpoint !== undefined &&
    endpointText(previous.endpoint) === endpointText(endpoint);
  if (isOld && current !== null) return null;
  const address = isNamed(endpoint) ? resolve(endpoint) : endpoint;
  const isSame = address !== null && current !== null &&
    formatSocketAddress(address) === formatSocketAddress(current);
  return isSame ? null : address;
}

function endpointText(endpoint: SocketAddress | NamedEndpoint): string {
  return isNamed(endpoint) ? `${endpoint.host} ${endpoint.port}` : formatSocketAddress(endpoint);
}

/** The change of a peer's prefixes; null for none. */
function allowedIpsToSet(
  { running, prefixes, options }: PeerContext,
): Pick<PeerChange, "replaceAllowedIps" | "allowedIps"> | null {
  const { removeAbsent, incremental } = options;
  const present = keyed(running?.allowedIps ?? []);
  const gone = removeAbsent ? [...present].filter(([key]) => !prefixes.has(key)) : [];
  const fresh = [...prefixes].filter(([key]) => !present.has(key));
  if (gone.length === 0 && fresh.length === 0) return null;
  const change = (remove: boolean) => ([, { address, bits }]: [string, Prefix]) => {
    return { address, bits, remove } satisfies AllowedIpChange;
  };
  if (incremental) return { allowedIps: [...gone.map(change(true)), ...fresh.map(change(false))] };
  return { replaceAllowedIps: true, allowedIps: [...prefixes].map(change(false)) };
}

function keyed(prefixes: Iterable<Prefix>): Map<string, Prefix> {
  return new Map(Array.from(prefixes, (prefix) => [prefixKey(prefix), prefix]));
}

function isSameKey(wanted: Uint8Array, running: Uint8Array | null): boolean {
  return running !== null && equalBytes(wanted, 0, running, 0, KEY_BYTES);
}

/** Whether the device has this private key: it keeps keys clamped. */
function isSamePrivateKey(wanted: Uint8Array, running: Uint8Array | null): boolean {
  const clamped = clampPrivateKey(wanted.slice());
  const isSame = isSameKey(clamped, running);
  wipe(clamped);
  return isSame;
}
