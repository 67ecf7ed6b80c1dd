import { assertEquals } from "@std/assert";
import { RateMeter } from "../../src/daemon/rate_meter.ts";
import type { PeerTraffic } from "../../src/wireguard/device.ts";

function peer(rxBytes: number, txBytes: number, keyText = "00"): PeerTraffic {
  return {
    publicKey: new Uint8Array(32),
    keyText,
    rxBytes,
    txBytes,
    endpointVersion: 0,
    hasSession: true,
    lastHandshakeWallNs: 0n,
  };
}

Deno.test("a rate is that between the last two samples", () => {
  const meter = new RateMeter();
  meter.sample([peer(1000, 0)], 1000);
  assertEquals(meter.of("00"), { rxBytesPerSecond: 0, txBytesPerSecond: 0 });
  meter.sample([peer(3000, 500)], 3000);
  assertEquals(meter.of("00"), { rxBytesPerSecond: 1000, txBytesPerSecond: 250 });
  meter.sample([peer(3000, 500)], 5000);
  assertEquals(meter.of("00"), { rxBytesPerSecond: 0, txBytesPerSecond: 0 });
});

Deno.test("a peer that is new, gone or counts from zero again has no rate below zero", () => {
  const meter = new RateMeter();
  meter.sample([peer(5000, 5000)], 1000);
  meter.sample([peer(10, 10), peer(77, 77, "01")], 2000);
  assertEquals(meter.of("00"), { rxBytesPerSecond: 0, txBytesPerSecond: 0 });
  assertEquals(meter.of("01"), { rxBytesPerSecond: 0, txBytesPerSecond: 0 });
  meter.sample([], 3000);
  assertEquals(meter.of("01"), { rxBytesPerSecond: 0, txBytesPerSecond: 0 });
});
