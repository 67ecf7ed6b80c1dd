/**
 * A default route into a tunnel, as wg-quick makes it.
 *
 * It stands in a table of its own, from 51820 up, whose number is the mark of the tunnel's own
 * datagrams too. Two rules, asked before the main table:
 *
 *     table main suppress_prefixlength 0     every route of the main table but a default one
 *     not fwmark 51820 table 51820           all else goes into the tunnel, except its datagrams
 *
 * So the local network stays reachable, and what the tunnel sends goes the old way. Prefixes that
 * would lead the tunnel's own datagrams into itself are treated alike: the halves 0.0.0.0/1 and
 * 128.0.0.0/1 of an address space, and those that a peer's endpoint lies in.
 */
import { Errno } from "../base/errno.ts";
import { describeErrno } from "../../ffi/error.ts";
import { NetlinkSocket } from "../../ffi/netlink.ts";
import { NetlinkError } from "../../ffi/netlink_error.ts";
import { AddressFamily, type IpFamily } from "../../ffi/rtnetlink.ts";
import { addRoutes, deleteRoutes, listRoutes } from "../../ffi/rtnetlink_route.ts";
import { type RouteSpec, RouteTable } from "../../ffi/rtnetlink_route_message.ts";
import {
  addRule,
  deleteRule,
  listRules,
  type Rule,
  type RuleSpec,
} from "../../ffi/rtnetlink_rule.ts";
import { formatPrefix } from "../control/address_text.ts";
import type { Prefix } from "../wireguard/configuration.ts";
import { setUpFirewall } from "./firewall.ts";
import { PrefixIndex } from "./prefix_index.ts";
import { SetupError } from "./setup_error.ts";
import { setSysctl } from "./sysctl.ts";
import type { PolicyRule, UpRecord } from "./up_record.ts";

/** The first table that is tried, wg-quick's. */
const TABLE_FIRST = 51_820;
/** Tables that are tried: far more than there are tunnels. */
const TABLES_MAX = 10_000;
/** Prefixes shorter than this are parts of "everything", as lists of split ones have them. */
const SPLIT_BITS = 8;
/** How often a place among the rules is looked for, when others take places too. */
const RULE_ATTEMPTS = 10;
/** The priority of the kernel's rule for the main table. */
const RULE_PRIORITY_MAIN = 32_766;
const SRC_VALID_MARK = "/proc/sys/net/ipv4/conf/all/src_valid_mark";

/** What a default route is made of. */
export interface DefaultRoute {
  readonly interfaceName: string;
  readonly interfaceIndex: number;
  /** The prefixes that go into the table. */
  readonly routes: readonly Prefix[];
  /** The tunnel's own addresses. */
  readonly addresses: readonly Prefix[];
  /** The mark of the config, which names the table; 0: a free one is looked for. */
  readonly fwmark: number;
  /** Marks the tunnel's own datagrams, as the config says or not. */
  readonly setFwmark: (fwmark: number) => void;
  /** Told of what could not be done but is not needed for packets to flow. */
  readonly warn: (message: string) => void;
}

/**
 * Divides the routes of a tunnel with `Table = auto`: those that need a table of their own, and those
 * that go into the main one. `endpoints` are the peers' outer addresses, `mainRoutes` what is in the
 * main table.
 */
export function divideRoutes(
  routes: readonly Prefix[],
  endpoints: readonly Uint8Array[],
  mainRoutes: readonly Prefix[],
): { own: Prefix[]; main: Prefix[] } {
  const main = new PrefixIndex(mainRoutes), index = new PrefixIndex(routes);
  // Whether the main table leads there by more than its default route.
  const hasWay = (address: Uint8Array) => main.containing(address).some(({ bits }) => bits > 0);
  const threatened = endpoints.filter((address) => !hasWay(address));
  const threatening = new Set(threatened.flatMap((address) => index.containing(address)));
  const isOwn = (route: Prefix) => isPartOfEverything(route) || threatening.has(route);
  return { own: routes.filter(isOwn), main: routes.filter((route) => !isOwn(route)) };
}

/** Whether a route is a default one, or a large part of the address space as split ones are. */
export function isPartOfEverything({ bits }: Prefix): boolean {
  return bits < SPLIT_BITS;
}

/** A default route that has been set up: rules lead packets of these families into its table. */
export interface DefaultRouteTable {
  readonly table: number;
  readonly families: readonly (4 | 6)[];
}

/**
 * The endpoints that routes of the main table would lead into the tunnel although that table has
 * another way for them, each with the route: only a route of its own for the endpoint helps.
 */
export function capturedEndpoints(
  routes: readonly Prefix[],
  endpoints: readonly Uint8Array[],
  mainRoutes: readonly Prefix[],
): { endpoint: Uint8Array; route: Prefix }[] {
  const index = new PrefixIndex(routes), main = new PrefixIndex(mainRoutes);
  return endpoints.flatMap((endpoint) => {
    const route = index.containing(endpoint).at(0), way = main.containing(endpoint).at(0);
    return route !== undefined && route.bits > (way?.bits ?? -1) ? [{ endpoint, route }] : [];
  });
}

/** The prefixes in the main table, of both families. */
export function mainTablePrefixes(): Prefix[] {
  using socket = NetlinkSocket.open();
  return [AddressFamily.AF_INET, AddressFamily.AF_INET6].flatMap((family) =>
    listRoutes(socket, { family, table: RouteTable.RT_TABLE_MAIN })
      .map(({ destination, bits }) => ({ address: destination, bits }))
  );
}

/** Sets a default route up; rejects with `SetupError`, and the record says what to undo. */
export async function setUpDefaultRoute(
  record: UpRecord,
  plan: DefaultRoute,
): Promise<DefaultRouteTable> {
  using socket = NetlinkSocket.open();
  const families = familiesOf(plan.routes);
  const table = fillTable(socket, plan);
  plan.setFwmark(table);
  for (const family of families) {
    addPolicyRule(socket, record, { family, table, notMark: table });
    const main = RouteTable.RT_TABLE_MAIN;
    addPolicyRule(socket, record, { family, table: main, suppressPrefixLength: 0 });
  }
  if (families.includes(4)) heedMarks(record, plan.warn);
  const addresses = plan.addresses.map(({ address }) => address)
    .filter((address) => families.includes(address.length === 4 ? 4 : 6));
  const setup = { name: plan.interfaceName, mark: table, addresses, families };
  const problem = await setUpFirewall(record, setup);
  if (problem !== null) plan.warn(problem);
  return { table, families };
}

/** Makes the kernel heed a packet's mark when it judges where the packet came from. */
function heedMarks(record: UpRecord, warn: (message: string) => void): void {
  const problem = setSysctl(record, SRC_VALID_MARK, "1");
  if (problem === null) return;
  warn(
    `Cannot set net.ipv4.conf.all.src_valid_mark to 1 (${problem}): where reverse path filtering ` +
      "is strict (net.ipv4.conf.*.rp_filter = 1), answers of the peer are lost",
  );
}

function familiesOf(routes: readonly Prefix[]): (4 | 6)[] {
  const lengths = new Set(routes.map(({ address }) => address.length));
  return ([4, 6] as const).filter((family) => lengths.has(family === 4 ? 4 : 16));
}

/** Puts the routes into the config's table or a free one; returns its number. */
function fillTable(socket: NetlinkSocket, plan: DefaultRoute): number {
  if (plan.fwmark !== 0) {
    const refusal = addAll(socket, plan, plan.fwmark);
    if (refusal === null) return plan.fwmark;
    throw new SetupError(
      `Cannot route ${refusal.route} into ${plan.interfaceName}, in table ${plan.fwmark} after ` +
        `FwMark: ${refusal.reason}. Choose another FwMark, or none`,
    );
  }
  const taken = tablesInUse(socket);
  for (let table = TABLE_FIRST; table < TABLE_FIRST + TABLES_MAX; table++) {
    if (taken.has(table)) continue;
    const refusal = addAll(socket, plan, table);
    if (refusal === null) return table;
    // Another tunnel that comes up at the same time was first.
    if (refusal.errno !== Errno.EEXIST) {
      throw new SetupError(
        `Cannot route ${refusal.route} into ${plan.interfaceName}: ${refusal.reason}`,
      );
    }
  }
  throw new SetupError(`There is no free routing table from ${TABLE_FIRST} up`);
}

/** Tables that hold routes, or that a rule speaks of, by number or as a mark. */
function tablesInUse(socket: NetlinkSocket): Set<number> {
  const taken = new Set<number>();
  for (const family of [AddressFamily.AF_INET, AddressFamily.AF_INET6]) {
    for (const { table } of listRoutes(socket, { family })) taken.add(table);
    for (const { table, mark } of rulesOf(socket, family)) {
      taken.add(table);
      if (mark !== undefined) taken.add(mark);
    }
  }
  return taken;
}

/** The rules of a family; none where the kernel has been told to do without it. */
function rulesOf(socket: NetlinkSocket, family: IpFamily): Rule[] {
  try {
    return listRules(socket, family);
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === Errno.EAFNOSUPPORT) return [];
    throw error;
  }
}

/** Adds all routes to a table, or none: then the refusal. */
function addAll(
  socket: NetlinkSocket,
  plan: DefaultRoute,
  table: number,
): { errno: number; route: string; reason: string } | null {
  const routes: RouteSpec[] = plan.routes.map(({ address, bits }) => ({
    destination: address,
    bits,
    outInterface: plan.interfaceIndex,
    table,
  }));
  const refusals = addRoutes(socket, routes);
  if (refusals.length === 0) return null;
  const refused = new Set(refusals.map(({ index }) => index));
  deleteRoutes(socket, routes.filter((_, index) => !refused.has(index)));
  const { index, errno, kernelMessage } = refusals[0];
  const reason = errno === Errno.EEXIST
    ? "the table has that route already"
    : kernelMessage || describeErrno(errno);
  return { errno, route: formatPrefix(plan.routes[index]), reason };
}

/**
 * Adds a rule in front of all others but the one for local addresses, where the kernel puts one that
 * has no priority; with a priority of its own it can be told from those of other tunnels.
 */
function addPolicyRule(
  socket: NetlinkSocket,
  record: UpRecord,
  rule: Omit<PolicyRule, "priority">,
): void {
  for (let attempt = 0; attempt < RULE_ATTEMPTS; attempt++) {
    const priorities = listRules(socket, netlinkFamily(rule.family))
      .map(({ priority }) => priority).filter((priority) => priority > 0);
    const priority = Math.min(RULE_PRIORITY_MAIN, ...priorities) - 1;
    if (priority <= 0) {
      throw new SetupError("There is no room for a routing rule before that of priority 1");
    }
    record.add({ kind: "rule", ...rule, priority });
    try {
      addRule(socket, ruleSpec({ ...rule, priority }));
      return;
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      record.strikeLast();
      if (error.errno === Errno.EEXIST) continue;
      throw new SetupError(`Cannot add a routing rule: ${error.message}`, { cause: error });
    }
  }
  throw new SetupError("Cannot add a routing rule: others take its place again and again");
}

/** Removes a rule, if it is there. Throws `NetlinkError`. */
export function removePolicyRule(rule: PolicyRule): void {
  using socket = NetlinkSocket.open();
  try {
    deleteRule(socket, ruleSpec(rule));
  } catch (error) {
    const isGone = error instanceof NetlinkError &&
      (error.errno === Errno.ENOENT || error.errno === Errno.EAFNOSUPPORT);
    if (!isGone) throw error;
  }
}

function ruleSpec(rule: PolicyRule): RuleSpec {
  const { family, priority, table, notMark, suppressPrefixLength } = rule;
  return {
    family: netlinkFamily(family),
    priority,
    table,
    ...(notMark !== undefined && { mark: notMark, invert: true }),
    ...(suppressPrefixLength !== undefined && { suppressPrefixLength }),
  };
}

function netlinkFamily(family: 4 | 6): IpFamily {
  return family === 4 ? AddressFamily.AF_INET : AddressFamily.AF_INET6;
}
