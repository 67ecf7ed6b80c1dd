import { assert, assertEquals } from "@std/assert";
import { AddressFamily } from "../../ffi/rtnetlink.ts";
import { addRule, deleteRule, listRules, RuleAction } from "../../ffi/rtnetlink_rule.ts";
import { Errno } from "../../src/base/errno.ts";
import { requires } from "../requires.ts";
import { inFreshNamespace, refusal, v4, v6 } from "./netns_fixture.ts";

const families = [
  {
    name: "IPv4",
    family: AddressFamily.AF_INET,
    option: "-4",
    builtIn: [[0, 255], [32766, 254], [32767, 253]],
    source: { address: v4("10.0.0.0"), bits: 8 },
    sourceText: "10.0.0.0",
    destination: { address: v4("10.1.2.3"), bits: 32 },
    destinationText: "10.1.2.3",
  },
  {
    name: "IPv6",
    family: AddressFamily.AF_INET6,
    option: "-6",
    builtIn: [[0, 255], [32766, 254]],
    source: { address: v6("fd00::"), bits: 8 },
    sourceText: "fd00::",
    destination: { address: v6("2001:db8::1"), bits: 128 },
    destinationText: "2001:db8::1",
  },
] as const;

for (const c of families) {
  Deno.test({
    name: `the ${c.name} rules of a fresh namespace are listed`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace((f) => {
        const rules = listRules(f.socket, c.family);
        assertEquals(rules.map((rule) => [rule.priority, rule.table]), c.builtIn);
        assert(rules.every((rule) => rule.action === RuleAction.FR_ACT_TO_TBL && !rule.invert));
        assert(rules.every((rule) => rule.mark === undefined));
        assert(rules.every((rule) => rule.suppressPrefixLength === undefined));
        return Promise.resolve();
      }),
  });

  Deno.test({
    name: `the two ${c.name} rules of wg-quick are what \`ip\` shows, and go away again`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace(async (f) => {
        const marked = { family: c.family, invert: true, mark: 51820, table: 51820 };
        const suppressing = { family: c.family, table: 254, suppressPrefixLength: 0 };
        addRule(f.socket, marked);
        addRule(f.socket, suppressing);
        const shown = await f.show("-N", c.option, "rule", "show");
        assertEquals(shown[1].priority, 32764);
        assertEquals([shown[1].table, shown[1].suppress_prefixlen], ["254", 0]);
        assertEquals(shown[2].priority, 32765);
        assertEquals([shown[2].not, shown[2].fwmark, shown[2].table], [null, "0xca6c", "51820"]);
        const listed = listRules(f.socket, c.family);
        assertEquals(listed[1].suppressPrefixLength, 0);
        assertEquals(
          [listed[2].invert, listed[2].mark, listed[2].mask, listed[2].table],
          [true, 51820, 0xffffffff, 51820],
        );
        deleteRule(f.socket, marked);
        deleteRule(f.socket, suppressing);
        const left = listRules(f.socket, c.family).map((rule) => [rule.priority, rule.table]);
        assertEquals(left, c.builtIn);
        assertEquals(refusal(() => deleteRule(f.socket, marked)).errno, Errno.ENOENT);
      }),
  });

  Deno.test({
    name: `an ${c.name} rule with every selector is listed as it was given`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace(async (f) => {
        const spec = {
          family: c.family,
          table: 300,
          priority: 1000,
          mark: 0x10,
          mask: 0xf0,
          invert: false,
          suppressPrefixLength: undefined,
          source: c.source,
          destination: c.destination,
          inInterface: "lo",
          outInterface: "wg0",
          action: RuleAction.FR_ACT_TO_TBL,
        };
        addRule(f.socket, spec);
        const item = (await f.show("-N", c.option, "rule", "show"))
          .find((rule) => rule.priority === 1000);
        assertEquals(
          [item.src, item.srclen, item.dst, item.fwmark, item.fwmask, item.iif, item.oif],
          [c.sourceText, 8, c.destinationText, "0x10", "0xf0", "lo", "wg0"],
        );
        assertEquals(listRules(f.socket, c.family)[1], spec);
      }),
  });

  Deno.test({
    name: `an ${c.name} rule that is there already is EEXIST, and the error shows it`,
    ...requires("root", "ip"),
    fn: () =>
      inFreshNamespace((f) => {
        const spec = { family: c.family, invert: true, mark: 5, table: 7, priority: 9 };
        addRule(f.socket, spec);
        const error = refusal(() => addRule(f.socket, spec));
        assertEquals(error.errno, Errno.EEXIST);
        assert(
          error.message.startsWith(`RTM_NEWRULE ${c.name} priority 9 not fwmark 5 table 7: EEXIST`),
        );
        return Promise.resolve();
      }),
  });
}
