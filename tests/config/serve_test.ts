import { assertEquals } from "@std/assert";
import { parseConfig } from "../../src/config/parse.ts";
import { servedPrefixes } from "../../src/config/serve.ts";
import { formatPrefix } from "../../src/control/address_text.ts";
import { RESOLVER } from "../../src/forward/local_services.ts";

function parse(...lines: string[]) {
  return parseConfig(["[Interface]", "[Longhaul]", ...lines].join("\n"), { file: "f" });
}

Deno.test("what Serve and Netstack name is served, each prefix once", () => {
  const { config } = parse("Serve = 192.168.0.0/16, ::/0", "Serve = 0.0.0.0/0", "Netstack = ::/0");
  assertEquals(servedPrefixes(config!).map(formatPrefix), ["192.168.0.0/16", "::/0", "0.0.0.0/0"]);
});

Deno.test("host bits of what is served are told and ignored", () => {
  const { config, diagnostics } = parse("Serve = 192.168.1.9/24");
  assertEquals(servedPrefixes(config!).map(formatPrefix), ["192.168.1.0/24"]);
  assertEquals(diagnostics.filter(({ line }) => line === 3).map(({ message }) => message), [
    "Serve: 192.168.1.9/24 has host bits; they are ignored",
  ]);
});

Deno.test("dns among the local services is port 53 of both transports, to the host's name servers", () => {
  const { config } = parse("LocalServices = 22, dns");
  assertEquals(
    config!.longhaul.localServices.map(({ transport, firstPort, host }) => [
      transport,
      firstPort,
      host === RESOLVER,
    ]),
    [["tcp", 22, false], ["udp", 53, true], ["tcp", 53, true]],
  );
});
