import { assert, assertEquals, assertThrows } from "@std/assert";
import { CLOCK_REALTIME, systemClock } from "../../ffi/clock.ts";
import {
  closeFd,
  duplicateFd,
  isOpen,
  isTerminal,
  openPipe,
  pollFd,
  POLLHUP,
  POLLIN,
  readFd,
  setNonBlocking,
  writeFd,
} from "../../ffi/descriptor.ts";
import { Epoll, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../../ffi/epoll.ts";
import { describeErrno, orThrow, SystemCallError } from "../../ffi/error.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import { checked, errno, libc } from "../../ffi/libc.ts";
import { createFfiMemory, cString, FfiMemory, fixedBytes } from "../../ffi/memory.ts";
import { lockPages, releaseFreeHeap, releasePages } from "../../ffi/pages.ts";
import { systemRandom } from "../../ffi/random.ts";
import { TimerFd } from "../../ffi/timerfd.ts";
import { Errno } from "../../src/base/errno.ts";
import { createSlab } from "../../src/memory/slab.ts";

Deno.test("checked() gives results as they are and failures as negated errno", () => {
  assertEquals(checked(libc().close(-1)), -Errno.EBADF);
  assertEquals(errno(), Errno.EBADF);
  assertEquals(checked(5), 5);
  assertEquals(checked(libc().mkdir(cString("/proc"), 0o755)), -Errno.EEXIST);
});

Deno.test("SystemCallError tells the call, the error's name and words, and the fix", () => {
  const error = new SystemCallError('open("/dev/net/tun")', Errno.ENOENT, "Load the module");
  assertEquals(
    error.message,
    'open("/dev/net/tun"): ENOENT (no such file or directory). Load the module',
  );
  assertEquals([error.name, error.errno], ["SystemCallError", 2]);
  assertEquals(describeErrno(Errno.EIO), "input/output error");
  assertEquals(orThrow(3, "read"), 3);
  const thrown = assertThrows(() => orThrow(-Errno.EBADF, "read"), SystemCallError);
  assertEquals((thrown as SystemCallError).message, "read: EBADF (bad file descriptor)");
});

Deno.test("an FfiMemory over a slab addresses the slab's own bytes", () => {
  const slab = createSlab(1 << 20);
  const memory = new FfiMemory(slab);
  const pipe = openPipe();
  slab.u8.set([1, 2, 3, 4], 70_000);
  assertEquals(libc().write_at(pipe.writeEnd, memory.addressOf(70_000), 4), 4);
  assertEquals(libc().read_at(pipe.readEnd, memory.addressOf(500_001), 10), 4);
  assertEquals(slab.u8.slice(500_000, 500_006), new Uint8Array([0, 1, 2, 3, 4, 0]));
  closeFd(pipe.readEnd);
  closeFd(pipe.writeEnd);
});

Deno.test("addressOf() is exact for every place, also after its cache was overwritten", () => {
  const memory = createFfiMemory(64);
  for (let round = 0; round < 2; round++) {
    for (let at = 0; at < 5_000_000; at += 4093) {
      assertEquals(memory.addressOf(at), memory.address + BigInt(at));
    }
  }
});

Deno.test("addresses written in halves carry into the upper half where they must", () => {
  const slab = createSlab(1 << 16);
  const memory = new FfiMemory(slab);
  const untilCarry = 2 ** 32 - Number(memory.address % 2n ** 32n);
  for (const target of [0, 8, 4096, untilCarry - 1, untilCarry, untilCarry + 1, 2 ** 32 - 1]) {
    memory.writeAddress(16, target);
    assertEquals(slab.view.getBigUint64(16, true), memory.address + BigInt(target));
    memory.writeIovec(32, target, 0xffff_fff0);
    assertEquals(slab.view.getBigUint64(32, true), memory.address + BigInt(target));
    assertEquals(slab.view.getBigUint64(40, true), 0xffff_fff0n);
  }
});

Deno.test("cString() ends with a zero byte and refuses one inside", () => {
  assertEquals(cString("ä"), new Uint8Array([0xc3, 0xa4, 0]));
  assertEquals(cString(""), new Uint8Array([0]));
  assertThrows(() => cString("a\0b"), TypeError);
});

Deno.test("systemClock runs on CLOCK_BOOTTIME and tells the time of day", () => {
  const uptimeMs = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]) * 1000;
  const nowMs = systemClock.nowMs();
  assert(nowMs >= uptimeMs - 10, `${nowMs} ${uptimeMs}`);
  assert(systemClock.nowMs() >= nowMs);
  const before = Date.now();
  const wallMs = Number(systemClock.wallNs() / 1_000_000n);
  assert(wallMs >= before - 1 && wallMs <= Date.now() + 1);
  assertEquals(CLOCK_REALTIME, 0);
});

Deno.test("systemRandom fills every byte of arrays of all lengths", () => {
  for (const length of [0, 1, 255, 256, 257, 1000]) {
    const seen = new Uint8Array(length);
    for (let i = 0; i < 12; i++) {
      const bytes = systemRandom.fill(new Uint8Array(length));
      for (let k = 0; k < length; k++) seen[k] |= bytes[k];
    }
    // Twelve random bytes are all zero once in 2^96.
    assertEquals(seen.every((byte) => byte !== 0), true);
  }
});

Deno.test("descriptors: pipe, duplicate, non-blocking, poll, close", () => {
  const { readEnd, writeEnd } = openPipe();
  const bytes = fixedBytes(16);
  setNonBlocking(readEnd, true);
  assertEquals(readFd(readEnd, bytes), -Errno.EAGAIN);
  assertEquals(pollFd(readEnd, POLLIN, 0), 0);
  const copy = duplicateFd(writeEnd, 100);
  assert(copy >= 100 && !isTerminal(copy));
  assertEquals(writeFd(copy, fixedBytes(5).fill(9)), 5);
  assertEquals(pollFd(readEnd, POLLIN, 1000), POLLIN);
  assertEquals(readFd(readEnd, bytes), 5);
  closeFd(copy);
  closeFd(writeEnd);
  assertEquals([isOpen(copy), isOpen(readEnd)], [false, true]);
  assertEquals(pollFd(readEnd, POLLIN, 1000), POLLHUP);
  assertEquals(readFd(readEnd, bytes), 0);
  closeFd(readEnd);
});

Deno.test("Epoll tells which descriptors are ready, by their tokens", () => {
  const epoll = new Epoll(2);
  const doors = [new EventFd(), new EventFd(), new EventFd()];
  const tokens = [7, -1, 0x7fffffff];
  doors.forEach((door, i) => assertEquals(epoll.add(door.fd, EPOLLIN, tokens[i]), 0));
  assertEquals(epoll.wait(0), 0);
  doors[1].signal();
  assertEquals(epoll.wait(-1), 1);
  assertEquals([epoll.tokenAt(0), epoll.eventsAt(0)], [-1, EPOLLIN]);
  doors[0].signal();
  doors[2].signal();
  const seen = new Set<number>();
  // Two at a time; those that stay ready come again in turn.
  for (let i = 0; i < 4; i++) {
    const count = epoll.wait(-1);
    assertEquals(count, 2);
    for (let k = 0; k < count; k++) seen.add(epoll.tokenAt(k));
  }
  assertEquals(seen, new Set(tokens));
  doors.forEach((door) => assert(door.drain() && !door.drain()));
  assertEquals(epoll.wait(0.2), 0);
  assertEquals(epoll.modify(doors[0].fd, EPOLLIN | EPOLLOUT, 8), 0);
  assertEquals([epoll.wait(-1), epoll.tokenAt(0), epoll.eventsAt(0)], [1, 8, EPOLLOUT]);
  assertEquals(epoll.remove(doors[0].fd), 0);
  assertEquals(epoll.remove(doors[0].fd), -Errno.ENOENT);
  assertEquals(epoll.wait(0), 0);
  assertEquals(epoll.add(-1, EPOLLIN, 0), -Errno.EBADF);
  doors.forEach((door) => door.close());
  epoll.close();
});

Deno.test("Epoll reports the end of a pipe", () => {
  const epoll = new Epoll();
  const { readEnd, writeEnd } = openPipe();
  epoll.add(readEnd, EPOLLIN, 1);
  closeFd(writeEnd);
  assertEquals([epoll.wait(-1), epoll.eventsAt(0) & EPOLLHUP], [1, EPOLLHUP]);
  closeFd(readEnd);
  epoll.close();
});

Deno.test("Epoll.wait() returns only when the whole timeout has passed", () => {
  const epoll = new Epoll();
  for (const timeoutMs of [0.1, 3, 5.5]) {
    const beforeMs = systemClock.nowMs();
    assertEquals(epoll.wait(timeoutMs), 0);
    assert(systemClock.nowMs() - beforeMs >= timeoutMs);
  }
  epoll.close();
});

Deno.test("many rings of an EventFd are one drain", () => {
  const door = new EventFd();
  const other = new EventFd(door.fd);
  for (let i = 0; i < 5; i++) assertEquals(other.signal(), 8);
  assertEquals([door.drain(), door.drain(), other.drain()], [true, false, false]);
  door.close();
});

Deno.test("TimerFd fires at its time, not when disarmed, and at once for the past", () => {
  const timer = new TimerFd();
  const epoll = new Epoll();
  epoll.add(timer.fd, EPOLLIN, 5);
  const deadlineMs = systemClock.nowMs() + 12.345;
  timer.arm(deadlineMs);
  assertEquals(timer.drain(), false);
  assertEquals([epoll.wait(-1), epoll.tokenAt(0)], [1, 5]);
  assert(systemClock.nowMs() >= deadlineMs);
  assertEquals([timer.drain(), timer.drain(), epoll.wait(0)], [true, false, 0]);
  for (const past of [deadlineMs - 1000, 0, -5]) {
    timer.arm(past);
    assertEquals(epoll.wait(-1), 1);
    assert(timer.drain());
  }
  timer.arm(systemClock.nowMs() + 1e12);
  timer.disarm();
  assertEquals(epoll.wait(0), 0);
  timer.close();
  epoll.close();
});

Deno.test("releaseFreeHeap() gives back what was freed between what stays", () => {
  const libc = Deno.dlopen("libc.so.6", {
    malloc: { parameters: ["u32"], result: "pointer" },
    memset: { parameters: ["pointer", "i32", "u32"], result: "pointer" },
    free: { parameters: ["pointer"], result: "void" },
  }).symbols;
  // Below the size from which each block is a mapping of its own.
  const blocks = Array.from({ length: 400 }, () => libc.memset(libc.malloc(100_000), 1, 100_000));
  const staying = blocks.filter((_, index) => index % 10 === 0);
  blocks.filter((block) => !staying.includes(block)).forEach((block) => libc.free(block));
  const { rss } = Deno.memoryUsage();
  releaseFreeHeap();
  const released = rss - Deno.memoryUsage().rss;
  staying.forEach((block) => libc.free(block));
  assert(released > 20_000_000, `${released} bytes`);
});

Deno.test("releasePages() clears whole pages inside the range and nothing outside", () => {
  const memory = new FfiMemory(createSlab(1 << 20));
  memory.u8.fill(7);
  const at = 4096 * 3 + 100, length = 4096 * 5;
  assertEquals(releasePages(memory, at, length), 0);
  const first = 4096 * 4, last = 4096 * 8;
  assertEquals(memory.u8.subarray(0, first).every((byte) => byte === 7), true);
  assertEquals(memory.u8.subarray(first, last).every((byte) => byte === 0), true);
  assertEquals(memory.u8.subarray(last).every((byte) => byte === 7), true);
  assertEquals(releasePages(memory, 10, 4000), 0);
  assertEquals(lockPages(memory, 4096, 4096), 0);
});
