import { assertAlmostEquals, assertEquals } from "@std/assert";
import { RttEstimator } from "../../../src/netstack/tcp/rtt_estimator.ts";

Deno.test("the RTO is 1 s until there is a sample", () => {
  const rtt = new RttEstimator();
  assertEquals([rtt.rtoMs, rtt.srttMs, rtt.minRttMs, rtt.hasSample], [1000, -1, -1, false]);
});

Deno.test("the first sample R gives SRTT = R and RTTVAR = R / 2", () => {
  const rtt = new RttEstimator();
  rtt.onSample(800, 0);
  assertEquals([rtt.srttMs, rtt.rttvarMs, rtt.rtoMs], [800, 400, 800 + 1600]);
});

Deno.test("later samples follow RFC 6298 (2.3)", () => {
  const rtt = new RttEstimator();
  rtt.onSample(800, 0);
  rtt.onSample(400, 1);
  assertEquals(rtt.rttvarMs, 0.75 * 400 + 0.25 * 400);
  assertEquals(rtt.srttMs, 0.875 * 800 + 0.125 * 400);
});

Deno.test("a steady RTT keeps a distance of 200 ms, so that a delayed ACK is no timeout", () => {
  const rtt = new RttEstimator();
  for (let i = 0; i < 200; i++) rtt.onSample(190, i);
  assertAlmostEquals(rtt.rtoMs, 390, 1);
});

Deno.test("the RTO doubles up to its bound and comes back with the next sample", () => {
  const rtt = new RttEstimator({ maxRtoMs: 5000 });
  rtt.onSample(100, 0);
  const base = rtt.rtoMs;
  rtt.onTimeout();
  assertEquals(rtt.rtoMs, 2 * base);
  for (let i = 0; i < 50; i++) rtt.onTimeout();
  assertEquals(rtt.rtoMs, 5000);
  rtt.onSample(100, 1);
  assertEquals(rtt.rtoMs, base);
});

Deno.test("after a timeout of the SYN the RTO begins with 3 s unless there was a sample", () => {
  const rtt = new RttEstimator();
  rtt.onTimeout();
  rtt.onSynTimedOut();
  assertEquals(rtt.rtoMs, 3000);
  rtt.onSample(10, 0);
  rtt.onSynTimedOut();
  assertEquals(rtt.rtoMs, 210);
});

Deno.test("many samples in an RTT have the weight of one", () => {
  const few = new RttEstimator(), many = new RttEstimator();
  few.onSample(100, 0);
  many.onSample(100, 0);
  few.onSample(200, 1);
  for (let i = 0; i < 10; i++) many.onSample(200, 1, 10);
  assertAlmostEquals(many.srttMs, few.srttMs, 1);
});

Deno.test("samples that cannot be are ignored", () => {
  const rtt = new RttEstimator();
  rtt.onSample(-5, 0);
  rtt.onSample(NaN, 0);
  assertEquals(rtt.hasSample, false);
});

Deno.test("the least RTT is remembered for its window", () => {
  const rtt = new RttEstimator({ minRttWindowMs: 1000 });
  rtt.onSample(30, 0);
  for (let nowMs = 10; nowMs < 2000; nowMs += 10) {
    rtt.onSample(50, nowMs);
    if (nowMs < 1000) assertEquals(rtt.minRttMs, 30);
  }
  assertEquals(rtt.minRttMs, 50);
});
