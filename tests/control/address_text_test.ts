import { assertEquals } from "@std/assert";
import {
  formatAddress,
  formatPrefix,
  formatSocketAddress,
  parseAddress,
  parseDecimal,
  parsePrefix,
  parseSocketAddress,
} from "../../src/control/address_text.ts";

Deno.test("addresses read back as they were written", () => {
  for (
    const text of [
      "0.0.0.0",
      "255.255.255.255",
      "10.0.0.1",
      "::",
      "::1",
      "fd00:1::",
      "1:2:3:4:5:6:7:8",
    ]
  ) {
    assertEquals(formatAddress(parseAddress(text)!), text);
  }
});

Deno.test("an IPv6 address may end in dotted form", () => {
  assertEquals(parseAddress("::ffff:1.2.3.4"), parseAddress("::ffff:102:304"));
  assertEquals(parseAddress("::1.2.3.4"), parseAddress("::102:304"));
});

Deno.test("what only resembles an address is refused", () => {
  const bad = [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4 ",
    "0x7f.0.0.1",
    "1..2.3",
  ];
  bad.push(
    ":::",
    "1::2::3",
    "12345::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "::g",
    "::1%eth0",
    "::1.2.3",
  );
  bad.push("1:2:3:4:5:6:7:8::", "1.2.3.4:", ":1.2.3.4", "127.1", "[::1]", "1:2:3:4:5:6:7:1.2.3.4");
  for (const text of bad) assertEquals(parseAddress(text), null, text);
});

Deno.test("a prefix without length is as long as its address, and keeps its host bits", () => {
  assertEquals(formatPrefix(parsePrefix("10.0.0.7")!), "10.0.0.7/32");
  assertEquals(formatPrefix(parsePrefix("fd00::7")!), "fd00::7/128");
  assertEquals(formatPrefix(parsePrefix("10.0.0.7/8")!), "10.0.0.7/8");
  for (const text of ["10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/08", "/8"]) {
    assertEquals(parsePrefix(text), null, text);
  }
});

Deno.test("endpoints read back as they were written", () => {
  for (const text of ["1.2.3.4:51820", "[::1]:1", "[fe80::1%2]:65535", "[2001:db8::1]:443"]) {
    assertEquals(formatSocketAddress(parseSocketAddress(text)!), text);
  }
});

Deno.test("a zone that is a name is looked up", () => {
  const index = (name: string) => name === "eth0" ? 7 : 0;
  assertEquals(parseSocketAddress("[fe80::1%eth0]:1", index)?.scopeId, 7);
  assertEquals(parseSocketAddress("[fe80::1%eth1]:1", index), null);
  assertEquals(parseSocketAddress("[fe80::1%eth0]:1"), null);
});

Deno.test("what only resembles an endpoint is refused", () => {
  const bad = [
    "",
    ":1",
    "1.2.3.4",
    "1.2.3.4:",
    "1.2.3.4:0",
    "1.2.3.4:65536",
    "1.2.3.4:+1",
    "::1:51820",
  ];
  bad.push(
    "[::1]",
    "[::1]51820",
    "[::1:1",
    "[1.2.3.4]:1",
    "example.org:1",
    "[fe80::1%]:1",
    "[::1] :1",
  );
  for (const text of bad) assertEquals(parseSocketAddress(text), null, text);
});

Deno.test("decimal numbers have no sign, no leading zeros and a limit", () => {
  assertEquals(parseDecimal("0", 10), 0);
  assertEquals(parseDecimal("4294967295", 2 ** 32 - 1), 4294967295);
  for (const text of ["", "-1", "+1", "00", "01", " 1", "1 ", "1e3", "4294967296", "99999999999"]) {
    assertEquals(parseDecimal(text, 2 ** 32 - 1), -1, text);
  }
});
