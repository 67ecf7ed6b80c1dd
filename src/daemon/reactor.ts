/**
 * Main's window on the kernel. Main never blocks: its descriptors are watched by the poller worker,
 * which posts the ready ones. Each is registered one-shot and re-armed after its handler has run.
 */
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
  #nextToken = 1;
  #deadlineMs = Infinity;

  /** `onDeadline` is called when the time set by `setDeadline` has come. */
  constructor(onDeadline: () => void) {
    this.watch(this.#timer.fd, () => {
      this.#timer.drain();
      this.#deadlineMs = Infinity;
      onDeadline();
    });
  }

  /** The epoll instance that the poller waits on. */
  get epollFd(): number {
    return this.#epoll.fd;
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

  /** Sets the one deadline, a time on CLOCK_BOOTTIME; Infinity for none. */
  setDeadline(deadlineMs: number): void {
    if (deadlineMs === this.#deadlineMs) return;
    this.#deadlineMs = deadlineMs;
    if (deadlineMs === Infinity) this.#timer.disarm();
    else this.#timer.arm(deadlineMs);
  }

  /** Runs the handlers of what the poller has found: tokens and event bits in turn. */
  dispatch(events: readonly number[]): void {
    for (let i = 0; i < events.length; i += 2) {
      const token = events[i];
      this.#watches.get(token)?.handler(events[i + 1]);
      const watch = this.#watches.get(token);
      if (watch !== undefined) this.#epoll.modify(watch.fd, watch.events | EPOLLONESHOT, token);
    }
  }
}
