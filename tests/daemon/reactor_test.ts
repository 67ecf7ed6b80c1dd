import { assertEquals } from "@std/assert";
import { systemClock } from "../../ffi/clock.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import { Reactor } from "../../src/daemon/reactor.ts";

function fail(error: unknown): never {
  throw error;
}

Deno.test("a reactor runs a descriptor's handler each time that it is ready, and main goes on meanwhile", async () => {
  const reactor = new Reactor(() => {}, fail);
  const signal = new EventFd();
  let count = 0;
  let heard = Promise.withResolvers<void>();
  reactor.watch(signal.fd, () => {
    signal.drain();
    count++;
    heard.resolve();
  });
  const running = reactor.run();
  for (let i = 1; i <= 3; i++) {
    heard = Promise.withResolvers();
    // Whoever rings is a task of the same event loop.
    setTimeout(() => signal.signal());
    await heard.promise;
    assertEquals(count, i);
  }
  reactor.close();
  await running;
  signal.close();
});

Deno.test("a reactor's deadline comes once, and not before its time", async () => {
  const came = Promise.withResolvers<number>();
  const reactor = new Reactor(() => came.resolve(systemClock.nowMs()), fail);
  const running = reactor.run();
  const deadlineMs = systemClock.nowMs() + 5;
  reactor.setDeadline(deadlineMs + 3_600_000);
  reactor.setDeadline(deadlineMs);
  assertEquals(await came.promise >= deadlineMs, true);
  reactor.close();
  await running;
});

Deno.test("a reactor's repeated action comes until it is cancelled, by itself at last", async () => {
  const reactor = new Reactor(() => {}, fail);
  const running = reactor.run();
  const beganMs = systemClock.nowMs();
  let count = 0;
  const cancel = reactor.every(2, () => {
    if (++count === 3) cancel();
  });
  const ended = Promise.withResolvers<void>();
  const cancelEnd = reactor.every(30, ended.resolve);
  await ended.promise;
  cancelEnd();
  assertEquals(count, 3);
  assertEquals(systemClock.nowMs() - beganMs >= 30, true);
  reactor.close();
  await running;
});

Deno.test("a descriptor that a handler forgets is not heard of, even if it was ready with it", async () => {
  const reactor = new Reactor(() => {}, fail);
  const signals = [new EventFd(), new EventFd()];
  const tokens: number[] = [];
  const heard: number[] = [];
  signals.forEach((signal, i) => {
    signal.signal();
    tokens[i] = reactor.watch(signal.fd, () => {
      heard.push(i);
      reactor.unwatch(tokens[1 - i]);
      reactor.close();
    });
  });
  await reactor.run();
  assertEquals(heard.length, 1);
  for (const signal of signals) signal.close();
});

Deno.test("a reactor that is closed does nothing more, whatever it is asked for", async () => {
  const reactor = new Reactor(() => {}, fail);
  const running = reactor.run();
  reactor.close();
  await running;
  reactor.close();
  reactor.setDeadline(0);
});

Deno.test("what a handler throws reaches the owner, and the others go on until the end", async () => {
  const bug = new Error("a bug");
  const errors: unknown[] = [];
  const reactor = new Reactor(() => fail(bug), (error) => errors.push(error));
  const running = reactor.run();
  reactor.setDeadline(0);
  const ended = Promise.withResolvers<void>();
  const cancel = reactor.every(1, () => {
    if (errors.length > 0) ended.resolve();
  });
  await ended.promise;
  cancel();
  reactor.close();
  await running;
  assertEquals(errors, [bug]);
});
