import { assert, assertEquals } from "@std/assert";
import { VirtualClock } from "../../src/base/clock.ts";
import { ClockWatch } from "../../src/daemon/clock_watch.ts";
import { RecordingLog } from "./recording_log.ts";

const HOUR_MS = 3_600_000;

function setUp(): { clock: VirtualClock; log: RecordingLog; watch: ClockWatch } {
  const clock = new VirtualClock(), log = new RecordingLog();
  return { clock, log, watch: new ClockWatch(clock, log) };
}

Deno.test("a wall clock that jumps back an hour is told once", () => {
  const { clock, log, watch } = setUp();
  clock.jumpWall(-HOUR_MS);
  for (let i = 0; i < 10; i++) {
    clock.advance(2000);
    watch.look();
  }
  assertEquals(log.lines.length, 1);
  assert(
    log.lines[0].message.startsWith("the wall clock jumped back by 1 hour"),
    log.lines[0].message,
  );
  assertEquals(log.lines[0].fields.seconds, -3600);
});

Deno.test("a wall clock that goes to 2100 and back is told twice", () => {
  const { clock, log, watch } = setUp();
  const far = 75 * 365 * 24 * HOUR_MS;
  for (const jump of [far, -far]) {
    clock.jumpWall(jump);
    clock.advance(2000);
    watch.look();
  }
  assertEquals(log.lines.map(({ fields }) => fields.seconds), [far / 1000, -far / 1000]);
});

Deno.test("ten minutes of suspend and the small steps of NTP are no jump", () => {
  const { clock, log, watch } = setUp();
  clock.advance(600_000);
  watch.look();
  for (let i = 0; i < 5; i++) {
    clock.jumpWall(i % 2 === 0 ? 5000 : -5000);
    watch.look();
  }
  assertEquals(log.lines, []);
});
