/** `longhaul peer list`: the peers of a config file with what the running interface knows of them. */
import { systemClock } from "../../ffi/clock.ts";
import { isNamed, wipeKeys } from "../config/device_change.ts";
import type { PeerConfig } from "../config/types.ts";
import { formatPrefix, formatSocketAddress } from "../control/address_text.ts";
import { formatKeyBase64 } from "../control/key_text.ts";
import { formatAge, formatBytes } from "../control/status_text.ts";
import { printText } from "../daemon/terminal.ts";
import { toHex } from "../wireguard/bytes.ts";
import type { PeerStatus } from "../wireguard/configuration.ts";
import type { CommandSpec } from "./command_spec.ts";
import { readDevice } from "./device_client.ts";
import { findPeerFile, INTERFACE_FLAG, readPeerFile } from "./peer_file.ts";
import { wipeStatus } from "./show_command.ts";

export const peerListCommand: CommandSpec = {
  name: "peer list",
  summary: "list the peers of a config file, and what runs of them",
  words: "",
  count: { min: 0, max: 0, rule: "peer list takes no words; name the tunnel with --interface" },
  flags: [{ name: "json", help: "as JSON" }, INTERFACE_FLAG],
  examples: [
    ["peer list", "names, addresses, the latest handshakes"],
    ["peer list --json --interface wg0", "the same for programs"],
  ],
  run: ({ flags }) => runPeerList(flags.text("interface"), flags.has("json")),
};

/** A peer for programs; fields may be added, none changes or goes. */
interface PeerRow {
  /** Null where the file gives none. */
  readonly name: string | null;
  readonly publicKey: string;
  readonly allowedIps: readonly string[];
  readonly endpoint: string | null;
  /** Whether the running interface has the peer. */
  readonly isRunning: boolean;
  /** Whether the config file has it: one that was added by `set` alone is not there. */
  readonly isSaved: boolean;
  /** Seconds since 1970, 0 for never. */
  readonly latestHandshake: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

function runPeerList(wanted: string | undefined, isJson: boolean): number {
  const file = findPeerFile(wanted);
  const { config } = readPeerFile(file);
  wipeKeys(config.device);
  const running = file.isLive ? peersOf(file.interfaceName) : new Map<string, PeerStatus>();
  const saved = config.device.peers.map((peer) => rowOf(peer, running.get(toHex(peer.publicKey))));
  const known = new Set(config.device.peers.map(({ publicKey }) => toHex(publicKey)));
  const others = [...running].filter(([key]) => !known.has(key))
    .map(([, peer]) => rowOf(null, peer));
  const peers = [...saved, ...others];
  if (isJson) {
    const { interfaceName, path, isLive } = file;
    const content = { interface: interfaceName, file: path, isUp: isLive, peers };
    printText(`${JSON.stringify(content, null, 2)}\n`);
  } else if (peers.length === 0) {
    console.error(`longhaul: ${file.path} has no peers; add one: longhaul peer add NAME`);
  } else {
    printText(`${tableOf(peers)}\n`);
  }
  return 0;
}

function peersOf(interfaceName: string): Map<string, PeerStatus> {
  const status = readDevice(interfaceName);
  wipeStatus(status);
  return new Map(status.peers.map((peer) => [toHex(peer.publicKey), peer]));
}

function rowOf(saved: PeerConfig | null, running: PeerStatus | undefined): PeerRow {
  const endpoint = running?.endpoint ?? saved?.endpoint ?? null;
  return {
    name: saved?.friendlyName ?? null,
    publicKey: formatKeyBase64((saved ?? running)!.publicKey),
    allowedIps: Array.from(saved?.allowedIps ?? running?.allowedIps ?? [], formatPrefix),
    endpoint: endpoint === null
      ? null
      : isNamed(endpoint)
      ? `${endpoint.host}:${endpoint.port}`
      : formatSocketAddress(endpoint),
    isRunning: running !== undefined,
    isSaved: saved !== null,
    latestHandshake: Number((running?.lastHandshakeWallNs ?? 0n) / 1_000_000_000n),
    receivedBytes: running?.rxBytes ?? 0,
    sentBytes: running?.txBytes ?? 0,
  };
}

function tableOf(peers: readonly PeerRow[]): string {
  const nowNs = systemClock.wallNs();
  const rows = peers.map((peer) => [
    peer.name ?? "-",
    peer.publicKey,
    peer.allowedIps.join(",") || "-",
    peer.endpoint ?? "-",
    stateOf(peer, nowNs),
    `${formatBytes(peer.receivedBytes)} received, ${formatBytes(peer.sentBytes)} sent`,
  ]);
  const all = [["NAME", "PUBLIC KEY", "ALLOWED IPS", "ENDPOINT", "HANDSHAKE", "TRANSFER"], ...rows];
  const widths = all[0].map((_, column) => Math.max(...all.map((row) => row[column].length)));
  return all.map((row) => row.map((text, i) => text.padEnd(widths[i])).join("  ").trimEnd())
    .join("\n");
}

function stateOf(peer: PeerRow, nowNs: bigint): string {
  if (!peer.isRunning) return "not running";
  const when = peer.latestHandshake === 0
    ? "never"
    : formatAge(BigInt(peer.latestHandshake) * 1_000_000_000n, nowNs);
  return peer.isSaved ? when : `${when} (not in the file)`;
}
