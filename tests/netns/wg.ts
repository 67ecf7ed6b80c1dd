/** The `wg` program as the tests use it: keys, configuration text, and what `wg show` reports. */
import { generateKeyPairSync } from "node:crypto";
import { run, type RunOptions, type RunResult } from "./command.ts";

/** A key pair, both halves in base64 as `wg` writes them. */
export interface KeyPair {
  readonly privateKey: string;
  readonly publicKey: string;
}

/** What one peer's line of `wg show IF dump` says. */
export interface PeerStatus {
  readonly publicKey: string;
  readonly presharedKey: string | null;
  readonly endpoint: string | null;
  readonly allowedIps: string[];
  /** Seconds since 1970; 0 before the first handshake. */
  readonly latestHandshake: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  /** Seconds; 0 when off. */
  readonly keepalive: number;
}

/** What `wg show IF dump` says. */
export interface InterfaceStatus {
  readonly privateKey: string | null;
  readonly publicKey: string | null;
  readonly listenPort: number;
  readonly fwmark: number;
  readonly peers: PeerStatus[];
}

/** A peer as a configuration file describes it. */
export interface PeerConfig {
  readonly publicKey: string;
  readonly allowedIps: readonly string[];
  readonly endpoint?: string;
  readonly presharedKey?: string;
  readonly keepalive?: number;
}

/** Runs `wg` with `args`. A node that hangs fails the call after five seconds. */
export function wg(args: string[], options: RunOptions = {}): Promise<RunResult> {
  return run(["wg", ...args], { timeoutMs: 5000, ...options });
}

/** A fresh key pair, the private key clamped as `wg genkey` does it. */
export function newKeyPair(): KeyPair {
  const jwk = generateKeyPairSync("x25519").privateKey.export({ format: "jwk" });
  const secret = Uint8Array.from(atob(toBase64(jwk.d)), (c) => c.charCodeAt(0));
  secret[0] &= 248;
  secret[31] = secret[31] & 127 | 64;
  return { privateKey: btoa(String.fromCharCode(...secret)), publicKey: toBase64(jwk.x) };
}

/** A fresh preshared key. */
export function newPresharedKey(): string {
  return btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))));
}

/** The text that `wg setconf` reads. */
export function configText(
  device: { privateKey?: string; listenPort?: number; fwmark?: number },
  peers: readonly PeerConfig[],
): string {
  const lines = ["[Interface]"];
  if (device.privateKey !== undefined) lines.push(`PrivateKey = ${device.privateKey}`);
  if (device.listenPort !== undefined) lines.push(`ListenPort = ${device.listenPort}`);
  if (device.fwmark !== undefined) lines.push(`FwMark = ${device.fwmark}`);
  for (const peer of peers) {
    lines.push("[Peer]", `PublicKey = ${peer.publicKey}`);
    if (peer.presharedKey !== undefined) lines.push(`PresharedKey = ${peer.presharedKey}`);
    if (peer.endpoint !== undefined) lines.push(`Endpoint = ${peer.endpoint}`);
    if (peer.keepalive !== undefined) lines.push(`PersistentKeepalive = ${peer.keepalive}`);
    if (peer.allowedIps.length > 0) lines.push(`AllowedIPs = ${peer.allowedIps.join(", ")}`);
  }
  return lines.join("\n") + "\n";
}

/** Parses `wg show IF dump`. */
export function parseDump(text: string): InterfaceStatus {
  const [device, ...peers] = text.trimEnd().split("\n").map((line) => line.split("\t"));
  return {
    privateKey: optional(device[0]),
    publicKey: optional(device[1]),
    listenPort: Number(device[2]),
    fwmark: device[3] === "off" ? 0 : Number(device[3]),
    peers: peers.map((field) => ({
      publicKey: field[0],
      presharedKey: optional(field[1]),
      endpoint: optional(field[2]),
      allowedIps: optional(field[3])?.split(",") ?? [],
      latestHandshake: Number(field[4]),
      receivedBytes: Number(field[5]),
      sentBytes: Number(field[6]),
      keepalive: field[7] === "off" ? 0 : Number(field[7]),
    })),
  };
}

function optional(field: string): string | null {
  return field === "(none)" ? null : field;
}

function toBase64(base64url: string | undefined): string {
  return (base64url ?? "").replaceAll("-", "+").replaceAll("_", "/") + "=";
}
