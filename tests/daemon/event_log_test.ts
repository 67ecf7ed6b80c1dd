import { assert, assertEquals } from "@std/assert";
import { PeerNames } from "../../src/control/peer_names.ts";
import { EventLog } from "../../src/daemon/event_log.ts";
import { type DeviceEvent, DeviceEventCode } from "../../src/wireguard/events.ts";
import { RecordingLog } from "./recording_log.ts";

const KEY = new Uint8Array(32).fill(1);

function event(code: DeviceEventCode, atMs: number, more: Partial<DeviceEvent> = {}): DeviceEvent {
  return { code, atMs, peer: 0, publicKey: KEY, from: null, detail: 0, ...more };
}

function setUp(wantsDebug = true): { log: RecordingLog; names: PeerNames; events: EventLog } {
  const log = new RecordingLog(wantsDebug), names = new PeerNames();
  return { log, names, events: new EventLog(log, names) };
}

Deno.test("a peer that connects is told once, its rekeys are not", () => {
  const { log, events } = setUp();
  for (let i = 0; i < 20; i++) events.write(event(DeviceEventCode.SessionEstablished, i * 120_000));
  assertEquals(log.texts().length, 1);
  assert(
    /^info peer\(AQEB\.\.\.[A-Za-z0-9+/]{4}\): connected$/.test(log.texts()[0]),
    log.texts()[0],
  );
});

Deno.test("where nobody reads debug lines, handshakes make none", () => {
  for (const wantsDebug of [true, false]) {
    const { log, events } = setUp(wantsDebug);
    events.write(event(DeviceEventCode.SessionEstablished, 0));
    events.write(event(DeviceEventCode.InitiationAnswered, 120_000));
    events.write(event(DeviceEventCode.SessionEstablished, 120_001));
    const levels = log.lines.map(({ level }) => level);
    assertEquals(levels, wantsDebug ? ["info", "debug", "debug"] : ["info"]);
  }
});

Deno.test("a peer with a friendly name is called by it", () => {
  const { log, names, events } = setUp();
  names.replace([{ publicKey: KEY, friendlyName: "my\x1b phone" }]);
  events.write(event(DeviceEventCode.SessionEstablished, 0));
  assertEquals(log.lines[0].message, "my phone: connected");
  assertEquals(log.lines[0].fields, { event: "session-established", peer: "my phone" });
});

Deno.test("a peer that stays away is told once, counted, and told again when it is back", () => {
  const { log, events } = setUp();
  events.write(event(DeviceEventCode.SessionEstablished, 0));
  for (let i = 1; i <= 30; i++) {
    events.write(event(DeviceEventCode.GaveUp, i * 100_000, { detail: 18 }));
  }
  assertEquals(log.texts("warn").length, 1);
  events.flush(100_000 + 3_600_000);
  assertEquals(log.lines.at(-1)?.fields.repeats, 29);
  events.write(event(DeviceEventCode.SessionEstablished, 3_800_000));
  assert(log.texts().at(-1)!.endsWith(": connected"), log.texts().at(-1));
});

Deno.test("a flood of garbage makes a few lines, and one that counts the rest", () => {
  const { log, events } = setUp();
  for (let i = 0; i < 100_000; i++) {
    events.write(event(DeviceEventCode.MacInvalid, i / 100, { publicKey: null }));
  }
  events.flush(10_000);
  assertEquals(log.lines.length, 6);
  assertEquals(log.lines[5].message, "99995 more like this: mac-invalid");
});

Deno.test("a change of endpoint is told with both addresses, and a peer that flaps is counted", () => {
  const { log, events } = setUp();
  for (let i = 0; i < 50; i++) {
    events.endpointChanged(KEY, "192.0.2.1:1", `192.0.2.2:${i}`, i * 10);
  }
  events.flush(6000);
  assert(log.lines[0].message.endsWith(": is at 192.0.2.2:0 now, not at 192.0.2.1:1"));
  assertEquals([log.lines.length, log.lines[5].fields.repeats], [6, 45]);
});

Deno.test("normal work is told at the level debug only", () => {
  const { log, events } = setUp();
  for (const code of ["initiation-sent", "no-reply", "peer-added", "stopped-hearing"] as const) {
    events.write(event(code, 0));
  }
  assertEquals([log.texts().length, log.texts("debug").length], [0, 4]);
});
