/** What is done with pages of memory: give them back, lock them, leave them out of dumps. */
import { checked, libc } from "./libc.ts";
import type { FfiMemory } from "./memory.ts";

const PAGE_BYTES = 4096;
const MADV_DONTNEED = 4;
const MADV_DONTDUMP = 16;
const MLOCK_ONFAULT = 1;

/**
 * Gives whole pages within `[at, at + byteLength)` back to the system; they read as zero afterwards.
 * Bytes of a page that is only partly inside stay. 0 or a negated errno.
 */
export function releasePages(memory: FfiMemory, at: number, byteLength: number): number {
  const start = Math.ceil((memory.addressNumber + at) / PAGE_BYTES) * PAGE_BYTES;
  const end = Math.floor((memory.addressNumber + at + byteLength) / PAGE_BYTES) * PAGE_BYTES;
  if (end <= start) return 0;
  return checked(libc().madvise(BigInt(start), BigInt(end - start), MADV_DONTNEED));
}

/**
 * Gives pages back to the system that the C library's allocator holds for all threads of this process
 * and has nothing on (malloc_trim(3)). Takes a few milliseconds; others that allocate wait for it.
 */
export function releaseFreeHeap(): void {
  libc().malloc_trim(0);
}

/** Leaves the pages around `[at, at + byteLength)` out of core dumps. 0 or a negated errno. */
export function excludeFromDumps(memory: FfiMemory, at: number, byteLength: number): number {
  const start = Math.floor((memory.addressNumber + at) / PAGE_BYTES) * PAGE_BYTES;
  const end = Math.ceil((memory.addressNumber + at + byteLength) / PAGE_BYTES) * PAGE_BYTES;
  return checked(libc().madvise(BigInt(start), BigInt(end - start), MADV_DONTDUMP));
}

/**
 * Keeps the pages around `[at, at + byteLength)` out of swap, once they are in use. 0 or a negated
 * errno: ENOMEM beyond RLIMIT_MEMLOCK.
 */
export function lockPages(memory: FfiMemory, at: number, byteLength: number): number {
  const start = BigInt(memory.addressNumber + at);
  return checked(libc().mlock2(start, BigInt(byteLength), MLOCK_ONFAULT));
}
