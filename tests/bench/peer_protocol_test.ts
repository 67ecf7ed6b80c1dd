import { assertEquals } from "@std/assert";
import {
  decodeMessage,
  encodeMessage,
  type Hello,
  helloText,
  MESSAGE_BYTES,
  parseHello,
  parseTaken,
  StreamMeter,
  takenText,
  TRANSFER_MS_MAX,
} from "../../src/bench/peer_protocol.ts";

Deno.test("a message has its length and gives its text back", () => {
  for (const text of ["", "ok", "x".repeat(MESSAGE_BYTES - 1)]) {
    const bytes = encodeMessage(text);
    assertEquals(bytes.length, MESSAGE_BYTES);
    assertEquals(bytes[MESSAGE_BYTES - 1], 0x0a);
    assertEquals(decodeMessage(bytes), text);
  }
  assertEquals(decodeMessage(encodeMessage("y".repeat(100))), "y".repeat(MESSAGE_BYTES - 1));
});

Deno.test("every first message is read as it was written", () => {
  const hellos: Hello[] = [
    { task: "echo", durationMs: 0 },
    { task: "take", durationMs: 1 },
    { task: "give", durationMs: TRANSFER_MS_MAX },
  ];
  for (const hello of hellos) {
    assertEquals(parseHello(decodeMessage(encodeMessage(helloText(hello)))), hello);
  }
});

Deno.test("other first messages, versions and durations are refused", () => {
  for (
    const text of [
      ...["", "GET / HTTP/1.1", "longhaul-bench 1", "longhaul-bench 2 echo"],
      ...["longhaul-bench 1 echo 5", "longhaul-bench 1 take", "longhaul-bench 1 give 0"],
      ...[`longhaul-bench 1 give ${TRANSFER_MS_MAX + 1}`, "longhaul-bench 1 take -5"],
      ...["longhaul-bench 1 take 1e3", " longhaul-bench 1 echo", "longhaul-bench 1 keep 5"],
    ]
  ) assertEquals(parseHello(text), null, text);
});

Deno.test("what was taken is read as it was written", () => {
  assertEquals(parseTaken(takenText({ bytes: 123_456_789_012, ms: 1234.5678 })), {
    bytes: 123_456_789_012,
    ms: 1234.568,
  });
  for (const text of ["", "done", "done 5", "done -1 5", "done 1 x"]) {
    assertEquals(parseTaken(text), null, text);
  }
});

Deno.test("the first tenth of a stream does not count", () => {
  const meter = new StreamMeter(1000);
  meter.note(10, 5000);
  meter.note(20, 5099);
  meter.note(30, 5100);
  assertEquals(meter.counted, { bytes: 0, ms: 0 });
  meter.note(40, 5200);
  meter.note(50, 6000);
  assertEquals(meter.counted, { bytes: 90, ms: 900 });
});

Deno.test("a stream that is too short has no rate", () => {
  const meter = new StreamMeter(1000);
  assertEquals(meter.counted.ms, 0);
  meter.note(1000, 1);
  assertEquals(meter.counted.ms, 0);
});
