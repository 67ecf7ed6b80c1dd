import { assertEquals } from "@std/assert";
import { Diagnostics, formatDiagnostic } from "../../src/config/diagnostic.ts";
import { readLocalServices } from "../../src/config/local_services.ts";
import { ConfigValue } from "../../src/config/value.ts";
import type { LocalService } from "../../src/forward/local_services.ts";

function read(text: string): { services: LocalService[]; messages: string[] } {
  const diagnostics = new Diagnostics("f");
  const value = new ConfigValue(text, "LocalServices", 1, 1, diagnostics);
  const services = readLocalServices(value);
  return { services, messages: diagnostics.list().map(formatDiagnostic) };
}

const service = (fields: Partial<LocalService>): LocalService => ({
  transport: "tcp",
  firstPort: 22,
  lastPort: 22,
  host: null,
  port: 22,
  ...fields,
});

Deno.test("a list of local services is read, each kind of item", () => {
  const { services, messages } = read(
    "22, 8080:127.0.0.1:3000, UDP:53:127.0.0.53:53, 5000-5010, tcp:7000-7009:[fd00::1]:80, udp:9",
  );
  assertEquals(messages, []);
  const v6 = new Uint8Array(16);
  v6[0] = 0xfd;
  v6[15] = 1;
  assertEquals(services, [
    service({}),
    service({ firstPort: 8080, lastPort: 8080, host: Uint8Array.of(127, 0, 0, 1), port: 3000 }),
    service({
      transport: "udp",
      firstPort: 53,
      lastPort: 53,
      host: Uint8Array.of(127, 0, 0, 53),
      port: 53,
    }),
    service({ firstPort: 5000, lastPort: 5010, port: 5000 }),
    service({ firstPort: 7000, lastPort: 7009, host: v6, port: 80 }),
    service({ transport: "udp", firstPort: 9, lastPort: 9, port: 9 }),
  ]);
});

Deno.test("what cannot be meant is told at its place", () => {
  for (
    const text of [
      ...["0", "65536", "22-", "-22", "30-20", "1-2-3", "x", "sctp:22", "22:", "22:3000", ":22"],
      ...["22:host:3000", "22:::1:80", "22:[127.0.0.1]:80", "22:127.0.0.1:0", "22:127.0.0.1:x"],
      ...["60000-65535:127.0.0.1:60001", "22 80", "tcp:", "all"],
    ]
  ) {
    const { services, messages } = read(`80, ${text}`);
    assertEquals(services.length, 1, text);
    assertEquals(messages.length, 1, `${text}: ${messages}`);
    assertEquals(messages[0].startsWith("f:1:5: error: LocalServices: "), true, messages[0]);
  }
});

Deno.test("nothing offers every port by one word", () => {
  assertEquals(read("all").messages, [
    "f:1:1: error: LocalServices: list the ports that peers may reach; " +
    "there is no word for all of them",
  ]);
});
