import { assert, assertEquals } from "@std/assert";
import type { LogRecord } from "@logtape/logtape";
import {
  journalDatagram,
  jsonLine,
  messageOf,
  priorityLine,
  textLine,
} from "../../src/daemon/log_format.ts";

const PLAIN = (_style: string, text: string) => text;

function record(text: string, more: Partial<LogRecord> = {}): LogRecord {
  return {
    category: ["longhaul", "wg0"],
    level: "warning",
    message: [text],
    rawMessage: text,
    timestamp: 1_700_000_000_000,
    properties: {},
    ...more,
  };
}

Deno.test("text has level and interface in front, and indents the lines that follow", () => {
  assertEquals(textLine(record("one\ntwo"), PLAIN), "WARNING: (wg0) one\n    two\n");
});

Deno.test("a line with priorities has one on each line", () => {
  assertEquals(
    priorityLine(record("one\ntwo", { level: "error" })),
    "<3>ERROR: (wg0) one\n<3>    two\n",
  );
});

Deno.test("JSON is one line with the record's fields", () => {
  const line = jsonLine(record('a "b"\n', { properties: { peer: "phone", repeats: 3 } }));
  assertEquals(line.split("\n").length, 2);
  assertEquals(JSON.parse(line), {
    time: "2023-11-14T22:13:20.000Z",
    level: "warning",
    interface: "wg0",
    message: 'a "b"\n',
    peer: "phone",
    repeats: 3,
  });
});

Deno.test("a value of several lines goes to the journal behind its length", () => {
  const fields = { "my-peer": "phone" };
  const text = new TextDecoder().decode(journalDatagram(record("a\nb", { properties: fields })));
  assertEquals(
    text,
    "MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=4\nSYSLOG_IDENTIFIER=longhaul\n" +
      "LONGHAUL_INTERFACE=wg0\nLONGHAUL_MY_PEER=phone\n",
  );
});

Deno.test("no form lets a key through, in the message or in a field", () => {
  const base64 = btoa(String.fromCharCode(...new Uint8Array(32).fill(0xfb))), hex = "ab".repeat(32);
  const leaky = record(`found ${base64}, key=${hex}!`, { properties: { peer: base64 } });
  const datagram = new TextDecoder().decode(journalDatagram(leaky));
  for (const text of [textLine(leaky, PLAIN), priorityLine(leaky), jsonLine(leaky), datagram]) {
    assert(!text.includes(base64) && !text.includes(hex), text);
    assert(text.includes("(key hidden)"), text);
  }
});

Deno.test("a message is bounded", () => {
  assertEquals(messageOf(record("x".repeat(100_000))).length, 3800);
});
