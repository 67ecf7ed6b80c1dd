/** The kernel's clocks. */
import type { Clock } from "../src/base/clock.ts";
import { Timespec } from "./layout.ts";
import { libc } from "./libc.ts";
import { createFfiMemory } from "./memory.ts";

/** clockid_t (include/uapi/linux/time.h). */
export const CLOCK_REALTIME = 0;
export const CLOCK_PROCESS_CPUTIME_ID = 2;
export const CLOCK_THREAD_CPUTIME_ID = 3;
export const CLOCK_BOOTTIME = 7;

const WORD_RANGE = 4294967296;

/** The clocks of this machine; every worker has its own, since the buffer is not shared. */
class SystemClock implements Clock {
  readonly #gettime = libc().clock_gettime_at;
  readonly #time = createFfiMemory(Timespec.bytes);
  readonly #address = this.#time.addressOf(0);

  nowMs(): number {
    this.#gettime(CLOCK_BOOTTIME, this.#address);
    const u32 = this.#time.u32;
    return (u32[1] * WORD_RANGE + u32[0]) * 1000 + u32[2] / 1e6;
  }

  cpuSeconds(clock: number): number {
    this.#gettime(clock, this.#address);
    const u32 = this.#time.u32;
    return u32[1] * WORD_RANGE + u32[0] + u32[2] / 1e9;
  }

  wallNs(): bigint {
    this.#gettime(CLOCK_REALTIME, this.#address);
    const view = this.#time.view;
    return view.getBigInt64(Timespec.sec, true) * 1_000_000_000n +
      view.getBigInt64(Timespec.nsec, true);
  }
}

let shared: SystemClock | undefined;

/** CLOCK_BOOTTIME and CLOCK_REALTIME of this machine. */
export const systemClock: Clock = {
  nowMs: () => (shared ??= new SystemClock()).nowMs(),
  wallNs: () => (shared ??= new SystemClock()).wallNs(),
};

/** CPU time that the calling thread has used; a system call each time. */
export function threadCpuSeconds(): number {
  return (shared ??= new SystemClock()).cpuSeconds(CLOCK_THREAD_CPUTIME_ID);
}

/** CPU time that all threads of this process have used; a system call each time. */
export function processCpuSeconds(): number {
  return (shared ??= new SystemClock()).cpuSeconds(CLOCK_PROCESS_CPUTIME_ID);
}
