/**
 * Name servers and search domains for as long as a tunnel is up: through systemd-resolved where
 * /etc/resolv.conf leads to it, else through resolvconf (openresolv's or Debian's), as wg-quick does,
 * else through systemd-resolved where it runs at all.
 *
 * The servers are for all names, as with wg-quick, unless a search domain begins with `~`: then they
 * are asked for the given domains only.
 */
import { canonicalPath, exists, readTextFile } from "../../ffi/files.ts";
import { isUnixLive } from "../../ffi/unix_socket.ts";
import { formatAddress } from "../control/address_text.ts";
import { SetupError } from "./setup_error.ts";
import { failureOf, findProgram, runTool } from "./system_program.ts";
import type { UpRecord } from "./up_record.ts";

/** What is to be set. */
export interface DnsSetup {
  readonly interfaceName: string;
  readonly servers: readonly Uint8Array[];
  readonly domains: readonly string[];
}

/** What can set name servers here. */
export type DnsTool = "resolved" | "resolvconf";

/** What the choice of a tool depends on. */
export interface DnsFacts {
  /** Where /etc/resolv.conf leads, links followed. */
  readonly resolvConf: string | undefined;
  readonly resolvedRuns: boolean;
  readonly hasResolvectl: boolean;
  /** Where the program resolvconf is, links followed; null when there is none. */
  readonly resolvconf: string | null;
}

const RESOLVED_FOLDER = "/run/systemd/resolve/";
const RESOLVED_SOCKET = `${RESOLVED_FOLDER}io.systemd.Resolve`;
/** Debian's resolvconf orders what it knows by the names in this file. */
const DEBIAN_ORDER = "/etc/resolvconf/interface-order";

/** The tool to use; null when there is none. */
export function chooseDnsTool(facts: DnsFacts): DnsTool | null {
  const resolved = facts.resolvedRuns && facts.hasResolvectl;
  if (resolved && facts.resolvConf?.startsWith(RESOLVED_FOLDER)) return "resolved";
  // systemd's own resolvconf is resolvectl under another name.
  if (facts.resolvconf?.endsWith("/resolvectl")) return resolved ? "resolved" : null;
  if (facts.resolvconf !== null) return "resolvconf";
  return resolved ? "resolved" : null;
}

function dnsFacts(): DnsFacts {
  const resolvconf = findProgram("resolvconf");
  return {
    resolvConf: canonicalPath("/etc/resolv.conf"),
    resolvedRuns: exists(RESOLVED_SOCKET) && isUnixLive(RESOLVED_SOCKET),
    hasResolvectl: findProgram("resolvectl") !== null,
    resolvconf: resolvconf === null ? null : canonicalPath(resolvconf) ?? resolvconf,
  };
}

/** Whether the servers are for some domains only. */
function isSplit(domains: readonly string[]): boolean {
  return domains.some((domain) => domain.startsWith("~") && domain !== "~.");
}

/** What resolvconf reads. */
function resolvconfInput({ servers, domains }: DnsSetup): string {
  const names = domains.map((domain) => domain.replace(/^~/, "")).filter((name) => name !== ".");
  const lines = servers.map((server) => `nameserver ${formatAddress(server)}`);
  if (names.length > 0) lines.push(`search ${names.join(" ")}`);
  return `${lines.join("\n")}\n`;
}

/** The domains that resolved is told: `~.` makes the servers those for every name. */
export function resolvedDomains(domains: readonly string[]): string[] {
  return isSplit(domains) || domains.includes("~.") ? [...domains] : [...domains, "~."];
}

/**
 * The name that resolvconf knows the interface by: Debian's asks first what matches the first
 * pattern of its list.
 */
export function resolvconfEntry(interfaceName: string, debianOrder: string | null): string {
  const pattern = debianOrder?.split("\n").map((line) => /^([A-Za-z0-9-]+)\*$/.exec(line.trim()))
    .find((match) => match !== null);
  return pattern ? `${pattern[1]}.${interfaceName}` : interfaceName;
}

/**
 * Sets name servers and domains. Resolves with null, or with what the user has to do when nothing
 * here can set them; rejects with `SetupError` when the program that should have failed.
 */
export async function setUpDns(record: UpRecord, setup: DnsSetup): Promise<string | null> {
  if (setup.servers.length === 0) return null;
  const tool = chooseDnsTool(dnsFacts());
  if (tool === "resolved") await setUpResolved(record, setup);
  else if (tool === "resolvconf") await setUpResolvconf(record, setup);
  else {
    const servers = setup.servers.map(formatAddress).join(", ");
    return `DNS = ${servers} is not set: there is neither resolvconf nor systemd-resolved here; ` +
      "fix: install openresolv, or write the servers to /etc/resolv.conf yourself";
  }
  return null;
}

async function setUpResolvconf(record: UpRecord, setup: DnsSetup): Promise<void> {
  const { interfaceName, domains } = setup;
  const order = exists(DEBIAN_ORDER) ? readTextFile(DEBIAN_ORDER, 65_536) : null;
  const entry = resolvconfEntry(interfaceName, order);
  record.add({ kind: "resolvconf", entry });
  const scope = isSplit(domains) ? "-p" : "-x";
  await tell("resolvconf", ["-a", entry, "-m", "0", scope], resolvconfInput(setup));
}

async function setUpResolved(record: UpRecord, setup: DnsSetup): Promise<void> {
  const { interfaceName, servers, domains } = setup;
  record.add({ kind: "resolved" });
  await tell("resolvectl", ["dns", interfaceName, ...servers.map(formatAddress)]);
  await tell("resolvectl", ["domain", interfaceName, ...resolvedDomains(domains)]);
  const isDefault = isSplit(domains) ? "no" : "yes";
  await tell("resolvectl", ["default-route", interfaceName, isDefault]);
}

/** Takes back what resolvconf was told. Throws `SetupError` when that fails. */
export async function removeResolvconf(entry: string): Promise<void> {
  await tell("resolvconf", ["-d", entry, "-f"]);
}

/**
 * Takes back what resolved was told; it forgets by itself when the interface goes. Throws
 * `SetupError` when that fails.
 */
export async function removeResolved(interfaceName: string): Promise<void> {
  await tell("resolvectl", ["revert", interfaceName]);
}

async function tell(name: string, args: readonly string[], input = ""): Promise<void> {
  const program = findProgram(name);
  const problem = program === null
    ? "there is no such program"
    : failureOf(await runTool(program, args, input));
  if (problem === null) return;
  throw new SetupError(`Cannot change the name servers by ${name} ${args.join(" ")}: ${problem}`);
}
