/**
 * `Allow` and `Deny`: the filter's rules, in the order of the file; the first that matches a packet
 * decides, and what none matches is allowed. A line holds rules separated by commas, a rule words in
 * any order:
 *
 * | words                      | what matches                                                       |
 * | -------------------------- | ------------------------------------------------------------------ |
 * | `in`, `out`                | packets from peers, packets of this host to peers; else both       |
 * | `tcp`, `udp`, `icmp`, `icmpv6`, `proto 47` | that protocol                                      |
 * | `from PREFIX`              | the source                                                         |
 * | `to PREFIX`                | the destination                                                    |
 * | `PREFIX`                   | the other end: source of what comes in, destination of what leaves |
 * | `22`, `8000-8080`          | the destination port, of TCP and UDP                               |
 * | `any`, `all`               | everything: a rule must have a word                                |
 *
 * `Allow = in tcp 22 from 10.77.0.2/32` and then `Deny = in to 192.168.0.0/16` let one peer log in
 * everywhere and keep all others out of a network that `Serve` would show them. There is no memory of
 * flows: with a rule for packets in one direction only, answers go the other way unhindered. Packets
 * of the userspace stack, and so its answers, do not pass the filter on their way out.
 */
import { parseDecimal, parsePrefix } from "../control/address_text.ts";
import { FILTER_RULES_MAX, FilterAction, FilterDirection, type FilterRule } from "../nat/filter.ts";
import type { Prefix } from "../wireguard/configuration.ts";
import { IpProtocol } from "../wire/ip.ts";
import type { ConfigValue } from "./value.ts";

const PORT_MAX = 65_535;
const PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ["tcp", IpProtocol.Tcp],
  ["udp", IpProtocol.Udp],
  ["icmp", IpProtocol.Icmp],
  ["icmpv6", IpProtocol.Icmpv6],
]);
const EXPECTED = "words such as `in`, `tcp`, `from 10.0.0.2/32`, `to 192.168.0.0/16`, `22` or " +
  "`8000-8080`";

/** A rule as it is written, before directions are told apart. */
interface RuleDraft {
  directions: number;
  protocol?: number;
  ports?: { first: number; last: number };
  remote?: Prefix;
  from?: Prefix;
  to?: Prefix;
}

/** Adds the rules of one line to `rules`; what is wrong is reported and left out. */
export function readFilterRules(
  value: ConfigValue,
  action: FilterAction,
  rules: FilterRule[],
): void {
  for (const item of value.items()) {
    const draft = readRule(item);
    if (draft === undefined) continue;
    rules.push(...rulesOf(draft, action));
    if (rules.length <= FILTER_RULES_MAX) continue;
    rules.length = FILTER_RULES_MAX;
    item.error(`more than ${FILTER_RULES_MAX} rules of Allow and Deny`);
    return;
  }
}

function readRule(item: ConfigValue): RuleDraft | undefined {
  const draft: RuleDraft = { directions: 0 };
  const words = item.text.split(/\s+/);
  for (let i = 0; i < words.length; i++) {
    const word = words[i].toLowerCase();
    const takesNext = word === "from" || word === "to" || word === "proto";
    const problem = takesNext
      ? readPair(draft, word, words[++i] ?? "", item)
      : readWord(draft, word, item);
    if (problem) return undefined;
  }
  if (draft.ports !== undefined && !hasPorts(draft.protocol)) {
    return item.error("only tcp and udp have ports");
  }
  if (draft.remote !== undefined && (draft.from ?? draft.to) !== undefined) {
    return item.error("a prefix on its own names the other end: write `from` or `to` before it");
  }
  return draft;
}

function hasPorts(protocol: number | undefined): boolean {
  return protocol === undefined || protocol === IpProtocol.Tcp || protocol === IpProtocol.Udp;
}

/** Reads a word on its own; true when it was wrong, which is reported. */
function readWord(draft: RuleDraft, word: string, item: ConfigValue): boolean {
  const protocol = PROTOCOLS.get(word);
  const prefix = /[.:]/.test(word) ? parsePrefix(word) : null;
  const ports = /^(\d+)(?:-(\d+))?$/.exec(word);
  if (word === "any" || word === "all") return false;
  if (word === "in") draft.directions |= FilterDirection.In;
  else if (word === "out") draft.directions |= FilterDirection.Out;
  else if (protocol !== undefined) draft.protocol = protocol;
  else if (prefix !== null) draft.remote = prefix;
  else if (ports !== null) return !readPorts(draft, ports[1], ports[2] ?? ports[1], item);
  else item.expected(EXPECTED);
  return !isKnown(word, protocol, prefix);
}

function isKnown(word: string, protocol: number | undefined, prefix: Prefix | null): boolean {
  return word === "in" || word === "out" || protocol !== undefined || prefix !== null;
}

function readPair(draft: RuleDraft, word: string, next: string, item: ConfigValue): boolean {
  if (word === "proto") {
    const protocol = PROTOCOLS.get(next.toLowerCase()) ?? parseDecimal(next, 254);
    if (protocol >= 0) draft.protocol = protocol;
    else item.error("expected a protocol behind `proto`, by name or by a number up to 254");
    return protocol < 0;
  }
  const prefix = parsePrefix(next);
  if (prefix === null) item.error(`expected an address or a prefix behind \`${word}\``);
  else if (word === "from") draft.from = prefix;
  else draft.to = prefix;
  return prefix === null;
}

function readPorts(
  draft: RuleDraft,
  firstText: string,
  lastText: string,
  item: ConfigValue,
): boolean {
  const first = parseDecimal(firstText, PORT_MAX);
  const last = parseDecimal(lastText, PORT_MAX);
  const isRange = first >= 0 && last >= first;
  if (!isRange) item.error(`expected ports from 0 to ${PORT_MAX}, the smaller one first`);
  else if (draft.ports !== undefined) {
    item.error("one port or range a rule: separate rules by commas");
  } else {
    draft.ports = { first, last };
    return true;
  }
  return false;
}

/** The filter's rules: source and destination are other ends in different directions. */
function rulesOf(draft: RuleDraft, action: FilterAction): FilterRule[] {
  const { protocol, ports, remote, from, to } = draft;
  const { In, Out } = FilterDirection;
  const directions = draft.directions || In | Out;
  const common = {
    action,
    ...(protocol !== undefined && { protocol }),
    ...(ports !== undefined && { ports }),
  };
  if (from === undefined && to === undefined) {
    return [{ ...common, directions, ...(remote !== undefined && { prefix: remote }) }];
  }
  return [In, Out].filter((one) => (directions & one) !== 0).map((one) => {
    const [other, own] = one === In ? [from, to] : [to, from];
    return {
      ...common,
      directions: one,
      ...(other !== undefined && { prefix: other }),
      ...(own !== undefined && { ownPrefix: own }),
    };
  });
}
