import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  type CongestionControl,
  initialWindowBytes,
  SSTHRESH_UNLIMITED,
} from "../../../src/netstack/tcp/congestion.ts";
import { Cubic } from "../../../src/netstack/tcp/cubic.ts";
import { HyStart } from "../../../src/netstack/tcp/hystart.ts";
import { NewReno } from "../../../src/netstack/tcp/new_reno.ts";
import { ProportionalRateReduction } from "../../../src/netstack/tcp/prr.ts";

const MSS = 1000;
const algorithms = { cubic: () => new Cubic(), newReno: () => new NewReno() };

function started(control: CongestionControl, segments = 10): CongestionControl {
  control.setMss(MSS);
  control.setInitialWindow(segments * MSS);
  return control;
}

/** A control that has had a loss at a window of so many segments and is past recovery. */
function afterLossAt(control: CongestionControl, segments: number, nowMs = 0): CongestionControl {
  started(control, segments);
  control.onLoss(segments * MSS, nowMs);
  control.onRecovered(nowMs);
  return control;
}

/** Whole windows are delivered every `rttMs`, an ACK for each two segments, until `untilMs`. */
function run(control: CongestionControl, fromMs: number, untilMs: number, rttMs: number): void {
  for (let nowMs = fromMs; nowMs < untilMs; nowMs += rttMs) {
    const windowBytes = control.cwndBytes;
    for (let left = windowBytes; left > 0; left -= 2 * MSS) {
      control.onAck(Math.min(left, 2 * MSS), rttMs, windowBytes, nowMs, true);
    }
  }
}

Deno.test("the initial window is ten segments, and one when the SYN was lost (RFC 6928)", () => {
  assertEquals(initialWindowBytes(1460), 14_600);
  assertEquals(initialWindowBytes(536), 5360);
  assertEquals(initialWindowBytes(8960), 17_920);
  assertEquals(initialWindowBytes(1460, true), 1460);
});

for (const [name, make] of Object.entries(algorithms)) {
  Deno.test(`${name}: slow start doubles the window in a round, loss ends it`, () => {
    const control = started(make());
    assertEquals([control.isInSlowStart, control.ssthreshBytes], [true, SSTHRESH_UNLIMITED]);
    run(control, 0, 300, 100);
    assertEquals(control.cwndBytes, 80 * MSS);
    control.onLoss(80 * MSS, 300);
    assertEquals(control.cwndBytes, control.ssthreshBytes);
    assertEquals(control.isInSlowStart, false);
  });

  Deno.test(`${name}: an ACK in a thousand pieces brings no more than a whole one`, () => {
    for (const segments of [10, 20]) {
      const whole = segments === 10 ? started(make()) : afterLossAt(make(), segments);
      const divided = segments === 10 ? started(make()) : afterLossAt(make(), segments);
      whole.onAck(10 * MSS, 100, 0, 1000, true);
      for (let i = 0; i < 1000; i++) divided.onAck(10, 100, 0, 1000, true);
      assert(divided.cwndBytes <= whole.cwndBytes + 1, `${divided.cwndBytes} ${whole.cwndBytes}`);
    }
  });

  Deno.test(`${name}: ACKs that deliver nothing bring no growth`, () => {
    const control = started(make());
    for (let i = 0; i < 1000; i++) control.onAck(0, -1, 0, i, true);
    assertEquals(control.cwndBytes, 10 * MSS);
  });

  Deno.test(`${name}: a sender that does not fill the window gets no larger one`, () => {
    const control = started(make());
    for (let i = 0; i < 1000; i++) control.onAck(MSS, 100, 0, i * 100, false);
    assertEquals(control.cwndBytes, 10 * MSS);
    const later = afterLossAt(make(), 100);
    const before = later.cwndBytes;
    for (let i = 0; i < 1000; i++) later.onAck(MSS, 100, 0, i * 100, false);
    assertEquals(later.cwndBytes, before);
  });

  Deno.test(`${name}: a timeout leaves one segment, a repeated one keeps ssthresh`, () => {
    const control = started(make(), 100);
    control.onTimeout(100 * MSS, 0, false);
    const { ssthreshBytes } = control;
    assertEquals(control.cwndBytes, MSS);
    assert(ssthreshBytes >= 50 * MSS && ssthreshBytes <= 70 * MSS);
    control.onTimeout(MSS, 1000, true);
    assertEquals([control.cwndBytes, control.ssthreshBytes], [MSS, ssthreshBytes]);
    run(control, 1000, 1300, 100);
    assertEquals(control.cwndBytes, 8 * MSS);
  });

  Deno.test(`${name}: ssthresh is never below two segments`, () => {
    const control = started(make(), 1);
    control.onLoss(MSS, 0);
    assertEquals([control.cwndBytes, control.ssthreshBytes], [2 * MSS, 2 * MSS]);
    control.onTimeout(MSS, 0, false);
    assertEquals([control.cwndBytes, control.ssthreshBytes], [MSS, 2 * MSS]);
  });

  Deno.test(`${name}: a loss that was none is taken back, also when a timeout followed it`, () => {
    const control = started(make(), 100);
    control.onLoss(100 * MSS, 0);
    control.onTimeout(50 * MSS, 500, false);
    control.undo(600);
    assertEquals([control.cwndBytes, control.ssthreshBytes], [100 * MSS, SSTHRESH_UNLIMITED]);
  });

  Deno.test(`${name}: only the latest recovery is taken back, and only once`, () => {
    const control = started(make(), 100);
    control.onLoss(100 * MSS, 0);
    control.onRecovered(100);
    const between = control.cwndBytes;
    control.onLoss(between, 200);
    control.onRecovered(300);
    control.undo(400);
    assertEquals(control.cwndBytes, between);
    control.undo(500);
    assertEquals(control.cwndBytes, between);
  });

  Deno.test(`${name}: silence halves the window for each RTO, down to the first one`, () => {
    const control = started(make());
    run(control, 0, 400, 100);
    assertEquals(control.cwndBytes, 160 * MSS);
    control.onIdle(299, 300, 1000);
    assertEquals(control.cwndBytes, 160 * MSS);
    control.onIdle(600, 300, 1000);
    assertEquals(control.cwndBytes, 40 * MSS);
    control.onIdle(1e9, 300, 2e9);
    assertEquals(control.cwndBytes, 10 * MSS);
  });

  Deno.test(`${name}: a window below the first one is not made larger by silence`, () => {
    const control = started(make(), 10);
    control.onTimeout(10 * MSS, 0, false);
    control.onIdle(1e6, 300, 2e6);
    assertEquals(control.cwndBytes, MSS);
  });
}

Deno.test("NewReno grows by one segment per round after a loss, which halves the window", () => {
  const control = afterLossAt(new NewReno(), 100);
  assertEquals(control.cwndBytes, 50 * MSS);
  run(control, 0, 1000, 100);
  assertAlmostEquals(control.cwndBytes, 60 * MSS, MSS / 2);
});

Deno.test("CUBIC is back at the window of the loss after K, flat there, then faster", () => {
  const control = afterLossAt(new Cubic(), 1000);
  assertEquals(control.cwndBytes, 700 * MSS);
  const kMs = Math.cbrt(1000 * 0.3 / 0.4) * 1000;
  const sizes: number[] = [];
  for (let part = 0; part < 10; part++) {
    run(control, part * kMs / 5, (part + 1) * kMs / 5, 50);
    sizes.push(control.cwndBytes / MSS);
  }
  assertAlmostEquals(sizes[4], 1000, 5);
  const growth = sizes.map((size, i) => size - (sizes[i - 1] ?? 700));
  assert(growth[0] > 5 * growth[3] && growth[9] > 5 * growth[5], `${growth}`);
});

Deno.test("CUBIC follows its curve, whatever the way in which it is acknowledged", () => {
  for (const rttMs of [20, 100, 200]) {
    const control = afterLossAt(new Cubic(), 1000);
    run(control, 0, 6000, rttMs);
    const k = Math.cbrt(1000 * 0.3 / 0.4);
    const expected = 0.4 * (6 - k) ** 3 + 1000;
    assertAlmostEquals(control.cwndBytes / MSS, expected, 12, `RTT ${rttMs}`);
  }
});

Deno.test("CUBIC is as fast as Reno would be where round trips are short", () => {
  const control = afterLossAt(new Cubic(), 20);
  run(control, 0, 100, 1);
  // 100 rounds with 0.53 segments each, and one each above the old window.
  assert(control.cwndBytes > 80 * MSS, `${control.cwndBytes}`);
  assert(control.cwndBytes < 120 * MSS, `${control.cwndBytes}`);
});

Deno.test("CUBIC gives way: a loss below the last one lowers what it grows toward", () => {
  const fast = afterLossAt(new Cubic(), 1000);
  fast.onLoss(700 * MSS, 100);
  fast.onRecovered(100);
  assertAlmostEquals(fast.cwndBytes, 490 * MSS, 1);
  // K for the way from 490 to 700 * 0.85 = 595 segments.
  run(fast, 200, 200 + Math.cbrt(105 / 0.4) * 1000, 50);
  assertAlmostEquals(fast.cwndBytes / MSS, 595, 5);
});

Deno.test("CUBIC does not count time in which the application sent less", () => {
  const busy = afterLossAt(new Cubic(), 1000);
  const paused = afterLossAt(new Cubic(), 1000);
  run(busy, 0, 3000, 50);
  run(paused, 0, 1500, 50);
  for (let nowMs = 1500; nowMs < 61_500; nowMs += 50) paused.onAck(MSS, 50, 0, nowMs, false);
  run(paused, 61_500, 63_000, 50);
  assertAlmostEquals(paused.cwndBytes / MSS, busy.cwndBytes / MSS, 6);
});

Deno.test("CUBIC never grows by more than half a window in a round", () => {
  const control = afterLossAt(new Cubic(), 10);
  let before = control.cwndBytes;
  for (let nowMs = 0; nowMs < 60_000; nowMs += 2000) {
    run(control, nowMs, nowMs + 2000, 2000);
    assert(control.cwndBytes <= 1.66 * before, `${before} ${control.cwndBytes}`);
    before = control.cwndBytes;
  }
});

Deno.test("CUBIC takes its curve back when a loss was none", () => {
  const straight = afterLossAt(new Cubic(), 1000);
  const mistaken = afterLossAt(new Cubic(), 1000);
  run(straight, 0, 4000, 50);
  run(mistaken, 0, 2000, 50);
  mistaken.onLoss(mistaken.cwndBytes, 2000);
  mistaken.undo(2050);
  run(mistaken, 2050, 4050, 50);
  assertAlmostEquals(mistaken.cwndBytes / MSS, straight.cwndBytes / MSS, 6);
});

/** One round in HyStart: so many samples, all of one RTT. Returns the growth. */
function round(hystart: HyStart, rttMs: number, samples = 10): number {
  let grown = 0;
  for (let i = 0; i < samples; i++) grown += hystart.onAck(MSS, rttMs, samples * MSS);
  return grown;
}

Deno.test("HyStart++ lets slow start be while round trips stay", () => {
  const hystart = new HyStart();
  for (let i = 0; i < 30; i++) assertEquals(round(hystart, 100 + i % 4), 10 * MSS);
  assertEquals([hystart.isConservative, hystart.isOver], [false, false]);
});

Deno.test("HyStart++ slows down when a round is longer, and ends slow start five rounds later", () => {
  const hystart = new HyStart();
  round(hystart, 100);
  round(hystart, 100);
  round(hystart, 113);
  assert(hystart.isConservative);
  for (let i = 0; i < 4; i++) {
    assertEquals(hystart.isOver, false);
    assertEquals(round(hystart, 120), 2.5 * MSS);
  }
  round(hystart, 120);
  assertEquals(hystart.isOver, true);
});

Deno.test("HyStart++ comes back to slow start when the delay was noise", () => {
  const hystart = new HyStart();
  for (const rttMs of [100, 100, 115, 100]) round(hystart, rttMs);
  assertEquals(hystart.isConservative, false);
  assertEquals(round(hystart, 100), 10 * MSS);
});

Deno.test("HyStart++ does not judge by less than eight samples of a round", () => {
  const hystart = new HyStart();
  for (const rttMs of [100, 100, 300, 300]) round(hystart, rttMs, 7);
  assertEquals(hystart.isConservative, false);
});

Deno.test("PRR brings the window down evenly when losses are few", () => {
  const prr = new ProportionalRateReduction();
  const [flight, ssthresh] = [100 * MSS, 70 * MSS];
  let inFlight = flight - MSS, sent = 0;
  prr.begin(flight);
  for (let i = 0; i < 99; i++) {
    inFlight -= MSS;
    const cwnd = prr.cwndAfterAck(MSS, inFlight, ssthresh, MSS, true);
    while (inFlight + MSS <= cwnd) {
      inFlight += MSS;
      sent++;
      prr.onSent(MSS);
    }
    assert(inFlight >= ssthresh - MSS, `after ${i}: ${inFlight}`);
  }
  assertAlmostEquals(sent, 70, 2);
  assertAlmostEquals(inFlight, ssthresh, 2 * MSS);
});

Deno.test("PRR sends one segment at once, and no bursts when a window was lost", () => {
  const prr = new ProportionalRateReduction();
  prr.begin(100 * MSS);
  // Of a hundred, ninety are lost; ten ACKs come.
  let inFlight = 10 * MSS;
  for (let i = 0; i < 10; i++) {
    inFlight -= MSS;
    const cwnd = prr.cwndAfterAck(MSS, inFlight, 70 * MSS, MSS, false);
    assert(cwnd - inFlight <= 2 * MSS, `burst of ${cwnd - inFlight}`);
    assert(cwnd - inFlight >= MSS);
    prr.onSent(cwnd - inFlight);
    inFlight = cwnd;
  }
});
