import { assertEquals } from "@std/assert";
import { formatPrefix } from "../../src/control/address_text.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { FilterAction, FilterDirection, type FilterRule } from "../../src/nat/filter.ts";

const { In, Out } = FilterDirection;
const { Allow, Deny } = FilterAction;

function parse(...lines: string[]) {
  return parseConfig(["[Interface]", "[Longhaul]", ...lines].join("\n"), { file: "f" });
}

/** The rules of a section, prefixes as texts. */
function rules(...lines: string[]) {
  const { config, diagnostics } = parse(...lines);
  if (config === null) throw new Error(JSON.stringify(diagnostics));
  return config.longhaul.filter.map(({ prefix, ownPrefix, ...rule }: FilterRule) => ({
    ...rule,
    ...(prefix !== undefined && { prefix: formatPrefix(prefix) }),
    ...(ownPrefix !== undefined && { ownPrefix: formatPrefix(ownPrefix) }),
  }));
}

function errors(...lines: string[]): string[] {
  return parse(...lines).diagnostics.filter(({ severity }) => severity === "error")
    .map(({ line, column, message }) => `${line}:${column} ${message}`);
}

Deno.test("Allow and Deny make one list, in the order of the file", () => {
  assertEquals(rules("Deny = in tcp 22, out udp 53", "allow = any", "DENY = all"), [
    { action: Deny, directions: In, protocol: 6, ports: { first: 22, last: 22 } },
    { action: Deny, directions: Out, protocol: 17, ports: { first: 53, last: 53 } },
    { action: Allow, directions: In | Out },
    { action: Deny, directions: In | Out },
  ]);
});

Deno.test("a prefix on its own is the other end, whichever way the packet goes", () => {
  assertEquals(rules("Deny = 10.0.0.2, fd00::/64 icmpv6 in"), [
    { action: Deny, directions: In | Out, prefix: "10.0.0.2/32" },
    { action: Deny, directions: In, protocol: 58, prefix: "fd00::/64" },
  ]);
});

Deno.test("from and to are the packet's own source and destination", () => {
  assertEquals(rules("Allow = in from 10.0.0.2 to 192.168.0.0/16 8000-8080"), [{
    action: Allow,
    directions: In,
    prefix: "10.0.0.2/32",
    ownPrefix: "192.168.0.0/16",
    ports: { first: 8000, last: 8080 },
  }]);
  assertEquals(rules("Deny = to 192.168.0.0/16 proto 47"), [
    { action: Deny, directions: In, protocol: 47, ownPrefix: "192.168.0.0/16" },
    { action: Deny, directions: Out, protocol: 47, prefix: "192.168.0.0/16" },
  ]);
});

Deno.test("what is wrong with a rule is told at its place", () => {
  assertEquals(errors("Deny = in tcp 22, in nonsense"), [
    "3:19 Deny: expected words such as `in`, `tcp`, `from 10.0.0.2/32`, `to 192.168.0.0/16`, `22` " +
    "or `8000-8080`, found `in nonsense`",
  ]);
  assertEquals(errors("Deny = icmp 22"), ["3:8 Deny: only tcp and udp have ports"]);
  assertEquals(errors("Deny = tcp 22 23"), [
    "3:8 Deny: one port or range a rule: separate rules by commas",
  ]);
  assertEquals(errors("Deny = 70000"), [
    "3:8 Deny: expected ports from 0 to 65535, the smaller one first",
  ]);
  assertEquals(errors("Deny = 22-21"), [
    "3:8 Deny: expected ports from 0 to 65535, the smaller one first",
  ]);
  assertEquals(errors("Deny = from"), [
    "3:8 Deny: expected an address or a prefix behind `from`",
  ]);
  assertEquals(errors("Deny = 10.0.0.1 to 10.0.0.2"), [
    "3:8 Deny: a prefix on its own names the other end: write `from` or `to` before it",
  ]);
  assertEquals(errors("Deny = proto 300"), [
    "3:8 Deny: expected a protocol behind `proto`, by name or by a number up to 254",
  ]);
});
