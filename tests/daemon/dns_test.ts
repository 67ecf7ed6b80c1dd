import { assertEquals } from "@std/assert";
import {
  chooseDnsTool,
  type DnsFacts,
  resolvconfEntry,
  resolvedDomains,
} from "../../src/daemon/dns.ts";

Deno.test("name servers go where /etc/resolv.conf comes from", () => {
  const facts = (more: Partial<DnsFacts>): DnsFacts => ({
    resolvConf: "/etc/resolv.conf",
    resolvedRuns: false,
    hasResolvectl: false,
    resolvconf: null,
    ...more,
  });
  const resolved = { resolvedRuns: true, hasResolvectl: true };
  const stub = "/run/systemd/resolve/stub-resolv.conf";
  const cases: [Partial<DnsFacts>, string | null][] = [
    [{}, null],
    [{ resolvConf: undefined }, null],
    [{ resolvconf: "/usr/sbin/resolvconf" }, "resolvconf"],
    [resolved, "resolved"],
    [{ ...resolved, resolvconf: "/usr/sbin/resolvconf" }, "resolvconf"],
    [{ ...resolved, resolvConf: stub, resolvconf: "/usr/sbin/resolvconf" }, "resolved"],
    [{ resolvConf: stub, resolvconf: "/usr/sbin/resolvconf" }, "resolvconf"],
    [{ ...resolved, resolvconf: "/usr/bin/resolvectl" }, "resolved"],
    [{ hasResolvectl: true, resolvconf: "/usr/bin/resolvectl" }, null],
    [{ resolvedRuns: true }, null],
  ];
  for (const [more, tool] of cases) assertEquals(chooseDnsTool(facts(more)), tool);
});

Deno.test("Debian's resolvconf knows the interface by the first pattern of its list", () => {
  const order = "# comment\nlo.inet6\nlo.inet\nlo.@(dhclient|dhcp3)\ntun*\ntap*\n@(br|eth)*\n*\n";
  assertEquals(resolvconfEntry("wg0", order), "tun.wg0");
  assertEquals(resolvconfEntry("wg0", "lo\n*\n"), "wg0");
  assertEquals(resolvconfEntry("wg0", null), "wg0");
});

Deno.test("resolved's servers are for every name unless domains say otherwise", () => {
  assertEquals(resolvedDomains([]), ["~."]);
  assertEquals(resolvedDomains(["lan"]), ["lan", "~."]);
  assertEquals(resolvedDomains(["lan", "~."]), ["lan", "~."]);
  assertEquals(resolvedDomains(["~corp.example", "lan"]), ["~corp.example", "lan"]);
});
