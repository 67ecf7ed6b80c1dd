import { assert, assertEquals, assertThrows } from "@std/assert";
import { SockaddrNl } from "../../ffi/netlink.ts";
import { errorWords } from "../../ffi/netlink_error.ts";
import {
  AttributeTable,
  ErrorAttribute,
  NetlinkControl,
  NetlinkFlag,
  NetlinkReader,
  NetlinkWriter,
  NlMsgErr,
  NlMsgHdr,
  RtAttr,
} from "../../ffi/netlink_message.ts";
import { AddressFamily, formatAddress, RouteMessage } from "../../ffi/rtnetlink.ts";
import {
  AddressAttribute,
  AddressFlag,
  IfAddrMsg,
  readAddress,
} from "../../ffi/rtnetlink_address.ts";
import { EventGroup } from "../../ffi/rtnetlink_events.ts";
import {
  IfInfoMsg,
  InterfaceFlag,
  LinkAttribute,
  LinkInfoAttribute,
  readLink,
  RTEXT_FILTER_SKIP_STATS,
} from "../../ffi/rtnetlink_link.ts";
import {
  readRoute,
  RouteAttribute,
  RouteFlag,
  RouteMetric,
  RouteProtocol,
  RouteScope,
  RouteTable,
  RouteType,
  RtMsg,
  RtNextHop,
} from "../../ffi/rtnetlink_route_message.ts";
import {
  FIB_RULE_INVERT,
  FibRuleHdr,
  readRule,
  RuleAction,
  RuleAttribute,
} from "../../ffi/rtnetlink_rule.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { run } from "../netns/command.ts";
import { requires } from "../requires.ts";
import { v4, v6 } from "./netns_fixture.ts";

function readerOver(bytes: Uint8Array): NetlinkReader {
  const copy = new Uint8Array(bytes);
  const reader = new NetlinkReader(copy);
  reader.reset(copy.length);
  return reader;
}

Deno.test("a message that is written is read back, padding and nests included", () => {
  const writer = new NetlinkWriter(16);
  writer.begin(24, 5, 77);
  const at = writer.reserve(5);
  writer.setU8(at + 4, 9);
  writer.attribute(1, Uint8Array.of(1, 2, 3));
  writer.attributeString(2, "wg0");
  const nest = writer.openNest(3);
  writer.attributeU32(2, 0xfedcba98);
  writer.closeNest(nest);
  writer.end();
  writer.begin(25, 1, 78);
  writer.end();

  const reader = readerOver(writer.written);
  assert(reader.next());
  assertEquals([reader.type, reader.flags, reader.sequence], [24, 5, 77]);
  assertEquals(reader.endAt - reader.bodyAt, 8 + 8 + 8 + 12);
  const table = new AttributeTable(3);
  table.parse(reader, 5);
  assertEquals(table.copy(1), Uint8Array.of(1, 2, 3));
  assertEquals(table.text(2, ""), "wg0");
  assert(!table.has(0));
  const inner = new AttributeTable(2);
  inner.parseNest(table, 3);
  assertEquals(inner.u32(2, 0), 0xfedcba98);
  assert(reader.next());
  assertEquals([reader.type, reader.flags, reader.sequence], [25, 1, 78]);
  assert(!reader.next());
});

Deno.test("a writer used again has no byte of the message before", () => {
  const writer = new NetlinkWriter();
  writer.begin(1, 1, 1);
  writer.attribute(1, new Uint8Array(33).fill(255));
  writer.end();
  writer.reset();
  writer.begin(1, 1, 1);
  writer.attribute(1, Uint8Array.of(1));
  writer.reserve(8);
  writer.end();
  assertEquals(writer.written.subarray(20), Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
});

Deno.test("a message inside another is a bug", () => {
  const writer = new NetlinkWriter();
  writer.begin(1, 1, 1);
  assertThrows(() => writer.begin(1, 1, 2));
});

Deno.test("a message that claims more bytes than came, or fewer than its header, ends the walk", () => {
  for (const length of [0, 15, 21, 0xffffffff]) {
    const bytes = new Uint8Array(20);
    new DataView(bytes.buffer).setUint32(0, length, true);
    assert(!readerOver(bytes).next(), `length ${length}`);
  }
});

Deno.test("an attribute that claims more bytes than its message, or fewer than its header, ends the walk", () => {
  for (const length of [0, 3, 9, 0xffff]) {
    const writer = new NetlinkWriter();
    writer.begin(1, 1, 1);
    writer.attributeU32(1, 7);
    writer.attributeU32(2, 7);
    writer.end();
    const bytes = writer.written;
    new DataView(bytes.buffer).setUint16(24, length, true);
    const reader = readerOver(bytes);
    assert(reader.next());
    const table = new AttributeTable(2);
    table.parse(reader, 0);
    assertEquals([table.u32(1, 0), table.has(2)], [7, false], `length ${length}`);
  }
});

Deno.test("a value that is absent or too short reads as the fallback", () => {
  const writer = new NetlinkWriter();
  writer.begin(1, 1, 1);
  writer.attribute(1, Uint8Array.of(1, 2, 3));
  writer.end();
  const reader = readerOver(writer.written);
  reader.next();
  const table = new AttributeTable(2);
  table.parse(reader, 0);
  assertEquals([table.u32(1, 42), table.u32(2, 43)], [42, 43]);
  assertEquals([table.text(2, "none"), table.copy(2)], ["none", undefined]);
});

Deno.test("no bytes whatever make a reader throw or walk without end", () => {
  const seed = 0x6e6c;
  const random = new SeededRandom(seed);
  for (let round = 0; round < 20_000; round++) {
    const bytes = random.fill(new Uint8Array(16 + random.below(120)));
    const view = new DataView(bytes.buffer);
    // Make the outer length and most attribute lengths plausible, so that the walk goes deep.
    view.setUint32(0, random.below(4) === 0 ? random.nextUint32() : bytes.length, true);
    view.setUint16(4, 1 + random.below(3), true);
    view.setUint16(6, 0x200, true);
    for (let at = 16; at + 4 <= bytes.length; at += 4 * (1 + random.below(4))) {
      view.setUint16(at, random.below(24), true);
      view.setUint16(at + 2, random.below(64), true);
    }
    try {
      for (const read of [readLink, readAddress, readRoute, readRule, errorWords]) {
        const reader = readerOver(bytes);
        for (let messages = 0; reader.next(); messages++) {
          assert(messages < 16);
          read(reader);
        }
      }
    } catch (error) {
      throw new Error(`seed ${seed}, round ${round}: ${bytes}`, { cause: error });
    }
  }
});

Deno.test("addresses are formatted as RFC 5952 says", () => {
  const cases: [Uint8Array, string][] = [
    [v4("10.0.0.1"), "10.0.0.1"],
    [v6("::"), "::"],
    [v6("::1"), "::1"],
    [v6("fe80::"), "fe80::"],
    [v6("2001:db8::1:0:0:1"), "2001:db8::1:0:0:1"],
    [v6("2001:db8:0:1:1:1:1:1"), "2001:db8:0:1:1:1:1:1"],
    [v6("2001:0:0:1:0:0:0:1"), "2001:0:0:1::1"],
  ];
  for (const [bytes, text] of cases) assertEquals(formatAddress(bytes), text);
});

const layouts: Record<string, Record<string, number>> = {
  nlmsghdr: NlMsgHdr,
  nlmsgerr: NlMsgErr,
  rtattr: RtAttr,
  sockaddr_nl: SockaddrNl,
  ifinfomsg: IfInfoMsg,
  ifaddrmsg: IfAddrMsg,
  rtmsg: RtMsg,
  rtnexthop: RtNextHop,
  fib_rule_hdr: FibRuleHdr,
};

const constants: Record<string, number> = {
  ...NetlinkControl,
  ...NetlinkFlag,
  ...ErrorAttribute,
  ...RouteMessage,
  ...AddressFamily,
  ...LinkAttribute,
  ...LinkInfoAttribute,
  ...InterfaceFlag,
  RTEXT_FILTER_SKIP_STATS,
  ...AddressAttribute,
  ...AddressFlag,
  ...RouteAttribute,
  ...RouteMetric,
  ...RouteTable,
  ...RouteType,
  ...RouteScope,
  ...RouteProtocol,
  ...RouteFlag,
  ...RuleAttribute,
  ...RuleAction,
  FIB_RULE_INVERT,
  ...EventGroup,
};

Deno.test({
  name: "every structure and constant is what the C headers say",
  ...requires("gcc"),
  async fn() {
    const lines: string[] = [];
    const expected: string[] = [];
    for (const [struct, fields] of Object.entries(layouts)) {
      for (const [field, value] of Object.entries(fields)) {
        const what = field === "size"
          ? `sizeof(struct ${struct})`
          : `offsetof(struct ${struct}, ${field})`;
        lines.push(`printf("${what} %lld\\n", (long long) ${what});`);
        expected.push(`${what} ${value}`);
      }
    }
    for (const [name, value] of Object.entries(constants)) {
      lines.push(`printf("${name} %lld\\n", (long long) (${name}));`);
      expected.push(`${name} ${value}`);
    }
    const source = `
      #include <stdio.h>
      #include <stddef.h>
      #include <sys/socket.h>
      #include <linux/if.h>
      #include <linux/netlink.h>
      #include <linux/rtnetlink.h>
      #include <linux/fib_rules.h>
      int main(void) { ${lines.join("\n")} return 0; }`;
    const folder = await Deno.makeTempDir();
    try {
      await run(["gcc", "-x", "c", "-o", `${folder}/layout`, "-"], { stdin: source });
      const { stdout } = await run([`${folder}/layout`]);
      assertEquals(stdout.trim().split("\n"), expected);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
