/**
 * A status as `wg show` prints it, so that what people and scripts have learnt to read stays the
 * same: peers by latest handshake, sizes in binary units, secret keys hidden.
 */
import { isZero } from "../wireguard/bytes.ts";
import type { DeviceStatus, PeerStatus } from "../wireguard/configuration.ts";
import { formatPrefix, formatSocketAddress } from "./address_text.ts";
import { formatKeyBase64 } from "./key_text.ts";

const NS_PER_SECOND = 1_000_000_000n;

/** What a status is printed with. */
export interface StatusTextOptions {
  readonly interfaceName: string;
  /** The public key of the device's private key, null when it has none. */
  readonly publicKey: Uint8Array | null;
  /** Nanoseconds since 1970. */
  readonly nowWallNs: bigint;
  /** Prints private and preshared keys too (WG_HIDE_KEYS=never). */
  readonly showKeys?: boolean;
}

/** The text of a status, ending in a line end. */
export function formatStatus(status: DeviceStatus, options: StatusTextOptions): string {
  const { privateKey, listenPort, fwmark } = status;
  const secret = (key: Uint8Array) => options.showKeys ? formatKeyBase64(key) : "(hidden)";
  const lines = [`interface: ${options.interfaceName}`];
  if (options.publicKey !== null) lines.push(`  public key: ${formatKeyBase64(options.publicKey)}`);
  if (privateKey !== null) lines.push(`  private key: ${secret(privateKey)}`);
  if (listenPort !== 0) lines.push(`  listening port: ${listenPort}`);
  if (fwmark !== 0) lines.push(`  fwmark: 0x${fwmark.toString(16)}`);
  for (const peer of byLatestHandshake(status.peers)) {
    lines.push("", `peer: ${formatKeyBase64(peer.publicKey)}`);
    if (!isZero(peer.presharedKey)) lines.push(`  preshared key: ${secret(peer.presharedKey)}`);
    pushPeer(lines, peer, options.nowWallNs);
  }
  return lines.join("\n") + "\n";
}

/** The peers, the latest handshake first and the others, in their order, last. */
export function byLatestHandshake(peers: readonly PeerStatus[]): PeerStatus[] {
  return peers.toSorted((a, b) => Number(b.lastHandshakeWallNs - a.lastHandshakeWallNs));
}

function pushPeer(lines: string[], peer: PeerStatus, nowWallNs: bigint): void {
  if (peer.endpoint !== null) lines.push(`  endpoint: ${formatSocketAddress(peer.endpoint)}`);
  const prefixes = Array.from(peer.allowedIps, formatPrefix).join(", ");
  lines.push(`  allowed ips: ${prefixes || "(none)"}`);
  if (peer.lastHandshakeWallNs !== 0n) {
    lines.push(`  latest handshake: ${formatAge(peer.lastHandshakeWallNs, nowWallNs)}`);
  }
  if (peer.rxBytes !== 0 || peer.txBytes !== 0) {
    const received = formatBytes(peer.rxBytes), sent = formatBytes(peer.txBytes);
    lines.push(`  transfer: ${received} received, ${sent} sent`);
  }
  if (peer.keepaliveSeconds !== 0) {
    lines.push(`  persistent keepalive: every ${formatDuration(peer.keepaliveSeconds)}`);
  }
}

/** How long ago a time on the wall clock is: `1 minute, 5 seconds ago`. */
export function formatAge(thenWallNs: bigint, nowWallNs: bigint): string {
  const seconds = Number(nowWallNs / NS_PER_SECOND - thenWallNs / NS_PER_SECOND);
  if (seconds < 0) return "(System clock wound backward; connection problems may ensue.)";
  return seconds === 0 ? "Now" : `${formatDuration(seconds)} ago`;
}

/** Whole seconds in the largest units: `1 day, 2 hours, 5 seconds`. */
export function formatDuration(seconds: number): string {
  const units: [string, number][] = [
    ["year", 365 * 86_400],
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
    ["second", 1],
  ];
  const parts: string[] = [];
  let left = seconds;
  for (const [name, length] of units) {
    const count = Math.floor(left / length);
    left %= length;
    if (count > 0) parts.push(`${count} ${name}${count === 1 ? "" : "s"}`);
  }
  return parts.join(", ");
}

/** A number of bytes: `512 B`, `1.50 KiB`, ..., `2.00 TiB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes / 1024, unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(2)} ${units[unit]}`;
}
