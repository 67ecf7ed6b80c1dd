import { assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { buildQuery, DnsType, parseAnswer } from "../../src/wire/dns_message.ts";

const QUERY = buildQuery(0x1234, "VPN.example", DnsType.A)!;

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text.replace(/\s/g, "").match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** The answer to `QUERY`: its header's flags and counts, the question, and what follows. */
function answer(records: string, count = 1, flags = "8180", id = "1234"): Uint8Array {
  const counts = count.toString(16).padStart(4, "0");
  const question = "0376706e 076578616d706c65 00 0001 0001";
  return bytesOf(`${id} ${flags} 0001 ${counts} 0000 0000 ${question} ${records}`);
}

const A_RECORD = "c00c 0001 0001 0000003c 0004 c0000201";
const ADDRESS = Uint8Array.of(192, 0, 2, 1);

Deno.test("a question is one of RFC 1035", () => {
  assertEquals(
    QUERY,
    bytesOf("1234 0100 0001 0000 0000 0000 0356504e 076578616d706c65 00 0001 0001"),
  );
  assertEquals(buildQuery(1, "a.", DnsType.AAAA)!.slice(12), bytesOf("0161 00 001c 0001"));
});

Deno.test("what is no name is not asked for", () => {
  const long = "a".repeat(63);
  for (const name of ["", ".", "a..b", "a b", "é", `a${long}`, `${long}.`.repeat(4) + "a"]) {
    assertEquals(buildQuery(1, name, DnsType.A), null, name);
  }
  assertEquals(buildQuery(1, `${long}.${long}.${long}.${"a".repeat(61)}`, DnsType.A)!.length, 271);
});

Deno.test("addresses are found, whatever the case, behind aliases and other records", () => {
  assertEquals(parseAnswer(answer(A_RECORD), QUERY), { code: 0, addresses: [ADDRESS] });
  const two = `${A_RECORD} c00c 0001 0001 0000003c 0004 c0000202`;
  assertEquals(parseAnswer(answer(two, 2), QUERY)!.addresses.length, 2);
  // vpn.example is an alias of a.example, whose name is written with a pointer into the question.
  const alias = "c00c 0005 0001 0000003c 0004 0161 c010";
  const behind = "0161 c010 0001 0001 0000003c 0004 c0000201";
  assertEquals(parseAnswer(answer(`${behind} ${alias}`, 2), QUERY)!.addresses, [ADDRESS]);
});

Deno.test("no such name, and no address, are answers", () => {
  assertEquals(parseAnswer(answer("", 0, "8183"), QUERY), { code: 3, addresses: [] });
  assertEquals(parseAnswer(answer("", 0), QUERY), { code: 0, addresses: [] });
});

Deno.test("hazard 80: what was not asked for is no answer", () => {
  assertEquals(parseAnswer(answer(A_RECORD, 1, "8180", "1235"), QUERY), null, "another id");
  assertEquals(parseAnswer(answer(A_RECORD, 1, "0100"), QUERY), null, "a question");
  assertEquals(parseAnswer(answer(A_RECORD, 1, "a980"), QUERY), null, "another operation");
  const other = answer(A_RECORD);
  other[13] = 0x77;
  assertEquals(parseAnswer(other, QUERY), null, "another name");
  const aaaa = buildQuery(0x1234, "vpn.example", DnsType.AAAA)!;
  assertEquals(parseAnswer(answer(A_RECORD), aaaa), null, "another type");
  assertEquals(parseAnswer(QUERY.subarray(0, 11), QUERY), null, "cut off");
  const foreign = "0161 00 0001 0001 0000003c 0004 c0000201";
  assertEquals(parseAnswer(answer(foreign), QUERY)!.addresses, [], "an address of another name");
  const short = "c00c 0001 0001 0000003c 0003 c00002";
  assertEquals(parseAnswer(answer(short), QUERY)!.addresses, [], "an address of three bytes");
});

Deno.test("hazard 80: pointers that loop, lead forward or out, and alias loops end", () => {
  for (const owner of ["c01d", "c01e", "c0ff", "c0", "ffff", "40"]) {
    const record = `${owner} 0001 0001 0000003c 0004 c0000201`;
    assertEquals(parseAnswer(answer(record), QUERY)!.addresses, [], owner);
  }
  const loop = "c00c 0005 0001 0000003c 0002 c00c";
  assertEquals(parseAnswer(answer(loop), QUERY)!.addresses, []);
  assertEquals(parseAnswer(answer("", 65_535), QUERY)!.addresses, []);
});

Deno.test("a mutilated answer yields a result or none, and never an exception", () => {
  const good = answer(`${A_RECORD} c00c 0005 0001 0000003c 0004 0161 c010`, 2);
  for (let seed = 1; seed <= 5000; seed++) {
    const random = new SeededRandom(seed);
    const bytes = good.slice(0, 1 + random.below(good.length));
    for (let i = random.below(6); i > 0; i--) bytes[random.below(bytes.length)] = random.below(256);
    try {
      const parsed = parseAnswer(bytes, QUERY);
      for (const address of parsed?.addresses ?? []) assertEquals(address.length, 4);
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});
