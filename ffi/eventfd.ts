/** The doorbell between workers: eventfd(2). */
import { closeFd } from "./descriptor.ts";
import { orThrow } from "./error.ts";
import { checked, libc } from "./libc.ts";
import { createFfiMemory } from "./memory.ts";

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;

/** Makes a doorbell and returns its descriptor, which any worker of the process may wrap. */
export function openEventFd(): number {
  return orThrow(checked(libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), "eventfd");
}

/** One worker's handle on a doorbell. */
export class EventFd {
  readonly #write = libc().write_at;
  readonly #read = libc().read_at;
  readonly #one = createFfiMemory(8);
  readonly #count = createFfiMemory(8);
  readonly #oneAddress = this.#one.addressOf(0);
  readonly #countAddress = this.#count.addressOf(0);

  constructor(readonly fd: number = openEventFd()) {
    this.#one.u32[0] = 1;
  }

  /**
   * Rings. The result is 8, or `-EAGAIN` when it was rung 2^64 - 2 times unheard, which does not
   * matter either.
   */
  signal(): number {
    return checked(this.#write(this.fd, this.#oneAddress, 8));
  }

  /** Takes note of all rings so far; true when there was one. */
  drain(): boolean {
    return this.#read(this.fd, this.#countAddress, 8) === 8;
  }

  close(): void {
    closeFd(this.fd);
  }
}
