import { assert, assertEquals } from "@std/assert";
import {
  FLOW_STATISTICS_BYTES,
  FlowRecorder,
  FlowStatistics,
} from "../../src/lane/flow_statistics.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { describeSuperPacket, SuperPacket } from "../../src/offload/super_packet.ts";
import { EpochTable } from "../../src/tables/epoch.ts";
import { buildPacket } from "../offload/packet_builder.ts";

const AT = 4096;

/** A lane that is always in the middle of a turn, until `turn` is called. */
function setUp() {
  const slab = createSlab(AT + FLOW_STATISTICS_BYTES + 4096);
  const epochs = new EpochTable(slab, AT + FLOW_STATISTICS_BYTES, 1);
  const turn = () => epochs.announce(0, epochs.current());
  turn();
  const lane = new FlowRecorder(slab, AT);
  const note = (sourcePort: number, packets = 1) => {
    const packet = buildPacket({ sourcePort });
    slab.u8.set(packet, 64);
    const sp = new SuperPacket();
    assertEquals(describeSuperPacket(slab, 64, packet.length, sp), 0);
    lane.note(sp, true, packets, packets * packet.length);
  };
  return { lane, main: new FlowStatistics(slab, AT, epochs), turn, note };
}

const packetsOf = (counts: readonly { localPort: number; packetsOut: number }[] | null) =>
  counts?.map(({ localPort, packetsOut }) => [localPort, packetsOut]) ?? null;

Deno.test("counts can be taken only when the lane has done its turn, and none is lost meanwhile", () => {
  const { main, turn, note } = setUp();
  main.start();
  note(1, 5);
  assertEquals(main.extract(), null);
  note(2, 7);
  assertEquals(main.extract(), null, "asking again changes nothing");
  turn();
  assertEquals(packetsOf(main.extract()), [[1, 5]]);
  turn();
  assertEquals(main.extract(), null);
  turn();
  assertEquals(packetsOf(main.extract()), [[2, 7]]);
});

Deno.test("stopping while an extraction waits loses nothing", () => {
  const { lane, main, turn, note } = setUp();
  main.start();
  note(1);
  assertEquals(main.extract(), null);
  note(2);
  main.stop();
  assert(!lane.isOn);
  note(3);
  turn();
  assertEquals(packetsOf(main.extract()), [[1, 1], [2, 1]]);
  assertEquals(main.extract(), []);
});

Deno.test("starting again before the old counts were taken keeps both apart from each other", () => {
  const { lane, main, turn, note } = setUp();
  main.start();
  note(1);
  main.stop();
  main.start();
  note(1, 10);
  turn();
  assertEquals(packetsOf(main.extract()), [[1, 1]]);
  turn();
  assertEquals(main.extract(), null);
  turn();
  assertEquals(packetsOf(main.extract()), [[1, 10]]);
  main.stop();
  main.start();
  main.stop();
  main.start();
  assert(!lane.isOn, "no table is empty");
  turn();
  assertEquals(main.extract(), []);
  assert(lane.isOn, "it begins as soon as one is");
});

Deno.test("starting twice does nothing, and extracting what is off gives nothing", () => {
  const { main, turn, note } = setUp();
  assertEquals(main.extract(), []);
  main.start();
  note(9);
  main.start();
  assertEquals(main.extract(), null);
  turn();
  assertEquals(packetsOf(main.extract()), [[9, 1]]);
});
