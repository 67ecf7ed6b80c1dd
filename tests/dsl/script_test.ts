/** The packet language itself: a script that is wrong fails, and says where. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { active, passive } from "../netstack/tcp/scenes.ts";
import { runScript } from "./script.ts";
import { flagBits, flagText, formatOptions, parseOptions, parseSegment } from "./segment_text.ts";

Deno.test("a segment is read with all its parts", () => {
  const text = "FP. 1:11(10) ack 5 win >=3 urg 7 gso 4 <mss 9,TS val 1 ecr 2,sack 3:4 5:6>";
  const segment = parseSegment(text);
  assertEquals([segment.flags, segment.seq, segment.payloadBytes, segment.ack], ["FP.", 1, 10, 5]);
  assertEquals([segment.urgent, segment.runBytes], [7, 4]);
  assertEquals(segment.window, { test: ">", value: 3 });
  assertEquals(formatOptions(segment.options!), "mss 9,TS val 1 ecr 2,sack 3:4 5:6");
});

Deno.test("a text that is no segment is refused", () => {
  for (const text of ["", "1:2(1)", "X 1:2(1)", ". 1:2(5)", ". 1:2(1) foo 3", ". 1:2(1) <foo 3>"]) {
    assertThrows(() => parseSegment(text), Error);
  }
});

Deno.test("flags and options are the same after writing and reading", () => {
  for (let bits = 0; bits < 256; bits++) assertEquals(flagBits(flagText(bits)), bits);
  const text = "mss 1460,sackOK,TS val -5 ecr 7,wscale 14,sack -1:2,raw fe 2";
  assertEquals(formatOptions(parseOptions(text)), text);
});

/** Scripts with one mistake each, and what the message must contain. */
const WRONG: readonly (readonly [string, string, string])[] = [
  ["a segment that nobody expected", `${passive()}\nwrite 5\nwrite 5`, "unexpected segment"],
  ["an expected segment that does not come", `${passive()}\n> . 1:1(0) ack 1`, "nothing was sent"],
  ["a wrong flag", `${passive()}\nwrite 5\n> . 1:6(5) ack 1`, "flags is P."],
  ["a wrong sequence number", `${passive()}\nwrite 5\n> P. 2:7(5) ack 1`, "seq is 1"],
  ["a wrong acknowledgment", `${passive()}\nwrite 5\n> P. 1:6(5) ack 2`, "ack is 1"],
  ["a wrong length", `${passive()}\nwrite 5\n> P. 1:7(6) ack 1`, "length is 5"],
  ["a wrong window", `${passive()}\nwrite 5\n> P. 1:6(5) ack 1 win 7`, "window is"],
  ["a missing option", `${passive()}\nwrite 5\n> P. 1:6(5) ack 1 <sack 1:2>`, "is missing"],
  ["an option too many", "connect\n> S 0:0(0) <mss 1460>", "is not expected"],
  ["a segment that comes too early", "connect\n> S 0:0(0)\n+2 > S 0:0(0)", "too early"],
  ["a segment that comes too late", "connect\n> S 0:0(0)\n+.5 > S 0:0(0)", "in that time"],
  ["an event that is not named", `${passive()}\n< R 1:1(0)`, "events of flow 1"],
  ["another event", `${passive()}\n< R 1:1(0)\n= end Closed`, "Values are not equal"],
  ["more to read than there is", `${passive()}\nread 5`, "bytes that could be read"],
  ["an unknown verb", `${passive()}\nfrobnicate`, "unknown verb"],
];

for (const [name, script, message] of WRONG) {
  Deno.test(`a script fails by ${name}`, () => {
    const error = assertThrows(() => runScript(script), Error);
    assert(error.message.includes(message), error.message);
  });
}

Deno.test("the first sequence number of the layer is ten below the wrap, or as asked for", () => {
  assertEquals(runScript(active()).basesOf(1).iss, -10);
  assertEquals(runScript(passive()).basesOf(1).iss, -10);
  assertEquals(runScript(passive(), { belowWrap: 5000 }).basesOf(1).iss, -5000);
});
