/**
 * What a process of this program tells of its data plane, beside what every WireGuard program tells
 * through `get=1`: the answer to the request `stats`. Fields as on the wire:
 *
 * ```text
 * version=0.1.0
 * uptime_ms=61234
 * cipher=openssl-composed
 * lane=3 123456 78                         of each: peers, messages, packets handed over
 * encryptors=2
 * encryptor=812 30411                      of each: batches and messages that it has done
 * mtu=1420
 * offload=udp-gso on                       one line each; or `off`, or `fallback`
 * counter=TunReads 1234                    the sum over all lanes
 * drop=NoRoute 12                          reasons that have occurred
 * peer=HEX 125000.5 3000 friendly name     rates in bytes per second, received and sent
 * ```
 */
import type { RequestField } from "./request.ts";

/** The name of the request. */
export const STATS_REQUEST = "stats";

/** Whether an offload is used: switched off or not offered, or given up after a refusal. */
export type OffloadState = "on" | "off" | "fallback";

const OFFLOAD_STATES: readonly string[] = ["on", "off", "fallback"];

/** A packet count by the name of the reason. */
export interface DropCount {
  readonly reason: string;
  readonly packets: number;
}

/** The share of one lane. */
export interface LaneWork {
  readonly peers: number;
  /** Messages that it has sent and received. */
  readonly messages: number;
  /** Super-packets that it has read for peers of other lanes. */
  readonly handedOver: number;
}

/** What one encryptor worker has done. */
export interface EncryptorWork {
  readonly batches: number;
  readonly messages: number;
}

/** What a node knows of a peer beside its configuration. */
export interface PeerReport {
  /** The public key in hexadecimal. */
  readonly keyText: string;
  readonly rxBytesPerSecond: number;
  readonly txBytesPerSecond: number;
  /** From `# friendly_name = ...`; empty for none. */
  readonly friendlyName: string;
}

/** The report of one process; see the module's text. */
export interface NodeReport {
  readonly version: string;
  readonly uptimeMs: number;
  readonly cipher: string;
  /** By number. */
  readonly lanes: readonly LaneWork[];
  /** Encryptor workers beside each; 0: the lanes seal and open themselves. */
  readonly encryptors: number;
  /** What each of them has done. */
  readonly encryptorWork: readonly EncryptorWork[];
  readonly mtu: number;
  readonly offloads: ReadonlyMap<string, OffloadState>;
  /** By the names of `LaneCounter`. */
  readonly counters: ReadonlyMap<string, number>;
  readonly drops: readonly DropCount[];
  /** Peers that have a name or traffic. */
  readonly peers: readonly PeerReport[];
}

/** The lines of a report. */
export function* reportFields(report: NodeReport): Generator<RequestField> {
  yield ["version", report.version];
  yield ["uptime_ms", Math.round(report.uptimeMs)];
  yield ["cipher", report.cipher];
  for (const { peers, messages, handedOver } of report.lanes) {
    yield ["lane", `${peers} ${messages} ${handedOver}`];
  }
  yield ["encryptors", report.encryptors];
  for (const { batches, messages } of report.encryptorWork) {
    yield ["encryptor", `${batches} ${messages}`];
  }
  yield ["mtu", report.mtu];
  for (const [name, state] of report.offloads) yield ["offload", `${name} ${state}`];
  for (const [name, value] of report.counters) yield ["counter", `${name} ${value}`];
  for (const { reason, packets } of report.drops) yield ["drop", `${reason} ${packets}`];
  for (const peer of report.peers) {
    const rates = `${peer.rxBytesPerSecond.toFixed(1)} ${peer.txBytesPerSecond.toFixed(1)}`;
    yield ["peer", `${peer.keyText} ${rates} ${peer.friendlyName}`.trimEnd()];
  }
}

/** The report that lines tell; what is not known here is skipped: a later version may tell more. */
export function parseReport(fields: Iterable<readonly [string, string]>): NodeReport {
  const single = new Map<string, string>();
  const offloads = new Map<string, OffloadState>(), counters = new Map<string, number>();
  const drops: DropCount[] = [], peers: PeerReport[] = [];
  const lanes: LaneWork[] = [], encryptorWork: EncryptorWork[] = [];
  for (const [key, value] of fields) {
    const words = value.split(" ");
    if (key === "offload" && OFFLOAD_STATES.includes(words[1])) {
      offloads.set(words[0], words[1] as OffloadState);
    } else if (key === "counter") counters.set(words[0], number(words[1]));
    else if (key === "encryptor") {
      encryptorWork.push({ batches: number(words[0]), messages: number(words[1]) });
    } else if (key === "drop") drops.push({ reason: words[0], packets: number(words[1]) });
    else if (key === "peer") peers.push(parsePeer(words));
    else if (key === "lane") lanes.push(parseLane(words));
    else single.set(key, value);
  }
  return {
    version: single.get("version") ?? "",
    uptimeMs: number(single.get("uptime_ms")),
    cipher: single.get("cipher") ?? "",
    lanes,
    encryptors: number(single.get("encryptors")),
    encryptorWork,
    mtu: number(single.get("mtu")),
    offloads,
    counters,
    drops,
    peers,
  };
}

function parseLane([peers, messages, handedOver]: string[]): LaneWork {
  return { peers: number(peers), messages: number(messages), handedOver: number(handedOver) };
}

function parsePeer([keyText, rx, tx, ...name]: string[]): PeerReport {
  return {
    keyText,
    rxBytesPerSecond: number(rx),
    txBytesPerSecond: number(tx),
    friendlyName: name.join(" "),
  };
}

function number(text: string | undefined): number {
  const value = Number(text ?? 0);
  return Number.isFinite(value) && value >= 0 ? value : 0;
}

/** How much one call to the kernel carried on average. */
export interface BatchSizes {
  /** Packets per read of the TUN (segments of super-packets). */
  readonly tunRead: number;
  /** Packets per write to the TUN. */
  readonly tunWrite: number;
  /** Datagrams per send and per receive. */
  readonly udpSend: number;
  readonly udpReceive: number;
}

/** The mean batch sizes since the process began, or since `earlier`; 0 where nothing was done. */
export function batchSizes(report: NodeReport, earlier?: NodeReport): BatchSizes {
  const value = (name: string) =>
    (report.counters.get(name) ?? 0) - (earlier?.counters.get(name) ?? 0);
  const mean = (things: string, calls: string) =>
    value(calls) <= 0 ? 0 : Math.max(0, value(things) / value(calls));
  return {
    tunRead: mean("TunReadPackets", "TunReads"),
    tunWrite: mean("TunWritePackets", "TunWrites"),
    udpSend: mean("UdpSendMessages", "UdpSends"),
    udpReceive: mean("UdpReceiveMessages", "UdpReceives"),
  };
}
