import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import {
  QUEUE_BYTES,
  QUEUE_COUNT_MAX,
  QUEUE_INTERVAL_TARGETS,
  QUEUE_RATE_MS,
  QUEUE_TARGET_MS_MAX,
  QUEUE_TARGET_MS_MIN,
  QueueDelay,
} from "../../src/lane/queue_delay.ts";
import { CodelReference } from "../reference/codel_reference.ts";

const START_MS = 1_000_000;
/** What is taken each tenth of a millisecond, so that the target is half a millisecond. */
const QUEUE_TARGET_MS = 0.5;
const QUEUE_INTERVAL_MS = QUEUE_INTERVAL_TARGETS * QUEUE_TARGET_MS;
const BYTES = QUEUE_BYTES / QUEUE_TARGET_MS / 10;

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
    if (queue.onTake(delayMs, BYTES, nowMs)) times.push(nowMs - fromMs);
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
    for (let ms = 0; ms < 3 * QUEUE_RATE_MS; ms++) queue.onTake(0, bytesPerMs, ++nowMs);
    assertEquals(queue.targetMs, targetMs);
  }
  queue.onTake(0, 1000, nowMs + 1e6);
  assertEquals(queue.targetMs, QUEUE_TARGET_MS_MAX, "after a rest");
});

Deno.test("a burst that is over within an interval tells nobody, however long it made others wait", () => {
  const queue = warmQueue();
  for (let burst = 0; burst < 100; burst++) {
    const fromMs = START_MS + burst * 2 * QUEUE_INTERVAL_MS;
    assertEquals(tellings(queue, fromMs, QUEUE_INTERVAL_MS - 0.2, 100), []);
    assert(!queue.onTake(0, BYTES, fromMs + QUEUE_INTERVAL_MS));
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
  assert(!queue.onTake(0, BYTES, laterMs));
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
    let nowMs = START_MS, level = 0;
    for (let i = 0; i < 2000; i++) {
      nowMs += random() < 0.01 ? random() * 30 * QUEUE_INTERVAL_MS : random() * 0.3;
      if (random() < 0.02) level = random() * 3 * QUEUE_TARGET_MS;
      const delayMs = level * (0.7 + 0.6 * random());
      const tells = queue.onTake(delayMs, random() * 2 * BYTES, nowMs);
      reference.target = queue.targetMs;
      reference.interval = queue.intervalMs;
      assertEquals(tells, reference.dequeue(delayMs, nowMs), `seed ${seed}, step ${i}`);
    }
  }
});
