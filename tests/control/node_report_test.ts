import { assertEquals } from "@std/assert";
import { batchSizes, parseReport, reportFields } from "../../src/control/node_report.ts";
import { REPORT } from "./sample_report.ts";
import { formatField, parseField } from "../../src/control/request.ts";

Deno.test("a report survives the way over the socket", () => {
  const lines = Array.from(reportFields(REPORT), formatField);
  assertEquals(parseReport(lines.map((line) => parseField(line)!)), REPORT);
});

Deno.test("fields of a later version are skipped, and those that are missing are empty", () => {
  const report = parseReport([["colour", "blue"], ["offload", "udp-gso maybe"], ["mtu", "x"]]);
  assertEquals([report.mtu, report.offloads.size, report.cipher, report.peers], [0, 0, "", []]);
});

Deno.test("batch sizes are means over all calls, or over those since an earlier report", () => {
  assertEquals(batchSizes(REPORT), { tunRead: 42.5, tunWrite: 0, udpSend: 40, udpReceive: 0 });
  const earlier = { ...REPORT, counters: new Map([["TunReads", 9], ["TunReadPackets", 424]]) };
  assertEquals(batchSizes(REPORT, earlier).tunRead, 1);
});
