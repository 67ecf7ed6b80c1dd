/**
 * A status for programs. Its shape is stable: fields may be added, none changes or goes.
 *
 * ```ts
 * { interfaces: {
 *     name: string,
 *     publicKey: string | null,       // base64; null while no private key is set
 *     listenPort: number,             // 0 while no socket is open and none is wanted
 *     fwmark: number,                 // 0 for none
 *     node: null | {                  // null where another program, or an older version, runs
 *       version: string,
 *       uptime: number,               // seconds, with fraction
 *       cipher: string,
 *       lanes: { peers: number, messages: number, handedOver: number }[],
 *       encryptors: number,
 *       encryptorWork: [{ batches: number, messages: number }],    one for each encryptor
 *       mtu: number,
 *       offloads: { [name: string]: "on" | "off" | "fallback" },
 *       counters: { [name: string]: number },
 *       drops: { [reason: string]: number },
 *       batchSizes: { tunRead: number, tunWrite: number, udpSend: number, udpReceive: number },
 *     },
 *     flows?: {                       // only with --flows, and not of another program
 *       protocol: "tcp" | "udp" | "icmp",
 *       state: string,                // "dialling", "opening", "open", "host-ended", "peer-ended",
 *                                     // "ending"
 *       peer: string | null,          // base64
 *       client: string, clientPort: number,            // of icmp the identifier
 *       destination: string, destinationPort: number,  // what the peer has addressed
 *       target: string | null, targetPort: number,     // where that leads
 *       age: number,                  // seconds, with fraction
 *       toHostBytes: number, toPeerBytes: number,
 *     }[],
 *     flowsMissing?: number,          // flows beyond those that are listed
 *     peers: {                        // the latest handshake first
 *       publicKey: string,            // base64
 *       hasPresharedKey: boolean,
 *       endpoint: string | null,      // "192.0.2.1:51820", "[2001:db8::1]:51820"
 *       allowedIps: string[],         // "10.0.0.0/24"
 *       latestHandshake: number,      // seconds since 1970 with fraction, 0 for never
 *       receivedBytes: number,
 *       sentBytes: number,
 *       persistentKeepalive: number,  // seconds, 0 for off
 *       friendlyName: string | null,
 *       receivedBytesPerSecond: number | null,  // null as `node`
 *       sentBytesPerSecond: number | null,
 *     }[],
 * }[] }
 * ```
 *
 * Private and preshared keys are never in it.
 */
import { isZero, toHex } from "../wireguard/bytes.ts";
import type { DeviceStatus, PeerStatus } from "../wireguard/configuration.ts";
import { formatPrefix, formatSocketAddress, parseAddress } from "./address_text.ts";
import { type FlowReport, type FlowsReport, peerOfAddress } from "./flow_report.ts";
import { formatKeyBase64 } from "./key_text.ts";
import {
  type BatchSizes,
  batchSizes,
  type EncryptorWork,
  type LaneWork,
  type NodeReport,
  type PeerReport,
} from "./node_report.ts";
import { byLatestHandshake } from "./status_text.ts";

/** A peer; see the module's text. */
export interface PeerJson {
  readonly publicKey: string;
  readonly hasPresharedKey: boolean;
  readonly endpoint: string | null;
  readonly allowedIps: readonly string[];
  readonly latestHandshake: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly persistentKeepalive: number;
  readonly friendlyName: string | null;
  readonly receivedBytesPerSecond: number | null;
  readonly sentBytesPerSecond: number | null;
}

/** What a process of ours tells; see the module's text. */
export interface NodeJson {
  readonly version: string;
  readonly uptime: number;
  readonly cipher: string;
  readonly lanes: readonly LaneWork[];
  readonly encryptors: number;
  readonly encryptorWork: readonly EncryptorWork[];
  readonly mtu: number;
  readonly offloads: Readonly<Record<string, string>>;
  readonly counters: Readonly<Record<string, number>>;
  readonly drops: Readonly<Record<string, number>>;
  readonly batchSizes: BatchSizes;
}

/** A forwarded flow; see the module's text. */
export interface FlowJson {
  readonly protocol: string;
  readonly state: string;
  readonly peer: string | null;
  readonly client: string;
  readonly clientPort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly target: string | null;
  readonly targetPort: number;
  readonly age: number;
  readonly toHostBytes: number;
  readonly toPeerBytes: number;
}

/** An interface; see the module's text. */
export interface InterfaceJson {
  readonly name: string;
  readonly publicKey: string | null;
  readonly listenPort: number;
  readonly fwmark: number;
  readonly node: NodeJson | null;
  readonly flows?: readonly FlowJson[];
  readonly flowsMissing?: number;
  readonly peers: readonly PeerJson[];
}

/** An interface's status for programs; `publicKey` is that of the device's private key. */
export function statusJson(
  name: string,
  status: DeviceStatus,
  publicKey: Uint8Array | null,
  report: NodeReport | null = null,
  flows: FlowsReport | null = null,
): InterfaceJson {
  const reports = new Map(report?.peers.map((peer) => [peer.keyText, peer]));
  return {
    name,
    publicKey: publicKey === null ? null : formatKeyBase64(publicKey),
    listenPort: status.listenPort,
    fwmark: status.fwmark,
    node: report === null ? null : nodeJson(report),
    ...(flows !== null && {
      flows: flows.flows.map((flow) => flowJson(flow, status.peers)),
      flowsMissing: flows.missing,
    }),
    peers: byLatestHandshake(status.peers).map((peer) => {
      return peerJson(peer, report === null ? null : reports.get(toHex(peer.publicKey)));
    }),
  };
}

function flowJson({ ageMs, ...flow }: FlowReport, peers: readonly PeerStatus[]): FlowJson {
  const client = parseAddress(flow.client);
  const peer = client === null ? null : peerOfAddress(peers, client);
  return {
    ...flow,
    peer: peer === null ? null : formatKeyBase64(peer.publicKey),
    age: ageMs / 1000,
  };
}

function nodeJson(report: NodeReport): NodeJson {
  const { version, uptimeMs, cipher, lanes, encryptors, encryptorWork, mtu } = report;
  const { offloads, counters, drops } = report;
  return {
    version,
    uptime: uptimeMs / 1000,
    cipher,
    lanes,
    encryptors,
    encryptorWork,
    mtu,
    offloads: Object.fromEntries(offloads),
    counters: Object.fromEntries(counters),
    drops: Object.fromEntries(drops.map(({ reason, packets }) => [reason, packets])),
    batchSizes: batchSizes(report),
  };
}

/** `report` is null where no process of ours runs, undefined for a peer without name and traffic. */
function peerJson(peer: PeerStatus, report: PeerReport | null | undefined): PeerJson {
  const rate = (value: number | undefined) => report === null ? null : value ?? 0;
  return {
    publicKey: formatKeyBase64(peer.publicKey),
    hasPresharedKey: !isZero(peer.presharedKey),
    endpoint: peer.endpoint === null ? null : formatSocketAddress(peer.endpoint),
    allowedIps: Array.from(peer.allowedIps, formatPrefix),
    latestHandshake: Number(peer.lastHandshakeWallNs / 1_000_000n) / 1000,
    receivedBytes: peer.rxBytes,
    sentBytes: peer.txBytes,
    persistentKeepalive: peer.keepaliveSeconds,
    friendlyName: report?.friendlyName || null,
    receivedBytesPerSecond: rate(report?.rxBytesPerSecond),
    sentBytesPerSecond: rate(report?.txBytesPerSecond),
  };
}
