/** The forwarded flows of a node as a table for people, the one that has moved most first. */
import type { PeerStatus } from "../wireguard/configuration.ts";
import { parseAddress } from "./address_text.ts";
import { type FlowReport, type FlowsReport, peerOfAddress } from "./flow_report.ts";
import { formatKeyBase64 } from "./key_text.ts";
import { formatBytes } from "./status_text.ts";

const HEADINGS = ["protocol", "peer", "from", "to", "state", "age", "to host", "to peer"];
/** Characters of a key that name a peer. */
const KEY_CHARACTERS = 8;

/** The table, ending in a line end. */
export function formatFlows(report: FlowsReport, peers: readonly PeerStatus[]): string {
  const { flows, missing } = report;
  if (flows.length === 0) return "  flows: none\n";
  const rows = flows.toSorted((a, b) => moved(b) - moved(a)).map((flow) => rowOf(flow, peers));
  const widths = HEADINGS.map((heading, i) =>
    Math.max(heading.length, ...rows.map((row) => row[i].length))
  );
  const lines = [HEADINGS, ...rows].map((row) =>
    `  ${row.map((cell, i) => cell.padEnd(widths[i])).join("  ")}`.trimEnd()
  );
  if (missing > 0) lines.push(`  and ${missing} more`);
  return lines.join("\n") + "\n";
}

function rowOf(flow: FlowReport, peers: readonly PeerStatus[]): string[] {
  const { protocol, state, client, clientPort, destination, destinationPort } = flow;
  const to = protocol === "icmp" ? destination : joined(destination, destinationPort);
  const isElsewhere = flow.target !== null &&
    (flow.target !== destination || flow.targetPort !== destinationPort);
  const address = parseAddress(client);
  const peer = address === null ? null : peerOfAddress(peers, address);
  return [
    protocol,
    peer === null ? "-" : formatKeyBase64(peer.publicKey).slice(0, KEY_CHARACTERS),
    protocol === "icmp" ? `${client} id ${clientPort}` : joined(client, clientPort),
    isElsewhere ? `${to} -> ${joined(flow.target!, flow.targetPort)}` : to,
    state,
    ageText(flow.ageMs),
    formatBytes(flow.toHostBytes),
    formatBytes(flow.toPeerBytes),
  ];
}

function moved(flow: FlowReport): number {
  return flow.toHostBytes + flow.toPeerBytes;
}

function joined(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** `12s`, `5m03s`, `2h07m`. */
function ageText(ageMs: number): string {
  const seconds = Math.floor(ageMs / 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  return `${Math.floor(seconds / 3600)}h${two(Math.floor(seconds / 60) % 60)}m`;
}
