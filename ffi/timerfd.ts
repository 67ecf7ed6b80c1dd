/** A timer that epoll can wait for: timerfd_create(2) on CLOCK_BOOTTIME. */
import { CLOCK_BOOTTIME } from "./clock.ts";
import { closeFd } from "./descriptor.ts";
import { orThrow } from "./error.ts";
import { Itimerspec, Timespec } from "./layout.ts";
import { checked, libc } from "./libc.ts";
import { fixedBytes } from "./memory.ts";

const TFD_CLOEXEC = 0o2000000;
const TFD_NONBLOCK = 0o4000;
const TFD_TIMER_ABSTIME = 1;

/** A one-shot timer; readable once its time has come, in suspend as well. */
export class TimerFd {
  readonly fd: number;
  readonly #setting = fixedBytes(Itimerspec.bytes);
  readonly #view = new DataView(this.#setting.buffer);
  readonly #count = fixedBytes(8);

  constructor() {
    const flags = TFD_CLOEXEC | TFD_NONBLOCK;
    this.fd = orThrow(checked(libc().timerfd_create(CLOCK_BOOTTIME, flags)), "timerfd_create");
  }

  /** Arms it for a time of `Clock.nowMs`; a time that has passed makes it readable at once. */
  arm(deadlineMs: number): void {
    const ms = Math.max(deadlineMs, 0);
    const sec = Math.floor(ms / 1000);
    // Rounded up, so that the deadline has passed when the timer fires; all zero would disarm it.
    const nsec = Math.min(999_999_999, Math.ceil((ms - sec * 1000) * 1e6));
    this.#set(sec, sec === 0 && nsec === 0 ? 1 : nsec);
  }

  disarm(): void {
    this.#set(0, 0);
  }

  #set(sec: number, nsec: number): void {
    const at = Itimerspec.value;
    this.#view.setBigInt64(at + Timespec.sec, BigInt(sec), true);
    this.#view.setBigInt64(at + Timespec.nsec, BigInt(nsec), true);
    const flags = TFD_TIMER_ABSTIME;
    orThrow(
      checked(libc().timerfd_settime(this.fd, flags, this.#setting, null)),
      "timerfd_settime",
    );
  }

  /** Takes note that it fired; true when it had. */
  drain(): boolean {
    return libc().read(this.fd, this.#count, 8) === 8;
  }

  close(): void {
    closeFd(this.fd);
  }
}
