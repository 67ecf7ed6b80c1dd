import { assert, assertEquals, assertThrows } from "@std/assert";
import { parseSetWords, SetWordsError } from "../../src/config/set_words.ts";
import { formatPrefix } from "../../src/control/address_text.ts";
import { formatKeyBase64 } from "../../src/control/key_text.ts";

const KEYS = [1, 2].map((number) => new Uint8Array(32).fill(number));
const [A, B] = KEYS.map(formatKeyBase64);
const parse = (text: string) => parseSetWords(text.split(" "));

Deno.test("the whole grammar of wg set", () => {
  const words = parse(
    `listen-port 5 fwmark 0x10 private-key /k peer ${A} preshared-key /p endpoint [::1]:7 ` +
      `persistent-keepalive off allowed-ips 10.0.0.0/8,fd00::/64 peer ${B} remove`,
  );
  assertEquals([words.listenPort, words.fwmark, words.privateKeyFile], [5, 16, "/k"]);
  const [first, second] = words.peers;
  assertEquals([first.publicKey, first.presharedKeyFile, first.keepaliveSeconds], [
    KEYS[0],
    "/p",
    0,
  ]);
  assertEquals(first.endpoint, { address: Uint8Array.from([...Array(15).fill(0), 1]), port: 7 });
  assertEquals(first.replaceAllowedIps, true);
  assertEquals(first.allowedIps.map(formatPrefix), ["10.0.0.0/8", "fd00::/64"]);
  assertEquals([second.publicKey, second.remove], [KEYS[1], true]);
  assertEquals(parse(`peer ${A} endpoint host.example:9`).peers[0].endpoint, {
    host: "host.example",
    port: 9,
  });
});

Deno.test("one sign among the prefixes makes all of them changes to what is there", () => {
  const prefixes = (value: string) => {
    const { replaceAllowedIps, allowedIps } =
      parseSetWords(["peer", A, "allowed-ips", value]).peers[0];
    return [replaceAllowedIps, allowedIps.map((ip) => (ip.remove ? "-" : "+") + formatPrefix(ip))];
  };
  assertEquals(prefixes(""), [true, []]);
  assertEquals(prefixes("10.0.0.1"), [true, ["+10.0.0.1/32"]]);
  assertEquals(prefixes("10.1.0.0/16, -10.2.0.0/16"), [false, ["+10.1.0.0/16", "-10.2.0.0/16"]]);
  assertEquals(prefixes("+fd00::1"), [false, ["+fd00::1/128"]]);
});

Deno.test("what cannot be meant is refused, and what may be a key never told", () => {
  const secret = formatKeyBase64(new Uint8Array(32).fill(0xa5));
  const cases: [string, RegExp][] = [
    ["listen-port 65536", /expected 0 to 65535/],
    ["fwmark x", /fwmark: expected/],
    ["remove", /stands behind `peer KEY`/],
    [`peer ${A} listen-port 1`, /before the first peer/],
    [`peer ${A} allowed-ips 10.0.0.0/33`, /expected prefixes/],
    [`peer ${A} allowed-ips 10.0.0.0/8,,`, /expected prefixes/],
    [`peer ${A} persistent-keepalive 65536`, /0 to 65535/],
    [`peer ${A} endpoint ::1:5`, /stands in brackets/],
    [`peer ${secret}x`, /44 characters/],
    [`listen-port ${secret}`, /not shown/],
    [secret, /not shown/],
    [`peer ${A} allowed-ips ${secret}`, /not shown/],
    [`peer ${A} endpoint`, /wants a value/],
    [`peer ${A} alowed-ips 1`, /did you mean `allowed-ips`/],
  ];
  for (const [text, pattern] of cases) {
    const error = assertThrows(() => parse(text), SetWordsError) as SetWordsError;
    assert(pattern.test(error.message), `${text}: ${error.message}`);
    assert(!error.message.includes(secret.slice(0, 10)), error.message);
  }
});
