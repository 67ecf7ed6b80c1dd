/**
 * Main's window on the kernel. Main never blocks: a thread of Deno's pool, which takes no isolate and
 * so no memory to speak of, waits for its descriptors. Each is registered one-shot and re-armed after
 * its handler has run.
 */
import { systemClock } from "../../ffi/clock.ts";
import { Epoll, EPOLLIN, EPOLLONESHOT } from "../../ffi/epoll.ts";
import { TimerFd } from "../../ffi/timerfd.ts";

/** Called with the event bits when a descriptor is ready. */
export type ReadyHandler = (events: number) => void;

interface Watch {
  readonly fd: number;
  readonly handler: ReadyHandler;
  events: number;
}

/** Descriptors, handlers and one timer. */
export class Reactor {
  readonly #epoll = new Epoll();
  readonly #watches = new Map<number, Watch>();
  readonly #timer = new TimerFd();
  readonly #onError: (error: unknown) => void;
  #nextToken = 1;
  #deadlineMs = Infinity;
  #isClosed = false;

  /**
   * `onDeadline` is called when the time set by `setDeadline` has come, `onError` with what a handler
   * throws: the others go on, since an orderly end needs them.
   */
  constructor(onDeadline: () => void, onError: (error: unknown) => void) {
    this.#onError = onError;
    this.watch(this.#timer.fd, () => {
      this.#timer.drain();
      this.#deadlineMs = Infinity;
      onDeadline();
    });
  }

  /**
   * Runs the handlers of descriptors that are ready, until `close`. Rejects with `SystemCallError` if
   * it cannot wait for them; nothing is watched afterwards.
   */
  async run(): Promise<void> {
    try {
      while (!this.#isClosed) this.#dispatch(await this.#epoll.waitInPool());
    } finally {
      this.#isClosed = true;
      this.#timer.close();
      this.#epoll.close();
    }
  }

  /** Ends `run`: what is ready is looked at no more, and deadlines do not come. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timer.arm(0);
  }

  /** Watches `fd` for `events`; returns a token for `change` and `unwatch`. */
  watch(fd: number, handler: ReadyHandler, events = EPOLLIN): number {
    const token = this.#nextToken++;
    this.#watches.set(token, { fd, handler, events });
    this.#epoll.add(fd, events | EPOLLONESHOT, token);
    return token;
  }

  /** Changes what a descriptor is watched for. */
  change(token: number, events: number): void {
    const watch = this.#watches.get(token);
    if (watch === undefined || watch.events === events) return;
    watch.events = events;
    this.#epoll.modify(watch.fd, events | EPOLLONESHOT, token);
  }

  /** Forgets a descriptor; do it before closing it. */
  unwatch(token: number): void {
    const watch = this.#watches.get(token);
    if (watch === undefined) return;
    this.#watches.delete(token);
    this.#epoll.remove(watch.fd);
  }

  /**
   * Calls `action` each `intervalMs`, in suspend too, until the function that it returns is called.
   * (The first timer of Deno's own loads those of Node: 5 ms and 3 MB, for a process that needs none.)
   */
  every(intervalMs: number, action: () => void): () => void {
    const timer = new TimerFd();
    const arm = () => timer.arm(systemClock.nowMs() + intervalMs);
    const token = this.watch(timer.fd, () => {
      timer.drain();
      arm();
      action();
    });
    arm();
    return () => {
      this.unwatch(token);
      timer.close();
    };
  }

  /** Sets the one deadline, a time on CLOCK_BOOTTIME; Infinity for none. */
  setDeadline(deadlineMs: number): void {
    if (deadlineMs === this.#deadlineMs || this.#isClosed) return;
    this.#deadlineMs = deadlineMs;
    if (deadlineMs === Infinity) this.#timer.disarm();
    else this.#timer.arm(deadlineMs);
  }

  #dispatch(count: number): void {
    const epoll = this.#epoll;
    for (let i = 0; i < count && !this.#isClosed; i++) {
      const token = epoll.tokenAt(i);
      try {
        this.#watches.get(token)?.handler(epoll.eventsAt(i));
      } catch (error) {
        this.#onError(error);
      }
      const watch = this.#watches.get(token);
      if (watch !== undefined) this.#epoll.modify(watch.fd, watch.events | EPOLLONESHOT, token);
    }
  }
}
