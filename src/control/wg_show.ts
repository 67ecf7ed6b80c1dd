/**
 * A status as `wg show IF FIELD`, `wg show IF dump` and `wg showconf` print it, byte for byte: these
 * forms are what scripts read. `status_text.ts` has the one for people.
 */
import { isZero } from "../wireguard/bytes.ts";
import type {
  DeviceStatus,
  PeerStatus,
  Prefix,
  SocketAddress,
} from "../wireguard/configuration.ts";
import { formatAddress, formatPrefix, formatSocketAddress } from "./address_text.ts";
import { formatKeyBase64 } from "./key_text.ts";

/** Finds the name of an interface by its index; null when there is none. */
export type InterfaceName = (index: number) => string | null;

/** A device, and what it takes to print it. */
export interface ShownDevice {
  readonly status: DeviceStatus;
  /** The public key of the device's private key, null when it has none. */
  readonly publicKey: Uint8Array | null;
  /** For the zone of a link-local endpoint; without it zones are numbers. */
  readonly interfaceName?: InterfaceName;
  /** Stands before each line (`wg show all FIELD`); null for none. */
  readonly prefix: string | null;
}

/** The lines of one field. */
type FieldLines = (device: ShownDevice) => Iterable<readonly string[]>;

const NONE = "(none)";

/** What `wg show IF` takes behind the name, with what it prints: lines of tab-separated words. */
export const SHOW_FIELDS: ReadonlyMap<string, FieldLines> = new Map<string, FieldLines>([
  ["public-key", ({ publicKey }) => [[maybeKey(publicKey)]]],
  ["private-key", ({ status }) => [[maybeKey(status.privateKey)]]],
  ["listen-port", ({ status }) => [[`${status.listenPort}`]]],
  ["fwmark", ({ status }) => [[fwmarkText(status.fwmark)]]],
  ["peers", ({ status }) => status.peers.map((peer) => [keyOf(peer)])],
  [
    "preshared-keys",
    ({ status }) => status.peers.map((peer) => [keyOf(peer), maybeKey(peer.presharedKey)]),
  ],
  ["endpoints", (device) => device.status.peers.map((p) => [keyOf(p), endpointOf(p, device)])],
  [
    "allowed-ips",
    ({ status }) => status.peers.map((peer) => [keyOf(peer), prefixes(peer.allowedIps, " ")]),
  ],
  [
    "latest-handshakes",
    ({ status }) => status.peers.map((peer) => [keyOf(peer), handshakeSeconds(peer)]),
  ],
  ["transfer", ({ status }) => status.peers.map((p) => [keyOf(p), `${p.rxBytes}`, `${p.txBytes}`])],
  [
    "persistent-keepalive",
    ({ status }) => status.peers.map((peer) => [keyOf(peer), keepaliveText(peer)]),
  ],
  ["dump", dumpLines],
]);

/** The text of one field of `SHOW_FIELDS`, each line behind the prefix where there is one. */
export function formatShowField(device: ShownDevice, field: string): string {
  const lines = Array.from(SHOW_FIELDS.get(field)!(device), (words) => words.join("\t") + "\n");
  const { prefix } = device;
  if (prefix === null) return lines.join("");
  // `wg` names the interface of endpoints once, and also where there is no peer.
  if (field === "endpoints") return `${prefix}\t${lines.join("")}`;
  return lines.map((line) => `${prefix}\t${line}`).join("");
}

function dumpLines(device: ShownDevice): string[][] {
  const { status, publicKey } = device;
  return [
    [
      maybeKey(status.privateKey),
      maybeKey(publicKey),
      `${status.listenPort}`,
      fwmarkText(status.fwmark),
    ],
    ...status.peers.map((peer) => [
      keyOf(peer),
      maybeKey(peer.presharedKey),
      endpointOf(peer, device),
      prefixes(peer.allowedIps, ","),
      handshakeSeconds(peer),
      `${peer.rxBytes}`,
      `${peer.txBytes}`,
      keepaliveText(peer),
    ]),
  ];
}

/** The device as the text of a config file that `wg setconf` reads, as `wg showconf` prints it. */
export function formatShowConf(device: Omit<ShownDevice, "prefix">): string {
  const { listenPort, fwmark, privateKey, peers } = device.status;
  const lines = ["[Interface]"];
  if (listenPort !== 0) lines.push(`ListenPort = ${listenPort}`);
  if (fwmark !== 0) lines.push(`FwMark = ${fwmarkText(fwmark)}`);
  if (privateKey !== null) lines.push(`PrivateKey = ${formatKeyBase64(privateKey)}`);
  lines.push("");
  peers.forEach((peer, i) => {
    if (i > 0) lines.push("");
    lines.push("[Peer]", `PublicKey = ${keyOf(peer)}`);
    if (!isZero(peer.presharedKey)) {
      lines.push(`PresharedKey = ${formatKeyBase64(peer.presharedKey)}`);
    }
    const allowedIps = prefixes(peer.allowedIps, ", ");
    if (allowedIps !== NONE) lines.push(`AllowedIPs = ${allowedIps}`);
    if (peer.endpoint !== null) lines.push(`Endpoint = ${endpointOf(peer, device)}`);
    if (peer.keepaliveSeconds !== 0) lines.push(`PersistentKeepalive = ${peer.keepaliveSeconds}`);
  });
  return lines.join("\n") + "\n";
}

/** An endpoint with the name of its zone, as the C library prints it. */
function formatNamedEndpoint(
  endpoint: SocketAddress,
  interfaceName: InterfaceName | undefined,
): string {
  const name = endpoint.scopeId ? interfaceName?.(endpoint.scopeId) ?? null : null;
  if (name === null) return formatSocketAddress(endpoint);
  return `[${formatAddress(endpoint.address)}%${name}]:${endpoint.port}`;
}

function keyOf(peer: PeerStatus): string {
  return formatKeyBase64(peer.publicKey);
}

function maybeKey(key: Uint8Array | null): string {
  return key === null || isZero(key) ? NONE : formatKeyBase64(key);
}

function fwmarkText(fwmark: number): string {
  return fwmark === 0 ? "off" : `0x${fwmark.toString(16)}`;
}

function endpointOf(
  { endpoint }: PeerStatus,
  { interfaceName }: Omit<ShownDevice, "prefix">,
): string {
  return endpoint === null ? NONE : formatNamedEndpoint(endpoint, interfaceName);
}

function prefixes(allowedIps: Iterable<Prefix>, separator: string): string {
  return Array.from(allowedIps, formatPrefix).join(separator) || NONE;
}

function handshakeSeconds(peer: PeerStatus): string {
  return `${peer.lastHandshakeWallNs / 1_000_000_000n}`;
}

function keepaliveText({ keepaliveSeconds }: PeerStatus): string {
  return keepaliveSeconds === 0 ? "off" : `${keepaliveSeconds}`;
}
