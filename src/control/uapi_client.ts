/**
 * The client's side of the UAPI protocol, for our own commands: a change as the text of a `set`, and
 * the text of a `get` as a status.
 */
import { Errno, errnoName } from "../base/errno.ts";
import {
  ConfigurationError,
  type DeviceChange,
  type DeviceStatus,
  type PeerChange,
  type PeerStatus,
  type Prefix,
} from "../wireguard/configuration.ts";
import { toHex } from "../wireguard/bytes.ts";
import {
  formatPrefix,
  formatSocketAddress,
  type InterfaceIndex,
  parsePrefix,
  parseSocketAddress,
} from "./address_text.ts";
import { parseKeyHex } from "./key_text.ts";

/** What to send for a status. */
export const GET_TEXT = "get=1\n\n";

/** The text of a `set`, its blank line included. */
export function formatSet(change: DeviceChange): string {
  const lines = ["set=1"];
  if (change.privateKey !== undefined) lines.push(`private_key=${toHex(change.privateKey)}`);
  if (change.listenPort !== undefined) lines.push(`listen_port=${change.listenPort}`);
  if (change.fwmark !== undefined) lines.push(`fwmark=${change.fwmark}`);
  if (change.replacePeers) lines.push("replace_peers=true");
  for (const peer of change.peers) pushPeer(lines, peer);
  lines.push("", "");
  return lines.join("\n");
}

function pushPeer(lines: string[], peer: PeerChange): void {
  lines.push(`public_key=${toHex(peer.publicKey)}`);
  if (peer.remove) {
    lines.push("remove=true");
    return;
  }
  if (peer.updateOnly) lines.push("update_only=true");
  if (peer.presharedKey !== undefined) lines.push(`preshared_key=${toHex(peer.presharedKey)}`);
  if (peer.endpoint !== undefined) lines.push(`endpoint=${formatSocketAddress(peer.endpoint)}`);
  if (peer.keepaliveSeconds !== undefined) {
    lines.push(`persistent_keepalive_interval=${peer.keepaliveSeconds}`);
  }
  if (peer.replaceAllowedIps) lines.push("replace_allowed_ips=true");
  for (const change of peer.allowedIps) {
    lines.push(`allowed_ip=${change.remove ? "-" : ""}${formatPrefix(change)}`);
  }
}

/** Whether the text holds a whole answer: its last line is `errno=N` and a blank line follows. */
export function isWholeAnswer(text: string): boolean {
  return /(^|\n)errno=-?\d+\n\n$/.test(text.slice(-24));
}

/** Throws `ConfigurationError` unless the answer to a `set` says that it was applied. */
export function checkSetAnswer(text: string): void {
  const fields = answerFields(text);
  if (fields.length > 0) throw malformed();
}

type PeerDraft = { -readonly [K in keyof PeerStatus]: PeerStatus[K] } & {
  allowedIps: Prefix[];
};

/**
 * The status in the answer to a `get`. Throws `ConfigurationError` when it tells of an error. Some
 * programs tell the zone of an endpoint by its name, which `interfaceIndex` resolves.
 */
export function parseGet(text: string, interfaceIndex?: InterfaceIndex): DeviceStatus {
  const status = { privateKey: null as Uint8Array | null, listenPort: 0, fwmark: 0 };
  const peers: PeerDraft[] = [];
  for (const [key, value] of answerFields(text)) {
    const peer = peers.at(-1);
    if (key === "public_key") peers.push(newPeer(readKey(value)));
    else if (peer !== undefined) readPeerField(peer, key, value, interfaceIndex);
    else if (key === "private_key") status.privateKey = readKey(value);
    else if (key === "listen_port") status.listenPort = readNumber(value);
    else if (key === "fwmark") status.fwmark = readNumber(value);
  }
  return { ...status, peers };
}

function newPeer(publicKey: Uint8Array): PeerDraft {
  return {
    publicKey,
    presharedKey: new Uint8Array(32),
    endpoint: null,
    keepaliveSeconds: 0,
    lastHandshakeWallNs: 0n,
    rxBytes: 0,
    txBytes: 0,
    allowedIps: [],
  };
}

/** Keys that are not known here are skipped: a later version may tell more. */
function readPeerField(
  peer: PeerDraft,
  key: string,
  value: string,
  interfaceIndex?: InterfaceIndex,
): void {
  switch (key) {
    case "preshared_key":
      peer.presharedKey = readKey(value);
      break;
    case "endpoint":
      peer.endpoint = parseSocketAddress(value, interfaceIndex) ?? fail();
      break;
    case "last_handshake_time_sec":
      peer.lastHandshakeWallNs += BigInt(readNumber(value)) * 1_000_000_000n;
      break;
    case "last_handshake_time_nsec":
      peer.lastHandshakeWallNs += BigInt(readNumber(value));
      break;
    case "tx_bytes":
      peer.txBytes = readNumber(value);
      break;
    case "rx_bytes":
      peer.rxBytes = readNumber(value);
      break;
    case "persistent_keepalive_interval":
      peer.keepaliveSeconds = readNumber(value);
      break;
    case "allowed_ip":
      peer.allowedIps.push(parsePrefix(value) ?? fail());
      break;
  }
}

/** The fields before `errno`, which must be zero. */
function answerFields(text: string): [string, string][] {
  const fields: [string, string][] = [];
  for (const line of text.split("\n")) {
    const equals = line.indexOf("=");
    if (equals < 0) break;
    const key = line.slice(0, equals), value = line.slice(equals + 1);
    if (key !== "errno") {
      fields.push([key, value]);
      continue;
    }
    const errno = /^-?\d{1,9}$/.test(value) ? Math.abs(Number(value)) : Errno.EPROTO;
    if (errno === 0) return fields;
    const meaning = errno === Errno.EADDRINUSE ? ": another program has that UDP port" : "";
    throw new ConfigurationError(`the device answered ${errnoName(errno)}${meaning}`, errno);
  }
  throw malformed();
}

function malformed(): ConfigurationError {
  return new ConfigurationError("the device's answer is not one of the protocol", Errno.EPROTO);
}

function fail(): never {
  throw malformed();
}

function readKey(value: string): Uint8Array {
  return parseKeyHex(new TextEncoder().encode(value)) ?? fail();
}

function readNumber(value: string): number {
  return /^\d{1,16}$/.test(value) ? Number(value) : fail();
}
