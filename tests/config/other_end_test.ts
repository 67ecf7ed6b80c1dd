import { assertEquals } from "@std/assert";
import { formatOtherEnd, withoutComments } from "../../src/config/other_end.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { parsePrefix } from "../../src/control/address_text.ts";

const key = (number: number) => new Uint8Array(32).fill(number);
const prefixes = (...texts: string[]) => texts.map((text) => parsePrefix(text)!);

Deno.test("the config of the other end says what was meant, also without its comments", () => {
  const text = formatOtherEnd({
    name: "phone",
    privateKey: key(8),
    presharedKey: key(3),
    addresses: prefixes("10.0.0.2/32", "fd00::2/128"),
    listenPort: 7777,
    here: {
      name: "gate wg0",
      publicKey: key(4),
      allowedIps: prefixes("10.0.0.0/24"),
      endpoint: "vpn.example:51820",
    },
  });
  for (const form of [text, withoutComments(text)]) {
    const { config, diagnostics } = parseConfig(form, { file: "x" });
    assertEquals(diagnostics, []);
    const { interface: own, device } = config!;
    assertEquals(own.addresses, prefixes("10.0.0.2/32", "fd00::2/128"));
    assertEquals([device.privateKey, device.listenPort], [key(8), 7777]);
    const { line: _, friendlyName, ...peer } = device.peers[0];
    assertEquals(friendlyName, form === text ? "gate wg0" : undefined);
    assertEquals(peer, {
      publicKey: key(4),
      presharedKey: key(3),
      endpoint: { host: "vpn.example", port: 51_820 },
      keepaliveSeconds: 25,
      allowedIps: prefixes("10.0.0.0/24"),
    });
  }
});

Deno.test("without an endpoint there is nobody to keep a way open to", () => {
  const text = formatOtherEnd({
    name: "x",
    privateKey: key(8),
    presharedKey: key(3),
    addresses: prefixes("10.0.0.2/32"),
    listenPort: null,
    here: { name: "y", publicKey: key(4), allowedIps: prefixes("10.0.0.0/24"), endpoint: null },
  });
  assertEquals(/Endpoint|Keepalive|ListenPort/.test(text), false);
});
