/**
 * The firewall part of a default route, as wg-quick has it.
 *
 * With `src_valid_mark` the kernel judges where a packet came from by the route of packets with its
 * mark. So the mark of our own datagrams is saved with their connection, and restored on the
 * answers: they are then checked against the way outside, not against the tunnel. Marks of others
 * are left alone. And packets for the
 * tunnel's addresses that come in on another interface are dropped, unless this host sent them: else
 * somebody in the same network could find out the addresses, or inject packets into connections that
 * run through the tunnel (CVE-2019-14899).
 *
 * By nft, else by iptables. Each tunnel has a table, or rules with a comment, of its own.
 */
import { formatAddress } from "../control/address_text.ts";
import { SetupError } from "./setup_error.ts";
import { failureOf, findProgram, runTool } from "./system_program.ts";
import type { IptablesProgram, UndoStep, UpRecord } from "./up_record.ts";

/** What the rules are about. */
export interface FirewallSetup {
  readonly name: string;
  /** The mark of the tunnel's own datagrams. */
  readonly mark: number;
  /** The tunnel's addresses, of the families that have a default route. */
  readonly addresses: readonly Uint8Array[];
  readonly families: readonly (4 | 6)[];
}

/** Priorities of include/uapi/linux/netfilter_ipv4.h: raw and mangle. */
const PRIORITY_RAW = -300;
const PRIORITY_MANGLE = -150;
/** iptables-restore adds to what is there, and waits up to five seconds for others. */
const RESTORE_FLAGS = ["-n", "-w", "5"];

/** The name of a tunnel's table; what nft does not take in a name becomes its character code. */
export function nftTable(name: string): string {
  return `longhaul-${name.replace(/[^a-zA-Z0-9.-]/g, (c) => `_${c.charCodeAt(0).toString(16)}`)}`;
}

/** What nft is told; a table of that name is replaced. */
export function nftScript({ name, mark, addresses }: FirewallSetup): string {
  const table = `inet ${nftTable(name)}`;
  const drops = addresses.map((address) => {
    const family = address.length === 4 ? "ip" : "ip6";
    return `iifname != "${name}" ${family} daddr ${formatAddress(address)} ` +
      "fib saddr type != local drop";
  });
  const chain = (chainName: string, hook: string, priority: number, rules: string[]) =>
    [
      `  chain ${chainName} {`,
      `    type filter hook ${hook} priority ${priority}; policy accept;`,
      ...rules.map((rule) => `    ${rule}`),
      "  }",
    ].join("\n");
  return [
    nftRemoval(nftTable(name)) + `table ${table} {`,
    chain("spoofed", "prerouting", PRIORITY_RAW, drops),
    chain("restore", "prerouting", PRIORITY_MANGLE, [
      `meta l4proto udp ct mark ${mark} meta mark set ct mark`,
    ]),
    chain("save", "postrouting", PRIORITY_MANGLE, [
      `meta l4proto udp meta mark ${mark} ct mark set meta mark`,
    ]),
    "}\n",
  ].join("\n");
}

/** Removes a table whether it is there or not. */
function nftRemoval(table: string): string {
  return `table inet ${table}\ndelete table inet ${table}\n`;
}

/** The comment that a tunnel's iptables rules bear. */
function iptablesComment(name: string): string {
  return `longhaul rule for ${name}`;
}

/** What iptables-restore or ip6tables-restore is told, to add to what is there. */
export function iptablesScript(setup: FirewallSetup, family: 4 | 6): string {
  const { name, mark } = setup;
  const comment = `-m comment --comment "${iptablesComment(name)}"`;
  const own = setup.addresses.filter((address) => address.length === (family === 4 ? 4 : 16));
  return [
    "*raw",
    ...own.map((address) =>
      `-I PREROUTING ! -i ${name} -d ${formatAddress(address)} -m addrtype ! --src-type LOCAL ` +
      `${comment} -j DROP`
    ),
    "COMMIT",
    "*mangle",
    `-I POSTROUTING -p udp -m mark --mark ${mark} ${comment} -j CONNMARK --save-mark`,
    `-I PREROUTING -p udp -m connmark --mark ${mark} ${comment} -j CONNMARK --restore-mark`,
    "COMMIT",
    "",
  ].join("\n");
}

/** The rules with that comment in what `iptables-save` prints, as deletions; null for none. */
export function iptablesRemoval(saved: string, comment: string): string | null {
  const marked = `--comment "${comment}"`;
  const lines: string[] = [];
  let found = false;
  for (const line of saved.split("\n")) {
    if (line.startsWith("*") || line === "COMMIT") lines.push(line);
    if (!line.startsWith("-A ") || !`${line} `.includes(`${marked} `)) continue;
    lines.push(`-D ${line.slice(3)}`);
    found = true;
  }
  return found ? `${lines.join("\n")}\n` : null;
}

/**
 * Sets the rules, in place of earlier ones of the tunnel. Resolves with null, or with what the user has to know: without them the tunnel
 * works, but not as safely, and not where reverse path filtering is strict.
 */
export async function setUpFirewall(
  record: UpRecord,
  setup: FirewallSetup,
): Promise<string | null> {
  const problems: string[] = [];
  const nft = findProgram("nft");
  if (nft !== null) {
    const table = nftTable(setup.name);
    const isNew = !record.steps.some((step) => step.kind === "nft" && step.table === table);
    if (isNew) record.add({ kind: "nft", table });
    const problem = failureOf(await runTool(nft, ["-f", "-"], nftScript(setup)));
    if (problem === null) return null;
    if (isNew) record.strikeLast();
    problems.push(`nft: ${problem}`);
  }
  const problem = await setUpIptables(record, setup);
  if (problem === null) return null;
  const reason = [...problems, problem].join("; ");
  return `The firewall rules of the default route are missing (${reason}): packets for the ` +
    "tunnel's addresses from other interfaces are not dropped, and answers of the peer may be " +
    "where net.ipv4.conf.*.rp_filter is 1; fix: install nftables";
}

async function setUpIptables(record: UpRecord, setup: FirewallSetup): Promise<string | null> {
  for (const family of setup.families) {
    const program: IptablesProgram = family === 4 ? "iptables" : "ip6tables";
    const restore = findProgram(`${program}-restore`);
    if (restore === null) return `there is neither nft nor ${program}`;
    const comment = iptablesComment(setup.name);
    const isSame = (step: UndoStep) => step.kind === "iptables" && step.program === program;
    if (record.steps.some(isSame)) await removeIptablesRules(program, comment);
    else record.add({ kind: "iptables", program, comment });
    const problem = failureOf(await runTool(restore, RESTORE_FLAGS, iptablesScript(setup, family)));
    if (problem !== null) return `${program}: ${problem}`;
  }
  return null;
}

/** Removes a table of nft, if it is there. Throws `SetupError` when it stays. */
export async function removeNftTable(table: string): Promise<void> {
  const nft = findProgram("nft");
  if (nft === null) throw new SetupError(`Cannot remove the nft table ${table}: there is no nft`);
  const problem = failureOf(await runTool(nft, ["-f", "-"], nftRemoval(table)));
  if (problem !== null) throw new SetupError(`Cannot remove the nft table ${table}: ${problem}`);
}

/** Removes the rules with a comment, if there are any. Throws `SetupError` when they stay. */
export async function removeIptablesRules(
  program: IptablesProgram,
  comment: string,
): Promise<void> {
  const what = `Cannot remove the rules "${comment}" of ${program}`;
  const [save, restore] = [findProgram(`${program}-save`), findProgram(`${program}-restore`)];
  if (save === null || restore === null) throw new SetupError(`${what}: there is no ${program}`);
  const saved = await runTool(save, []);
  const problem = failureOf(saved);
  if (problem !== null) throw new SetupError(`${what}: ${problem}`);
  const removal = iptablesRemoval(saved.stdout, comment);
  if (removal === null) return;
  const refusal = failureOf(await runTool(restore, RESTORE_FLAGS, removal));
  if (refusal !== null) throw new SetupError(`${what}: ${refusal}`);
}
