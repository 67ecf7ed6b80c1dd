/**
 * `longhaul status [NAME]`: interfaces, peers and traffic, of every program that has a control
 * socket where `wg` looks for one or where ours are; of our own also what the data plane does.
 * `src/control/status_json.ts` has the shape of the JSON.
 */
import { systemClock } from "../../ffi/clock.ts";
import { getEnvironment } from "../../ffi/environment.ts";
import { FLOWS_REQUEST, type FlowsReport, parseFlows } from "../control/flow_report.ts";
import { formatFlows } from "../control/flow_text.ts";
import { type NodeReport, parseReport, STATS_REQUEST } from "../control/node_report.ts";
import { statusJson } from "../control/status_json.ts";
import { formatStatus } from "../control/status_text.ts";
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import { selectNoiseCrypto } from "../crypto/select.ts";
import { liveInterfaces } from "../daemon/paths.ts";
import { printText, STDERR_FD, writeText } from "../daemon/terminal.ts";
import { wipe } from "../wireguard/bytes.ts";
import type { DeviceStatus } from "../wireguard/configuration.ts";
import type { CommandInput, CommandSpec } from "./command_spec.ts";
import { checkInterfaceName } from "./config_file.ts";
import { askDevice, readDevice } from "./device_client.ts";
import { UsageError } from "./environment.ts";
import { watchStatus } from "./status_watch.ts";

const INTERVAL_SECONDS_MAX = 86_400;

export const statusCommand: CommandSpec = {
  name: "status",
  summary: "show interfaces, peers, traffic and what the data plane does",
  words: "[NAME]",
  count: { min: 0, max: 1, rule: "status takes the name of one interface, or none" },
  flags: [
    {
      name: "watch",
      alias: "w",
      help: "redraw it in place until Ctrl-C, with curves of the rates",
    },
    { name: "interval", value: "SECONDS", help: "how often --watch looks; 1 by default" },
    { name: "flows", help: "list what peers reach through this node: local services and the LAN" },
    { name: "json", help: "as JSON, for programs; with --watch one text per line" },
  ],
  examples: [
    ["status", "all interfaces"],
    ["status wg0 --watch", "one of them, live"],
    ["status wg0 --json", "one of them, for programs"],
    ["status wg0 --flows", "what its peers reach through this node"],
    ["status --watch --interval 60 >>traffic.log", "a line per interface and minute"],
  ],
  about: `What a paragraph tells beside the lines of wg show
  rate       over the last two seconds
  batches    how much one call to the kernel carries, on average since the start (--watch: since
             the last look); near 1 under load means that an offload is missing
  offloads   in use; switched off or not offered by the kernel; refused when they were tried
  drops      packets that were not delivered, by reason`,
  run: runStatus,
};

/** One interface as it was found. */
export interface InterfaceStatus {
  readonly name: string;
  readonly status: DeviceStatus;
  readonly publicKey: Uint8Array | null;
  /** Null where another program, or an older version, runs. */
  readonly report: NodeReport | null;
  /** Null where nobody has asked for them, or where they cannot be told. */
  readonly flows: FlowsReport | null;
}

/** Runs the command. Throws `SetupError` when the named interface does not run. */
function runStatus({ words, flags }: CommandInput): number | Promise<number> {
  const name = words[0];
  if (name !== undefined) checkInterfaceName(name);
  const isWatch = flags.has("watch"), isJson = flags.has("json");
  if (flags.has("interval") && !isWatch) throw new UsageError("--interval goes with --watch");
  const withFlows = flags.has("flows");
  if (isWatch && withFlows && !isJson) throw new UsageError("--flows with --watch needs --json");
  if (!isWatch) return showOnce(name, isJson, withFlows);
  return watchStatus({
    look: () => lookWithoutKeys(name, withFlows),
    intervalMs: intervalMs(flags.text("interval")),
    json: isJson ? (interfaces) => jsonText(interfaces) : null,
  });
}

function intervalMs(text: string | undefined): number {
  if (text === undefined) return 1000;
  const seconds = /^\d{1,5}(\.\d{1,3})?$/.test(text) ? Number(text) : 0;
  if (seconds >= 0.1 && seconds <= INTERVAL_SECONDS_MAX) return seconds * 1000;
  throw new UsageError(`--interval takes seconds from 0.1 to ${INTERVAL_SECONDS_MAX}`);
}

function showOnce(name: string | undefined, isJson: boolean, withFlows: boolean): number {
  const { interfaces, failures } = look(name, withFlows);
  if (isJson) printText(jsonText(interfaces, 2) + "\n");
  else if (interfaces.length > 0) printText(interfaces.map(statusText).join("\n"));
  else if (failures.length === 0) writeText(STDERR_FD, "longhaul: no interface is up\n");
  for (const failure of failures) writeText(STDERR_FD, `longhaul: ${failure}\n`);
  for (const { status } of interfaces) wipeKeys(status);
  return failures.length === 0 ? 0 : 1;
}

/**
 * All interfaces, or the named one. With a name an error is the answer; among many the others are
 * told all the same.
 */
function look(
  name: string | undefined,
  withFlows: boolean,
): { interfaces: InterfaceStatus[]; failures: string[] } {
  if (name !== undefined) return { interfaces: [lookAt(name, withFlows)], failures: [] };
  const interfaces: InterfaceStatus[] = [], failures: string[] = [];
  for (const each of liveInterfaces()) {
    try {
      interfaces.push(lookAt(each, withFlows));
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      failures.push(`${each}: ${error.message}`);
    }
  }
  return { interfaces, failures };
}

function lookWithoutKeys(name: string | undefined, withFlows: boolean): InterfaceStatus[] {
  const { interfaces } = look(name, withFlows);
  for (const { status } of interfaces) wipeKeys(status);
  return interfaces;
}

function lookAt(name: string, withFlows: boolean): InterfaceStatus {
  const status = readDevice(name);
  const fields = askDevice(name, { name: STATS_REQUEST, fields: [] });
  const { privateKey } = status;
  return {
    name,
    status,
    publicKey: privateKey === null ? null : publicKeyOf(privateKey),
    report: fields === null ? null : parseReport(fields),
    flows: withFlows ? readFlows(name) : null,
  };
}

function readFlows(name: string): FlowsReport | null {
  const fields = askDevice(name, { name: FLOWS_REQUEST, fields: [] });
  return fields === null ? null : parseFlows(fields);
}

let crypto: NoiseCrypto | undefined;

function publicKeyOf(privateKey: Uint8Array): Uint8Array {
  crypto ??= selectNoiseCrypto().crypto;
  return crypto.x25519PublicKey(privateKey);
}

/** The private key alone: whether a peer has a preshared key is still to be told. */
function wipeKeys({ privateKey }: DeviceStatus): void {
  if (privateKey !== null) wipe(privateKey);
}

function jsonText(interfaces: readonly InterfaceStatus[], indent = 0): string {
  const all = interfaces.map(({ name, status, publicKey, report, flows }) => {
    return statusJson(name, status, publicKey, report, flows);
  });
  return JSON.stringify({ interfaces: all }, null, indent);
}

function statusText({ name, status, publicKey, report, flows }: InterfaceStatus): string {
  const text = formatStatus(status, {
    interfaceName: name,
    publicKey,
    nowWallNs: systemClock.wallNs(),
    showKeys: getEnvironment("WG_HIDE_KEYS") === "never",
    report,
  });
  return flows === null ? text : `${text}\n${formatFlows(flows, status.peers)}`;
}
