/** Readiness of many descriptors: epoll(7), without allocation in `wait`. */
import { Errno } from "../src/base/errno.ts";
import { systemClock } from "./clock.ts";
import { closeFd } from "./descriptor.ts";
import { orThrow } from "./error.ts";
import { EpollEvent } from "./layout.ts";
import { checked, libc } from "./libc.ts";
import { createFfiMemory, type FfiMemory, fixedBytes } from "./memory.ts";

/** Event bits (include/uapi/linux/eventpoll.h). */
export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;
export const EPOLLRDHUP = 0x2000;
export const EPOLLONESHOT = 1 << 30;
/** Edge-triggered; the bit is the sign bit, so compare masks with `&` only. */
export const EPOLLET = 1 << 31;

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;

/** Longest timeout that epoll_wait takes; a later deadline waits without end. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

function openEpoll(): number {
  return orThrow(checked(libc().epoll_create1(EPOLL_CLOEXEC)), "epoll_create1");
}

/** One epoll instance. Tokens are the caller's 32-bit integers, given back with the events. */
export class Epoll {
  readonly fd = openEpoll();
  readonly #wait = libc().epoll_wait_at;
  readonly #eventsMax: number;
  readonly #events: FfiMemory;
  readonly #eventsAddress: bigint;
  readonly #change = fixedBytes(16);
  readonly #changeView = new DataView(this.#change.buffer);

  /** `eventsMax`: how many ready descriptors one `wait` reports; the others come with the next. */
  constructor(eventsMax = 64) {
    this.#eventsMax = eventsMax;
    this.#events = createFfiMemory(eventsMax * EpollEvent.bytes);
    this.#eventsAddress = this.#events.addressOf(0);
  }

  /** Watches `fd` for `events`; 0 or a negated errno. */
  add(fd: number, events: number, token: number): number {
    return this.#control(EPOLL_CTL_ADD, fd, events, token);
  }

  /** Changes what `fd` is watched for. */
  modify(fd: number, events: number, token: number): number {
    return this.#control(EPOLL_CTL_MOD, fd, events, token);
  }

  /** Stops watching `fd`. Do it before closing: a duplicate would keep the entry alive. */
  remove(fd: number): number {
    return this.#control(EPOLL_CTL_DEL, fd, 0, 0);
  }

  #control(operation: number, fd: number, events: number, token: number): number {
    this.#changeView.setInt32(EpollEvent.events, events, true);
    this.#changeView.setInt32(EpollEvent.data, token, true);
    this.#changeView.setInt32(EpollEvent.data + 4, 0, true);
    return checked(libc().epoll_ctl(this.fd, operation, fd, this.#change));
  }

  /**
   * Waits until something is ready and returns the number of events, 0 when `timeoutMs` has passed.
   * A fraction is rounded up, so that a deadline has passed on return; negative or beyond 24 days
   * means without end. A signal does not end the wait.
   */
  wait(timeoutMs: number): number {
    const bounded = timeoutMs >= 0 && timeoutMs <= TIMEOUT_MS_MAX;
    let left = bounded ? Math.ceil(timeoutMs) : -1;
    let deadlineMs = -1;
    for (;;) {
      const n = checked(
        this.#wait(this.fd, this.#eventsAddress, this.#eventsMax, left),
      );
      if (n !== -Errno.EINTR) return n;
      if (left <= 0) continue;
      // Rare: without a reading of the clock before, the first interruption restarts the timeout.
      const nowMs = systemClock.nowMs();
      if (deadlineMs < 0) deadlineMs = nowMs + left;
      left = Math.max(0, Math.ceil(deadlineMs - nowMs));
    }
  }

  /**
   * The same for a thread that must not block: a thread of Deno's pool waits in its place, without
   * end, and is one of 32 that all such calls share. Resolves with at least one event; rejects with
   * `SystemCallError`.
   */
  async waitInPool(): Promise<number> {
    for (;;) {
      const { epoll_wait_in_pool } = libc();
      const n = await epoll_wait_in_pool(this.fd, this.#eventsAddress, this.#eventsMax, -1);
      if (n > 0) return n;
      // errno has stayed in the other thread: a signal has ended the wait, or this call fails as well.
      const ready = orThrow(this.wait(0), "epoll_wait");
      if (ready > 0) return ready;
    }
  }

  /** After a wait: the token of event `i`. */
  tokenAt(i: number): number {
    return this.#events.i32[(i * EpollEvent.bytes + EpollEvent.data) >> 2];
  }

  /** After a wait: the event bits of event `i`. */
  eventsAt(i: number): number {
    return this.#events.i32[(i * EpollEvent.bytes + EpollEvent.events) >> 2];
  }

  close(): void {
    closeFd(this.fd);
  }
}
