import { assert, assertEquals } from "@std/assert";
import { ReceiveRtt } from "../../../src/netstack/tcp/receive_rtt.ts";
import { ReceiveTuner } from "../../../src/netstack/tcp/receive_tuner.ts";
import { TcpSegment } from "../../../src/netstack/tcp/segment.ts";
import type { SegmentWriter } from "../../../src/netstack/tcp/segment_writer.ts";

const KIB = 1024;
const MIB = 1 << 20;

/** A sender that always fills the window, over a path of `rttMs` and `bytesPerMs` at most. */
function steady(tuner: ReceiveTuner, rttMs: number, bytesPerMs: number, forMs: number): void {
  const stepMs = Math.min(rttMs, 1);
  for (let nowMs = 0; nowMs < forMs; nowMs += stepMs) {
    const bytes = Math.min(tuner.targetBytes * stepMs / rttMs, bytesPerMs * stepMs);
    tuner.onConsumed(Math.floor(bytes), nowMs, rttMs);
  }
}

Deno.test("the window reaches what a long path needs, within few round trips", () => {
  const tuner = new ReceiveTuner(512 * KIB, 8 * MIB);
  steady(tuner, 100, 25_000, 700);
  assert(tuner.targetBytes >= 2 * 25_000 * 100, `${tuner.targetBytes}`);
});

Deno.test("on a short path the window stays small at any speed", () => {
  for (const bytesPerMs of [125_000, 900_000]) {
    const tuner = new ReceiveTuner(512 * KIB, 8 * MIB);
    steady(tuner, 0.3, bytesPerMs, 1000);
    assert(tuner.targetBytes <= 1.5 * MIB, `${bytesPerMs}: ${tuner.targetBytes}`);
  }
});

Deno.test("a burst is no bandwidth, the window has its bounds, and never shrinks", () => {
  const tuner = new ReceiveTuner(512 * KIB, MIB);
  for (let nowMs = 0; nowMs < 1000; nowMs += 100) tuner.onConsumed(500_000, nowMs, 1);
  assertEquals(tuner.targetBytes, 512 * KIB);
  steady(tuner, 100, 1e6, 2000);
  assertEquals(tuner.targetBytes, MIB);
  tuner.onConsumed(1, 1e6, 100);
  assertEquals(tuner.targetBytes, MIB);
});

Deno.test("while the round trip is unknown nothing grows", () => {
  const tuner = new ReceiveTuner(512 * KIB, 8 * MIB);
  for (let nowMs = 0; nowMs < 1000; nowMs++) tuner.onConsumed(1e6, nowMs, -1);
  assertEquals(tuner.targetBytes, 512 * KIB);
});

/** Samples of round trips, one each ms. */
function estimate(samplesMs: readonly number[], minRttMs: number): number {
  const rtt = new ReceiveRtt();
  const segment = new TcpSegment();
  segment.hasTimestamps = true;
  const writer = { hasTimestamps: true, stamp: (nowMs: number) => Math.floor(nowMs) };
  samplesMs.forEach((sampleMs, i) => {
    const nowMs = 10_000 + i;
    segment.tsEcr = nowMs - sampleMs;
    rtt.onData(segment, writer as SegmentWriter, nowMs);
  });
  return rtt.valueMs(minRttMs);
}

Deno.test("a round trip that grows under load counts within bounds", () => {
  const loaded = [0, ...new Array<number>(200).fill(15)];
  assertEquals(estimate(loaded, 0.3), 0.6);
  assertEquals(estimate([20, ...new Array<number>(200).fill(60)], 20) > 55, true);
  assertEquals(estimate([20, ...new Array<number>(200).fill(500)], 20), 80);
});

Deno.test("without timestamps the round trip is what sending has measured", () => {
  assertEquals(estimate([], 7), 7);
  assertEquals(estimate([], -1), -1);
  assertEquals(estimate([40, 40], -1), 40);
});
