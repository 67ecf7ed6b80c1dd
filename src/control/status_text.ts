/**
 * A status as `wg show` prints it, so that what people and scripts have learnt to read stays the
 * same: peers by latest handshake, sizes in binary units, secret keys hidden. With the report of a
 * process of ours, lines of our own follow those of `wg` in each paragraph.
 */
import { isZero, toHex } from "../wireguard/bytes.ts";
import type { DeviceStatus, PeerStatus } from "../wireguard/configuration.ts";
import { formatPrefix, formatSocketAddress } from "./address_text.ts";
import { formatKeyBase64 } from "./key_text.ts";
import { batchSizes, type NodeReport, type PeerReport } from "./node_report.ts";
import { formatRate } from "./rate_text.ts";

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
  /** What the process tells of its data plane; without it the text is that of `wg show`. */
  readonly report?: NodeReport | null;
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
  const { report } = options;
  if (report) lines.push(...reportLines(report));
  const reports = new Map(report?.peers.map((peer) => [peer.keyText, peer]));
  for (const peer of byLatestHandshake(status.peers)) {
    lines.push("", `peer: ${formatKeyBase64(peer.publicKey)}`);
    if (!isZero(peer.presharedKey)) lines.push(`  preshared key: ${secret(peer.presharedKey)}`);
    pushPeer(lines, peer, options.nowWallNs);
    if (report) lines.push(...peerReportLines(reports.get(toHex(peer.publicKey))));
  }
  return lines.join("\n") + "\n";
}

/** What is told of the data plane, as lines of the interface's paragraph. */
function reportLines(report: NodeReport): string[] {
  const seconds = Math.floor(report.uptimeMs / 1000);
  const rx = report.peers.reduce((sum, peer) => sum + peer.rxBytesPerSecond, 0);
  const tx = report.peers.reduce((sum, peer) => sum + peer.txBytesPerSecond, 0);
  const lines = [
    `  running for: ${
      formatDuration(seconds) || "less than a second"
    } (longhaul ${report.version})`,
    `  mtu: ${report.mtu}`,
    `  data plane: ${report.cipher}, ${encryptorText(report)}`,
    `  offloads: ${offloadText(report)}`,
    `  rate: ${formatRate(rx)} received, ${formatRate(tx)} sent`,
    `  batches: ${batchText(report)}`,
  ];
  if (report.lanes.length > 1) lines.push(`  lanes: ${laneText(report)}`);
  const drops = dropText(report);
  if (drops !== "") lines.push(`  drops: ${drops}`);
  return lines;
}

/** Where packets are sealed and opened; with several threads, how they have shared the messages. */
function encryptorText({ encryptors, encryptorWork }: NodeReport): string {
  if (encryptors === 0) return "encrypting in the lane";
  const count = encryptorWork.length || encryptors;
  if (count === 1) return "encrypting in a thread of its own";
  const text = `encrypting in ${count} threads of its own`;
  const all = encryptorWork.reduce((sum, { messages }) => sum + messages, 0);
  if (all === 0) return text;
  const shares = encryptorWork.map(({ messages }) => `${Math.round(100 * messages / all)} %`);
  return `${text} (${shares.join(", ")})`;
}

/** What each of several lanes has: `2 peers (61 %), 1 peer (39 %); 12 packets handed over`. */
function laneText({ lanes }: NodeReport): string {
  const all = lanes.reduce((sum, { messages }) => sum + messages, 0) || 1;
  const shares = lanes.map(({ peers, messages }) =>
    `${peers} ${peers === 1 ? "peer" : "peers"} (${Math.round(100 * messages / all)} %)`
  );
  const handedOver = lanes.reduce((sum, lane) => sum + lane.handedOver, 0);
  return `${shares.join(", ")}; ${handedOver} packets handed over`;
}

/** The offloads in use, and the others with the reason. */
function offloadText({ offloads }: NodeReport): string {
  const names = (wanted: string) =>
    [...offloads].filter(([, state]) => state === wanted).map(([name]) => name).join(", ");
  const parts = [names("on") || "none"];
  if (names("off") !== "") parts.push(`off: ${names("off")}`);
  if (names("fallback") !== "") parts.push(`refused by the kernel: ${names("fallback")}`);
  return parts.join("; ");
}

/** Mean batch sizes, `42.0 packets per TUN read, ...`; those that have not happened are left out. */
export function batchText(report: NodeReport, earlier?: NodeReport): string {
  const sizes = batchSizes(report, earlier);
  const parts = ([
    [sizes.tunRead, "packets per TUN read"],
    [sizes.udpSend, "per UDP send"],
    [sizes.udpReceive, "per UDP receive"],
    [sizes.tunWrite, "per TUN write"],
  ] as const).filter(([mean]) => mean > 0);
  return parts.map(([mean, what]) => `${mean.toFixed(1)} ${what}`).join(", ") ||
    (earlier === undefined ? "no packets yet" : "no packets");
}

/** Dropped packets by reason, the most first. */
export function dropText({ drops }: NodeReport): string {
  return drops.toSorted((a, b) => b.packets - a.packets)
    .map(({ reason, packets }) => `${reason} ${packets}`).join(", ");
}

function peerReportLines(report: PeerReport | undefined): string[] {
  if (report === undefined) return [];
  const { friendlyName, rxBytesPerSecond, txBytesPerSecond } = report;
  const lines: string[] = [];
  if (rxBytesPerSecond + txBytesPerSecond > 0) {
    const received = formatRate(rxBytesPerSecond), sent = formatRate(txBytesPerSecond);
    lines.push(`  rate: ${received} received, ${sent} sent`);
  }
  if (friendlyName !== "") lines.push(`  friendly name: ${friendlyName}`);
  return lines;
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
