import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import {
  QUEUE_BYTES,
  QUEUE_COUNT_MAX,
  QUEUE_INTERVAL_TARGETS,
  QUEUE_RATE_MS,
  QUEUE_TARGET_MS_MAX,
  QUEUE_TARGET_MS_MIN,
  QUEUE_TURNS,
  QueueDelay,
} from "../../src/lane/queue_delay.ts";
import { CodelReference } from "../reference/codel_reference.ts";

const START_MS = 1_000_000;
/** What is taken each tenth of a millisecond, so that the target is half a millisecond. */
const QUEUE_TARGET_MS = 0.5;
const QUEUE_INTERVAL_MS = QUEUE_INTERVAL_TARGETS * QUEUE_TARGET_MS;
const BYTES = QUEUE_BYTES / QUEUE_TARGET_MS / 10;

/** A power of two, so that times add up. */
const TURN_MS = 1 / 16;

/** A queue that has been taken from for a while, at the rate above. */
function warmQueue(): QueueDelay {
  const queue = new QueueDelay();
  tellings(queue, START_MS - 2 * QUEUE_RATE_MS, 2 * QUEUE_RATE_MS, 0);
  return queue;
}

/** When a queue tells, if something that has waited `delayMs` is taken every 0.1 ms. */
function tellings(queue: QueueDelay, fromMs: number, forMs: number, delayMs: number): number[] {
  const times: number[] = [];
  for (let i = 0; i < forMs * 10; i++) {
    const nowMs = fromMs + i / 10;
    if (queue.onTake(delayMs, BYTES, nowMs, 0)) times.push(nowMs - fromMs);
  }
  return times;
}

Deno.test("a queue that lets everything through in time never tells of congestion", () => {
  assertEquals(tellings(warmQueue(), START_MS, 1000, QUEUE_TARGET_MS * 0.99), []);
});

Deno.test("what may wait is the time of a few sends at the rate of now, and at most the RFC's 5 ms", () => {
  const queue = new QueueDelay();
  assertEquals([queue.targetMs, queue.intervalMs], [5, 100], "at the start");
  let nowMs = START_MS;
  for (
    const [bytesPerMs, targetMs] of [
      [QUEUE_BYTES * 2, 0.5],
      [QUEUE_BYTES, 1],
      [QUEUE_BYTES / 1000, QUEUE_TARGET_MS_MAX],
      [QUEUE_BYTES * 1000, QUEUE_TARGET_MS_MIN],
    ]
  ) {
    for (let ms = 0; ms < 3 * QUEUE_RATE_MS; ms += TURN_MS) {
      queue.onTake(0, bytesPerMs * TURN_MS, nowMs += TURN_MS, 0);
    }
    assertAlmostEquals(queue.targetMs, targetMs);
  }
  queue.onTake(0, 1000, nowMs + 1e6, 0);
  assertEquals(queue.targetMs, QUEUE_TARGET_MS_MAX, "after a rest");
});

Deno.test("what waits while the lane sends waits for no queue: the target is longer by some turns of it", () => {
  const queue = new QueueDelay();
  let nowMs = START_MS, sentBytes = 0;
  for (
    const [turnMs, sentPerTurn, targetMs] of [[1, 0, 0.5], [1, 1, 0.5 + 0.5 * QUEUE_TURNS], [
      0.5,
      3,
      0.25 + 0.375 * QUEUE_TURNS,
    ]]
  ) {
    for (let ms = 0; ms < 3 * QUEUE_RATE_MS; ms += turnMs) {
      nowMs += turnMs;
      sentBytes += 2 * QUEUE_BYTES * sentPerTurn;
      for (let i = 0; i < 4; i++) queue.onTake(0, QUEUE_BYTES / 2, nowMs, sentBytes);
    }
    assertAlmostEquals(queue.targetMs, targetMs, 0.05);
  }
});

Deno.test("an empty datagram leaves a target that is a number", () => {
  const queue = new QueueDelay();
  queue.onTake(0, 0, START_MS, 0);
  assertEquals(queue.targetMs, QUEUE_TARGET_MS_MAX);
});

Deno.test("a queue that begins to stand before the rate is known tells as soon as it would at that rate", () => {
  const queue = new QueueDelay();
  const times = tellings(queue, START_MS, 1000, 2 * QUEUE_TARGET_MS_MAX);
  assert(times[0] < 2 * QUEUE_RATE_MS, `${times[0]}`);
});

Deno.test("a burst that is over within an interval tells nobody, however long it made others wait", () => {
  const queue = warmQueue();
  for (let burst = 0; burst < 100; burst++) {
    const fromMs = START_MS + burst * 2 * QUEUE_INTERVAL_MS;
    assertEquals(tellings(queue, fromMs, QUEUE_INTERVAL_MS - 0.2, 100), []);
    assert(!queue.onTake(0, BYTES, fromMs + QUEUE_INTERVAL_MS, 0));
  }
});

Deno.test("a queue that stands tells after an interval, then ever more often, until it is short", () => {
  const queue = warmQueue();
  const times = tellings(queue, START_MS, 20 * QUEUE_INTERVAL_MS, 2 * QUEUE_TARGET_MS);
  assert(times[0] >= QUEUE_INTERVAL_MS && times[0] < QUEUE_INTERVAL_MS + 0.2, `${times[0]}`);
  const gaps = times.slice(1).map((time, i) => time - times[i]);
  assert(gaps.length > 20);
  for (let i = 1; i < gaps.length; i++) assert(gaps[i] <= gaps[i - 1] + 0.11, `${gaps}`);
  const laterMs = START_MS + 20 * QUEUE_INTERVAL_MS;
  assert(!queue.onTake(0, BYTES, laterMs, 0));
  assertEquals(tellings(queue, laterMs, QUEUE_INTERVAL_MS - 0.2, 100), []);
});

Deno.test("a flood that nothing slows down does not make a queue tell more and more", () => {
  const queue = warmQueue();
  const shares = [0, 1, 2, 3].map((second) =>
    tellings(queue, START_MS + 1000 * second, 1000, 4 * QUEUE_TARGET_MS).length / 10_000
  );
  for (const share of shares) assert(share < 0.05, `${shares}`);
});

Deno.test("a lane that was away for a second makes up for one telling, not for all", () => {
  const queue = warmQueue();
  tellings(queue, START_MS, 20 * QUEUE_INTERVAL_MS, 2 * QUEUE_TARGET_MS);
  const laterMs = START_MS + 20 * QUEUE_INTERVAL_MS + 1000;
  assert(tellings(queue, laterMs, QUEUE_INTERVAL_MS / 10, 2 * QUEUE_TARGET_MS).length <= 2);
});

Deno.test("a queue tells exactly when RFC 8289's CoDel would, but for the bounds, for any course of its delay", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const generator = new SeededRandom(seed);
    const random = () => generator.below(1_000_000) / 1_000_000;
    const queue = new QueueDelay();
    const reference = new CodelReference(0, 0, QUEUE_COUNT_MAX);
    let nowMs = START_MS, level = 0, sentBytes = 0;
    for (let i = 0; i < 2000; i++) {
      nowMs += random() < 0.01 ? random() * 30 * QUEUE_INTERVAL_MS : random() * 0.3;
      if (random() < 0.02) level = random() * 3 * QUEUE_TARGET_MS;
      sentBytes += random() * BYTES;
      const delayMs = level * (0.7 + 0.6 * random());
      const tells = queue.onTake(delayMs, random() * 2 * BYTES, nowMs, sentBytes);
      reference.target = queue.targetMs;
      reference.interval = queue.intervalMs;
      assertEquals(tells, reference.dequeue(delayMs, nowMs), `seed ${seed}, step ${i}`);
    }
  }
});
