import { assertEquals } from "@std/assert";
import { nodeDifference } from "../../src/config/node_difference.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { formatPrefix } from "../../src/control/address_text.ts";
import { formatKeyBase64 } from "../../src/control/key_text.ts";

const KEY = formatKeyBase64(new Uint8Array(32).fill(1));

function config(lines: string[], allowedIps: string, longhaul = "") {
  const text = [
    "[Interface]",
    ...lines,
    "[Peer]",
    `PublicKey = ${KEY}`,
    `AllowedIPs = ${allowedIps}`,
  ];
  const { config, diagnostics } = parseConfig(`${text.join("\n")}\n${longhaul}`, { file: "test" });
  if (config === null) throw new Error(JSON.stringify(diagnostics));
  return config;
}

function difference(before: ReturnType<typeof config>, after: ReturnType<typeof config>) {
  const { mtu, deferred, hasOtherServices, hasOtherNat, hasOtherFilter, ...lists } = nodeDifference(
    before,
    after,
  );
  const texts = Object.entries(lists).filter(([, prefixes]) => prefixes.length > 0)
    .map(([name, prefixes]) => [name, prefixes.map(formatPrefix)]);
  return {
    ...Object.fromEntries(texts),
    ...(mtu !== null && { mtu }),
    ...(hasOtherServices && { hasOtherServices }),
    ...(hasOtherNat && { hasOtherNat }),
    ...(hasOtherFilter && { hasOtherFilter }),
    deferred,
  };
}

Deno.test("equal configs have no difference, whatever order they are written in", () => {
  const a = config(["Address = 10.0.0.1/24, fd00::1/64"], "10.1.0.0/16, 10.2.0.0/16");
  const b = config(["Address = fd00::1/64", "Address = 10.0.0.1/24"], "10.2.0.0/16, 10.1.9.9/16");
  assertEquals(difference(a, b), { deferred: [] });
});

Deno.test("other rules and other served prefixes need no other node", () => {
  const plain = config([], "10.1.0.0/16");
  const ruled = config([], "10.1.0.0/16", "[Longhaul]\nDeny = in tcp 22");
  assertEquals(difference(plain, ruled), { hasOtherFilter: true, deferred: [] });
  for (const key of ["Serve", "Netstack"]) {
    const serving = config([], "10.1.0.0/16", `[Longhaul]\n${key} = 10.9.0.0/16`);
    assertEquals(difference(plain, serving), { hasOtherServices: true, deferred: [] });
  }
});

Deno.test("other local services need no other node", () => {
  const a = config([], "10.1.0.0/16", "[Longhaul]\nLocalServices = 22");
  const b = config([], "10.1.0.0/16", "[Longhaul]\nLocalServices = 22, 80");
  assertEquals(difference(a, a), { deferred: [] });
  assertEquals(difference(a, b), { hasOtherServices: true, deferred: [] });
});

Deno.test("addresses, routes and the MTU are told apart", () => {
  const a = config(["Address = 10.0.0.1/24", "MTU = 1400"], "10.1.0.0/16");
  const b = config(["Address = 10.0.0.1/16", "MTU = 1300"], "10.1.0.0/16, fd00::/64");
  assertEquals(difference(a, b), {
    addressesAdded: ["10.0.0.1/16"],
    addressesRemoved: ["10.0.0.1/24"],
    routesAdded: ["fd00::/64"],
    mtu: 1300,
    deferred: [],
  });
  assertEquals(difference(b, a).routesRemoved, ["fd00::/64"]);
});

Deno.test("what is read when the interface is made waits, by its name", () => {
  const plain = config([], "10.1.0.0/16");
  const cases: [ReturnType<typeof config>, string[]][] = [
    [config(["DNS = 9.9.9.9"], "10.1.0.0/16"), ["DNS"]],
    [config(["PostUp = true"], "10.1.0.0/16"), ["PreUp, PostUp, PreDown or PostDown"]],
    [config([], "10.1.0.0/16", "[Longhaul]\nOffload = no-udp-gso\n"), ["[Longhaul]"]],
    [config(["Table = 77"], "10.1.0.0/16, 10.2.0.0/16"), ["Table"]],
  ];
  for (const [after, deferred] of cases) assertEquals(difference(plain, after), { deferred });
  const fixed = config(["MTU = 1400"], "10.1.0.0/16");
  assertEquals(difference(fixed, plain).deferred, ["the MTU that fits the way to the peers"]);
});
